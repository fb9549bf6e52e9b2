//! What a handshake may cost.

use std::time::Duration;

/// How long a handshake may take, where nothing is said.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes the peer may send for the handshake, where nothing is said.
pub const HANDSHAKE_MAX: usize = 64 * 1024;

/// What a peer may use up before it has agreed on anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long the handshake may take; [`HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// How many bytes the peer may send for it; [`HANDSHAKE_MAX`].
    pub handshake_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { handshake_timeout: HANDSHAKE_TIMEOUT, handshake_max: HANDSHAKE_MAX }
    }
}

impl Limits {
    /// These limits with another time.
    pub fn within(self, handshake_timeout: Duration) -> Self {
        Self { handshake_timeout, ..self }
    }

    /// These limits with another size, in bytes.
    pub fn at_most(self, handshake_max: usize) -> Self {
        Self { handshake_max, ..self }
    }
}
