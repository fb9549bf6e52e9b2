//! Descriptors that are to be closed, and are.

use std::cell::Cell;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{CannotPass, Conn, DESCRIPTORS_AT_ONCE_MAX, Disconnect, Protocol, seat};
use ropewalk_reactor::{DriverKind, Reactor};
use rustix::cmsg_space;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::told::{Taker, Told, file, pass, receive, taker};
use crate::kit::{come_to_rest, descriptors, on_each_driver, reactor, turn_until};

on_each_driver! { alone
    nothing_is_left_of_those_that_nobody_asked_for,
    nothing_is_left_of_those_that_were_not_told_of,
    nothing_is_left_of_those_that_were_not_sent,
    nothing_is_left_of_those_that_a_protocol_does_not_keep,
    more_at_once_than_accepted_end_the_connection,
    more_than_can_be_opened_end_the_connection,
}

/// Runs a test that must leave as many descriptors open as there were before.
#[track_caller]
fn check_none_left(kind: DriverKind, test: impl Fn(&Reactor)) {
    let reactor = reactor(kind);
    // What is opened once stays.
    test(&reactor);
    come_to_rest(&reactor);
    let before = descriptors();
    for _ in 0..3 {
        test(&reactor);
        come_to_rest(&reactor);
    }
    assert_eq!(descriptors(), before);
}

fn nothing_is_left_of_those_that_nobody_asked_for(kind: DriverKind) {
    check_none_left(kind, |reactor| {
        let (conn, notes, there) = taker(reactor, 0, |_, _| ());
        let before = descriptors();
        let files: Vec<_> = (0..20).map(|_| file("x")).collect();
        pass(&there, "abc", &files);
        drop(files);
        turn_until(reactor, || notes.bytes() == "abc");
        assert_eq!(descriptors(), before, "the system has closed them");
        conn.close();
    });
}

fn nothing_is_left_of_those_that_were_not_told_of(kind: DriverKind) {
    // It ends at the first, in each of the ways in which it can.
    let ways: [fn(&Conn<Taker>); 4] = [
        Conn::abort,
        Conn::close,
        |_| panic!("as planned"),
        |conn| {
            conn.pause_reading();
            conn.abort();
        },
    ];
    std::panic::set_hook(Box::new(|_| ()));
    for way in ways {
        check_none_left(kind, |reactor| {
            let (_, notes, there) = taker(reactor, 50, move |conn, told| {
                if matches!(told, Told::Passed(_)) {
                    way(conn);
                }
            });
            let files: Vec<_> = (0..50).map(|_| file("x")).collect();
            pass(&there, "abc", &files);
            pass(&there, "unread", &files);
            drop(files);
            turn_until(reactor, || notes.lost().is_some());
            assert_eq!(notes.passed().len(), 1);
        });
    }
}

fn nothing_is_left_of_those_that_were_not_sent(kind: DriverKind) {
    check_none_left(kind, |reactor| {
        // Some with the driver, some in the connection's own output, one without a byte to go with.
        let (conn, notes, _there) = taker(reactor, 1, |_, _| ());
        for _ in 0..4 {
            conn.write(&vec![b'x'; 500_000]);
            conn.send_descriptor(file("x")).unwrap();
        }
        come_to_rest(reactor);
        assert!(conn.waiting() > 0 && conn.descriptors_waiting() > 0);
        conn.write(b"more");
        conn.send_descriptor(file("last")).unwrap();
        conn.abort();
        assert_eq!(conn.send_descriptor(file("late")).unwrap_err(), CannotPass::NotOpen);
        turn_until(reactor, || notes.lost().is_some());
        assert_eq!(conn.descriptors_waiting(), 0);
    });
    // One whose byte never comes does not keep a connection from closing.
    check_none_left(kind, |reactor| {
        let (conn, notes, there) = taker(reactor, 1, |_, _| ());
        conn.write(b"bye");
        conn.send_descriptor(file("x")).unwrap();
        conn.close();
        turn_until(reactor, || notes.lost().is_some());
        assert_eq!(notes.lost(), Some(Disconnect::Closed));
        assert_eq!(receive(&there, 9), ("bye".to_owned(), vec![]));
    });
    // And a reactor that goes takes them along.
    let before = descriptors();
    {
        let reactor = reactor(kind);
        let (conn, _, there) = taker(&reactor, 9, |conn, _| conn.pause_reading());
        pass(&there, "abc", &[file("a"), file("b")]);
        conn.write(&vec![b'x'; 3_000_000]);
        conn.send_descriptor(file("x")).unwrap();
        conn.write(b"x");
        come_to_rest(&reactor);
    }
    assert_eq!(descriptors(), before);
}

fn nothing_is_left_of_those_that_a_protocol_does_not_keep(kind: DriverKind) {
    check_none_left(kind, |reactor| {
        /// Accepts them, and has no use for them.
        struct Careless(Rc<Cell<bool>>);

        impl Protocol for Careless {
            fn connection_made(&mut self, conn: &Conn<Self>) {
                conn.accept_descriptors(5).unwrap();
            }

            fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
                self.0.set(true);
                conn.close();
            }
        }
        let (here, there) = UnixStream::pair().unwrap();
        let done = Rc::new(Cell::new(false));
        reactor.adopt_stream(here.into(), seat(Careless(Rc::clone(&done)))).unwrap();
        pass(&there, "x", &[file("one"), file("two")]);
        turn_until(reactor, || done.get());
    });
}

fn more_at_once_than_accepted_end_the_connection(kind: DriverKind) {
    for (accepted, sent) in [(1, 2), (1, 50), (4, 5), (252, DESCRIPTORS_AT_ONCE_MAX)] {
        check_none_left(kind, |reactor| {
            let (_conn, notes, there) = taker(reactor, accepted, |_, _| ());
            let files: Vec<_> = (0..sent).map(|_| file("x")).collect();
            pass(&there, "fine", &files[..accepted]);
            turn_until(reactor, || notes.bytes() == "fine");
            pass(&there, "too many", &files);
            turn_until(reactor, || notes.lost().is_some());
            assert_eq!(notes.lost(), Some(Disconnect::DescriptorsLost));
            assert_eq!((notes.passed().len(), notes.bytes().as_str()), (accepted, "fine"));
        });
    }
}

fn more_than_can_be_opened_end_the_connection(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_conn, notes, there) = taker(&reactor, 100, |_, _| ());
    let one = file("x");
    come_to_rest(&reactor);
    let limits = getrlimit(Resource::Nofile);
    let open = descriptors() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(open + 8), ..limits }).unwrap();
    let same: Vec<_> = (0..4).map(|_| one.try_clone().unwrap()).collect();
    // The same four again and again are more than fit.
    let many: Vec<_> = (0..5).flat_map(|_| same.iter().map(AsFd::as_fd)).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(20))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&many)));
    sendmsg(&there, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.lost(), Some(Disconnect::DescriptorsLost));
    assert!(notes.passed().is_empty());
    setrlimit(Resource::Nofile, limits).unwrap();
    drop(same);
    reactor.turn(Duration::ZERO).unwrap();
    // One less: the connection's own.
    assert_eq!(descriptors() as u64, open - 1);
}
