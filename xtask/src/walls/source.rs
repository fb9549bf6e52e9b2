//! Just enough of Rust's grammar to find functions and words outside of comments and literals.

/// A function with a body.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its `fn`, counted from 1.
    pub(crate) line: usize,
    /// How many lines it has, from `fn` to the last brace.
    pub(crate) length: usize,
}

/// The text with comments and the insides of literals blank; each line stays in its place.
pub(crate) fn blank(text: &str) -> String {
    let mut blanker = Blanker { text: text.chars().collect(), at: 0, code: String::new() };
    while blanker.at < blanker.text.len() {
        blanker.step();
    }
    blanker.code
}

struct Blanker {
    text: Vec<char>,
    at: usize,
    code: String,
}

impl Blanker {
    fn step(&mut self) {
        if self.sees("//") {
            self.erase_until(|rest| rest.first() == Some(&'\n'));
        } else if self.sees("/*") {
            self.erase_comment();
        } else if let Some(hashes) = self.raw_string() {
            self.erase_raw(hashes);
        } else if self.sees("\"") {
            self.erase_quoted('"');
        } else if self.sees("'") && self.is_character() {
            self.erase_quoted('\'');
        } else {
            self.code.push(self.text[self.at]);
            self.at += 1;
        }
    }

    fn sees(&self, word: &str) -> bool {
        let rest = &self.text[self.at..];
        word.chars().enumerate().all(|(index, letter)| rest.get(index) == Some(&letter))
    }

    fn erase(&mut self) {
        let letter = self.text[self.at];
        self.code.push(if letter == '\n' { '\n' } else { ' ' });
        self.at += 1;
    }

    fn erase_until(&mut self, is_end: impl Fn(&[char]) -> bool) {
        while self.at < self.text.len() && !is_end(&self.text[self.at..]) {
            self.erase();
        }
    }

    fn erase_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.text.len() {
            if self.sees("/*") {
                depth += 1;
                self.erase();
            } else if self.sees("*/") {
                depth -= 1;
                self.erase();
            }
            self.erase();
            if depth == 0 {
                return;
            }
        }
    }

    /// The hashes of the raw string that begins here.
    fn raw_string(&self) -> Option<usize> {
        let mut before = self.code.chars().rev();
        let is_part = |letter: Option<char>| letter.is_some_and(is_word);
        // A `b` or a `c` may stand before the `r`; any other letter makes it part of a name.
        let joined = match before.next() {
            Some('b' | 'c') => is_part(before.next()),
            letter => is_part(letter),
        };
        let rest = self.text[self.at..].strip_prefix(&['r'])?;
        let hashes = rest.iter().take_while(|&&letter| letter == '#').count();
        (!joined && rest.get(hashes) == Some(&'"')).then_some(hashes)
    }

    fn erase_raw(&mut self, hashes: usize) {
        // `r`, the hashes and the quote.
        for _ in 0..hashes + 2 {
            self.erase();
        }
        let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        self.erase_until(|rest| rest.starts_with(&end));
        for _ in 0..end.len().min(self.text.len() - self.at) {
            self.erase();
        }
    }

    fn erase_quoted(&mut self, quote: char) {
        self.erase();
        while self.at < self.text.len() {
            let letter = self.text[self.at];
            self.erase();
            if letter == quote {
                return;
            }
            if letter == '\\' && self.at < self.text.len() {
                self.erase();
            }
        }
    }

    /// Whether the quote here begins a character and not a lifetime.
    fn is_character(&self) -> bool {
        self.text.get(self.at + 1) == Some(&'\\') || self.text.get(self.at + 2) == Some(&'\'')
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The words of blanked text, each with its place in bytes.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|letter| !is_word(letter))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

/// The lines on which this word stands in blanked text.
pub(crate) fn lines_with(code: &str, word: &str) -> Vec<usize> {
    let found = words(code).filter(|(_, each)| *each == word);
    found.map(|(place, _)| line_of(code, place)).collect()
}

fn line_of(code: &str, place: usize) -> usize {
    code[..place].matches('\n').count() + 1
}

/// The functions in blanked text.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut words = words(code).peekable();
    while let Some((place, word)) = words.next() {
        let Some(&(name_at, name)) = words.peek().filter(|_| word == "fn") else { continue };
        // Between `fn` and a name there is nothing but room; `fn(u8)` is a type.
        let is_named = code[place + word.len()..name_at].trim().is_empty();
        let Some(end) = body_end(&code[name_at..]).filter(|_| is_named) else { continue };
        let line = line_of(code, place);
        let length = line_of(code, name_at + end) - line + 1;
        functions.push(Function { name: name.to_owned(), line, length });
    }
    functions
}

/// Where the body of the function whose name begins here ends; `None` if it has none.
fn body_end(code: &str) -> Option<usize> {
    let mut brackets = 0_usize;
    let mut braces = 0_usize;
    for (place, letter) in code.char_indices() {
        match letter {
            '(' | '[' if braces == 0 => brackets += 1,
            ')' | ']' if braces == 0 => brackets = brackets.checked_sub(1)?,
            ';' if braces == 0 && brackets == 0 => return None,
            '{' if brackets == 0 => braces += 1,
            '}' if brackets == 0 => {
                braces = braces.checked_sub(1)?;
                if braces == 0 {
                    return Some(place);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Function, blank, functions, lines_with};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(blank(text), expected);
    }

    #[test]
    fn comments_are_blank() {
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d\n */ e", "a               \n    e");
        check("a / b", "a / b");
    }

    #[test]
    fn strings_are_blank() {
        check(r#"a("}\"{") b"#, "a(      ) b");
        check(r##"a(r#"}"{"#) b"##, "a(        ) b");
        check(r#"br"\" b"#, "b     b");
        check(r#"for"x" r#fn"#, "for    r#fn");
    }

    #[test]
    fn characters_are_blank_and_lifetimes_are_not() {
        check("'{' '\\'' '\\u{7d}' b'}'", "                  b   ");
        check("<'a, 'b> &'static str", "<'a, 'b> &'static str");
    }

    #[test]
    fn words_are_found_in_code_alone() {
        let text = "// unsafe\n\"unsafe\";\nunsafe { unsafe_code }\n";
        assert_eq!(lines_with(&blank(text), "unsafe"), [3]);
    }

    #[test]
    fn functions_are_measured_from_end_to_end() {
        let text = "trait A {\n    fn a(b: [u8; 2]) -> fn(u8);\n    fn c() {\n        '{';\n    }\n}\n\
                    fn d<const N: usize>(\n    e: u8,\n) -> [u8; N] {\n    fn f() {}\n    { 1 };\n}\n";
        let function = |name: &str, line, length| Function { name: name.into(), line, length };
        let expected = [function("c", 3, 3), function("d", 7, 6), function("f", 10, 1)];
        assert_eq!(functions(&blank(text)), expected);
    }
}
