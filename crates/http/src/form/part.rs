use http::HeaderValue;

use super::error::FormError;
use super::parameter::parameter;

/// How long what stands before a part is at most, in bytes.
pub const PART_HEAD_MAX: usize = 8 * 1024;
/// How many fields stand before a part at most.
pub const PART_FIELDS_MAX: usize = 16;

/// What stands before a part: who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartHead {
    /// The name of the field in the form.
    pub name: String,
    /// What the client calls the file, where it is one. It is the client's word: no path, and nothing to
    /// name a file here with.
    pub file_name: Option<String>,
    /// What the client says that it is.
    pub content_type: Option<HeaderValue>,
}

impl PartHead {
    /// Reads the fields of a part, up to and with the empty line.
    pub(super) fn parse(block: &[u8]) -> Result<Self, FormError> {
        let mut fields = [httparse::EMPTY_HEADER; PART_FIELDS_MAX];
        let fields = match httparse::parse_headers(block, &mut fields) {
            Ok(httparse::Status::Complete((_, fields))) => fields,
            Ok(httparse::Status::Partial) => return Err(FormError::CutShort),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(FormError::Malformed("a part has too many fields of its own"));
            }
            Err(_) => return Err(FormError::Malformed("the fields of a part are no fields")),
        };
        let find = |name: &str| {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value)
        };
        let disposition = find("content-disposition");
        let disposition = disposition.filter(|value| {
            let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"form-data")
        });
        let missing = FormError::Malformed("a part has no Content-Disposition of form-data");
        let disposition = disposition.ok_or(missing)?;
        let name = parameter(disposition, "name").map(text);
        let content_type = find("content-type").map(HeaderValue::from_bytes).transpose();
        Ok(Self {
            name: name.ok_or(FormError::Malformed("a part has no name"))?,
            file_name: parameter(disposition, "filename").map(text),
            content_type: content_type
                .map_err(|_| FormError::Malformed("the type of a part is no field's value"))?,
        })
    }
}

/// Text as browsers write it into a quoted string: quotes and line ends escaped by percent signs.
fn text(bytes: Vec<u8>) -> String {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}
