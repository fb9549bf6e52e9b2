//! Descriptors that go beside the bytes of a Unix stream.

mod leaks;
mod told;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_protocol::{
    Address, CannotPass, Conn, DESCRIPTORS_WAITING_MAX, Descriptor, Disconnect, Protocol, seat,
    seat_and_tell,
};
use ropewalk_reactor::{ConnectOptions, DriverKind, UnixListenOptions};
use rustix::io::{FdFlags, fcntl_getfd};

use crate::kit::{
    Folder, Seen, Witness, bytes, come_to_rest, connect, listen, on_each_driver, reactor,
    turn_until,
};
use told::{Notes, Taker, Told, file, pass, receive, taker};

on_each_driver! {
    they_come_in_order_with_their_bytes_between_two_of_ours,
    they_go_with_the_first_byte_that_is_written_after_them,
    they_come_before_the_byte_that_they_were_sent_with,
    among_much_output_each_comes_in_its_place,
    one_goes_with_the_first_byte_of_a_file,
    none_is_told_of_while_reading_is_paused,
    they_come_before_the_end_of_the_stream,
    those_not_told_of_are_for_the_protocol_that_takes_over,
    only_so_many_wait,
    tcp_refuses_them,
    a_protocol_can_ask_for_them_later,
    what_comes_does_not_outlive_an_exec,
}

fn they_come_in_order_with_their_bytes_between_two_of_ours(kind: DriverKind) {
    let (reactor, folder) = (reactor(kind), Folder::new("descriptors"));
    let path = folder.path("socket");
    let server = Notes::default();
    let notes = server.clone();
    let factory = Box::new(move |_: &Address| {
        let react = |conn: &Conn<Taker>, told: &Told| {
            // Sends back what it is passed.
            if let Told::Passed(text) = told {
                conn.send_descriptor(file(&text.to_uppercase())).unwrap();
                conn.write(text.as_bytes());
            }
        };
        Some(Taker::new(&notes, 8, react))
    });
    let _port = reactor.listen_unix(&path, UnixListenOptions::default(), factory).unwrap();
    let client = Notes::default();
    let taker = Taker::new(&client, 8, |_, _| ());
    let (seat, made) = seat_and_tell(taker);
    reactor.connect_unix(&path, ConnectOptions::default(), seat);
    let conn = reactor.run_until(made).unwrap();
    conn.write(b"first,");
    for name in ["a", "b", "c"] {
        conn.send_descriptor(file(name)).unwrap();
        conn.write(format!("with {name},").as_bytes());
    }
    conn.send_descriptor(file("d")).unwrap();
    conn.send_descriptor(file("e")).unwrap();
    conn.write(b"with both");
    turn_until(&reactor, || client.passed().len() == 5 && client.bytes() == "abcde");
    assert_eq!(server.bytes(), "first,with a,with b,with c,with both");
    let places = [("a", 6), ("b", 13), ("c", 20), ("d", 27), ("e", 27)];
    check_places(&server, &places);
    check_places(&client, &[("A", 0), ("B", 1), ("C", 2), ("D", 3), ("E", 4)]);
    assert_eq!(conn.descriptors_waiting(), 0);
    conn.close();
    turn_until(&reactor, || server.lost().is_some() && client.lost().is_some());
}

/// They came in this order, each before the byte of this number.
#[track_caller]
fn check_places(notes: &Notes, wanted: &[(&str, usize)]) {
    let passed = notes.passed();
    let names: Vec<_> = passed.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, wanted.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for ((_, came), (name, place)) in passed.iter().zip(wanted) {
        assert!(came <= place, "{name} came after {came} bytes, and was sent before byte {place}");
    }
}

fn they_go_with_the_first_byte_that_is_written_after_them(kind: DriverKind) {
    let reactor = reactor(kind);
    let (conn, _, there) = taker(&reactor, 1, |_, _| ());
    conn.write(b"ab");
    conn.send_descriptor(file("one")).unwrap();
    come_to_rest(&reactor);
    // Not even an empty write takes it along.
    conn.write(b"");
    come_to_rest(&reactor);
    assert_eq!(conn.descriptors_waiting(), 1);
    assert_eq!(receive(&there, 100), ("ab".to_owned(), vec![]));
    conn.write(b"cd");
    conn.send_descriptor(file("two")).unwrap();
    conn.send_descriptor(file("three")).unwrap();
    conn.write_with(|out| out.extend_from_slice(b"ef"));
    come_to_rest(&reactor);
    assert_eq!(conn.descriptors_waiting(), 0);
    assert_eq!(receive(&there, 1), ("c".to_owned(), vec!["one".to_owned()]));
    assert_eq!(receive(&there, 1), ("d".to_owned(), vec![]));
    assert_eq!(receive(&there, 1), ("e".to_owned(), vec!["two".to_owned(), "three".to_owned()]));
    assert_eq!(receive(&there, 9), ("f".to_owned(), vec![]));
}

fn they_come_before_the_byte_that_they_were_sent_with(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_conn, notes, mut there) = taker(&reactor, 2, |_, _| ());
    there.write_all(b"ab").unwrap();
    turn_until(&reactor, || notes.bytes() == "ab");
    pass(&there, "cd", &[file("one"), file("two")]);
    pass(&there, "e", &[file("three")]);
    there.write_all(b"f").unwrap();
    turn_until(&reactor, || notes.bytes() == "abcdef");
    let passed = |name: &str| Told::Passed(name.to_owned());
    let bytes = |bytes: &str| Told::Bytes(bytes.to_owned());
    let wanted =
        [bytes("ab"), passed("one"), passed("two"), bytes("cd"), passed("three"), bytes("ef")];
    assert_eq!(notes.all(), wanted);
}

fn among_much_output_each_comes_in_its_place(kind: DriverKind) {
    const COUNT: usize = 40;
    let reactor = reactor(kind);
    let (here, there) = UnixStream::pair().unwrap();
    let notes = Notes::default();
    let receiver = Taker::new(&notes, COUNT, |_, _| ());
    reactor.adopt_stream(there.into(), seat(receiver)).unwrap();
    let (seat, made) = seat_and_tell(Witness::default());
    reactor.adopt_stream(here.into(), seat).unwrap();
    let conn = reactor.run_until(made).unwrap();
    let (mut places, mut written) = (Vec::new(), 0);
    for index in 0..COUNT {
        // Small pieces, pieces larger than the kernel takes, and pieces that are shared.
        let size = [1, 10, 5_000, 100_000, 700_000][index % 5];
        let piece: Vec<u8> = bytes(size).into_iter().map(|byte| b'a' + byte % 26).collect();
        places.push((index.to_string(), written));
        conn.send_descriptor(file(&index.to_string())).unwrap();
        match index % 2 {
            0 => conn.write(&piece),
            _ => conn.write_bytes(piece.into()),
        }
        written += size;
    }
    assert_eq!(conn.descriptors_waiting(), COUNT);
    turn_until(&reactor, || notes.bytes().len() == written);
    let places: Vec<_> = places.iter().map(|(name, place)| (name.as_str(), *place)).collect();
    check_places(&notes, &places);
    assert_eq!(conn.descriptors_waiting(), 0);
    // A system call takes at least the bytes before the next one along.
    let first = notes.passed()[5].1;
    assert!(first >= 1_000, "the sixth came after {first} bytes already");
}

fn one_goes_with_the_first_byte_of_a_file(kind: DriverKind) {
    let reactor = reactor(kind);
    let (conn, _, there) = taker(&reactor, 1, |_, _| ());
    conn.send_descriptor(file("one")).unwrap();
    conn.write_file(Arc::new(file("contents")), 2, 6);
    conn.write(b"!");
    come_to_rest(&reactor);
    assert_eq!(receive(&there, 1), ("n".to_owned(), vec!["one".to_owned()]));
    assert_eq!(receive(&there, 50), ("tents!".to_owned(), vec![]));
}

fn none_is_told_of_while_reading_is_paused(kind: DriverKind) {
    let reactor = reactor(kind);
    // Pauses at the first of three, in the middle of what one receive has brought.
    let (conn, notes, there) = taker(&reactor, 3, |conn, told| {
        if *told == Told::Passed("one".to_owned()) {
            conn.pause_reading();
        }
    });
    pass(&there, "xyz", &[file("one"), file("two"), file("three")]);
    pass(&there, "more", &[file("four")]);
    turn_until(&reactor, || !notes.all().is_empty());
    come_to_rest(&reactor);
    assert_eq!(notes.all(), [Told::Passed("one".to_owned())]);
    conn.resume_reading();
    turn_until(&reactor, || notes.bytes() == "xyzmore");
    check_places(&notes, &[("one", 0), ("two", 0), ("three", 0), ("four", 3)]);
    // Nothing is received that nobody wants.
    conn.pause_reading();
    come_to_rest(&reactor);
    pass(&there, "late", &[file("five")]);
    come_to_rest(&reactor);
    assert_eq!(notes.passed().len(), 4);
    conn.resume_reading();
    turn_until(&reactor, || notes.bytes() == "xyzmorelate");
    assert_eq!(notes.passed()[4].0, "five");
}

fn they_come_before_the_end_of_the_stream(kind: DriverKind) {
    let reactor = reactor(kind);
    let (conn, notes, there) = taker(&reactor, 1, |_, _| ());
    conn.send_descriptor(file("out")).unwrap();
    conn.write(b"bye");
    conn.close_write();
    assert_eq!(conn.send_descriptor(file("late")).unwrap_err(), CannotPass::NotOpen);
    come_to_rest(&reactor);
    assert_eq!(receive(&there, 9), ("bye".to_owned(), vec!["out".to_owned()]));
    assert_eq!(receive(&there, 9), (String::new(), vec![]));
    pass(&there, "too", &[file("in")]);
    there.shutdown(Shutdown::Write).unwrap();
    turn_until(&reactor, || notes.lost().is_some());
    let wanted = [
        Told::Passed("in".to_owned()),
        Told::Bytes("too".to_owned()),
        Told::Eof,
        Told::Lost(Disconnect::Closed),
    ];
    assert_eq!(notes.all(), wanted);
    assert_eq!(conn.accept_descriptors(1).unwrap_err(), CannotPass::NotOpen);
}

fn those_not_told_of_are_for_the_protocol_that_takes_over(kind: DriverKind) {
    let reactor = reactor(kind);
    let next = Notes::default();
    let successor = next.clone();
    let (conn, notes, there) = taker(&reactor, 3, move |conn, told| {
        if *told == Told::Passed("one".to_owned()) {
            // One that waits for its byte goes over as well.
            conn.send_descriptor(file("back")).unwrap();
            let react = |conn: &Conn<Taker>, told: &Told| {
                if *told == Told::Bytes("xyz".to_owned()) {
                    conn.write(b"here");
                }
            };
            conn.switch_protocol(Taker::new(&successor, 0, react), b"");
        }
    });
    pass(&there, "xyz", &[file("one"), file("two"), file("three")]);
    turn_until(&reactor, || next.bytes() == "xyz");
    assert_eq!(notes.all(), [Told::Passed("one".to_owned()), Told::Lost(Disconnect::Switched)]);
    check_places(&next, &[("two", 0), ("three", 0)]);
    assert_eq!(receive(&there, 9), ("here".to_owned(), vec!["back".to_owned()]));
    drop(conn);
}

fn only_so_many_wait(kind: DriverKind) {
    let reactor = reactor(kind);
    let (conn, _, there) = taker(&reactor, 1, |_, _| ());
    for _ in 0..DESCRIPTORS_WAITING_MAX {
        conn.send_descriptor(file("waits")).unwrap();
    }
    assert_eq!(conn.descriptors_waiting(), DESCRIPTORS_WAITING_MAX);
    assert_eq!(conn.send_descriptor(file("one more")).unwrap_err(), CannotPass::TooMany);
    conn.write(b"x");
    assert_eq!(conn.send_descriptor(file("one more")).unwrap_err(), CannotPass::TooMany);
    come_to_rest(&reactor);
    assert_eq!(conn.descriptors_waiting(), 0);
    let (bytes, texts) = receive(&there, 100);
    assert_eq!((bytes.as_str(), texts.len()), ("x", DESCRIPTORS_WAITING_MAX));
    conn.send_descriptor(file("one more")).unwrap();
}

fn tcp_refuses_them(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, Witness::default);
    let seen = Rc::new(Seen::default());
    connect(&reactor, address, Witness::new(&seen));
    turn_until(&reactor, || seen.made.get() == 1);
    let conn = seen.conn();
    assert!(!conn.passes_descriptors());
    assert_eq!(conn.send_descriptor(file("x")).unwrap_err(), CannotPass::Unsupported);
    assert_eq!(conn.accept_descriptors(1).unwrap_err(), CannotPass::Unsupported);
    conn.abort();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(conn.send_descriptor(file("x")).unwrap_err(), CannotPass::NotOpen);
}

fn a_protocol_can_ask_for_them_later(kind: DriverKind) {
    let reactor = reactor(kind);
    let (conn, notes, mut there) = taker(&reactor, 0, |conn, told| {
        if *told == Told::Bytes("now".to_owned()) {
            conn.accept_descriptors(1).unwrap();
            conn.write(b"!");
        }
    });
    pass(&there, "too early", &[file("none")]);
    turn_until(&reactor, || notes.bytes() == "too early");
    notes.0.borrow_mut().clear();
    there.write_all(b"now").unwrap();
    turn_until(&reactor, || notes.bytes() == "now");
    come_to_rest(&reactor);
    there.read_exact(&mut [0]).unwrap();
    pass(&there, "then", &[file("one")]);
    turn_until(&reactor, || notes.bytes() == "nowthen");
    check_places(&notes, &[("one", 3)]);
    drop(conn);
}

/// Keeps what it is passed.
struct Keeper(Rc<RefCell<Vec<Descriptor>>>);

impl Protocol for Keeper {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.accept_descriptors(1).unwrap();
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn descriptor_received(&mut self, _: &Conn<Self>, descriptor: Descriptor) {
        self.0.borrow_mut().push(descriptor);
    }
}

fn what_comes_does_not_outlive_an_exec(kind: DriverKind) {
    let reactor = reactor(kind);
    let (here, there) = UnixStream::pair().unwrap();
    let kept = Rc::new(RefCell::new(Vec::new()));
    reactor.adopt_stream(here.into(), seat(Keeper(Rc::clone(&kept)))).unwrap();
    pass(&there, "x", &[file("one")]);
    turn_until(&reactor, || kept.borrow().len() == 1);
    let flags = fcntl_getfd(&kept.borrow()[0]).unwrap();
    assert!(flags.contains(FdFlags::CLOEXEC));
}
