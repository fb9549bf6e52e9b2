//! Codes that say why a conversation ends (RFC 6455 7.4).

use std::fmt;

/// Why a conversation ends, as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// All has been said.
    pub const NORMAL: Self = Self(1000);
    /// The server stops, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// A rule of the protocol was broken.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// Messages of this kind are not taken here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// No code came: never on the wire.
    pub const NONE: Self = Self(1005);
    /// The connection ended without a close: never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// A message is not what its kind says, such as a text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A message is against the other end's policy.
    pub const POLICY: Self = Self(1008);
    /// A message is too long.
    pub const TOO_BIG: Self = Self(1009);
    /// A client misses an extension.
    pub const EXTENSION: Self = Self(1010);
    /// The server failed.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts.
    pub const RESTART: Self = Self(1012);
    /// The service has too much to do.
    pub const TRY_AGAIN: Self = Self(1013);

    /// A code that may be sent: one that is registered or, from 3000 to 4999, anybody's own.
    pub const fn new(number: u16) -> Option<Self> {
        match number {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether it may be sent.
    pub const fn is_sendable(self) -> bool {
        Self::new(self.0).is_some()
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
