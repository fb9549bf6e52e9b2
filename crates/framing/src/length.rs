//! Frames that say how long they are.

use std::error::Error;
use std::fmt;

use crate::Decoder;
use crate::decoder::Rest;

/// The longest frame that a decoder takes unless told otherwise, in bytes.
pub const FRAME_MAX: usize = 99_999;

/// A frame's shape: a head that tells its length, a body, perhaps a tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// What comes before the body and is not handed out. Zero where the head is wanted too: then
    /// the body begins with it.
    pub head: usize,
    /// What is handed out.
    pub body: u64,
    /// What comes after it and is not handed out.
    pub tail: usize,
}

/// How to find out the length of frames.
///
/// ```
/// use ropewalk_framing::{Decoder, Extent, LengthDecoder, Measure, TooLong};
///
/// /// A type, a length, and so many bytes; type and length are handed out with them.
/// struct Records;
///
/// impl Measure for Records {
///     type Error = TooLong;
///     const FRONT_MAX: usize = 2;
///
///     fn measure(&self, front: &[u8]) -> Result<Option<Extent>, TooLong> {
///         let &[_, length, ..] = front else { return Ok(None) };
///         Ok(Some(Extent { body: 2 + u64::from(length), ..Extent::default() }))
///     }
/// }
///
/// let mut records = LengthDecoder::new(Records);
/// let mut data = &b"A\x02hiB\x00"[..];
/// assert_eq!(records.feed(&mut data)?, Some(&b"A\x02hi"[..]));
/// assert_eq!(records.feed(&mut data)?, Some(&b"B\x00"[..]));
/// # Ok::<(), TooLong>(())
/// ```
pub trait Measure: 'static {
    /// What can be wrong with a frame.
    type Error: Error + Clone + From<TooLong> + 'static;

    /// How many bytes at a frame's front are enough to tell its extent.
    const FRONT_MAX: usize;

    /// The extent of the frame that begins with `front`; `None` if more bytes are needed to tell.
    ///
    /// More bytes never change an answer, and a frame reaches at least as far as the bytes that it
    /// takes to tell.
    ///
    /// # Errors
    ///
    /// If no frame begins so.
    fn measure(&self, front: &[u8]) -> Result<Option<Extent>, Self::Error>;

    /// Looks at what comes after the body.
    ///
    /// # Errors
    ///
    /// If no frame ends so.
    fn check_tail(&self, tail: &[u8]) -> Result<(), Self::Error> {
        let _ = tail;
        Ok(())
    }
}

/// A frame is longer than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// How long it is, in bytes.
    pub length: u64,
    /// How long it may be.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes is longer than {}", self.length, self.max)
    }
}

impl Error for TooLong {}

/// Bytes to frames that say how long they are.
///
/// Nothing is set aside for bytes that have not come. After an error there is no telling where the
/// next frame begins: whatever is fed then gives the same error.
#[derive(Clone, Debug)]
pub struct LengthDecoder<M: Measure> {
    measure: M,
    frame_max: usize,
    rest: Rest,
    /// The extent of the frame whose beginning is kept, if it is known.
    extent: Option<Extent>,
    bad: Option<M::Error>,
}

impl<M: Measure> LengthDecoder<M> {
    /// Frames measured so, with bodies of at most [`FRAME_MAX`] bytes.
    pub fn new(measure: M) -> Self {
        Self { measure, frame_max: FRAME_MAX, rest: Rest::default(), extent: None, bad: None }
    }

    /// The same with bodies of at most `frame_max` bytes.
    pub fn frame_max(self, frame_max: usize) -> Self {
        Self { frame_max, ..self }
    }

    fn measure(&self, front: &[u8]) -> Result<Option<Extent>, M::Error> {
        let front = &front[..front.len().min(M::FRONT_MAX)];
        let Some(extent) = self.measure.measure(front)? else { return Ok(None) };
        if extent.body > self.frame_max as u64 {
            return Err(TooLong { length: extent.body, max: self.frame_max }.into());
        }
        Ok((extent.total() > 0).then_some(extent))
    }

    /// Whether `bytes` begin with the whole frame; its tail is right then.
    fn is_whole(&self, bytes: &[u8], extent: Extent) -> Result<bool, M::Error> {
        let Some(frame) = bytes.get(..extent.total()) else { return Ok(false) };
        self.measure.check_tail(&frame[extent.head + extent.body as usize..])?;
        Ok(true)
    }

    /// Finds the next frame, or keeps what there is of it.
    fn next(&mut self, data: &mut &[u8]) -> Result<Next, M::Error> {
        if !self.rest.is_empty() {
            return self.fill(data);
        }
        let extent = self.measure(data)?;
        if let Some(extent) = extent
            && self.is_whole(data, extent)?
        {
            return Ok(Next::InData(extent));
        }
        self.rest.bytes().extend_from_slice(data);
        self.extent = extent;
        *data = &[];
        Ok(Next::Unfinished)
    }

    /// Adds to what is kept until the frame is whole.
    fn fill(&mut self, data: &mut &[u8]) -> Result<Next, M::Error> {
        while self.extent.is_none() && !data.is_empty() {
            // One by one, so that nothing of the next frame is taken.
            let (first, after) = data.split_at(1);
            *data = after;
            let mut front = self.rest.take();
            front.extend_from_slice(first);
            self.extent = self.measure(&front)?;
            *self.rest.bytes() = front;
        }
        let Some(extent) = self.extent else { return Ok(Next::Unfinished) };
        let mut bytes = self.rest.take();
        let missing = extent.total().saturating_sub(bytes.len());
        let (more, after) = data.split_at(missing.min(data.len()));
        bytes.extend_from_slice(more);
        *data = after;
        let is_whole = self.is_whole(&bytes, extent)?;
        *self.rest.bytes() = bytes;
        if !is_whole {
            return Ok(Next::Unfinished);
        }
        Ok(Next::InRest(extent))
    }
}

/// Where the next frame is.
enum Next {
    InData(Extent),
    InRest(Extent),
    Unfinished,
}

impl Extent {
    fn total(self) -> usize {
        (self.head + self.tail).saturating_add(usize::try_from(self.body).unwrap_or(usize::MAX))
    }

    fn body_of(self, frame: &[u8]) -> &[u8] {
        &frame[self.head..self.head + self.body as usize]
    }
}

impl<M: Measure> Decoder for LengthDecoder<M> {
    type Error = M::Error;

    fn feed<'f, 'd: 'f>(&'f mut self, data: &mut &'d [u8]) -> Result<Option<&'f [u8]>, M::Error> {
        if let Some(bad) = self.bad.clone() {
            *data = &[];
            return Err(bad);
        }
        match self.next(data) {
            Ok(Next::InData(extent)) => {
                let (frame, after) = data.split_at(extent.total());
                *data = after;
                Ok(Some(extent.body_of(frame)))
            }
            Ok(Next::InRest(extent)) => Ok(Some(extent.body_of(self.rest.lend()))),
            Ok(Next::Unfinished) => Ok(None),
            Err(bad) => {
                *data = &[];
                self.bad = Some(bad.clone());
                Err(bad)
            }
        }
    }

    fn take_rest(&mut self) -> Vec<u8> {
        self.extent = None;
        self.rest.take()
    }
}
