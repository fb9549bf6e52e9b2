//! Names that fit a pattern.

/// Whether `name` fits `pattern`, in which `*` stands for any bytes, `?` for any one, and `[a-z]` or
/// `[!a-z]` for one of a set. As in a shell, what begins with a dot fits only what does so too.
pub(crate) fn fits(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    // Where the last star was, and what it stood for until there.
    let mut star = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(length) = one(&pattern[p..], name[n]) {
            p += length;
            n += 1;
        } else if let Some((at, taken)) = star {
            // The star takes one more.
            star = Some((at, taken + 1));
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// How long the front of the pattern is that `byte` fits.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let Some((fits, length)) = set(pattern, byte) else {
                return (byte == b'[').then_some(1);
            };
            fits.then_some(length)
        }
        &other => (other == byte).then_some(1),
    }
}

/// Whether `byte` is in the set that `pattern` begins with, and how long that is; `None` if it does not end.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let is_negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(is_negated);
    let mut at = first;
    let mut is_in = false;
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            return Some((is_in != is_negated, at + 1));
        }
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|&c| c != b']') {
            is_in |= (low..=*pattern.get(at + 2)?).contains(&byte);
            at += 3;
        } else {
            is_in |= low == byte;
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
    }

    #[test]
    fn patterns_are_those_of_shells() {
        check("*", "", true);
        check("*.rs", "lib.rs", true);
        check("*.rs", ".rs", false);
        check(".*", ".rs", true);
        check("a*b*c", "aXbYbZc", true);
        check("a*b*c", "aXbYbZ", false);
        check("?", "ab", false);
        check("[a-c]x", "bx", true);
        check("[!a-c]x", "bx", false);
        check("[]]", "]", true);
        check("[a", "[a", true);
        check("[z-]", "-", true);
        check("", "", true);
        check("", "a", false);
    }

    #[test]
    fn a_pattern_of_stars_takes_no_more_than_quadratic_time() {
        let (pattern, name) = ("*a".repeat(200), "a".repeat(255) + "b");
        check(&pattern, &name, false);
    }
}
