//! What a control socket is about.

use std::fmt;
use std::sync::Arc;

use ropewalk_metrics::Loops;

use crate::logs::{Levels, Spans};

type Hook = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// A program as its operators see it.
#[derive(Clone)]
pub struct Subject {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) loops: Loops,
    pub(crate) levels: Option<Levels>,
    pub(crate) spans: Option<Spans>,
    pub(crate) reload: Option<Hook>,
}

impl Subject {
    /// A program of this name that has these loops.
    pub fn new(name: &str, version: &str, loops: &Loops) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            loops: loops.clone(),
            levels: None,
            spans: None,
            reload: None,
        }
    }

    /// Lets operators change what is logged.
    #[must_use]
    pub fn with_levels(self, levels: Levels) -> Self {
        Self { levels: Some(levels), ..self }
    }

    /// Names the spans that a stuck thread is in.
    #[must_use]
    pub fn with_spans(self, spans: Spans) -> Self {
        Self { spans: Some(spans), ..self }
    }

    /// Has `reload` called, on the operator's thread, when one asks for it: it says what it did, or why not.
    #[must_use]
    pub fn on_reload(
        self,
        reload: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) -> Self {
        Self { reload: Some(Arc::new(reload)), ..self }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}
