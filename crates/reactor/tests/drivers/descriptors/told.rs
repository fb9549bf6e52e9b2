//! A protocol that takes descriptors, and programs that pass some.

use std::cell::RefCell;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use ropewalk_protocol::{
    Conn, DESCRIPTORS_AT_ONCE_MAX, Descriptor, Disconnect, Protocol, seat_and_tell,
};
use ropewalk_reactor::Reactor;
use rustix::cmsg_space;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// A file in memory that holds this.
pub(super) fn file(text: &str) -> File {
    let mut file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(text.as_bytes()).unwrap();
    file
}

/// What the file of a descriptor holds.
pub(super) fn text(descriptor: impl Into<Descriptor>) -> String {
    let (mut file, mut text) = (descriptor.into().into_file(), String::new());
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Bytes(String),
    /// A descriptor, whose file holds this.
    Passed(String),
    Eof,
    Lost(Disconnect),
}

/// What a [`Taker`] was told, in order.
#[derive(Clone, Default)]
pub(super) struct Notes(pub(super) Rc<RefCell<Vec<Told>>>);

impl Notes {
    pub(super) fn add(&self, told: Told) {
        let mut notes = self.0.borrow_mut();
        match (notes.last_mut(), told) {
            (Some(Told::Bytes(before)), Told::Bytes(more)) => before.push_str(&more),
            (_, told) => notes.push(told),
        }
    }

    pub(super) fn all(&self) -> Vec<Told> {
        self.0.borrow().clone()
    }

    pub(super) fn bytes(&self) -> String {
        let bytes =
            |told: &Told| if let Told::Bytes(bytes) = told { bytes.clone() } else { String::new() };
        self.0.borrow().iter().map(bytes).collect()
    }

    /// The descriptors, each with how many bytes had come before it.
    pub(super) fn passed(&self) -> Vec<(String, usize)> {
        let mut count = 0;
        let mut passed = Vec::new();
        for told in self.0.borrow().iter() {
            match told {
                Told::Bytes(bytes) => count += bytes.len(),
                Told::Passed(text) => passed.push((text.clone(), count)),
                _ => (),
            }
        }
        passed
    }

    pub(super) fn lost(&self) -> Option<Disconnect> {
        match self.0.borrow().last() {
            Some(Told::Lost(why)) => Some(*why),
            _ => None,
        }
    }
}

type React = Box<dyn FnMut(&Conn<Taker>, &Told)>;

/// Accepts descriptors, and does what the test wants when it is told something.
pub(super) struct Taker {
    notes: Notes,
    at_once: usize,
    react: React,
}

impl Taker {
    pub(super) fn new(
        notes: &Notes,
        at_once: usize,
        react: impl FnMut(&Conn<Self>, &Told) + 'static,
    ) -> Self {
        Self { notes: notes.clone(), at_once, react: Box::new(react) }
    }

    fn told(&mut self, conn: &Conn<Self>, told: &Told) {
        self.notes.add(told.clone());
        (self.react)(conn, told);
    }
}

impl Protocol for Taker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if self.at_once > 0 {
            conn.accept_descriptors(self.at_once).unwrap();
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.told(conn, &Told::Bytes(String::from_utf8(data.to_vec()).unwrap()));
    }

    fn descriptor_received(&mut self, conn: &Conn<Self>, descriptor: Descriptor) {
        self.told(conn, &Told::Passed(text(descriptor)));
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.told(conn, &Told::Eof);
        conn.close();
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.told(conn, &Told::Lost(why));
    }
}

/// A protocol of ours that accepts so many at once, on one end of a pair of sockets; and the other end.
pub(super) fn taker(
    reactor: &Reactor,
    at_once: usize,
    react: impl FnMut(&Conn<Taker>, &Told) + 'static,
) -> (Conn<Taker>, Notes, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    let notes = Notes::default();
    let (seat, made) = seat_and_tell(Taker::new(&notes, at_once, react));
    reactor.adopt_stream(here.into(), seat).unwrap();
    (reactor.run_until(made).unwrap(), notes, there)
}

/// Sends bytes with descriptors, as any program would.
pub(super) fn pass(stream: &UnixStream, bytes: &str, files: &[File]) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_AT_ONCE_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let slices = [IoSlice::new(bytes.as_bytes())];
    let sent = sendmsg(stream, &slices, &mut control, SendFlags::empty()).unwrap();
    assert_eq!(sent, bytes.len());
}

/// Receives up to `most` bytes, as any program would.
pub(super) fn receive(stream: &UnixStream, most: usize) -> (String, Vec<String>) {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS_AT_ONCE_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = vec![0; most];
    let slices = &mut [IoSliceMut::new(&mut buffer)];
    let received = recvmsg(stream, slices, &mut control, RecvFlags::empty()).unwrap();
    let mut texts = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            texts.extend(files.map(|file: OwnedFd| text(file)));
        }
    }
    buffer.truncate(received.bytes);
    (String::from_utf8(buffer).unwrap(), texts)
}
