//! Where two strings of bytes part, so that a person sees it.

use std::fmt;

/// How many bytes are shown before the first difference, and from it on.
const BEFORE: usize = 24;
const AFTER: usize = 48;

/// The first difference between what was expected and what came, printed with both sides aligned.
///
/// ```
/// use ropewalk_trial::Difference;
///
/// let difference = Difference::between(b"220 hello\r\n", b"220 help\r\n").unwrap();
/// assert_eq!(
///     difference.to_string(),
///     "they part at byte 7:\n  expected  220 hello\\r\\n\n  came      220 help\\r\\n\n                   ^",
/// );
/// assert!(Difference::between(b"same", b"same").is_none());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    at: usize,
    expected: Vec<u8>,
    came: Vec<u8>,
}

impl Difference {
    /// The first difference, if there is any.
    pub fn between(expected: &[u8], came: &[u8]) -> Option<Self> {
        if expected == came {
            return None;
        }
        let at = expected.iter().zip(came).take_while(|(one, other)| one == other).count();
        Some(Self { at, expected: expected.to_vec(), came: came.to_vec() })
    }

    /// How many bytes are equal before it.
    pub fn at(&self) -> usize {
        self.at
    }

    fn window(&self, bytes: &[u8]) -> String {
        let first = self.at.saturating_sub(BEFORE);
        let last = bytes.len().min(self.at + AFTER);
        let before = if first > 0 { "…" } else { "" };
        let after = if last < bytes.len() { "…" } else { "" };
        format!("{before}{}{after}", bytes[first..last].escape_ascii())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.at.saturating_sub(BEFORE);
        let same = self.expected[first..self.at].escape_ascii().to_string();
        let column = same.chars().count() + usize::from(first > 0);
        writeln!(f, "they part at byte {}:", self.at)?;
        writeln!(f, "  expected  {}", self.window(&self.expected))?;
        writeln!(f, "  came      {}", self.window(&self.came))?;
        write!(f, "            {:column$}^", "")
    }
}
