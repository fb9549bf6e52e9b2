//! Files that are taken in: written beside their place, and put there when they are whole.

use std::fmt;
use std::fs::File;
use std::io;

use http::StatusCode;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE};

use super::answer::Ask;
use super::conditional::Verdict;
use super::content_range::ContentRange;
use super::open::{Found, Miss};
use super::path::{BadPath, Names, is_hidden};
use super::{Folder, content, sys};

/// Why a file is not taken in.
#[derive(Debug)]
#[non_exhaustive]
pub enum UploadError {
    /// No file may have this name here, or the folder that it is to stand in is not there.
    BadPlace,
    /// There is something of this name already, and it is not to be replaced.
    Exists,
    /// The request's own preconditions do not hold (RFC 9110 13.1).
    Precondition,
    /// The body is in a content coding, or its `Content-Range` is malformed.
    BadRequest,
    /// The part begins behind what has come so far.
    Gap {
        /// How many bytes have come so far.
        offset: u64,
    },
    /// Somebody else is sending the same file.
    Busy,
    /// It is longer than files may be here.
    TooLong {
        /// How many bytes they may have.
        max: u64,
    },
    /// There is no room for it: the disk or somebody's share of it is full.
    Full,
    /// The system failed.
    Failed(io::Error),
}

impl UploadError {
    /// The status to answer with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadPlace | Self::Exists | Self::Gap { .. } | Self::Busy => StatusCode::CONFLICT,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full => StatusCode::INSUFFICIENT_STORAGE,
            Self::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPlace => f.write_str("no file can be put there: is its folder there?"),
            Self::Exists => f.write_str("there is something of this name already"),
            Self::Precondition => f.write_str("what is there is not what was expected"),
            Self::BadRequest => f.write_str(
                "expected a body without a content coding, and no malformed Content-Range",
            ),
            Self::Gap { offset } => {
                write!(f, "{offset} bytes have come so far: expected the part that follows them")
            }
            Self::Busy => f.write_str("somebody else is sending this file"),
            Self::TooLong { max } => write!(f, "expected at most {max} bytes, got more"),
            Self::Full => f.write_str("there is no room for it"),
            Self::Failed(_) => f.write_str("the system failed"),
        }
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // The last is a bound of the file system's, or of this process.
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full,
            io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => Self::Exists,
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem => Self::BadPlace,
            io::ErrorKind::WouldBlock => Self::Busy,
            _ => Self::Failed(error),
        }
    }
}

/// A file that is being taken in.
#[derive(Debug)]
pub(crate) struct Upload {
    folder: Found,
    /// What has come so far.
    part: File,
    part_name: Vec<u8>,
    name: Vec<u8>,
    at: u64,
    /// Where the body has to end, if it says so.
    end: Option<u64>,
    /// Nothing follows the body.
    is_last: bool,
    max: u64,
    overwrite: bool,
    replaces: bool,
}

/// What became of a file whose body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Created,
    Replaced,
    /// More parts are to come, behind so many bytes.
    More(u64),
}

impl Folder {
    /// Makes ready for the file that is `ask`ed to be put. Blocks.
    pub(crate) fn begin_upload(
        &self,
        ask: &Ask<'_>,
        max: u64,
        overwrite: bool,
    ) -> Result<Upload, UploadError> {
        if ask.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(UploadError::BadRequest);
        }
        let mut ranges = ask.headers.get_all(CONTENT_RANGE).iter();
        let range = match (ranges.next(), ranges.next()) {
            (None, _) => None,
            (Some(range), None) => {
                Some(ContentRange::parse(range.as_bytes()).map_err(|_| UploadError::BadRequest)?)
            }
            _ => return Err(UploadError::BadRequest),
        };
        let too_long = |length: u64| length > max;
        let length = ask.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let length = length.and_then(|length| length.parse().ok());
        if range.and_then(|range| range.total()).is_some_and(too_long)
            || length.is_some_and(too_long)
        {
            return Err(UploadError::TooLong { max });
        }
        let (folder, name) = self.place_of(ask)?;
        let there = sys::look(&folder, &name)?;
        match self.judge_upload(ask) {
            Verdict::Proceed => (),
            Verdict::Failed | Verdict::NotModified => return Err(UploadError::Precondition),
        }
        if there && !overwrite {
            return Err(UploadError::Exists);
        }
        let part_name = part_name(&name);
        let part = sys::open_part(&folder, &part_name)?;
        let come = part.metadata()?.len();
        let at = range.map_or(0, |range| range.first());
        if at > come {
            return Err(UploadError::Gap { offset: come });
        }
        // What is sent again replaces what came.
        part.set_len(at)?;
        Ok(Upload {
            folder,
            part,
            part_name,
            name,
            at,
            end: range.map(|range| range.end()),
            is_last: range.is_none_or(|range| range.is_last()),
            max,
            overwrite,
            replaces: there,
        })
    }

    /// How much has come of a file that is not whole. Blocks.
    pub(crate) fn upload_offset(&self, ask: &Ask<'_>) -> Option<u64> {
        let (folder, name) = self.place_of(ask).ok()?;
        sys::part_length(&folder, &part_name(&name))
    }

    /// The folder that a file is to stand in, and its name there.
    fn place_of(&self, ask: &Ask<'_>) -> Result<(Found, Vec<u8>), UploadError> {
        let rest = ask.path.strip_prefix(ask.base).ok_or(UploadError::BadPlace)?;
        let mut names = Names::parse(rest).map_err(|bad| match bad {
            BadPath::Malformed => UploadError::BadRequest,
            BadPath::Nameless => UploadError::BadPlace,
        })?;
        // Hidden names are ours, and `.well-known` is not for everybody to write to.
        if names.folder || names.names.iter().any(|name| is_hidden(name)) {
            return Err(UploadError::BadPlace);
        }
        let name = names.names.pop().ok_or(UploadError::BadPlace)?;
        let folder = sys::open(self.way(), &names.joined()).map_err(|miss| match miss {
            Miss::Absent | Miss::Forbidden => UploadError::BadPlace,
            Miss::Busy => UploadError::Busy,
            Miss::Broken => UploadError::Failed(io::ErrorKind::Other.into()),
        })?;
        if !folder.metadata.is_dir() || folder.unreadable {
            return Err(UploadError::BadPlace);
        }
        Ok((folder, name))
    }

    /// What the preconditions come to, of the file that is there now.
    fn judge_upload(&self, ask: &Ask<'_>) -> Verdict {
        let rest = ask.path.strip_prefix(ask.base).unwrap_or_default();
        let found = Names::parse(rest).ok().and_then(|names| {
            let found = sys::open(self.way(), &names.joined()).ok()?;
            found.metadata.is_file().then_some(found)
        });
        content::judge_for_change(ask, found.as_ref())
    }
}

/// Where a file waits until it is whole: hidden, so it is neither served nor listed.
fn part_name(name: &[u8]) -> Vec<u8> {
    [b".", name, b".part"].concat()
}

impl Upload {
    /// Writes what came next. Blocks.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        let end = self.at + bytes.len() as u64;
        if end > self.max {
            return Err(UploadError::TooLong { max: self.max });
        }
        if self.end.is_some_and(|told| end > told) {
            return Err(UploadError::BadRequest);
        }
        sys::write_at(&self.part, bytes, self.at)?;
        self.at = end;
        Ok(())
    }

    /// The body has ended: puts the file in its place, if it is whole. Blocks.
    pub(crate) fn finish(self) -> Result<Taken, UploadError> {
        if self.end.is_some_and(|told| self.at != told) {
            return Err(UploadError::BadRequest);
        }
        if !self.is_last {
            return Ok(Taken::More(self.at));
        }
        // Whole on the disk before it has its name: nobody ever sees half of it.
        self.part.sync_all()?;
        sys::publish(&self.folder, &self.part_name, &self.name, self.overwrite)?;
        Ok(if self.replaces { Taken::Replaced } else { Taken::Created })
    }
}
