//! What is true of a connection, a port or a process.

/// A bit for each thing that may be true.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags(pub(crate) u32);

impl Flags {
    /// A call into the protocol is under way, after which the driver looks at the notes anyway.
    pub(crate) const IN_CALL: Self = Self(1);
    /// The driver has been asked to look at the notes.
    pub(crate) const WOKEN: Self = Self(1 << 1);
    pub(crate) const MADE: Self = Self(1 << 2);
    /// `connection_lost` has been or is being called.
    pub(crate) const OVER: Self = Self(1 << 3);
    pub(crate) const CLOSING: Self = Self(1 << 4);
    pub(crate) const ABORTING: Self = Self(1 << 5);
    pub(crate) const WRITE_CLOSED: Self = Self(1 << 6);
    pub(crate) const READ_PAUSED: Self = Self(1 << 7);
    /// Output went over the high mark and has not come down to the low one.
    pub(crate) const OVER_HIGH: Self = Self(1 << 8);
    /// The protocol knows that it is over the high mark.
    pub(crate) const TOLD_PAUSED: Self = Self(1 << 9);
    pub(crate) const PANICKED: Self = Self(1 << 10);
    pub(crate) const OVERFLOWED: Self = Self(1 << 11);
    /// A successor has taken the connection.
    pub(crate) const SWITCHED: Self = Self(1 << 12);
    /// The peer has said that it will send no more.
    pub(crate) const EOF: Self = Self(1 << 13);
    /// The end of the stream still waits behind bytes that are held back.
    pub(crate) const EOF_HELD: Self = Self(1 << 14);
    /// The patience for a peer that does not read what is left for it runs.
    pub(crate) const CLOSE_TIMED: Self = Self(1 << 15);
    /// The protocol wants to hear of the next sending, also when nothing stays behind.
    pub(crate) const SENT_WANTED: Self = Self(1 << 16);
    /// A port for datagrams has one peer, to which it is connected.
    pub(crate) const CONNECTED: Self = Self(1 << 17);
    /// A port's queue that was full has moved, which its protocol does not know.
    pub(crate) const ROOM_AGAIN: Self = Self(1 << 18);
    /// A layer is about to be put between this connection and its carrier.
    pub(crate) const LAYERING: Self = Self(1 << 19);
    /// A layer was put there, and is what carries the connection now.
    pub(crate) const LAYERED: Self = Self(1 << 20);

    /// There is output to take.
    pub(crate) const OUTPUT: Self = Self(1 << 21);
    /// Something is written down that few connections have.
    pub(crate) const RARE: Self = Self(1 << 22);
    /// Descriptors wait for the byte that they go with.
    pub(crate) const PASSING: Self = Self(1 << 23);
    /// The transport was asked for descriptors that come.
    pub(crate) const ACCEPTS: Self = Self(1 << 24);
    /// The peer has said by the protocol's own means that it will send no more.
    pub(crate) const PEER_DONE: Self = Self(1 << 25);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether any of these is set.
    pub(crate) const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }
}
