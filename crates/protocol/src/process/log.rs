//! What a process complains of, line by line.

/// How long a line may be before it is logged in pieces, in bytes.
pub const LOG_LINE_MAX: usize = 4096;

/// Cuts what a program writes into lines for a log: without their ends, those that are empty left out, and
/// those that are longer than [`LOG_LINE_MAX`] in pieces.
///
/// ```
/// use ropewalk_protocol::process::LogLines;
///
/// let (mut lines, mut log) = (LogLines::default(), Vec::new());
/// lines.feed(b"no such file\nbye", |line| log.push(line.to_owned()));
/// lines.flush(|line| log.push(line.to_owned()));
/// assert_eq!(log, ["no such file", "bye"]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct LogLines(Vec<u8>);

impl LogLines {
    /// Hands each line that is whole to `line`, and one of more than [`LOG_LINE_MAX`] bytes in pieces.
    pub fn feed(&mut self, data: &[u8], mut line: impl FnMut(&str)) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let mut piece = piece;
            while self.0.len() + piece.len() > LOG_LINE_MAX {
                let (first, rest) = piece.split_at(LOG_LINE_MAX - self.0.len());
                self.0.extend_from_slice(first);
                self.flush(&mut line);
                piece = rest;
            }
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.flush(&mut line);
            }
        }
    }

    /// Hands on what is left.
    pub fn flush(&mut self, mut line: impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.0);
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            line(text);
        }
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{LOG_LINE_MAX, LogLines};

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let long = "x".repeat(LOG_LINE_MAX + 3);
        let text = format!("one\n\r\ntwo\r\n{long}\nlast");
        let expected = ["one", "two", &long[..LOG_LINE_MAX], "xxx", "last"];
        for size in [1, 2, 3, 7, 4095, 4096, 4097, text.len()] {
            let (mut lines, mut heard) = (LogLines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.feed(piece, |line| heard.push(line.to_owned()));
            }
            lines.flush(|line| heard.push(line.to_owned()));
            assert_eq!(heard, expected, "in pieces of {size}");
        }
    }
}
