//! What kind of content a file has, by its name (RFC 9110, 8.3).

use std::collections::HashMap;

use http::HeaderValue;
use http::header::InvalidHeaderValue;

/// The types of a folder's files.
#[derive(Clone, Debug)]
pub(super) struct Types {
    /// By extension, in small letters.
    own: HashMap<String, HeaderValue>,
    default: HeaderValue,
}

impl Default for Types {
    fn default() -> Self {
        let default = HeaderValue::from_static("application/octet-stream");
        Self { own: HashMap::new(), default }
    }
}

impl Types {
    pub(super) fn set(&mut self, extension: &str, mime: HeaderValue) {
        self.own.insert(extension.trim_start_matches('.').to_ascii_lowercase(), mime);
    }

    pub(super) fn set_default(&mut self, mime: HeaderValue) {
        self.default = mime;
    }

    /// The type of the file `name`.
    pub(super) fn of(&self, name: &[u8]) -> HeaderValue {
        let Some(extension) = extension(name) else { return self.default.clone() };
        if let Some(own) = self.own.get(&extension) {
            return own.clone();
        }
        let known = mime_guess::from_ext(&extension).first_raw();
        known.and_then(|mime| value(mime).ok()).unwrap_or_else(|| self.default.clone())
    }
}

/// The usual type of a file with this name, as its extension tells; `application/octet-stream` where it tells none.
pub fn mime_type(name: &str) -> HeaderValue {
    Types::default().of(name.as_bytes())
}

/// Text is taken to be UTF-8, as nearly all of it is; whoever has other text says so by extension.
fn value(mime: &'static str) -> Result<HeaderValue, InvalidHeaderValue> {
    if mime.starts_with("text/") {
        HeaderValue::try_from(format!("{mime}; charset=utf-8"))
    } else {
        Ok(HeaderValue::from_static(mime))
    }
}

fn extension(name: &[u8]) -> Option<String> {
    let dot = name.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
    str::from_utf8(&name[dot + 1..]).ok().map(str::to_ascii_lowercase)
}
