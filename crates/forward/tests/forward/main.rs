//! Connections that lead on, in memory.

mod forwards;
mod handshakes;
mod kit;
mod relays;
