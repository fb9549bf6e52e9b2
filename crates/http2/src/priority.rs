//! What a client would rather have first (RFC 9218).

use std::fmt;

/// How a stream is to be preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// From 0, which is the most urgent, to 7.
    pub urgency: u8,
    /// Whether parts of it are of use by themselves, so that it may share its turn with others.
    pub is_incremental: bool,
}

impl Default for Priority {
    /// RFC 9218 4: urgency 3, and one after another.
    fn default() -> Self {
        Self { urgency: 3, is_incremental: false }
    }
}

impl fmt::Display for Priority {
    /// As a `Priority` field says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "u={}", self.urgency.min(7))?;
        if self.is_incremental { f.write_str(", i") } else { Ok(()) }
    }
}

impl Priority {
    /// What a `Priority` field, or a `PRIORITY_UPDATE` frame, says. What is not understood is as if
    /// it were not there (RFC 9218 4).
    pub fn parse(value: &[u8]) -> Self {
        Self::default().merged(value)
    }

    /// The same, but for what a `Priority` field says: an answer's own is merged so with its request's
    /// (RFC 9218 8).
    ///
    /// ```
    /// use ropewalk_http2::Priority;
    /// let asked = Priority::parse(b"u=5, i");
    /// assert_eq!(asked.merged(b"u=1"), Priority { urgency: 1, is_incremental: true });
    /// ```
    #[must_use]
    pub fn merged(self, value: &[u8]) -> Self {
        let mut priority = self;
        for member in value.split(|&octet| octet == b',') {
            // Parameters of a member mean nothing yet.
            let member = member.split(|&octet| octet == b';').next().unwrap_or_default();
            match member.trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.is_incremental = true,
                b"i=?0" => priority.is_incremental = false,
                _ => (),
            }
        }
        priority
    }
}
