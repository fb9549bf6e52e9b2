//! What the tests share.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use ropewalk_protocol::{Conn, Disconnect, Port as _, Protocol, seat};
use ropewalk_reactor::{ConnectOptions, ListeningPort, Reactor, TcpListenOptions};

/// What a protocol is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Made,
    Data(Vec<u8>),
    Eof,
    Lost(Disconnect),
}

type React = Box<dyn FnMut(&Conn<Witness>, &Note)>;

/// Writes down what it is told, then does what the test wants.
pub(crate) struct Witness {
    notes: Notes,
    react: React,
}

/// What a [`Witness`] wrote down.
#[derive(Clone, Default)]
pub(crate) struct Notes(Rc<RefCell<Vec<Note>>>);

impl Notes {
    pub(crate) fn all(&self) -> Vec<Note> {
        self.0.borrow().clone()
    }

    pub(crate) fn data(&self) -> Vec<u8> {
        let notes = self.0.borrow();
        let data = notes.iter().filter_map(|note| match note {
            Note::Data(data) => Some(data.as_slice()),
            _ => None,
        });
        data.collect::<Vec<_>>().concat()
    }

    pub(crate) fn lost(&self) -> Option<Disconnect> {
        self.0.borrow().iter().find_map(|note| match note {
            Note::Lost(why) => Some(*why),
            _ => None,
        })
    }

    pub(crate) fn has(&self, note: &Note) -> bool {
        self.0.borrow().contains(note)
    }
}

pub(crate) fn witness(react: impl FnMut(&Conn<Witness>, &Note) + 'static) -> (Witness, Notes) {
    let notes = Notes::default();
    (Witness { notes: notes.clone(), react: Box::new(react) }, notes)
}

impl Witness {
    fn note(&mut self, conn: &Conn<Self>, note: Note) {
        (self.react)(conn, &note);
        self.notes.0.borrow_mut().push(note);
    }
}

impl Protocol for Witness {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.note(conn, Note::Made);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.note(conn, Note::Data(data.to_vec()));
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.note(conn, Note::Eof);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.note(conn, Note::Lost(why));
    }
}

/// Says back what it hears, and closes when nothing more comes.
pub(crate) struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

pub(crate) fn echo_at(reactor: &Reactor, address: SocketAddr) -> ListeningPort {
    let factory = Box::new(|_: &ropewalk_protocol::Address| Some(Echo));
    let port =
        reactor.listen_tcp(address, TcpListenOptions::default(), factory).expect("it listens");
    assert_eq!(port.address().ip().map(|bound| bound.ip()), Some(address.ip()));
    port
}

pub(crate) fn connect(reactor: &Reactor, address: SocketAddr, protocol: impl Protocol) {
    reactor.connect_tcp(address, ConnectOptions::default(), seat(protocol));
}

/// Bytes of which no two places look alike.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}
