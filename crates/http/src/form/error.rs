use std::fmt;

use http::StatusCode;

/// Why something is no form, or none that is wanted. A resource whose answer fails with it answers with
/// [its status](Self::status).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormError {
    /// The body is of another kind: it says that it is `found`, or nothing at all.
    OtherType {
        /// What was expected, such as `multipart/form-data`.
        expected: &'static str,
        /// What the Content-Type says.
        found: Option<String>,
    },
    /// There are more fields or parts than this.
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// A field or file is longer than this.
    TooLong {
        /// Its name.
        name: String,
        /// How many bytes it may have.
        max: u64,
    },
    /// It breaks a rule.
    Malformed(&'static str),
    /// It ends before it is whole.
    CutShort,
}

impl FormError {
    /// What a client is told: 400, 413 or 415.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::OtherType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooMany { .. } | Self::TooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed(_) | Self::CutShort => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherType { expected, found: Some(found) } => {
                write!(f, "expected a form as {expected}, and {found:?} came")
            }
            Self::OtherType { expected, found: None } => {
                write!(f, "expected a form as {expected}, and what came does not say what it is")
            }
            Self::TooMany { max } => write!(f, "the form has more than {max} fields"),
            Self::TooLong { name, max } => {
                write!(f, "{name:?} in the form is longer than {max} bytes")
            }
            Self::Malformed(rule) => write!(f, "the form is malformed: {rule}"),
            Self::CutShort => f.write_str("the form ends before it is whole"),
        }
    }
}

impl std::error::Error for FormError {}
