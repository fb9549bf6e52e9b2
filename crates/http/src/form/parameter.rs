//! Fields that have parameters (RFC 9110 5.6.6).

/// The value of the parameter `name` of a field such as `text/html; charset="utf-8"`.
///
/// Quoted strings may contain semicolons and escaped quotes. A field that breaks the grammar before the
/// parameter has none.
pub(super) fn parameter(field: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut rest = field;
    loop {
        let at = rest.iter().position(|byte| *byte == b';')?;
        rest = rest[at + 1..].trim_ascii_start();
        let end = rest.iter().position(|byte| matches!(byte, b'=' | b';')).unwrap_or(rest.len());
        let key = rest[..end].trim_ascii();
        if rest.get(end) != Some(&b'=') {
            rest = &rest[end..];
            continue;
        }
        let (value, after) = value(&rest[end + 1..])?;
        if key.eq_ignore_ascii_case(name.as_bytes()) {
            return Some(value);
        }
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn value(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        return Some((text[..end].trim_ascii().to_vec(), &text[end..]));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((value, &quoted[at + 1..])),
            // Browsers send a path of Windows as it is, so only what must be escaped is taken as escaped.
            b'\\' if matches!(quoted.get(at + 1), Some(b'"' | b'\\')) => {
                value.extend(bytes.next().map(|(_, byte)| *byte));
            }
            _ => value.push(*byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::parameter;

    #[test]
    fn parameters_are_found_behind_quoted_ones() {
        let found = |field: &str, name| {
            parameter(field.as_bytes(), name).map(|value| String::from_utf8(value).unwrap())
        };
        let field = r#"form-data; a="x; b=1 \" \\"; B = c ;d;e="#;
        assert_eq!(found(field, "a").as_deref(), Some(r#"x; b=1 " \"#));
        assert_eq!(found(field, "b").as_deref(), Some("c"));
        assert_eq!(found(field, "e").as_deref(), Some(""));
        assert_eq!(found(field, "d"), None);
        assert_eq!(found(r#"a; b="open"#, "b"), None);
        assert_eq!(found(r#"a; b="C:\dir\x""#, "b").as_deref(), Some(r"C:\dir\x"));
        assert_eq!(found("b=c", "b"), None);
    }
}
