//! Output on its way out.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::descriptor::{Descriptor, Passing};

/// What is to be sent, in order: bytes copied together, bytes shared, pieces of files, and descriptors
/// that go with the byte behind them.
///
/// A transport looks at the front, sends what it can, and says how much that was.
#[derive(Default)]
pub struct Outbox {
    /// Goes before `tail`.
    queue: VecDeque<Piece>,
    tail: Vec<u8>,
    /// How much of `tail` is sent already.
    tail_sent: usize,
    len: u64,
}

/// How many bytes that were copied stand between shared ones without memory of their own: the head of a
/// frame, say.
const FEW_MAX: usize = 30;

/// A part of the queue.
enum Piece {
    /// Bytes from `start` to `end`, where they are few.
    Few {
        bytes: [u8; FEW_MAX],
        start: u8,
        end: u8,
    },
    Bytes(Bytes),
    File(FileSlice),
    Descriptor(Passing),
}

impl Piece {
    /// What is in memory of it.
    #[inline]
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Few { bytes, start, end } => Some(&bytes[usize::from(*start)..usize::from(*end)]),
            Self::Bytes(bytes) => Some(bytes),
            Self::File(_) | Self::Descriptor(_) => None,
        }
    }

    /// A descriptor has no length: it goes with the byte behind it.
    #[inline]
    fn len(&self) -> u64 {
        match self {
            Self::Few { start, end, .. } => u64::from(end - start),
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(slice) => slice.len,
            Self::Descriptor(_) => 0,
        }
    }

    /// Takes off the first `count` bytes, which are fewer than all.
    fn advance(&mut self, count: u64) {
        match self {
            Self::Few { start, .. } => *start += count as u8,
            Self::Bytes(bytes) => bytes.advance(count as usize),
            Self::File(slice) => {
                slice.offset += count;
                slice.len -= count;
            }
            Self::Descriptor(_) => (),
        }
    }

    /// Takes out the first `count` bytes, which are fewer than all.
    fn split_to(&mut self, count: u64) -> Self {
        match self {
            Self::Few { bytes, start, .. } => {
                let first = *start;
                *start += count as u8;
                Self::Few { bytes: *bytes, start: first, end: *start }
            }
            Self::Bytes(bytes) => Self::Bytes(bytes.split_to(count as usize)),
            Self::File(slice) => {
                let part = FileSlice { len: count, ..slice.clone() };
                slice.offset += count;
                slice.len -= count;
                Self::File(part)
            }
            Self::Descriptor(_) => Self::Bytes(Bytes::new()),
        }
    }
}

impl From<Piece> for Chunk {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Few { .. } => {
                Self::Bytes(Bytes::copy_from_slice(piece.bytes().unwrap_or_default()))
            }
            Piece::Bytes(bytes) => Self::Bytes(bytes),
            Piece::File(slice) => Self::File(slice),
            Piece::Descriptor(passing) => Self::Descriptor(passing),
        }
    }
}

/// A piece of an [`Outbox`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Chunk {
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes in a file.
    File(FileSlice),
    /// No bytes, but a descriptor that goes with the next one.
    Descriptor(Passing),
}

/// Part of an open file.
#[derive(Clone, Debug)]
pub struct FileSlice {
    /// The file, whose own position is neither used nor moved.
    pub file: Arc<File>,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// How many bytes long it is.
    pub len: u64,
}

impl FileSlice {
    /// Reads the beginning, at most `most` bytes of it, for carriers that have to look at what they send;
    /// `bytes` then holds that alone.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or has become shorter than the part.
    pub fn read_into(&self, most: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
        let count = usize::try_from(self.len).unwrap_or(usize::MAX).min(most);
        bytes.resize(count, 0);
        #[cfg(unix)]
        std::os::unix::fs::FileExt::read_exact_at(&*self.file, bytes, self.offset)?;
        #[cfg(windows)]
        {
            let mut done = 0;
            while done < count {
                let (at, rest) = (self.offset + done as u64, &mut bytes[done..]);
                match std::os::windows::fs::FileExt::seek_read(&*self.file, rest, at)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => done += read,
                }
            }
        }
        Ok(())
    }
}

impl Outbox {
    /// From this size on, in bytes, shared bytes are kept as they are; smaller ones are copied together.
    pub const SHARED_MIN: usize = 4096;

    /// How many bytes are still to be sent.
    #[inline]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing is left to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a copy of `bytes`.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
    }

    /// Adds shared bytes, without a copy where that is worth it.
    pub fn write_bytes(&mut self, bytes: Bytes) {
        if bytes.len() < Self::SHARED_MIN {
            return self.write(&bytes);
        }
        self.len += bytes.len() as u64;
        self.seal();
        self.queue.push_back(Piece::Bytes(bytes));
    }

    /// Adds part of a file.
    pub fn write_file(&mut self, slice: FileSlice) {
        if slice.len > 0 {
            self.len += slice.len;
            self.seal();
            self.queue.push_back(Piece::File(slice));
        }
    }

    /// Adds a descriptor. Bytes are to be added behind it, with the first of which it goes.
    pub(crate) fn write_descriptor(&mut self, passing: Passing) {
        self.seal();
        self.queue.push_back(Piece::Descriptor(passing));
    }

    /// Lets `fill` append to the bytes that are copied together.
    #[inline]
    pub fn write_with(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        let before = self.tail.len();
        fill(&mut self.tail);
        debug_assert!(self.tail.len() >= before, "an outbox only grows at its end");
        self.len += self.tail.len().saturating_sub(before) as u64;
    }

    /// The file at the very front, if it is a file's turn.
    #[inline]
    pub fn front_file(&self) -> Option<&FileSlice> {
        match self.queue.front() {
            Some(Piece::File(slice)) => Some(slice),
            _ => None,
        }
    }

    /// Whether descriptors are at the very front.
    #[inline]
    pub fn has_front_descriptors(&self) -> bool {
        matches!(self.queue.front(), Some(Piece::Descriptor(_)))
    }

    /// The descriptors at the very front. They go together with the byte behind them, and
    /// [`advance`](Self::advance) takes them off with it.
    pub fn front_descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        self.queue.iter().map_while(|chunk| match chunk {
            Piece::Descriptor(passing) => Some(passing.descriptor()),
            _ => None,
        })
    }

    /// Takes the descriptors at the very front off, for who carries them on in memory.
    pub fn take_front_descriptors(&mut self) -> Vec<Descriptor> {
        let mut taken = Vec::new();
        while self.has_front_descriptors()
            && let Some(Piece::Descriptor(passing)) = self.queue.pop_front()
        {
            taken.push(passing.into_descriptor());
        }
        taken
    }

    /// The first byte, wherever it is: for who sends it with the descriptors before it.
    ///
    /// # Errors
    ///
    /// If it is in a file that cannot be read.
    pub fn first_byte(&self) -> io::Result<Option<u8>> {
        let first = self.queue.iter().find(|chunk| !matches!(chunk, Piece::Descriptor(_)));
        Ok(match first {
            Some(Piece::File(slice)) => {
                let mut byte = Vec::new();
                slice.read_into(1, &mut byte)?;
                byte.first().copied()
            }
            Some(piece) => piece.bytes().and_then(|bytes| bytes.first().copied()),
            None => self.tail.get(self.tail_sent).copied(),
        })
    }

    /// The bytes at the very front; empty if it is a file's or a descriptor's turn or nothing is left.
    #[inline]
    pub fn front(&self) -> &[u8] {
        match self.queue.front() {
            Some(piece) => piece.bytes().unwrap_or_default(),
            None => &self.tail[self.tail_sent..],
        }
    }

    /// Fills `slices` with what comes first, up to the next file or descriptor; answers how many were
    /// filled.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.gather_behind(0, slices)
    }

    /// The same with what comes behind the first `skipped` chunks.
    fn gather_behind<'a>(&'a self, skipped: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for chunk in self.queue.iter().skip(skipped) {
            let (Some(bytes), true) = (chunk.bytes(), count < slices.len()) else { return count };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        if count < slices.len() && self.tail_sent < self.tail.len() {
            slices[count] = IoSlice::new(&self.tail[self.tail_sent..]);
            count += 1;
        }
        count
    }

    /// Fills `slices` with what comes behind the [descriptors](Self::front_descriptors) at the very
    /// front, up to the next file or descriptor; answers how many were filled.
    pub fn gather_passed<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.gather_behind(self.front_descriptors().count(), slices)
    }

    /// Whether [`front`](Self::front) is all that there is.
    #[inline]
    pub fn is_one_slice(&self) -> bool {
        let is_one_chunk = || self.queue.len() == 1 && self.tail_sent == self.tail.len();
        match self.queue.front() {
            None => true,
            Some(Piece::Bytes(_) | Piece::Few { .. }) => is_one_chunk(),
            Some(_) => false,
        }
    }

    /// Takes the first `sent` bytes off: they are on their way.
    #[inline]
    pub fn advance(&mut self, sent: u64) {
        debug_assert!(sent <= self.len, "more was sent than there was");
        let sent = sent.min(self.len);
        self.len -= sent;
        let left = if self.queue.is_empty() { sent } else { self.advance_queue(sent) };
        self.tail_sent += left as usize;
        if self.tail_sent == self.tail.len() {
            self.tail.clear();
            self.tail_sent = 0;
        }
    }

    /// Takes the first `left` bytes off the queue; answers how many more than it had.
    fn advance_queue(&mut self, mut left: u64) -> u64 {
        while left > 0
            && let Some(front) = self.queue.front_mut()
        {
            let size = front.len();
            if left < size {
                front.advance(left);
                return 0;
            }
            left -= size;
            self.queue.pop_front();
        }
        left
    }

    /// Adds all that `other` holds behind what is here, and leaves `other` empty.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.append_behind(other);
    }

    /// The same where descriptors wait here for the bytes of `other`.
    pub(crate) fn append_behind(&mut self, other: &mut Self) {
        self.seal();
        other.seal();
        self.len += std::mem::take(&mut other.len);
        self.queue.append(&mut other.queue);
    }

    /// Takes out the first `count` bytes, or all if there are fewer. Nothing shared is copied.
    pub fn split_to(&mut self, count: u64) -> Self {
        let mut first = Self::default();
        if count >= self.len {
            first.append(self);
            return first;
        }
        self.seal();
        while first.len < count {
            let left = count - first.len;
            if self.has_front_descriptors() {
                first.queue.extend(self.queue.pop_front());
                continue;
            }
            let Some(front) = self.queue.front_mut() else { break };
            let size = left.min(front.len());
            let whole = size == front.len();
            let piece = if whole { self.queue.pop_front() } else { Some(front.split_to(size)) };
            first.queue.extend(piece);
            first.len += size;
            self.len -= size;
        }
        first
    }

    /// Forgets everything; keeps its memory for the next use.
    #[inline]
    pub fn clear(&mut self) {
        if !self.queue.is_empty() {
            self.queue.clear();
        }
        self.tail.clear();
        self.tail_sent = 0;
        self.len = 0;
    }

    /// How many bytes of memory the copied part holds on to.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Takes everything out in order, for transports that read rather than send.
    pub fn drain(&mut self) -> impl Iterator<Item = Chunk> {
        self.seal();
        self.len = 0;
        std::mem::take(&mut self.queue).into_iter().map(Chunk::from)
    }

    /// Moves the copied bytes into the queue, so that something else can stand behind them.
    fn seal(&mut self) {
        let copied = &self.tail[self.tail_sent..];
        if !copied.is_empty() && copied.len() <= FEW_MAX {
            let mut bytes = [0; FEW_MAX];
            bytes[..copied.len()].copy_from_slice(copied);
            self.queue.push_back(Piece::Few { bytes, start: 0, end: copied.len() as u8 });
        } else if !copied.is_empty() {
            let mut bytes = Bytes::from(std::mem::take(&mut self.tail));
            bytes.advance(self.tail_sent);
            self.queue.push_back(Piece::Bytes(bytes));
        }
        self.tail_sent = 0;
        self.tail.clear();
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("len", &self.len).finish_non_exhaustive()
    }
}
