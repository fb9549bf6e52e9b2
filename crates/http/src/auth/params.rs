//! Parameters of challenges and credentials (RFC 9110 11.2 to 11.4).

/// How many parameters of one challenge or of credentials are read.
pub(crate) const PARAMETERS_MAX: usize = 32;

/// Names in lower case with their values, quotes undone.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a list of parameters; `None` where one is none, is there twice, or there are too many.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parameters = Self::default();
        for part in split_list(text) {
            let part = part.trim_matches(is_blank);
            if part.is_empty() {
                // RFC 9110 5.6.1.2: empty elements of a list are let be.
                continue;
            }
            let (name, value) = part.split_once('=')?;
            let name = name.trim_matches(is_blank).to_ascii_lowercase();
            let is_new = parameters.get(&name).is_none();
            if name.is_empty() || !is_new || parameters.0.len() >= PARAMETERS_MAX {
                return None;
            }
            parameters.0.push((name, unquoted(value.trim_matches(is_blank))?));
        }
        Some(parameters)
    }

    pub(crate) fn push(&mut self, name: &str, value: &str) {
        if self.0.len() < PARAMETERS_MAX
            && let Some(value) = unquoted(value)
        {
            self.0.push((name.to_ascii_lowercase(), value));
        }
    }

    /// The value of the parameter of this name, which is in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// A text in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What stands between commas that are in no quotes.
pub(crate) fn split_list(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut is_quoted, mut is_escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A value without its quotes, if it has some; `None` where they do not end with it.
fn unquoted(text: &str) -> Option<String> {
    let Some(inside) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let mut out = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return chars.next().is_none().then_some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
    None
}
