//! Pages made here: what they share, and those that only say what went wrong.

use std::fmt::{self, Display, Write as _};

use bytes::Bytes;
use http::StatusCode;
use http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};

use super::answer::{Answer, Body};

/// Nothing on our pages loads, runs or submits anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");

/// Header fields of every answer with content: browsers shall not guess what it is.
pub(super) fn safe_headers() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

/// An answer whose content is a page: its `title` as plain text, its own `style`, and its `main`
/// part as HTML.
pub(super) fn answer(status: StatusCode, title: &str, style: &str, main: &str) -> Answer {
    let title = Text(title);
    let page = format!(
        "<!DOCTYPE html>\n\
         <html lang=\"en\">\n\
         <head>\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n\
         <style>\n{STYLE}{style}</style>\n\
         </head>\n\
         <body>\n<main>\n{main}</main>\n</body>\n\
         </html>\n"
    );
    let page = Bytes::from(page);
    let mut headers = safe_headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CONTENT_LENGTH, page.len().into());
    Answer { status, headers, body: Body::Bytes(page) }
}

/// An answer that says no more than its status.
pub(super) fn error(status: StatusCode) -> Answer {
    let reason = status.canonical_reason().unwrap_or("Error");
    let code = status.as_u16();
    let advice = match status {
        StatusCode::PERMANENT_REDIRECT => "This folder has a slash at the end of its address.",
        StatusCode::BAD_REQUEST => "The address is not well-formed.",
        StatusCode::FORBIDDEN => "You may not see this.",
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => "Here one can only read.",
        StatusCode::NOT_IMPLEMENTED => "Nobody here knows this method.",
        StatusCode::PRECONDITION_FAILED => "This has changed since you last saw it.",
        StatusCode::RANGE_NOT_SATISFIABLE => "The file has no such part.",
        StatusCode::SERVICE_UNAVAILABLE => "Too much is going on just now. Please try again.",
        _ => "Something went wrong on our side.",
    };
    let main = format!("<h1>{reason}</h1>\n<p>{advice}</p>\n<p class=\"code\">{code}</p>\n");
    answer(status, reason, "", &main)
}

/// Text that means the same in HTML, in an element and in a quoted attribute.
///
/// Control characters, which could be shown in any way or none, are replaced.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;"),
                '<' => f.write_str("&lt;"),
                '>' => f.write_str("&gt;"),
                '"' => f.write_str("&quot;"),
                '\'' => f.write_str("&#39;"),
                _ if char.is_control() => f.write_char(char::REPLACEMENT_CHARACTER),
                _ => f.write_char(char),
            }?;
        }
        Ok(())
    }
}
