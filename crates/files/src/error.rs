//! What can go wrong with files.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why something could not be done with a file or a folder.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// A name would lead out of the folder that it was to be a child of: it holds a separator or a NUL, or
    /// is empty, `.` or `..`.
    InsecureName {
        /// The folder.
        folder: PathBuf,
        /// The name.
        name: PathBuf,
    },
    /// A link on the way leads out of the base.
    Escapes {
        /// Where everything is to stay.
        base: PathBuf,
        /// What was to be reached in it.
        path: PathBuf,
    },
    /// A file is longer than may be read at once.
    TooLong {
        /// The file.
        path: PathBuf,
        /// How many bytes were allowed.
        bytes_max: usize,
    },
    /// A folder holds more than may be listed at once, or lies deeper than is walked.
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many names, or folders in one another, were allowed.
        max: usize,
    },
    /// A link leads back into a folder that is being walked.
    Cycle {
        /// The link.
        path: PathBuf,
    },
    /// The system watches no more folders for this user.
    NoWatchLeft {
        /// The folder that was one too many.
        path: PathBuf,
    },
    /// As many operations wait as may.
    Crowded {
        /// How many.
        waiting_max: usize,
    },
    /// The system refused.
    System {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl FileError {
    /// What the system said, if it was asked.
    pub fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::System { error, .. } => Some(error.kind()),
            _ => None,
        }
    }

    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        self.kind() == Some(io::ErrorKind::NotFound)
    }

    pub(crate) fn system(
        doing: &'static str,
        path: impl Into<PathBuf>,
        error: impl Into<io::Error>,
    ) -> Self {
        Self::System { doing, path: path.into(), error: error.into() }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsecureName { folder, name } => {
                write!(f, "{} is no name for a child of {}", name.display(), folder.display())
            }
            Self::Escapes { base, path } => {
                write!(f, "the way to {} leads out of {}", path.display(), base.display())
            }
            Self::TooLong { path, bytes_max } => {
                write!(f, "{} is longer than {bytes_max} bytes", path.display())
            }
            Self::TooMany { path, max } => {
                write!(f, "{} holds more than {max} or lies deeper", path.display())
            }
            Self::Cycle { path } => {
                write!(f, "the link {} leads back to where it is", path.display())
            }
            Self::NoWatchLeft { path } => write!(
                f,
                "the system watches no more folders for this user, and {} was one too many: \
                 fs.inotify.max_user_watches says how many",
                path.display()
            ),
            Self::Crowded { waiting_max } => {
                write!(f, "{waiting_max} operations on files wait already")
            }
            Self::System { doing, path, .. } => {
                write!(f, "the system refused while {doing} {}", path.display())
            }
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::System { error, .. } => Some(error),
            _ => None,
        }
    }
}
