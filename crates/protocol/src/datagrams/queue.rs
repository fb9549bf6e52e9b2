//! Datagrams on their way out.

use std::collections::VecDeque;
use std::fmt;

use crate::Address;

/// What a waiting datagram counts beside its bytes, so that empty ones are bounded too.
pub const DATAGRAM_OVERHEAD: usize = 64;
/// How many bytes that have gone are kept at the front before the others move up.
const GONE_MAX: usize = 64 * 1024;

/// Datagrams to be sent, in order. Their bytes lie one behind the other.
///
/// A transport looks at the front, sends what it can, and [takes it off](Self::advance).
#[derive(Default)]
pub struct DatagramQueue {
    bytes: Vec<u8>,
    /// How much of `bytes` has gone already.
    gone: usize,
    waiting: VecDeque<Waiting>,
}

#[derive(Clone)]
struct Waiting {
    len: usize,
    to: Option<Address>,
}

/// A datagram in a [`DatagramQueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing<'a> {
    /// What is to be sent.
    pub data: &'a [u8],
    /// Where to; to the peer of a connected port if nothing is said.
    pub to: Option<&'a Address>,
}

impl DatagramQueue {
    /// How many datagrams wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What all of them count: their bytes, and [`DATAGRAM_OVERHEAD`] for each.
    pub fn size(&self) -> usize {
        self.bytes.len() - self.gone + self.waiting.len() * DATAGRAM_OVERHEAD
    }

    /// Adds a datagram.
    pub fn push(&mut self, data: &[u8], to: Option<&Address>) {
        self.bytes.extend_from_slice(data);
        self.waiting.push_back(Waiting { len: data.len(), to: to.cloned() });
    }

    /// Adds the datagram that `fill` appends, unless it is larger than `room`; whether it was added.
    pub fn push_with(
        &mut self,
        room: usize,
        to: Option<&Address>,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let before = self.bytes.len();
        fill(&mut self.bytes);
        debug_assert!(self.bytes.len() >= before, "a queue only grows at its end");
        let len = self.bytes.len().saturating_sub(before);
        if len + DATAGRAM_OVERHEAD > room {
            self.bytes.truncate(before);
            return false;
        }
        self.waiting.push_back(Waiting { len, to: to.cloned() });
        true
    }

    /// Adds all that `other` holds behind what is here.
    pub fn append(&mut self, other: &Self) {
        self.bytes.extend_from_slice(other.bytes());
        self.waiting.extend(other.waiting.iter().cloned());
    }

    /// Looks at the datagrams in order. The bytes of each lie right behind those of the one before.
    pub fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> {
        let mut rest = &self.bytes[self.gone..];
        self.waiting.iter().map(move |waiting| {
            let (data, others) = rest.split_at(waiting.len);
            rest = others;
            Outgoing { data, to: waiting.to.as_ref() }
        })
    }

    /// The bytes of all that wait, one datagram behind the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.gone..]
    }

    /// The first datagram.
    pub fn front(&self) -> Option<Outgoing<'_>> {
        self.iter().next()
    }

    /// Takes the first `count` datagrams off, or all if there are fewer.
    pub fn advance(&mut self, count: usize) {
        let count = count.min(self.waiting.len());
        self.gone += self.waiting.drain(..count).map(|waiting| waiting.len).sum::<usize>();
        if self.waiting.is_empty() {
            self.bytes.clear();
            self.gone = 0;
        } else if self.gone > GONE_MAX && self.gone > self.bytes.len() / 2 {
            self.bytes.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// Forgets everything; keeps its memory for the next use.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.gone = 0;
        self.waiting.clear();
    }

    /// How many bytes of memory it holds on to.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.waiting.capacity() * size_of::<Waiting>()
    }
}

impl fmt::Debug for DatagramQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramQueue")
            .field("len", &self.len())
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}
