//! Messages into bytes.

use std::rc::Rc;

use super::Role;
use super::close::CloseCode;
use super::decoder::Message;
use super::deflate::{Deflate, Deflater};
use super::frame::{CONTROL_MAX, FrameHead, OpCode, apply_mask};
use super::spares::Spares;

/// Writes what this end sends (RFC 6455 5).
///
/// ```
/// use ropewalk_websocket::{Encoder, Message, Role};
///
/// let mut out = Vec::new();
/// Encoder::new(Role::Server).message(&mut out, Message::Text("Hello"))?;
/// assert_eq!(out, b"\x81\x05Hello");
/// # Ok::<(), ropewalk_websocket::NoRandom>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    role: Role,
    deflater: Option<Box<Deflater>>,
    spares: Rc<Spares>,
}

/// The system gave no random bytes, without which a client may not send (RFC 6455 10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandom(());

impl NoRandom {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl std::fmt::Display for NoRandom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the system gives no random bytes to mask frames with")
    }
}

impl std::error::Error for NoRandom {}

impl Encoder {
    /// For what this end sends, uncompressed.
    pub fn new(role: Role) -> Self {
        Self::with(role, None, Rc::default())
    }

    pub(crate) fn with(role: Role, deflate: Option<Deflate>, spares: Rc<Spares>) -> Self {
        let deflater = deflate.map(|deflate| Box::new(Deflater::new(deflate)));
        Self { role, deflater, spares }
    }

    /// Appends a whole message, in one frame.
    ///
    /// # Errors
    ///
    /// If a client has nothing to mask it with; nothing is appended.
    pub fn message(&mut self, out: &mut Vec<u8>, message: Message<'_>) -> Result<(), NoRandom> {
        let opcode = match message {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        };
        let payload = message.as_bytes();
        let Some(deflater) = self.deflater.as_mut().filter(|d| d.wants(payload.len())) else {
            return self.frame(out, opcode, false, payload);
        };
        let mut short = self.spares.take_buffer();
        deflater.compress(payload, &mut short, &self.spares);
        let done = self.frame(out, opcode, true, &short);
        self.spares.put_buffer(short);
        done
    }

    /// Appends the head of a frame whose payload is sent by another way, unmasked: a server's.
    pub(crate) fn head(out: &mut Vec<u8>, opcode: OpCode, length: u64) {
        let head = FrameHead { is_final: true, is_compressed: false, opcode, mask: None, length };
        head.encode(out);
    }

    /// Appends a ping; what is longer than [`CONTROL_MAX`] is cut off.
    ///
    /// # Errors
    ///
    /// As for [`message`](Self::message).
    pub fn ping(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), NoRandom> {
        self.frame(out, OpCode::Ping, false, &payload[..payload.len().min(CONTROL_MAX)])
    }

    /// Appends a pong; what is longer than [`CONTROL_MAX`] is cut off.
    ///
    /// # Errors
    ///
    /// As for [`message`](Self::message).
    pub fn pong(&mut self, out: &mut Vec<u8>, payload: &[u8]) -> Result<(), NoRandom> {
        self.frame(out, OpCode::Pong, false, &payload[..payload.len().min(CONTROL_MAX)])
    }

    /// Appends a close; a code that may not be sent is left out, a reason that is too long is cut off.
    ///
    /// # Errors
    ///
    /// As for [`message`](Self::message).
    pub fn close(
        &mut self,
        out: &mut Vec<u8>,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), NoRandom> {
        if !code.is_sendable() {
            return self.frame(out, OpCode::Close, false, &[]);
        }
        let mut payload = code.number().to_be_bytes().to_vec();
        let end = reason.floor_char_boundary(CONTROL_MAX - payload.len());
        payload.extend_from_slice(&reason.as_bytes()[..end]);
        self.frame(out, OpCode::Close, false, &payload)
    }

    fn frame(
        &self,
        out: &mut Vec<u8>,
        opcode: OpCode,
        is_compressed: bool,
        payload: &[u8],
    ) -> Result<(), NoRandom> {
        let mask = match self.role {
            Role::Server => None,
            Role::Client => Some(self.spares.mask().map_err(|_| NoRandom::new())?),
        };
        let length = payload.len() as u64;
        FrameHead { is_final: true, is_compressed, opcode, mask, length }.encode(out);
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(mask) = mask {
            apply_mask(&mut out[start..], mask, 0);
        }
        Ok(())
    }
}
