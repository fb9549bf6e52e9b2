//! What is on the wire.

mod close;
mod decoder;
mod deflate;
mod encoder;
mod error;
mod frame;
mod spares;

pub use close::CloseCode;
pub use decoder::{Decoder, Message, Received};
pub(crate) use deflate::{Deflate, Window};
pub use encoder::{Encoder, NoRandom};
pub use error::BadFrame;
pub use frame::{CONTROL_MAX, FrameHead, OpCode};
pub(crate) use spares::Spares;

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The one that connected: what it sends is masked.
    Client,
    /// The one that was connected to.
    Server,
}

/// How much a peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes, once it is expanded; 16 MiB.
    pub message_max: usize,
    /// In how many frames one message may come; 16,384.
    pub frames_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_max: 16 * 1024 * 1024, frames_max: 16 * 1024 }
    }
}
