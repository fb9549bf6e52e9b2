//! From octets to frames.

use std::borrow::Cow;

use super::error::{BadFrame, FrameFault};
use super::{ErrorCode, FRAME_SIZE, Frame, HEAD_LEN, PREFACE, Settings, StreamId, flag, kind};

/// Reads frames, however they are cut.
///
/// Bodies pass through it; of everything else it keeps the part that came of an unfinished frame,
/// and of an unfinished field block. Between frames it keeps nothing.
#[derive(Debug)]
pub struct FrameDecoder {
    frame_max: u32,
    block_max: usize,
    state: State,
    /// What came of a head, or of a payload.
    partial: Vec<u8>,
    block: Option<Box<Block>>,
}

/// How a field block may be cut at most; an honest sender fills its frames.
const CONTINUATIONS_MAX: usize = 16;

#[derive(Clone, Copy, Debug)]
enum State {
    /// The client's preface, of which so much came.
    Preface(u8),
    /// The first frame, which has to be `SETTINGS`.
    First,
    /// Between frames, or within a head.
    Head,
    /// Within the payload of a frame that is taken as a whole.
    Payload(FrameHead),
    /// In front of the octet that says how much padding there is.
    PadLength(FrameHead),
    /// Within a body.
    Data { head: FrameHead, left: u32, padding: u32, extra: u32 },
    /// Within what is not looked at.
    Skipping(u32),
}

#[derive(Clone, Copy, Debug)]
struct FrameHead {
    len: u32,
    kind: u8,
    flags: u8,
    stream: StreamId,
}

/// A field block of which more is to come.
#[derive(Debug)]
struct Block {
    stream: StreamId,
    /// The stream that it promises.
    promised: Option<StreamId>,
    is_end: bool,
    octets: Vec<u8>,
    pieces: usize,
}

impl FrameDecoder {
    /// Reads what a client sends, from its first octet on; field blocks of at most `block_max`
    /// octets.
    pub fn of_client(block_max: usize) -> Self {
        Self::new(State::Preface(0), block_max)
    }

    /// Reads what a server sends.
    pub fn of_server(block_max: usize) -> Self {
        Self::new(State::First, block_max)
    }

    fn new(state: State, block_max: usize) -> Self {
        Self { frame_max: FRAME_SIZE, block_max, state, partial: Vec::new(), block: None }
    }

    /// Whether nothing of a frame has come that is not whole.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::First | State::Head)
            && self.partial.is_empty()
            && self.block.is_none()
    }

    /// What is allocated for what is not whole, in octets.
    pub(crate) fn memory(&self) -> usize {
        let block = |block: &Block| size_of::<Block>() + block.octets.capacity();
        self.partial.capacity() + self.block.as_deref().map_or(0, block)
    }

    /// The next frame of `input`, which moves behind it; `None` where more has to come, and then
    /// `input` is empty.
    ///
    /// # Errors
    ///
    /// A frame breaks a rule. Where it is the connection's end, nothing more can be read; where it
    /// is a stream's, reading goes on behind the frame.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Frame<'a>>, BadFrame> {
        loop {
            match self.state {
                State::Preface(seen) => {
                    let expected = &PREFACE[usize::from(seen)..];
                    let got = take(input, expected.len());
                    if got != &expected[..got.len()] {
                        return Err(connection(ErrorCode::ProtocolError, FrameFault::NoPreface));
                    }
                    if got.len() < expected.len() {
                        self.state = State::Preface(seen + got.len() as u8);
                        return Ok(None);
                    }
                    self.state = State::First;
                }
                State::First | State::Head => {
                    let Some(octets) = self.whole(input, HEAD_LEN) else { return Ok(None) };
                    let head = FrameHead::parse(&octets);
                    if matches!(self.state, State::First)
                        && (head.kind != kind::SETTINGS || head.flags & flag::ACK != 0)
                    {
                        let fault = FrameFault::NotSettings { kind: head.kind };
                        return Err(connection(ErrorCode::ProtocolError, fault));
                    }
                    self.state = self.begin(head)?;
                }
                State::Payload(head) => {
                    let Some(payload) = self.whole(input, head.len as usize) else {
                        return Ok(None);
                    };
                    self.state = State::Head;
                    if let Some(frame) = self.finish(head, payload)? {
                        return Ok(Some(frame));
                    }
                }
                State::PadLength(head) => {
                    let Some((&padding, rest)) = input.split_first() else { return Ok(None) };
                    *input = rest;
                    let padding = u32::from(padding);
                    if padding >= head.len {
                        return Err(connection(ErrorCode::ProtocolError, FrameFault::Padding));
                    }
                    let left = head.len - 1 - padding;
                    self.state = State::Data { head, left, padding, extra: padding + 1 };
                }
                State::Data { head, left, padding, extra } => {
                    if input.is_empty() && left > 0 {
                        return Ok(None);
                    }
                    return Ok(Some(self.data(input, head, left, padding, extra)));
                }
                State::Skipping(left) => {
                    let skipped = take(input, left as usize).len() as u32;
                    if skipped < left {
                        self.state = State::Skipping(left - skipped);
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
            }
        }
    }

    /// `len` octets, once all are there.
    fn whole<'a>(&mut self, input: &mut &'a [u8], len: usize) -> Option<Cow<'a, [u8]>> {
        if self.partial.is_empty() && input.len() >= len {
            return Some(Cow::Borrowed(take(input, len)));
        }
        let missing = len - self.partial.len();
        self.partial.extend_from_slice(take(input, missing));
        (self.partial.len() == len).then(|| Cow::Owned(std::mem::take(&mut self.partial)))
    }

    /// Looks at all that a head tells.
    fn begin(&self, head: FrameHead) -> Result<State, BadFrame> {
        let FrameHead { len, kind, stream, .. } = head;
        if len > self.frame_max {
            let fault = FrameFault::TooLong { len, max: self.frame_max };
            return Err(connection(ErrorCode::FrameSizeError, fault));
        }
        let continues = kind == kind::CONTINUATION
            && self.block.as_ref().is_some_and(|block| block.stream == stream);
        if self.block.is_some() && !continues {
            return Err(connection(ErrorCode::ProtocolError, FrameFault::Interrupted { kind }));
        }
        match kind {
            kind::DATA
            | kind::HEADERS
            | kind::PRIORITY
            | kind::RST_STREAM
            | kind::PUSH_PROMISE
            | kind::CONTINUATION
                if stream == 0 =>
            {
                return Err(connection(
                    ErrorCode::ProtocolError,
                    FrameFault::OnConnection { kind },
                ));
            }
            kind::SETTINGS | kind::PING | kind::GOAWAY | kind::PRIORITY_UPDATE if stream != 0 => {
                return Err(connection(ErrorCode::ProtocolError, FrameFault::OnStream { kind }));
            }
            kind::CONTINUATION if !continues => {
                return Err(connection(ErrorCode::ProtocolError, FrameFault::StrayContinuation));
            }
            _ => (),
        }
        let fits = match kind {
            kind::RST_STREAM | kind::WINDOW_UPDATE => len == 4,
            kind::SETTINGS if head.flags & flag::ACK != 0 => len == 0,
            kind::SETTINGS => len % 6 == 0,
            kind::PING => len == 8,
            kind::GOAWAY => len >= 8,
            kind::PRIORITY_UPDATE => len >= 4,
            // RFC 9113 6.3: only this one is the stream's own affair, and is told when it came.
            _ => true,
        };
        if !fits {
            let fault = FrameFault::WrongLength { kind, len };
            return Err(connection(ErrorCode::FrameSizeError, fault));
        }
        Ok(match kind {
            kind::DATA if head.flags & flag::PADDED == 0 => {
                State::Data { head, left: len, padding: 0, extra: 0 }
            }
            kind::DATA if len == 0 => {
                return Err(connection(
                    ErrorCode::FrameSizeError,
                    FrameFault::WrongLength { kind, len },
                ));
            }
            kind::DATA => State::PadLength(head),
            _ => State::Payload(head),
        })
    }

    /// The next part of a body. Padding counts with the first part, and is not waited for with the
    /// last.
    fn data<'a>(
        &mut self,
        input: &mut &'a [u8],
        head: FrameHead,
        left: u32,
        padding: u32,
        extra: u32,
    ) -> Frame<'a> {
        let data = take(input, left as usize);
        let left = left - data.len() as u32;
        let is_frame_end = left == 0;
        self.state = if is_frame_end {
            State::Skipping(padding)
        } else {
            State::Data { head, left, padding, extra: 0 }
        };
        Frame::Data {
            stream: head.stream,
            data,
            flow: data.len() as u32 + extra,
            is_frame_end,
            is_end: is_frame_end && head.flags & flag::END_STREAM != 0,
        }
    }

    /// The frame that a payload is; `None` where more of its field block is to come.
    fn finish<'a>(
        &mut self,
        head: FrameHead,
        payload: Cow<'a, [u8]>,
    ) -> Result<Option<Frame<'a>>, BadFrame> {
        let FrameHead { len, kind, flags, stream } = head;
        Ok(Some(match kind {
            kind::HEADERS => return self.headers(head, payload),
            kind::PUSH_PROMISE => return self.promise(head, payload),
            kind::CONTINUATION => return self.continuation(head, &payload),
            kind::PRIORITY if len != 5 => {
                let fault = FrameFault::WrongLength { kind, len };
                return Err(BadFrame::stream(stream, ErrorCode::FrameSizeError, fault));
            }
            kind::PRIORITY => Frame::Priority { stream },
            kind::RST_STREAM => Frame::Reset { stream, code: number(&payload, 0).into() },
            kind::SETTINGS if flags & flag::ACK != 0 => Frame::SettingsAck,
            kind::SETTINGS => Frame::Settings(Settings::parse(&payload)?),
            kind::PING => {
                let mut data = [0; 8];
                data.copy_from_slice(&payload);
                Frame::Ping { data, is_ack: flags & flag::ACK != 0 }
            }
            kind::GOAWAY => Frame::GoAway {
                last: number(&payload, 0) & STREAM_BITS,
                code: number(&payload, 4).into(),
                debug: rest(payload, 8, 0),
            },
            kind::WINDOW_UPDATE => match number(&payload, 0) & STREAM_BITS {
                0 => {
                    let stream = (stream != 0).then_some(stream);
                    let (code, fault) = (ErrorCode::ProtocolError, FrameFault::EmptyIncrement);
                    return Err(BadFrame { code, stream, fault });
                }
                increment => Frame::WindowUpdate { stream, increment },
            },
            kind::PRIORITY_UPDATE => match number(&payload, 0) & STREAM_BITS {
                // RFC 9218 7.1: of the connection itself nothing can be said.
                0 => {
                    let fault = FrameFault::OnConnection { kind };
                    return Err(connection(ErrorCode::ProtocolError, fault));
                }
                stream => Frame::PriorityUpdate { stream, value: rest(payload, 4, 0) },
            },
            kind => Frame::Unknown { kind },
        }))
    }

    fn headers<'a>(
        &mut self,
        head: FrameHead,
        payload: Cow<'a, [u8]>,
    ) -> Result<Option<Frame<'a>>, BadFrame> {
        // RFC 7540's priority, which means nothing any more, stands in front.
        let before = if head.flags & flag::PRIORITY != 0 { 5 } else { 0 };
        let block = unpad(head, payload, before)?;
        let is_end = head.flags & flag::END_STREAM != 0;
        self.block(head, None, is_end, block)
    }

    fn promise<'a>(
        &mut self,
        head: FrameHead,
        payload: Cow<'a, [u8]>,
    ) -> Result<Option<Frame<'a>>, BadFrame> {
        let at = usize::from(head.flags & flag::PADDED != 0);
        let promised = payload.get(at..at + 4).map(|octets| number(octets, 0) & STREAM_BITS);
        let block = unpad(head, payload, 4)?;
        self.block(head, promised, false, block)
    }

    fn block<'a>(
        &mut self,
        head: FrameHead,
        promised: Option<StreamId>,
        is_end: bool,
        block: Cow<'a, [u8]>,
    ) -> Result<Option<Frame<'a>>, BadFrame> {
        self.check_block(block.len())?;
        let stream = head.stream;
        if head.flags & flag::END_HEADERS != 0 {
            return Ok(Some(block_frame(stream, promised, is_end, block)));
        }
        let octets = block.into_owned();
        self.block = Some(Box::new(Block { stream, promised, is_end, octets, pieces: 0 }));
        Ok(None)
    }

    fn continuation<'a>(
        &mut self,
        head: FrameHead,
        payload: &[u8],
    ) -> Result<Option<Frame<'a>>, BadFrame> {
        let Some(mut block) = self.block.take() else { return Ok(None) };
        block.pieces += 1;
        if block.pieces > CONTINUATIONS_MAX {
            let fault = FrameFault::TooManyContinuations { max: CONTINUATIONS_MAX };
            return Err(connection(ErrorCode::EnhanceYourCalm, fault));
        }
        self.check_block(block.octets.len() + payload.len())?;
        block.octets.extend_from_slice(payload);
        if head.flags & flag::END_HEADERS == 0 {
            self.block = Some(block);
            return Ok(None);
        }
        let Block { stream, promised, is_end, octets, .. } = *block;
        Ok(Some(block_frame(stream, promised, is_end, Cow::Owned(octets))))
    }

    /// What is not kept cannot be read, and then no later block can be either.
    fn check_block(&self, len: usize) -> Result<(), BadFrame> {
        if len <= self.block_max {
            return Ok(());
        }
        let fault = FrameFault::BlockTooLong { max: self.block_max };
        Err(connection(ErrorCode::EnhanceYourCalm, fault))
    }
}

/// Without the bit that is reserved.
const STREAM_BITS: u32 = 0x7fff_ffff;

impl FrameHead {
    fn parse(octets: &[u8]) -> Self {
        Self {
            len: number(octets, 0) >> 8,
            kind: octets[3],
            flags: octets[4],
            stream: number(octets, 5) & STREAM_BITS,
        }
    }
}

fn connection(code: ErrorCode, fault: FrameFault) -> BadFrame {
    BadFrame::connection(code, fault)
}

fn block_frame(
    stream: StreamId,
    promised: Option<StreamId>,
    is_end: bool,
    block: Cow<'_, [u8]>,
) -> Frame<'_> {
    match promised {
        Some(promised) => Frame::PushPromise { stream, promised, block },
        None => Frame::Headers { stream, block, is_end },
    }
}

/// The payload without padding and without the `before` octets that stand behind its length.
fn unpad(
    head: FrameHead,
    payload: Cow<'_, [u8]>,
    before: usize,
) -> Result<Cow<'_, [u8]>, BadFrame> {
    let (kind, len) = (head.kind, head.len);
    let is_padded = head.flags & flag::PADDED != 0;
    let before = before + usize::from(is_padded);
    if payload.len() < before {
        let fault = FrameFault::WrongLength { kind, len };
        return Err(connection(ErrorCode::FrameSizeError, fault));
    }
    let padding = if is_padded { usize::from(payload[0]) } else { 0 };
    if padding > payload.len() - before {
        return Err(connection(ErrorCode::ProtocolError, FrameFault::Padding));
    }
    Ok(rest(payload, before, padding))
}

/// What is left without the first `before` octets and the last `behind`.
fn rest(payload: Cow<'_, [u8]>, before: usize, behind: usize) -> Cow<'_, [u8]> {
    let end = payload.len() - behind;
    match payload {
        Cow::Borrowed(octets) => Cow::Borrowed(&octets[before..end]),
        Cow::Owned(mut octets) => {
            octets.truncate(end);
            octets.drain(..before);
            Cow::Owned(octets)
        }
    }
}

/// Four octets as a number.
fn number(octets: &[u8], at: usize) -> u32 {
    octets[at..at + 4].iter().fold(0, |number, &octet| (number << 8) | u32::from(octet))
}

/// Up to `len` octets off the front.
fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    taken
}
