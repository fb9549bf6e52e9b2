//! Bytes into messages.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::close::CloseCode;
use super::deflate::{Deflate, Inflater};
use super::error::BadFrame;
use super::frame::{FrameHead, OpCode, apply_mask};
use super::spares::Spares;
use super::{Limits, Role};

/// How many masked bytes are expanded at once.
const PIECE: usize = 4 * 1024;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// What it holds, as bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// What a peer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A question whether this end is there, with what the answer has to repeat.
    Ping(&'a [u8]),
    /// An answer.
    Pong(&'a [u8]),
    /// The end, with its code ([`CloseCode::NONE`] if there was none) and its reason. What comes after
    /// it is ignored.
    Close(CloseCode, &'a str),
}

/// Reads what a peer sends (RFC 6455 5).
///
/// Between messages it keeps no buffer. A message that lies whole in a slice is lent from it, where
/// it is neither masked nor compressed.
///
/// ```
/// use ropewalk_websocket::{Decoder, Limits, Message, Received, Role};
///
/// let mut decoder = Decoder::new(Role::Client, Limits::default());
/// let mut bytes: &[u8] = b"\x01\x03Hel\x80\x02lo\x89\x00";
/// assert_eq!(decoder.next(&mut bytes)?, Some(Received::Message(Message::Text("Hello"))));
/// assert_eq!(decoder.next(&mut bytes)?, Some(Received::Ping(b"")));
/// assert_eq!(decoder.next(&mut bytes)?, None);
/// # Ok::<(), ropewalk_websocket::BadFrame>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    is_closed: bool,
    inflater: Option<Box<Inflater>>,
    /// Absent between messages.
    progress: Option<Box<Progress>>,
    spares: Rc<Spares>,
}

#[derive(Default)]
struct Progress {
    /// The beginning of a head.
    head: [u8; FrameHead::MAX],
    head_len: u8,
    frame: Option<Frame>,
    message: Option<Partial>,
    control: Vec<u8>,
    /// When the frame that is not whole was first asked about.
    begun: Option<Duration>,
    /// What the last answer lent, which the next call takes back.
    lent: Option<OpCode>,
}

/// A frame whose payload is coming.
#[derive(Clone, Copy)]
struct Frame {
    head: FrameHead,
    /// How much of the payload has come.
    came: u64,
}

/// A message of which a part is there.
struct Partial {
    is_text: bool,
    is_compressed: bool,
    bytes: Vec<u8>,
    /// Up to where a text is known to be UTF-8.
    checked: usize,
    frames: u32,
}

/// What is there to be lent.
enum Ready<'d> {
    /// It lies whole in the data.
    Here(OpCode, &'d [u8]),
    /// It has been put together.
    Gathered(OpCode),
}

impl Decoder {
    /// For the bytes that this end receives, uncompressed.
    pub fn new(role: Role, limits: Limits) -> Self {
        Self::with(role, limits, None, Rc::default())
    }

    pub(crate) fn with(
        role: Role,
        limits: Limits,
        deflate: Option<Deflate>,
        spares: Rc<Spares>,
    ) -> Self {
        let inflater = deflate.map(|deflate| Box::new(Inflater::new(deflate.received)));
        Self { role, limits, is_closed: false, inflater, progress: None, spares }
    }

    /// Takes the next thing that was said out of `data`; `None` if there is no whole one.
    ///
    /// # Errors
    ///
    /// If what comes breaks a rule or goes beyond a limit. Nothing comes after that.
    pub fn next<'a, 'd: 'a>(
        &'a mut self,
        data: &mut &'d [u8],
    ) -> Result<Option<Received<'a>>, BadFrame> {
        self.take_back();
        if self.is_closed {
            *data = &[];
        }
        if data.is_empty() {
            return Ok(None);
        }
        let ready = self.advance(data).inspect_err(|_| self.is_closed = true)?;
        let (opcode, bytes) = match ready {
            None => return Ok(None),
            Some(Ready::Here(opcode, bytes)) => (opcode, bytes),
            Some(Ready::Gathered(opcode)) => (opcode, self.gathered(opcode)),
        };
        let received = match opcode {
            OpCode::Text => match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => Received::Message(Message::Text(text)),
                Err(_) => return Err(BadFrame::Text),
            },
            OpCode::Binary | OpCode::Continuation => Received::Message(Message::Binary(bytes)),
            OpCode::Ping => Received::Ping(bytes),
            OpCode::Pong => Received::Pong(bytes),
            OpCode::Close => {
                let (code, reason) = read_close(bytes)?;
                Received::Close(code, reason)
            }
        };
        Ok(Some(received))
    }

    /// Since when a frame is not whole, and how long it is; `now`, if it has begun since this was asked last.
    pub(crate) fn unfinished(&mut self, now: Duration) -> Option<(Duration, u64)> {
        let progress = self.progress.as_mut()?;
        let length = match progress.frame {
            Some(frame) => frame.head.length,
            None if progress.head_len > 0 => 0,
            None => {
                progress.begun = None;
                return None;
            }
        };
        Some((*progress.begun.get_or_insert(now), length))
    }

    /// Whether a message has begun and not ended.
    pub fn is_in_message(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.message.is_some())
    }

    fn gathered(&self, opcode: OpCode) -> &[u8] {
        let Some(progress) = &self.progress else { return &[] };
        match &progress.message {
            Some(message) if !opcode.is_control() => &message.bytes,
            _ => &progress.control,
        }
    }

    /// Lets go of what was lent.
    fn take_back(&mut self) {
        let Some(progress) = &mut self.progress else { return };
        let Some(opcode) = progress.lent.take() else { return };
        if opcode.is_control() {
            progress.control.clear();
        } else if let Some(message) = progress.message.take() {
            self.spares.put_buffer(message.bytes);
        }
        let is_idle =
            progress.message.is_none() && progress.frame.is_none() && progress.head_len == 0;
        if is_idle {
            self.progress = None;
        }
    }

    fn advance<'d>(&mut self, data: &mut &'d [u8]) -> Result<Option<Ready<'d>>, BadFrame> {
        loop {
            let frame = match self.progress.as_mut().and_then(|progress| progress.frame.take()) {
                Some(frame) => frame,
                None => match self.read_head(data)? {
                    Some(head) => {
                        self.admit(&head)?;
                        Frame { head, came: 0 }
                    }
                    None => return Ok(None),
                },
            };
            let head = frame.head;
            let left = head.length - frame.came;
            let here = (data.len() as u64).min(left) as usize;
            let (piece, rest) = data.split_at(here);
            let is_whole = here as u64 == left;
            let is_alone = frame.came == 0
                && is_whole
                && head.is_final
                && head.mask.is_none()
                && !head.is_compressed
                && head.opcode != OpCode::Continuation;
            *data = rest;
            if is_alone {
                self.is_closed |= head.opcode == OpCode::Close;
                return Ok(Some(Ready::Here(head.opcode, piece)));
            }
            if is_whole || here > 0 {
                self.take_piece(&frame, piece)?;
            }
            if !is_whole {
                let came = frame.came + here as u64;
                self.progress.get_or_insert_default().frame = Some(Frame { head, came });
                return Ok(None);
            }
            if let Some(progress) = &mut self.progress {
                progress.begun = None;
            }
            if let Some(opcode) = self.finish_frame(&head)? {
                return Ok(Some(Ready::Gathered(opcode)));
            }
        }
    }

    /// Takes a head out of `data`, together with what was there of it before.
    fn read_head(&mut self, data: &mut &[u8]) -> Result<Option<FrameHead>, BadFrame> {
        let begun = self.progress.as_ref().map_or(0, |progress| progress.head_len as usize);
        if begun == 0
            && let Some((head, length)) = FrameHead::read(data)?
        {
            *data = &data[length..];
            return Ok(Some(head));
        }
        if data.is_empty() {
            return Ok(None);
        }
        let progress = self.progress.get_or_insert_default();
        let added = data.len().min(FrameHead::MAX - begun);
        progress.head[begun..begun + added].copy_from_slice(&data[..added]);
        match FrameHead::read(&progress.head[..begun + added])? {
            Some((head, length)) => {
                progress.head_len = 0;
                *data = &data[length - begun..];
                Ok(Some(head))
            }
            None => {
                // A head of the greatest length is whole.
                progress.head_len = (begun + added) as u8;
                *data = &data[added..];
                Ok(None)
            }
        }
    }

    /// Whether such a frame may come now.
    fn admit(&mut self, head: &FrameHead) -> Result<(), BadFrame> {
        match (self.role, head.mask) {
            (Role::Server, None) => return Err(BadFrame::Unmasked),
            (Role::Client, Some(_)) => return Err(BadFrame::Masked),
            _ => (),
        }
        let may_compress =
            self.inflater.is_some() && matches!(head.opcode, OpCode::Text | OpCode::Binary);
        if head.is_compressed && !may_compress {
            return Err(BadFrame::ReservedBits);
        }
        if head.opcode.is_control() {
            return Ok(());
        }
        let message = self.progress.as_ref().and_then(|progress| progress.message.as_ref());
        let (begun, frames) = match (head.opcode, message) {
            (OpCode::Continuation, None) => return Err(BadFrame::NothingToContinue),
            (OpCode::Continuation, Some(message)) => (message.bytes.len(), message.frames),
            (_, Some(_)) => return Err(BadFrame::Unfinished),
            (_, None) => (0, 0),
        };
        let max = self.limits.message_max;
        if head.length > (max - begun.min(max)) as u64 {
            return Err(BadFrame::MessageTooLong { max });
        }
        if frames >= self.limits.frames_max {
            return Err(BadFrame::TooManyFrames { max: self.limits.frames_max });
        }
        Ok(())
    }

    /// Takes a part of a frame's payload in.
    fn take_piece(&mut self, frame: &Frame, piece: &[u8]) -> Result<(), BadFrame> {
        let Self { limits, inflater, progress, spares, .. } = self;
        let progress = progress.get_or_insert_default();
        let head = &frame.head;
        if head.opcode.is_control() {
            append(&mut progress.control, piece, head.mask, frame.came);
            return Ok(());
        }
        let message = progress.message.get_or_insert_with(|| Partial {
            is_text: head.opcode == OpCode::Text,
            is_compressed: head.is_compressed,
            bytes: spares.take_buffer(),
            checked: 0,
            frames: 0,
        });
        if frame.came == 0 {
            message.frames += 1;
        }
        match inflater.as_mut().filter(|_| message.is_compressed) {
            None => append(&mut message.bytes, piece, head.mask, frame.came),
            Some(inflater) => {
                let mut clear = Vec::with_capacity(PIECE.min(piece.len()));
                let mut came = frame.came;
                for part in piece.chunks(PIECE) {
                    clear.clear();
                    append(&mut clear, part, head.mask, came);
                    came += part.len() as u64;
                    inflater.expand(&clear, &mut message.bytes, limits.message_max, spares)?;
                }
            }
        }
        message.check(false)
    }

    /// A frame's payload is whole; answers what is, too.
    fn finish_frame(&mut self, head: &FrameHead) -> Result<Option<OpCode>, BadFrame> {
        let Self { limits, inflater, progress, spares, .. } = self;
        let progress = progress.get_or_insert_default();
        if head.opcode.is_control() {
            progress.lent = Some(head.opcode);
            self.is_closed |= head.opcode == OpCode::Close;
            return Ok(Some(head.opcode));
        }
        let Some(message) = progress.message.as_mut().filter(|_| head.is_final) else {
            return Ok(None);
        };
        if let Some(inflater) = inflater.as_mut().filter(|_| message.is_compressed) {
            inflater.finish(&mut message.bytes, limits.message_max, spares)?;
        }
        message.check(true)?;
        let opcode = if message.is_text { OpCode::Text } else { OpCode::Binary };
        progress.lent = Some(opcode);
        Ok(Some(opcode))
    }
}

impl Partial {
    /// Finds out as soon as can be whether a text is one.
    fn check(&mut self, is_whole: bool) -> Result<(), BadFrame> {
        if !self.is_text || is_whole {
            // A whole one is read as text next.
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(BadFrame::Text),
        }
        Ok(())
    }
}

fn append(bytes: &mut Vec<u8>, piece: &[u8], mask: Option<[u8; 4]>, offset: u64) {
    let start = bytes.len();
    bytes.extend_from_slice(piece);
    if let Some(mask) = mask {
        apply_mask(&mut bytes[start..], mask, offset);
    }
}

fn read_close(payload: &[u8]) -> Result<(CloseCode, &str), BadFrame> {
    match payload.split_first_chunk() {
        None if payload.is_empty() => Ok((CloseCode::NONE, "")),
        None => Err(BadFrame::CloseCode),
        Some((number, reason)) => {
            let code = CloseCode::new(u16::from_be_bytes(*number)).ok_or(BadFrame::CloseCode)?;
            let reason = str::from_utf8(reason).map_err(|_| BadFrame::Text)?;
            Ok((code, reason))
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self.message.as_ref().map(|message| message.bytes.len());
        f.debug_struct("Progress").field("waiting", &waiting).finish_non_exhaustive()
    }
}
