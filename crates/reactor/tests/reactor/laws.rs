//! What every protocol may count on, on sockets.

use std::cell::RefCell;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use ropewalk_protocol::{Conn, Disconnect, Protocol};

use crate::kit::{
    Count, Note, Notes, connect, is_quiet, listener, pattern, reactor, serve, serve_one, settle,
    turn_until, with_plain_peer, witness,
};

#[test]
fn connections_begin_and_end_once_and_keep_their_order() {
    let reactor = reactor();
    let (server, heard) = witness(|conn, note| {
        if *note == Note::Eof {
            conn.write(b"goodbye");
            conn.close();
        }
    });
    let address = serve_one(&reactor, server);
    let (client, reply) = witness(|conn, note| match note {
        Note::Made => {
            (0..2000_u32).for_each(|n| conn.write(&n.to_be_bytes()));
            conn.close_write();
            conn.write(b"this comes too late");
        }
        Note::Eof => conn.close(),
        _ => (),
    });
    connect(&reactor, address, client);
    turn_until(&reactor, || heard.lost().is_some() && reply.lost().is_some());
    let sent: Vec<u8> = (0..2000_u32).flat_map(u32::to_be_bytes).collect();
    assert_eq!(heard.data(), sent);
    assert_eq!(heard.all().first(), Some(&Note::Made));
    assert_eq!((heard.lost(), reply.lost()), (Some(Disconnect::Closed), Some(Disconnect::Closed)));
    let bye = Note::Data(b"goodbye".to_vec());
    assert_eq!(reply.all(), [Note::Made, bye, Note::Eof, Note::Lost(Disconnect::Closed)]);
    settle(&reactor);
    assert_eq!(reactor.census().connections, 0);
}

/// What one callback writes leaves with one `send`, after the callback.
#[test]
fn writes_are_sent_together_once_the_protocol_has_returned() {
    let reactor = reactor();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let peer: Rc<RefCell<Option<std::net::TcpStream>>> = Rc::default();
    let (looker, saw) = (Rc::clone(&peer), Rc::clone(&seen));
    let (client, notes) = witness(move |conn, note| {
        if let Note::Data(_) = note {
            conn.write(b"one ");
            conn.write(b"two");
            let mut buffer = [0; 16];
            let looker = looker.borrow();
            let looked = looker.as_ref().unwrap().read(&mut buffer.as_mut_slice()[..]);
            saw.borrow_mut().push(looked.map_err(|error| error.kind()));
        }
    });
    let stream = with_plain_peer(&reactor, client, &notes);
    let mut writer = stream.try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    peer.replace(Some(stream));
    writer.write_all(b"go").unwrap();
    turn_until(&reactor, || !notes.data().is_empty());
    assert_eq!(*seen.borrow(), [Err(ErrorKind::WouldBlock)], "nothing is sent during the call");
    let mut buffer = [0; 16];
    let count = peer.borrow().as_ref().unwrap().read(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"one two");
}

#[test]
fn close_delivers_all_that_was_written_before_it_to_a_slow_reader() {
    const LEN: usize = 10 * 1024 * 1024;
    let reactor = reactor();
    let (client, notes) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(&pattern(LEN));
            conn.close();
            conn.close();
            conn.write(b"too late");
        }
    });
    let mut stream = with_plain_peer(&reactor, client, &notes);
    // The peer has sent something that is never read; that must not cost it anything.
    stream.write_all(b"and by the way").unwrap();
    settle(&reactor);
    assert_eq!(notes.lost(), None, "the kernel's buffers do not take all of it");
    let mut received = Vec::new();
    let mut buffer = [0; 8192];
    while notes.lost().is_none() {
        received.extend_from_slice({
            let count = stream.read(&mut buffer).unwrap();
            &buffer[..count]
        });
        settle(&reactor);
    }
    stream.read_to_end(&mut received).unwrap();
    assert!(received == pattern(LEN), "{} of {LEN} bytes", received.len());
    assert_eq!(notes.lost(), Some(Disconnect::Closed));
    assert_eq!(notes.data(), b"", "nothing is read after a close");
}

#[test]
fn abort_resets_and_delivers_nothing_more() {
    let reactor = reactor();
    let (client, notes) = witness(|conn, note| {
        if let Note::Data(_) = note {
            conn.write(&pattern(1024 * 1024));
            conn.abort();
            conn.abort();
            conn.close();
        }
    });
    let mut stream = with_plain_peer(&reactor, client, &notes);
    stream.write_all(b"go").unwrap();
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.lost(), Some(Disconnect::Aborted));
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn the_peers_reset_is_told_as_such() {
    let reactor = reactor();
    let (client, notes) = listener();
    let stream = with_plain_peer(&reactor, client, &notes);
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.all(), [Note::Made, Note::Lost(Disconnect::Reset)]);
}

/// Panics when it is told of `when`.
struct Bomb {
    when: &'static str,
    notes: Notes,
}

impl Bomb {
    fn new(when: &'static str) -> (Self, Notes) {
        let notes = Notes::default();
        (Self { when, notes: notes.clone() }, notes)
    }

    fn burst(&self, now: &str) {
        assert!(self.notes.lost().is_none(), "told of {now} after the end");
        assert_ne!(self.when, now, "this panic is part of the test");
    }
}

impl Protocol for Bomb {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"never sent if this panics");
        self.burst("made");
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {
        self.burst("data");
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.burst("eof");
        conn.close();
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.notes.add(Note::Lost(why));
        assert_ne!(self.when, "lost", "this panic is part of the test");
    }
}

#[test]
fn a_panicking_protocol_ends_its_own_connection_and_no_other() {
    let reactor = reactor();
    let (_port, echo) = serve(&reactor, || crate::kit::Echo);
    let (survivor, heard) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(b"first");
        }
    });
    connect(&reactor, echo, survivor);
    for when in ["made", "data", "eof", "lost"] {
        let (bomb, notes) = Bomb::new(when);
        let address = serve_one(&reactor, bomb);
        let (client, peer) = witness(|conn, note| match note {
            Note::Made => {
                conn.write(b"tick");
                conn.close_write();
            }
            Note::Eof => conn.close(),
            _ => (),
        });
        connect(&reactor, address, client);
        turn_until(&reactor, || notes.lost().is_some() && peer.lost().is_some());
        let closed = if when == "lost" { Disconnect::Closed } else { Disconnect::Panicked };
        assert_eq!(notes.lost(), Some(closed), "{when}");
    }
    turn_until(&reactor, || heard.data() == b"first");
    assert_eq!(reactor.census().connections, 2);
}

#[test]
fn a_factory_that_panics_or_declines_turns_its_connection_away() {
    let reactor = reactor();
    let count = Count::default();
    let asked = count.clone();
    let factory = Box::new(move |_: &ropewalk_protocol::Address| match asked.add() {
        1 => panic!("this panic is part of the test"),
        2 => None,
        _ => Some(crate::kit::Echo),
    });
    let options = ropewalk_reactor::TcpListenOptions::default();
    let port = reactor.listen_tcp(crate::kit::anywhere(), options, factory).unwrap();
    let address = ropewalk_protocol::Port::address(&port).ip().unwrap();
    for _ in 0..2 {
        let (client, notes) = witness(|conn, note| {
            if *note == Note::Eof {
                conn.close();
            }
        });
        connect(&reactor, address, client);
        turn_until(&reactor, || notes.lost().is_some());
        assert_eq!(notes.data(), b"");
    }
    let (client, notes) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(b"third");
        }
    });
    connect(&reactor, address, client);
    turn_until(&reactor, || notes.data() == b"third");
}

#[test]
fn each_direction_ends_on_its_own() {
    let reactor = reactor();
    let (client, notes) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(b"question");
            conn.close_write();
        }
    });
    let mut stream = with_plain_peer(&reactor, client, &notes);
    settle(&reactor);
    let mut question = Vec::new();
    stream.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    stream.write_all(b"answer").unwrap();
    turn_until(&reactor, || notes.data() == b"answer");
    assert_eq!(notes.lost(), None);
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.all()[2..], [Note::Eof, Note::Lost(Disconnect::Closed)]);

    // The other way round: the peer ends first, and this side goes on.
    let kept: Rc<RefCell<Option<Conn<_>>>> = Rc::default();
    let keep = Rc::clone(&kept);
    let (client, notes) = witness(move |conn, note| {
        if *note == Note::Eof {
            keep.replace(Some(conn.clone()));
        }
    });
    let mut stream = with_plain_peer(&reactor, client, &notes);
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || notes.has(&Note::Eof));
    settle(&reactor);
    assert!(is_quiet(&reactor), "a stream that ended is not told of again and again");
    let conn = kept.take().unwrap();
    conn.write(b"still here");
    conn.close_write();
    let mut heard = Vec::new();
    turn_until(&reactor, || notes.lost().is_some());
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"still here");
    assert_eq!(notes.lost(), Some(Disconnect::Closed));
}

#[test]
fn a_successor_gets_what_was_left_and_the_old_protocol_is_let_go() {
    let reactor = reactor();
    let (second, later) = witness(|conn, note| match note {
        Note::Made => conn.write(b"second."),
        Note::Eof => conn.close(),
        _ => (),
    });
    let mut second = Some(second);
    let (first, before) = witness(move |conn, note| {
        if let Note::Data(data) = note {
            conn.write(b"first.");
            conn.switch_protocol(second.take().unwrap(), &data[4..]);
            conn.write(b"this is dropped");
        }
    });
    let mut stream = with_plain_peer(&reactor, first, &before);
    stream.write_all(b"stepREST").unwrap();
    turn_until(&reactor, || later.data() == b"REST");
    assert_eq!(before.lost(), Some(Disconnect::Switched));
    stream.write_all(b" and more").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || later.lost().is_some());
    assert_eq!(later.data(), b"REST and more");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"first.second.");
}

#[test]
fn a_successor_that_never_took_over_is_told_of_the_end() {
    let reactor = reactor();
    let (second, later) = listener();
    let mut second = Some(second);
    let (first, before) = witness(move |conn, note| {
        if let Note::Data(_) = note {
            conn.switch_protocol(second.take().unwrap(), b"rest");
            conn.abort();
        }
    });
    let mut stream = with_plain_peer(&reactor, first, &before);
    stream.write_all(b"go").unwrap();
    turn_until(&reactor, || before.lost().is_some());
    assert_eq!(before.lost(), Some(Disconnect::Aborted));
    assert_eq!(later.all(), [Note::Lost(Disconnect::Aborted)]);
}

/// Law 10: descriptors and addresses are free before the protocol is told, and nobody mistakes a
/// handle that outlived its connection for that of another.
#[test]
fn what_a_connection_held_is_free_when_it_ends() {
    let reactor = reactor();
    let (_port, echo) = serve(&reactor, || crate::kit::Echo);
    let kept: Rc<RefCell<Vec<Conn<_>>>> = Rc::default();
    let keep = Rc::clone(&kept);
    let (client, notes) = witness(move |conn, note| match note {
        Note::Made => {
            conn.call_later(crate::kit::PATIENCE, |_, _| panic!("the connection is over"));
            keep.borrow_mut().push(conn.clone());
            conn.close();
        }
        Note::Lost(_) => assert_eq!(conn.peer(), ropewalk_protocol::Address::Unnamed),
        _ => (),
    });
    connect(&reactor, echo, client);
    turn_until(&reactor, || notes.lost().is_some());
    settle(&reactor);
    assert_eq!(reactor.census().connections, 0);
    assert_eq!(reactor.next_deadline(), None, "its timer is gone");
    let (other, made) = listener();
    connect(&reactor, echo, other);
    turn_until(&reactor, || made.has(&Note::Made));
    let old = &kept.borrow()[0];
    old.write(b"nobody hears this");
    old.abort();
    assert_eq!(old.peer(), ropewalk_protocol::Address::Unnamed);
    settle(&reactor);
    assert_eq!(made.all(), [Note::Made]);
}
