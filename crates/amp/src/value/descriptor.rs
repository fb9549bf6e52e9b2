use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ropewalk_protocol::{CannotPass, Descriptor as Open};

use super::{Field, Value};
use crate::BadValue;

/// An open file or socket as an argument or in an answer: it goes to the other process beside the box,
/// over Unix stream sockets that nothing encrypts.
///
/// In the box stands how many descriptors were sent before it. It is a field, or one of a row in an
/// [`AmpList`](crate::AmpList); a list alone has none, as Twisted's has not. Of what is sent, the system
/// makes a copy; of what came, a clone is the same one, and the last of them closes it. Calls that are
/// made before the connection is cannot pass any.
///
/// ```
/// use ropewalk_amp::{Descriptor, command};
///
/// command! {
///     /// Has another process go on with a connection.
///     pub GoOn { socket: Descriptor, log: Option<Descriptor> } -> ();
/// }
///
/// # fn example(peer: &ropewalk_amp::Peer, socket: std::net::TcpStream) {
/// peer.call(&GoOn { socket: Descriptor::new(socket), log: None }).on_result(drop);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Descriptor(Arc<Open>);

impl Descriptor {
    /// Makes an argument of what owns a descriptor.
    pub fn new(owner: impl Into<Open>) -> Self {
        Self(Arc::new(owner.into()))
    }

    /// Another descriptor for the same open file.
    ///
    /// # Errors
    ///
    /// If the system refuses, as when this process may open no more.
    pub fn try_clone(&self) -> io::Result<Open> {
        self.0.try_clone()
    }

    /// The descriptor itself, or another one for the same open file if clones of this are about.
    ///
    /// # Errors
    ///
    /// The same, in the second case.
    pub fn into_inner(self) -> io::Result<Open> {
        Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone())
    }
}

/// Two are the same if one is a clone of the other.
impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Descriptor {}

impl Field for Descriptor {
    fn is_present(&self) -> bool {
        true
    }

    fn write(&self, _: &mut Vec<u8>) -> Result<(), BadValue> {
        Err(BadValue::CannotPass(CannotPass::Unsupported))
    }

    fn read(bytes: Option<&[u8]>) -> Result<Self, BadValue> {
        let ordinal = u64::read(bytes)?;
        Err(BadValue::NotPassed { ordinal })
    }

    fn write_beside(
        &self,
        out: &mut Vec<u8>,
        beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        match beside {
            None => self.write(out),
            Some(beside) => beside.pass(self)?.encode(out),
        }
    }

    fn read_beside(bytes: Option<&[u8]>, beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        match beside {
            None => Self::read(bytes),
            Some(beside) => beside.claim(u64::read(bytes)?),
        }
    }
}

impl Field for Option<Descriptor> {
    fn is_present(&self) -> bool {
        self.is_some()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        self.as_ref().map_or(Ok(()), |value| value.write(out))
    }

    fn read(bytes: Option<&[u8]>) -> Result<Self, BadValue> {
        bytes.map(|bytes| Descriptor::read(Some(bytes))).transpose()
    }

    fn write_beside(
        &self,
        out: &mut Vec<u8>,
        beside: Option<&mut DescriptorsOut>,
    ) -> Result<(), BadValue> {
        self.as_ref().map_or(Ok(()), |value| value.write_beside(out, beside))
    }

    fn read_beside(bytes: Option<&[u8]>, beside: Option<&DescriptorsIn>) -> Result<Self, BadValue> {
        bytes.map(|bytes| Descriptor::read_beside(Some(bytes), beside)).transpose()
    }
}

/// Descriptors that go beside a box which is being written.
#[derive(Debug)]
pub struct DescriptorsOut {
    /// How many were sent before.
    first: u64,
    taken: Vec<Open>,
    /// Why no more can be passed than these.
    refusal: CannotPass,
    most: usize,
    is_wanted: bool,
}

impl DescriptorsOut {
    /// For a box that most likely has none: passes none, and remembers whether any was to go.
    pub(crate) fn probe() -> Self {
        Self::at_most(0, CannotPass::Unsupported, 0)
    }

    /// For a box that has some: `first` were sent before, and more than `most` are refused.
    pub(crate) fn at_most(most: usize, refusal: CannotPass, first: u64) -> Self {
        Self { first, taken: Vec::new(), refusal, most, is_wanted: false }
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    pub(crate) fn into_descriptors(self) -> Vec<Open> {
        self.taken
    }

    /// Has a copy go along; answers its number.
    fn pass(&mut self, descriptor: &Descriptor) -> Result<u64, BadValue> {
        self.is_wanted = true;
        if self.taken.len() >= self.most {
            return Err(BadValue::CannotPass(self.refusal));
        }
        let copy = descriptor.try_clone();
        self.taken.push(copy.map_err(|error| BadValue::CannotCopy(error.kind()))?);
        Ok(self.first + self.taken.len() as u64 - 1)
    }
}

/// Descriptors that came beside boxes, until a field claims them.
#[derive(Debug, Default)]
pub struct DescriptorsIn(RefCell<Arrived>);

#[derive(Debug, Default)]
struct Arrived {
    count: u64,
    waiting: BTreeMap<u64, Open>,
}

impl DescriptorsIn {
    /// One came. Beyond `most` that nobody has claimed, the oldest is closed.
    pub(crate) fn add(&self, descriptor: Open, most: usize) {
        let mut arrived = self.0.borrow_mut();
        let ordinal = arrived.count;
        arrived.count += 1;
        arrived.waiting.insert(ordinal, descriptor);
        while arrived.waiting.len() > most {
            arrived.waiting.pop_first();
        }
    }

    fn claim(&self, ordinal: u64) -> Result<Descriptor, BadValue> {
        let found = self.0.borrow_mut().waiting.remove(&ordinal);
        found.map(Descriptor::new).ok_or(BadValue::NotPassed { ordinal })
    }
}
