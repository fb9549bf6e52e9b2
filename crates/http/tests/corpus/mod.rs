//! Requests that servers have been deceived with, as data: see `requests.txt`.

/// One case of the corpus.
pub(crate) struct Case {
    pub(crate) name: String,
    /// What a client sends.
    pub(crate) bytes: Vec<u8>,
    /// What comes of it, one after another.
    pub(crate) outcomes: Vec<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A whole request.
    Whole,
    /// The beginning of a request; the server waits.
    Unfinished,
    /// A request that is refused with this status, and the connection's end.
    Refused(u16),
}

/// All cases.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in include_str!("requests.txt").lines().enumerate() {
        let number = number + 1;
        let (mark, text) = line.split_at(line.len().min(2));
        match (mark, cases.last_mut()) {
            ("= ", _) => {
                cases.push(Case { name: text.to_owned(), bytes: Vec::new(), outcomes: Vec::new() });
            }
            ("> ", Some(case)) => case.bytes.extend(unescaped(text)),
            ("< ", Some(case)) => case.outcomes.extend(text.split(' ').map(outcome)),
            ("" | "#" | "# ", _) => (),
            _ => panic!("line {number} of the corpus has no known mark"),
        }
    }
    cases
}

fn outcome(word: &str) -> Outcome {
    match word {
        "ok" => Outcome::Whole,
        "more" => Outcome::Unfinished,
        status => Outcome::Refused(status.parse().expect("a status")),
    }
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first != '\\' {
            bytes.extend(first.to_string().bytes());
            continue;
        }
        let kind = rest.chars().next().expect("something after a backslash");
        rest = &rest[1..];
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two digits"));
                rest = &rest[2..];
            }
            '{' => {
                let (repeated, after) = rest.split_once('}').expect("a closing brace");
                let (count, what) = repeated.split_once('*').expect("a count and a text");
                bytes.extend(unescaped(what).repeat(count.parse().expect("a count")));
                rest = after;
            }
            other => panic!("\\{other} means nothing"),
        }
    }
    bytes
}
