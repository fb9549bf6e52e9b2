//! Descriptors beside bytes, in memory.

use std::cell::RefCell;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_protocol::{
    Above, Address, Below, CannotPass, Conn, DESCRIPTORS_WAITING_MAX, Descriptor, Disconnect,
    Layer, Layered, Outbox, Protocol, Seat, TlsInfo, seat, seat_and_tell,
};
use ropewalk_trial::{Clock, Memory, Note, Side, Wire, Witness};

/// A descriptor that can be told by what it holds, and its other end.
fn held(text: &str) -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    (reader, writer)
}

fn named(text: &str) -> Descriptor {
    held(text).0.into()
}

fn name(descriptor: Descriptor) -> String {
    let mut name = String::new();
    descriptor.into_file().read_to_string(&mut name).unwrap();
    name
}

/// Whether the descriptor is closed whose other end this is.
fn is_closed(writer: &PipeWriter) -> bool {
    let mut writer = writer;
    writer.write(b"x").is_err()
}

/// Remembers what it is told as one text, descriptors in brackets.
struct Taker {
    told: Rc<RefCell<String>>,
    at_once: usize,
}

impl Protocol for Taker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if self.at_once > 0 {
            conn.accept_descriptors(self.at_once).unwrap();
        }
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.told.borrow_mut().push_str(str::from_utf8(data).unwrap());
    }

    fn descriptor_received(&mut self, _: &Conn<Self>, descriptor: Descriptor) {
        let name = format!("<{}>", name(descriptor));
        self.told.borrow_mut().push_str(&name);
    }
}

fn taker(at_once: usize) -> (Taker, Rc<RefCell<String>>) {
    let told = Rc::new(RefCell::new(String::new()));
    (Taker { told: Rc::clone(&told), at_once }, told)
}

/// Says "ab", passes one with "cdef", and two with "g".
struct Sender;

impl Protocol for Sender {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"ab");
        conn.send_descriptor(named("1")).unwrap();
        conn.write(b"cd");
        conn.write_with(|out| out.extend_from_slice(b"ef"));
        conn.send_descriptor(named("2")).unwrap();
        conn.send_descriptor(named("3")).unwrap();
        conn.write(b"g");
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}

/// Leaves everything as it is.
struct Glass;

impl Layer for Glass {
    const PASSES_DESCRIPTORS: bool = true;
}

/// Swaps the case of all that comes in.
struct Swapped;

impl Layer for Swapped {
    fn data_received(&mut self, _: &Below<Self>, above: &mut Above<Self>, data: &[u8]) {
        let swapped: Vec<u8> = data.iter().map(|byte| byte ^ 0x20).collect();
        above.data_received(&swapped);
    }
}

fn glazed(protocol: impl Protocol) -> Box<dyn Seat> {
    Layered::seat(Glass, Layered::seat(Glass, seat(protocol)))
}

#[test]
fn however_they_are_cut_bytes_and_descriptors_keep_their_order() {
    for size in 1..=8 {
        let (taker, told) = taker(2);
        Wire::join(Sender, taker).in_chunks_of(size).run();
        assert_eq!(*told.borrow(), "ab<1>cdef<2><3>g", "in pieces of {size}");
    }
}

#[test]
fn layers_that_leave_bytes_as_they_are_pass_them() {
    for size in 1..=8 {
        let (clock, (taker, told)) = (Clock::new(), taker(2));
        let there = Memory::take_seat(glazed(taker), &clock);
        let here = Memory::take_seat(glazed(Sender), &clock);
        Wire::of(&clock, here, there).in_chunks_of(size).run();
        assert_eq!(*told.borrow(), "ab<1>cdef<2><3>g", "in pieces of {size}");
    }
}

#[test]
fn layers_that_change_bytes_refuse_them_and_close_those_that_come() {
    let clock = Clock::new();
    let (quiet, notes) = Witness::quiet();
    let (above, made) = seat_and_tell(quiet);
    // Below, they are accepted, as by a protocol that the layer came in under.
    let below = Layered::seat(Glass, Layered::seat(Swapped, above));
    let mut memory = Memory::take_seat(below, &clock);
    let conn = made.now_or_never().unwrap().unwrap();
    assert!(!conn.passes_descriptors());
    assert_eq!(conn.accept_descriptors(1), Err(CannotPass::Unsupported));
    let (reader, writer) = held("x");
    assert_eq!(conn.send_descriptor(reader), Err(CannotPass::Unsupported));
    assert!(is_closed(&writer));
    let (reader, writer) = held("x");
    memory.push_passing([reader.into()], b"abc");
    assert!(is_closed(&writer));
    assert_eq!(notes.all(), [Note::Made, Note::Data(b"ABC".to_vec())]);
}

#[test]
fn one_that_comes_to_a_layer_that_changes_bytes_is_closed() {
    let (protocol, notes) = Witness::new(|conn, note| match note {
        Note::Made => conn.accept_descriptors(1).unwrap(),
        Note::Data(data) if data == b"now" => assert!(conn.insert_layer(Swapped, b"")),
        _ => (),
    });
    let mut memory = Memory::seat(protocol, &Clock::new());
    memory.push_passing([named("x")], b"now");
    assert_eq!(notes.take_descriptors().len(), 1);
    let (reader, writer) = held("x");
    memory.push_passing([reader.into()], b"abc");
    assert!(is_closed(&writer) && notes.take_descriptors().is_empty());
    assert_eq!(notes.data(), b"nowABC");
}

#[test]
fn what_is_encrypted_or_goes_over_the_network_refuses_them() {
    let clock = Clock::new();
    let ip = |port| Address::Ip((Ipv4Addr::LOCALHOST, port).into());
    for is_encrypted in [true, false] {
        let (seat, made) = seat_and_tell(Witness::quiet().0);
        let _memory = if is_encrypted {
            Memory::with_tls(seat, &clock, Some(TlsInfo::default()))
        } else {
            Memory::between(seat, &clock, ip(1), ip(2))
        };
        let conn = made.now_or_never().unwrap().unwrap();
        assert_eq!(conn.send_descriptor(named("x")), Err(CannotPass::Unsupported));
        assert_eq!(conn.accept_descriptors(1), Err(CannotPass::Unsupported));
    }
}

#[test]
fn nothing_is_passed_where_nothing_is_sent() {
    let clock = Clock::new();
    let (mut memory, conn) = Memory::seat_with_conn(Witness::quiet().0, &clock);
    conn.close_write();
    memory.run();
    assert_eq!(conn.send_descriptor(named("x")), Err(CannotPass::NotOpen));
    // It still takes some.
    conn.accept_descriptors(1).unwrap();
    conn.abort();
    memory.run();
    assert_eq!(conn.send_descriptor(named("x")), Err(CannotPass::NotOpen));
    assert_eq!(conn.accept_descriptors(1), Err(CannotPass::NotOpen));
}

#[test]
fn so_many_wait_and_no_more() {
    let (mut memory, conn) = Memory::seat_with_conn(Witness::quiet().0, &Clock::new());
    memory.set_room(3);
    conn.write(b"abc");
    for _ in 0..DESCRIPTORS_WAITING_MAX {
        conn.send_descriptor(named("x")).unwrap();
    }
    conn.write(b"def");
    let (reader, writer) = held("x");
    assert_eq!(conn.send_descriptor(reader), Err(CannotPass::TooMany));
    assert!(is_closed(&writer));
    // They wait for the byte behind them, wherever it is.
    assert_eq!(memory.take_sent(), b"abc");
    assert_eq!((conn.descriptors_waiting(), conn.waiting()), (DESCRIPTORS_WAITING_MAX, 3));
    assert_eq!(conn.send_descriptor(named("x")), Err(CannotPass::TooMany));
    memory.set_room(1);
    assert_eq!(memory.take_descriptors().len(), DESCRIPTORS_WAITING_MAX);
    assert_eq!(conn.descriptors_waiting(), 0);
    conn.send_descriptor(named("x")).unwrap();
}

#[test]
fn a_protocol_that_takes_over_passes_what_waits_and_counts_it() {
    let (mut memory, conn) = Memory::seat_with_conn(Witness::quiet().0, &Clock::new());
    memory.set_room(0);
    for _ in 0..DESCRIPTORS_WAITING_MAX - 1 {
        conn.send_descriptor(named("x")).unwrap();
    }
    conn.write(b"a");
    conn.send_descriptor(named("last")).unwrap();
    let next = conn.switch_protocol(Witness::quiet().0, b"");
    memory.run();
    assert_eq!(next.descriptors_waiting(), DESCRIPTORS_WAITING_MAX);
    assert_eq!(next.send_descriptor(named("x")), Err(CannotPass::TooMany));
    memory.set_room(1);
    assert_eq!(next.descriptors_waiting(), 1);
    memory.take_descriptors();
    memory.set_room(9);
    next.write(b"b");
    let passed = memory.take_descriptors();
    assert_eq!(passed.len(), 1);
    for (at, descriptor) in passed {
        assert_eq!((at, name(descriptor)), (1, "last".to_owned()));
    }
}

#[test]
fn those_that_came_wait_while_reading_is_paused_and_come_before_their_bytes() {
    let (taker, told) = taker(3);
    let (mut memory, conn) = Memory::seat_with_conn(taker, &Clock::new());
    memory.push(b"a");
    conn.pause_reading();
    memory.run();
    // A carrier may have something in its hands when it is asked to pause.
    assert_eq!(memory.push_passing([named("x")], b"never"), 0);
    conn.resume_reading();
    memory.push_passing([named("1"), named("2")], b"b");
    assert_eq!(*told.borrow(), "a<1><2>b");
}

/// Pauses at each descriptor, and hands back a part of all bytes.
struct Hesitant(Rc<RefCell<String>>);

impl Protocol for Hesitant {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.accept_descriptors(9).unwrap();
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.0.borrow_mut().push(char::from(data[0]));
        conn.hand_back(&data[1..]);
    }

    fn descriptor_received(&mut self, conn: &Conn<Self>, descriptor: Descriptor) {
        let name = format!("<{}>", name(descriptor));
        self.0.borrow_mut().push_str(&name);
        conn.pause_reading();
        conn.call_later(Duration::from_secs(1), |_, conn| conn.resume_reading());
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.0.borrow_mut().push('.');
        conn.close();
    }
}

#[test]
fn pauses_and_bytes_that_are_handed_back_change_nothing_about_their_order() {
    let told = Rc::new(RefCell::new(String::new()));
    let mut memory = Memory::seat(Hesitant(Rc::clone(&told)), &Clock::new());
    memory.push_passing([named("1"), named("2"), named("3")], b"abc");
    memory.eof();
    assert_eq!(*told.borrow(), "<1>");
    memory.advance(Duration::from_secs(1));
    assert_eq!(*told.borrow(), "<1><2>");
    memory.advance(Duration::from_secs(5));
    assert_eq!(*told.borrow(), "<1><2><3>abc.");
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn those_that_nobody_was_told_of_are_for_the_next_protocol_or_closed() {
    // It switches at the first.
    let (next, told) = taker(0);
    let mut next = Some(next);
    let (first, notes) = Witness::new(move |conn, note| match note {
        Note::Made => conn.accept_descriptors(9).unwrap(),
        Note::Descriptor => {
            conn.pause_reading();
            conn.call_later(Duration::ZERO, |_, _| ());
            if let Some(next) = next.take() {
                conn.switch_protocol(next, b"rest,");
            }
        }
        _ => (),
    });
    let mut memory = Memory::seat(first, &Clock::new());
    memory.push_passing([named("1"), named("2"), named("3")], b"abc");
    assert_eq!(notes.take_descriptors().len(), 1);
    assert_eq!(*told.borrow(), "rest,<2><3>abc");
    // It ends at the first.
    for end in [Conn::abort, Conn::close] as [fn(&Conn<Witness>); 2] {
        let (first, notes) = Witness::new(move |conn, note| match note {
            Note::Made => conn.accept_descriptors(9).unwrap(),
            Note::Descriptor => {
                conn.pause_reading();
                end(conn);
            }
            _ => (),
        });
        let mut memory = Memory::seat(first, &Clock::new());
        let (reader, writer) = held("x");
        memory.push_passing([named("1"), reader.into()], b"abc");
        assert!(is_closed(&writer));
        assert_eq!((notes.take_descriptors().len(), notes.len()), (1, 0));
    }
}

#[test]
fn those_that_are_not_sent_are_closed_with_the_connection() {
    let (mut memory, conn) = Memory::seat_with_conn(Witness::quiet().0, &Clock::new());
    memory.set_room(0);
    let ends: Vec<_> = (0..3)
        .map(|index| {
            let (reader, writer) = held("x");
            conn.send_descriptor(reader).unwrap();
            if index < 2 {
                conn.write(b"with it");
            }
            writer
        })
        .collect();
    memory.run();
    assert!(!ends.iter().any(is_closed));
    conn.abort();
    memory.run();
    assert!(ends.iter().all(is_closed));
}

#[test]
fn more_at_once_than_accepted_end_the_connection_and_none_accepted_are_closed() {
    let (taker, told) = taker(1);
    let mut memory = Memory::seat(taker, &Clock::new());
    memory.push_passing([named("1")], b"a");
    assert_eq!(memory.push_passing([named("2"), named("3")], b"b"), 0);
    assert_eq!(memory.ended(), Some(Disconnect::DescriptorsLost));
    assert_eq!(*told.borrow(), "<1>a");
    let (taker, told) = self::taker(0);
    let mut memory = Memory::seat(taker, &Clock::new());
    let (reader, writer) = held("x");
    memory.push_passing([reader.into()], b"a");
    assert!(is_closed(&writer));
    assert_eq!((told.borrow().as_str(), memory.ended()), ("a", None));
}

/// Counts what goes through, and lets a few bytes through at a time.
struct Drip(Outbox);

impl Layer for Drip {
    const PASSES_DESCRIPTORS: bool = true;

    fn output_written(&mut self, below: &Below<Self>, mut out: Box<Outbox>) {
        self.0.append(&mut out);
        self.drip(below);
    }

    fn held(&self) -> u64 {
        self.0.len()
    }
}

impl Drip {
    fn drip(&mut self, below: &Below<Self>) {
        below.write_outbox(Box::new(self.0.split_to(3)));
        if !self.0.is_empty() {
            below.call_later(Duration::from_millis(1), |this, below| {
                this.with(below, |layer, below, _| layer.drip(below));
            });
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Copied(usize),
    Shared(usize),
    File(usize),
    Pass,
    Room(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..9_usize).prop_map(Step::Copied),
        (4090..4100_usize).prop_map(Step::Shared),
        (1..20_usize).prop_map(Step::File),
        Just(Step::Pass),
        (0..5000_u64).prop_map(Step::Room),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Writes, passes and sends as the steps say; answers where each descriptor went out, and where it was to.
fn places(drips: bool, steps: &[Step]) -> (Vec<u64>, Vec<u64>) {
    let (seat, made) = seat_and_tell(Witness::quiet().0);
    let seat = if drips { Layered::seat(Drip(Outbox::default()), seat) } else { seat };
    let mut memory = Memory::take_seat(seat, &Clock::new());
    let conn = made.now_or_never().unwrap().unwrap();
    memory.set_room(0);
    let file = std::env::current_exe().and_then(std::fs::File::open).map(Arc::new).unwrap();
    let (mut written, mut wanted, mut waiting) = (0, Vec::new(), 0);
    for step in steps {
        match *step {
            Step::Copied(size) => conn.write(&vec![b'x'; size]),
            Step::Shared(size) => conn.write_bytes(vec![b'x'; size].into()),
            Step::File(size) => conn.write_file(Arc::clone(&file), 5, size as u64),
            Step::Pass => waiting += usize::from(conn.send_descriptor(named("x")).is_ok()),
            Step::Room(room) => memory.set_room(room),
        }
        if let Step::Copied(size) | Step::Shared(size) | Step::File(size) = *step
            && size > 0
        {
            wanted.extend(std::iter::repeat_n(written, std::mem::take(&mut waiting)));
            written += size as u64;
        }
    }
    memory.set_room(u64::MAX);
    memory.advance(Duration::from_mins(1));
    assert_eq!(memory.take_sent().len() as u64, written);
    let passed = memory.take_descriptors();
    (passed.into_iter().map(|(at, _)| at).collect(), wanted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn each_goes_with_its_byte_however_output_is_written_and_taken(steps in steps()) {
        for drips in [false, true] {
            let (came, wanted) = places(drips, &steps);
            prop_assert_eq!(came, wanted);
        }
    }
}

#[test]
fn a_wire_that_is_cut_closes_what_is_under_way() {
    let (stopped, _) = Witness::new(|conn, note| {
        if *note == Note::Made {
            conn.accept_descriptors(9).unwrap();
            conn.pause_reading();
        }
    });
    let (reader, writer) = held("x");
    let mut reader = Some(reader);
    let (sender, _) = Witness::new(move |conn, note| {
        if *note == Note::Made
            && let Some(reader) = reader.take()
        {
            conn.send_descriptor(reader).unwrap();
            conn.write(b"x");
        }
    });
    let mut wire = Wire::join(sender, stopped);
    wire.run();
    assert!(!is_closed(&writer));
    wire.cut();
    assert!(is_closed(&writer));
    assert_eq!(wire.ended(Side::Server), Some(Disconnect::Reset));
}
