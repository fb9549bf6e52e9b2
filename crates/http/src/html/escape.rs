//! How data is written in each place.

use std::fmt::Write as _;

/// Schemes of links that run nothing.
const SCHEMES: [&str; 6] = ["http", "https", "mailto", "tel", "sms", "ftp"];
/// Where a link leads that would run something.
const NOWHERE: &str = "about:invalid";

/// What an attribute holds, as far as it matters to what may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeKind {
    Text,
    Url,
    /// Several URLs, each with more behind it.
    Urls,
    /// A script, a style, or a page.
    Code,
}

pub(super) fn attribute_kind(name: &str) -> AttributeKind {
    let name = name.to_ascii_lowercase();
    match name.rsplit(':').next().unwrap_or_default() {
        "href" | "src" | "action" | "formaction" | "poster" | "cite" | "data" | "background"
        | "longdesc" | "manifest" | "codebase" | "classid" | "profile" | "usemap" | "icon" => {
            AttributeKind::Url
        }
        "srcset" | "imagesrcset" | "ping" | "archive" => AttributeKind::Urls,
        "style" | "srcdoc" => AttributeKind::Code,
        other if other.starts_with("on") => AttributeKind::Code,
        _ => AttributeKind::Text,
    }
}

/// Text between tags, or in quotes.
pub(super) fn text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // NUL is no character of a page.
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Text in double quotes.
pub(super) fn quoted(out: &mut String, value: &str) {
    for piece in value.split_inclusive(['"', '\'']) {
        let (rest, quote) = match piece.as_bytes().last() {
            Some(b'"') => (&piece[..piece.len() - 1], "&quot;"),
            Some(b'\'') => (&piece[..piece.len() - 1], "&#39;"),
            _ => (piece, ""),
        };
        text(out, rest);
        out.push_str(quote);
    }
}

/// A URL that runs nothing, or one that leads nowhere.
pub(super) fn safe_url(url: &str) -> &str {
    // Browsers let blanks and control characters be, before the scheme and within it.
    let mut scheme = String::new();
    for c in url.chars().filter(|c| *c > ' ') {
        match c {
            ':' => {
                let is_safe = SCHEMES.iter().any(|safe| scheme.eq_ignore_ascii_case(safe));
                return if is_safe { url } else { NOWHERE };
            }
            '/' | '\\' | '?' | '#' => return url,
            c => scheme.push(c),
        }
    }
    url
}

/// Whether each of these URLs runs nothing, wherever one may be taken to begin.
pub(super) fn safe_urls(urls: &str) -> &str {
    let is_safe =
        urls.split([',', ' ', '\t', '\n', '\r', '\x0c']).all(|url| safe_url(url) != NOWHERE);
    if is_safe { urls } else { NOWHERE }
}

/// A string as scripts write it, with nothing in it that could end the element.
pub(super) fn literal(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"'
            | '\\'
            | '<'
            | '>'
            | '&'
            | '\''
            | '`'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{7f}'
            | '\0'..='\x1f' => {
                // A String takes all that is written to it.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A comment's text: what would end it, or begin another, is taken out (HTML 13.1.6).
pub(super) fn comment(out: &mut String, text: &str) {
    for c in text.chars() {
        out.push(if matches!(c, '-' | '<' | '>' | '!') { ' ' } else { c });
    }
}
