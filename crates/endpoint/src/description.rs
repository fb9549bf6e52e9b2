use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::error::{EndpointError, Fault};

/// A string cut into its arguments, before anybody asks what they mean.
///
/// Arguments stand between colons. One with an unescaped `=` is a keyword and its value; the first
/// `=` counts, later ones are part of the value. A backslash takes the next character as it is.
///
/// One thing goes beyond Twisted's grammar: an argument or value that begins with `[` is one piece
/// up to its `]` if that `]` ends it and only letters, digits and `:.%-_` stand between, so that
/// `[::1]` needs no backslashes. The brackets stay in the text; who reads an address takes them off.
///
/// ```
/// # use ropewalk_endpoint::Description;
/// let description: Description = r"unix:/run/a\:b.sock:mode=600".parse()?;
/// let [kind, path, mode] = description.arguments() else { panic!("three arguments") };
/// assert_eq!(kind.value().text(), "unix");
/// assert_eq!(path.value().text(), "/run/a:b.sock");
/// assert_eq!(mode.keyword().map(|keyword| keyword.text()), Some("mode"));
/// assert_eq!(mode.value().span(), 25..28);
/// # Ok::<(), ropewalk_endpoint::EndpointError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Description {
    source: String,
    arguments: Vec<Argument>,
}

/// One argument of a [`Description`]: a value, with a keyword or without.
#[derive(Clone, Debug)]
pub struct Argument {
    keyword: Option<Token>,
    value: Token,
}

/// A piece of text and where it stood.
#[derive(Clone, Debug)]
pub struct Token {
    text: String,
    span: Range<usize>,
}

impl Description {
    /// The string as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// All arguments in their order, the kind among them.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// The first argument without a keyword, which names the kind of endpoint.
    pub fn kind(&self) -> Option<&Token> {
        self.arguments.iter().find(|argument| argument.keyword.is_none()).map(Argument::value)
    }
}

impl FromStr for Description {
    type Err = EndpointError;

    fn from_str(source: &str) -> Result<Self, EndpointError> {
        let mut scanner = Scanner { source, at: 0 };
        let mut arguments = Vec::new();
        loop {
            arguments.push(scanner.argument()?);
            if !scanner.skip(':') {
                return Ok(Self { source: source.to_owned(), arguments });
            }
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, argument) in self.arguments.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{argument}")?;
        }
        Ok(())
    }
}

/// Equal if the arguments are, however they were escaped.
impl PartialEq for Description {
    fn eq(&self, other: &Self) -> bool {
        self.arguments == other.arguments
    }
}

impl Eq for Description {}

impl Argument {
    /// What stood before the `=`, if there was one.
    pub fn keyword(&self) -> Option<&Token> {
        self.keyword.as_ref()
    }

    /// What stood after the `=`, or the whole argument.
    pub fn value(&self) -> &Token {
        &self.value
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(keyword) = &self.keyword {
            write!(f, "{}=", quote(&keyword.text))?;
        }
        f.write_str(&quote(&self.value.text))
    }
}

/// Equal if keyword and value are, wherever they stood.
impl PartialEq for Argument {
    fn eq(&self, other: &Self) -> bool {
        let text = |argument: &Self| argument.keyword.as_ref().map(|token| token.text.clone());
        text(self) == text(other) && self.value.text == other.value.text
    }
}

impl Eq for Argument {}

impl Token {
    /// The text, its escapes undone.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its bytes in the string as it was given, escapes included.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

/// Escapes `text` so that it stands for itself anywhere in a description.
///
/// ```
/// # use ropewalk_endpoint::quote;
/// assert_eq!(quote("/run/a:b=c"), r"/run/a\:b\=c");
/// ```
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | ':' | '=') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

/// How many bytes at the front of `text` are an address in brackets, standing alone.
pub(crate) fn bracketed(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('[')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || ":.%-_".contains(c);
    let rest = inner.trim_start_matches(fits).strip_prefix(']')?;
    (rest.is_empty() || rest.starts_with(':')).then(|| text.len() - rest.len())
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
}

impl Scanner<'_> {
    fn argument(&mut self) -> Result<Argument, EndpointError> {
        let first = self.token(&[':', '='])?;
        if !self.skip('=') {
            return Ok(Argument { keyword: None, value: first });
        }
        if first.text.is_empty() {
            return Err(self.fault(first.span.start..self.at, Fault::EmptyKeyword));
        }
        Ok(Argument { keyword: Some(first), value: self.token(&[':'])? })
    }

    fn token(&mut self, stops: &[char]) -> Result<Token, EndpointError> {
        let start = self.at;
        self.at += bracketed(self.rest()).unwrap_or(0);
        let mut text = self.source[start..self.at].to_owned();
        while let Some(c) = self.next().filter(|c| !stops.contains(c)) {
            let escape = self.at;
            self.at += c.len_utf8();
            let Some(meant) = (if c == '\\' { self.next() } else { Some(c) }) else {
                return Err(self.fault(escape..self.at, Fault::TrailingBackslash));
            };
            if c == '\\' {
                self.at += meant.len_utf8();
            }
            text.push(meant);
        }
        Ok(Token { text, span: start..self.at })
    }

    fn skip(&mut self, wanted: char) -> bool {
        let is_there = self.rest().starts_with(wanted);
        self.at += if is_there { wanted.len_utf8() } else { 0 };
        is_there
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn fault(&self, span: Range<usize>, fault: Fault) -> EndpointError {
        EndpointError::new(self.source, span, fault)
    }
}
