//! Which events are let through, to be changed while a program runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::{EnvFilter, Registry, reload};

/// How many namespaces may have levels of their own.
const CHANGES_MAX: usize = 256;
/// What a level may be.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Changes which events are let through, by namespace. A clone changes the same.
#[derive(Clone)]
pub struct Levels {
    state: Arc<Mutex<State>>,
    handle: reload::Handle<EnvFilter, Registry>,
}

struct State {
    base: String,
    /// By namespace; the empty one is for all others.
    changes: BTreeMap<String, &'static str>,
}

impl State {
    fn shown(&self) -> String {
        let mut shown = self.base.clone();
        for (namespace, level) in &self.changes {
            shown.push(',');
            if !namespace.is_empty() {
                shown.push_str(namespace);
                shown.push('=');
            }
            shown.push_str(level);
        }
        shown.trim_start_matches(',').to_owned()
    }
}

impl Levels {
    pub(super) fn new(base: String, handle: reload::Handle<EnvFilter, Registry>) -> Self {
        let state = State { base, changes: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)), handle }
    }

    /// What is let through, as [`change`](Self::change) would be told it.
    pub fn shown(&self) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shown()
    }

    /// Changes levels, several with commas between: `NAMESPACE=LEVEL` for one namespace and all below it,
    /// `LEVEL` alone for all that nothing else is said of, `NAMESPACE=` to forget what was said of one, and
    /// `reset` for what the program began with. Levels are off, error, warn, info, debug and trace. Where one
    /// of them cannot be read, all stays as it is.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn change(&self, change: &str) -> Result<(), String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = state.changes.clone();
        for part in change.split(',').map(str::trim) {
            if part == "reset" {
                changes.clear();
                continue;
            }
            let (namespace, level) = part.split_once('=').unwrap_or(("", part));
            if !namespace.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':' | '-' | '.'))
            {
                return Err(format!(
                    "{namespace:?} is no namespace: it is one such as ropewalk::http"
                ));
            }
            if level.is_empty() && !namespace.is_empty() {
                changes.remove(namespace);
                continue;
            }
            let known = LEVELS.into_iter().find(|known| known.eq_ignore_ascii_case(level));
            let known = known
                .ok_or_else(|| format!("{level:?} is no level: there are {}", LEVELS.join(", ")))?;
            changes.insert(namespace.to_owned(), known);
        }
        if changes.len() > CHANGES_MAX {
            return Err(format!("at most {CHANGES_MAX} namespaces have levels of their own"));
        }
        let next = State { base: state.base.clone(), changes };
        let filter = EnvFilter::try_new(next.shown())
            .map_err(|error| format!("{:?} cannot be read: {error}", next.shown()))?;
        self.handle.reload(filter).map_err(|_| "the program logs no more".to_owned())?;
        *state = next;
        Ok(())
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Levels").field(&self.shown()).finish()
    }
}
