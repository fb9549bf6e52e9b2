//! Programs as peers.

use std::fmt;

use ropewalk_protocol::ClientEndpoint;
use ropewalk_protocol::process::{Command, ErrorOutput, ProcessEndpoint};
use ropewalk_reactor::Reactor;

use crate::ClientDescription;
use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};

/// A program whose standard input and output are the connection: `exec:COMMAND[:stderr=log|drop|inherit]`.
///
/// The command is words with blanks between them; `'` and `"` keep blanks, as in a shell, and nothing else
/// means anything: no shell runs. Colons and backslashes are escaped as anywhere in an endpoint:
/// `exec:ssh gate nc db 5432`. Each connection starts the program anew; what it complains of is logged
/// line by line.
///
/// ```
/// use ropewalk_endpoint::{ClientDescription, ExecClient};
///
/// let built = ExecClient::new("grep", &["-i", "two words"])?;
/// assert_eq!(ClientDescription::from(built.clone()).to_string(), "exec:grep -i 'two words'");
/// assert_eq!("exec:grep -i \"two words\"".parse(), Ok(ClientDescription::from(built)));
/// # Ok::<(), ropewalk_endpoint::Fault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExecClient {
    /// The program, and its arguments.
    words: Vec<String>,
    errors: ErrorOutput,
}

impl ExecClient {
    /// Starts `program` with these arguments.
    ///
    /// # Errors
    ///
    /// [`Fault::Command`] if the program has no name, or there is a zero byte anywhere.
    pub fn new(program: &str, arguments: &[&str]) -> Result<Self, Fault> {
        let words = [program].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
        check(words).map(|words| Self { words, errors: ErrorOutput::Log })
    }

    /// Does that with what it writes to its standard error.
    pub fn with_error_output(self, errors: ErrorOutput) -> Self {
        Self { errors, ..self }
    }

    /// The program.
    pub fn program(&self) -> &str {
        &self.words[0]
    }

    /// Its arguments.
    pub fn arguments(&self) -> &[String] {
        &self.words[1..]
    }

    /// What becomes of what it writes to its standard error.
    pub fn error_output(&self) -> ErrorOutput {
        self.errors
    }

    pub(crate) fn on(&self, reactor: &Reactor) -> Box<dyn ClientEndpoint> {
        let command = Command::new(self.program()).args(self.arguments());
        Box::new(ProcessEndpoint::new(reactor.clone(), command).error_output(self.errors))
    }

    pub(crate) fn scheme() -> Scheme<ClientDescription> {
        Scheme::new("exec", "exec:COMMAND[:stderr=log|drop|inherit]", client)
            .positional(&["command"])
            .named(&["stderr"])
    }
}

fn client(arguments: &Arguments) -> Result<ClientDescription, EndpointError> {
    let words = arguments.required("command", |text| check(split(text)?))?;
    let errors = arguments.optional("stderr", |text| match text {
        "log" => Ok(ErrorOutput::Log),
        "drop" => Ok(ErrorOutput::Drop),
        "inherit" => Ok(ErrorOutput::Inherit),
        _ => Err(Fault::ErrorOutput),
    })?;
    Ok(ExecClient { words, errors: errors.unwrap_or_default() }.into())
}

fn check(words: Vec<String>) -> Result<Vec<String>, Fault> {
    let is_named = words.first().is_some_and(|program| !program.is_empty());
    let fits = is_named && !words.iter().any(|word| word.contains('\0'));
    if fits { Ok(words) } else { Err(Fault::Command) }
}

/// Cuts a command into its words.
fn split(text: &str) -> Result<Vec<String>, Fault> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => words.extend(word.take()),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        Some(end) if end == letter => break,
                        Some(other) => word.push(other),
                        None => return Err(Fault::Command),
                    }
                }
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Writes a word so that it is read as one.
fn write_word(text: &mut String, word: &str) {
    if !word.is_empty() && !word.contains([' ', '\t', '\'', '"']) {
        return text.push_str(word);
    }
    // What is between two quotes of one kind has none of that kind.
    for (number, part) in word.split('\'').enumerate() {
        if number > 0 {
            text.push_str("\"'\"");
        }
        if !part.is_empty() || word.is_empty() {
            text.push('\'');
            text.push_str(part);
            text.push('\'');
        }
    }
}

impl From<ExecClient> for ClientDescription {
    fn from(client: ExecClient) -> Self {
        Self::Exec(client)
    }
}

impl fmt::Display for ExecClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for word in &self.words {
            if !text.is_empty() {
                text.push(' ');
            }
            write_word(&mut text, word);
        }
        // Named where by its place it would make a URL.
        let key = if text.starts_with("//") { "command=" } else { "" };
        write!(f, "exec:{key}{}", quote(&text))?;
        match self.errors {
            ErrorOutput::Drop => f.write_str(":stderr=drop"),
            ErrorOutput::Inherit => f.write_str(":stderr=inherit"),
            _ => Ok(()),
        }
    }
}
