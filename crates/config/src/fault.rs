//! What is wrong with a file, and where.

use std::error::Error;
use std::fmt;

/// How many faults are told of at once.
pub const FAULTS_MAX: usize = 32;
/// How alike two words are, at least, for one to be meant by the other.
const LIKENESS: f64 = 0.75;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 where it is about no place in the file.
    pub line: usize,
    /// The column in characters, from 1; 0 where it is about no place in the file.
    pub column: usize,
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
    /// The line itself.
    pub text: String,
}

impl Fault {
    /// A fault of the file as a whole.
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, message: message.into(), text: String::new() }
    }

    /// The fault with the line under it, and a mark under its place.
    pub fn report(&self) -> String {
        if self.line == 0 {
            return self.to_string();
        }
        let number = self.line.to_string();
        let (margin, indent) = (" ".repeat(number.len()), " ".repeat(self.column - 1));
        format!("{self}\n{margin} |\n{number} | {}\n{margin} | {indent}^", self.text)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message),
        }
    }
}

impl Error for Fault {}

/// All that is wrong with a file; at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Each of them, in the order of the file.
    pub fn all(&self) -> &[Fault] {
        &self.0
    }

    /// `faults`, the first [`FAULTS_MAX`] of them, if there is any.
    ///
    /// # Errors
    ///
    /// If there is.
    pub fn none_of(mut faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort_by_key(|fault| (fault.line, fault.column));
        faults.truncate(FAULTS_MAX);
        Err(Self(faults))
    }

    /// Each with its line, and a mark under its place.
    pub fn report(&self) -> String {
        let reports: Vec<_> = self.0.iter().map(Fault::report).collect();
        reports.join("\n")
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl From<Faults> for Vec<Fault> {
    fn from(faults: Faults) -> Self {
        faults.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// The word among `known` that `word` was meant to be, if there is one that is near.
///
/// ```
/// use ropewalk_config::nearest;
///
/// assert_eq!(nearest("lisen", ["path", "listen"]), Some("listen"));
/// assert_eq!(nearest("zebra", ["path", "listen"]), None);
/// ```
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = |known: &str| {
        // Letters that changed places are a slip of one kind, letters that are missing of another.
        strsim::jaro_winkler(&word, known).max(strsim::normalized_damerau_levenshtein(&word, known))
    };
    let rated = known.into_iter().map(|known| (likeness(known), known));
    let near = rated.filter(|(likeness, _)| *likeness >= LIKENESS);
    near.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, known)| known)
}
