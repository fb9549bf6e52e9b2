//! What a connection owns beside itself.

/// What a connection owns beside itself, in octets that are allocated: see
/// [`Connection::memory`](crate::Connection::memory).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Parts of a frame, or of a field block, that are not whole.
    pub frames: usize,
    /// What is known of streams that are not over, and of those that are spoken of but not open.
    pub streams: usize,
    /// What is known of streams that this end reset, of which something may be under way.
    pub resets: usize,
    /// The tables of fields, both ways (RFC 7541 2.3.2), without their text: that is bounded by
    /// their sizes.
    pub tables: usize,
}
