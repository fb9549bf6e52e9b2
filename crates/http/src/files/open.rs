//! Opening what is asked for, and nothing else.

use std::fs::{File, Metadata};
use std::path::Path;

use http::StatusCode;

/// How many symbolic links are followed for one path.
pub const LINKS_MAX: usize = 40;

/// Which symbolic links a folder follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Links {
    /// Those that stay inside the root on every step.
    ///
    /// This is checked while the file is opened, not before, so nobody can exchange a name for a
    /// link in between. A target that is an absolute path counts as inside when it begins with
    /// the path of the root. On systems other than Unix, where files cannot be opened so, the check
    /// comes before the opening, and only the end of the way must be inside.
    #[default]
    Inside,
    /// All of them, wherever they lead: safe only where nobody else can make links.
    All,
    /// None.
    None,
}

/// What was opened: a file or a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    /// Of the open file, not of its name.
    pub(super) metadata: Metadata,
    /// It can be entered but not listed.
    pub(super) unreadable: bool,
    /// Its path, where a folder cannot be listed through its handle.
    #[cfg(not(unix))]
    pub(super) path: std::path::PathBuf,
}

/// An entry of a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) is_folder: bool,
    /// In bytes; of a folder nothing that a reader would call its size.
    pub(super) size: u64,
    /// In seconds since 1970.
    pub(super) modified: i64,
}

/// Why nothing was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// There is nothing of this name that we would serve.
    Absent,
    /// We may not read it.
    Forbidden,
    /// We are short of something; later it may work.
    Busy,
    /// The system failed.
    Broken,
}

impl Miss {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Absent => StatusCode::NOT_FOUND,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// How to go from the root to a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'a> {
    pub(super) root: &'a Path,
    pub(super) links: Links,
    /// Without the system call that does it at once.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "there is one way only"))]
    pub(super) step_by_step: bool,
}
