//! What comes for streams that this end has reset: what was under way is passed over, and no more than that.

use std::time::Duration;

use ropewalk_http2::frame::{ErrorCode, PREFACE};
use ropewalk_http2::{Allowance, Connection, Fatal, Limits, Nuisance};

use crate::corpus::{field, say};
use crate::ends::request;
use crate::frames::raw;

const POST: [u8; 3] = [0x83, 0x87, 0x84];

/// An end that has reset stream 1, on which the peer may still have something under way.
struct End {
    connection: Connection,
    /// What it says since.
    out: Vec<u8>,
}

impl End {
    /// A server that was sent `sent` octets of a body that it does not want.
    fn server(limits: Limits, sent: usize) -> Self {
        let mut end = Self { connection: Connection::server(limits), out: Vec::new() };
        end.greet();
        let first = [PREFACE, &raw(4, 0, 0, b"")[..], &raw(4, 1, 0, b"")].concat();
        end.hear(&first).expect("a preface");
        end.hear(&raw(1, 4, 1, &POST)).expect("a request");
        end.hear_body(sent);
        end.reset(1);
        end
    }

    /// A client that was sent `sent` octets of an answer that it does not want.
    fn client(limits: Limits, sent: usize) -> Self {
        let mut end = Self { connection: Connection::client(limits), out: Vec::new() };
        end.greet();
        end.hear(&[raw(4, 0, 0, b""), raw(4, 1, 0, b"")].concat()).expect("settings");
        end.ask();
        end.hear(&raw(1, 4, 1, &[0x88])).expect("an answer");
        end.hear_body(sent);
        end.reset(1);
        end
    }

    /// One of each, alike.
    fn both(limits: Limits, sent: usize) -> [Self; 2] {
        [Self::server(limits, sent), Self::client(limits, sent)]
    }

    fn greet(&mut self) {
        self.connection.greet(&mut self.out);
    }

    fn ask(&mut self) -> u32 {
        self.connection.open(true, &mut self.out, |head| request(head, "/")).expect("a stream")
    }

    fn reset(&mut self, stream: u32) {
        self.connection.reset(stream, ErrorCode::Cancel, &mut self.out);
        self.out.clear();
    }

    /// All events of some octets, in words.
    fn hear(&mut self, octets: &[u8]) -> Result<Vec<String>, Fatal> {
        let (mut input, mut said) = (octets, Vec::new());
        while let Some(event) = self.connection.next(&mut input, Duration::ZERO, &mut self.out)? {
            said.push(say(&event));
        }
        Ok(said)
    }

    fn hear_body(&mut self, len: usize) {
        for part in vec![0; len].chunks(16_384) {
            self.hear(&raw(0, 0, 1, part)).expect("a part of a body");
        }
    }

    /// How much the peer was allowed to send in all, by what was said since the reset.
    fn allowed(&self) -> u32 {
        let (mut rest, mut sum) = (&self.out[..], 0);
        while let [_, _, len, kind, _, _, _, _, stream, payload @ ..] = rest {
            if (*kind, *stream) == (8, 0) {
                sum += u32::from_be_bytes(payload[..4].try_into().expect("four"));
            }
            rest = &payload[usize::from(*len)..];
        }
        sum
    }

    /// The farewell's code.
    fn code(&self) -> u32 {
        let at = self.out.windows(4).position(|part| part[3] == 7 && part[0] == 0);
        let payload = &self.out[at.expect("a farewell") + 9..];
        u32::from_be_bytes(payload[4..8].try_into().expect("four"))
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.window = 40_000;
    limits.connection_window = 65_535;
    limits
}

#[test]
fn a_body_that_was_under_way_is_passed_over_and_its_window_given_back() {
    for size in [1, 100, 16_384] {
        for mut end in End::both(limits(), 10_000) {
            let mut left = 30_000;
            while left > 0 {
                let len = left.min(size);
                let said = end.hear(&raw(0, 0, 1, &vec![0; len])).expect("it was allowed");
                assert_eq!(said, Vec::<String>::new());
                left -= len;
            }
            // Half of the connection's window at a time is worth a word.
            assert!(end.allowed() >= 40_000 - 65_535 / 2, "{}", end.allowed());
            // What was allowed is used up; one octet more was never allowed.
            assert_eq!(end.hear(&raw(0, 0, 1, b"x")), Err(Fatal::WindowExceeded));
            assert_eq!(end.code(), 3, "FLOW_CONTROL_ERROR");
        }
    }
}

#[test]
fn padding_counts_like_what_it_pads() {
    for mut end in End::both(limits(), 39_000) {
        let padded = raw(0, 8, 1, &[&[255], &[0; 255][..]].concat());
        for _ in 0..3 {
            assert_eq!(end.hear(&padded).expect("it was allowed"), Vec::<String>::new());
        }
        assert_eq!(end.hear(&padded), Err(Fatal::WindowExceeded));
    }
}

#[test]
fn sections_that_were_under_way_are_passed_over_up_to_their_bound() {
    let mut few = limits();
    few.late_sections_max = 3;
    for mut end in End::both(few, 0) {
        for _ in 0..3 {
            let said = end.hear(&raw(1, 4, 1, &field("a", "b"))).expect("it was under way");
            assert_eq!(said, Vec::<String>::new());
        }
        let more = end.hear(&raw(1, 4, 1, &field("a", "b")));
        assert_eq!(more, Err(Fatal::StreamClosed { stream: 1 }));
        assert_eq!(end.code(), 5, "STREAM_CLOSED");
    }
}

#[test]
fn behind_the_end_of_what_was_under_way_nothing_comes() {
    for ending in [raw(0, 1, 1, b"x"), raw(1, 5, 1, &field("a", "b"))] {
        for mut end in End::both(limits(), 0) {
            assert_eq!(end.hear(&ending).expect("it was under way"), Vec::<String>::new());
            assert!(end.out.is_empty());
            // The peer has ended the stream, and goes on with it.
            end.hear(&raw(0, 0, 1, b"x")).expect("a stream's fault");
            assert_eq!(end.out, raw(3, 0, 1, &[0, 0, 0, 5]));
        }
        for mut end in End::both(limits(), 0) {
            end.hear(&ending).expect("it was under way");
            let more = end.hear(&raw(1, 4, 1, &field("a", "b")));
            assert_eq!(more, Err(Fatal::StreamClosed { stream: 1 }));
        }
    }
}

#[test]
fn as_many_streams_as_are_open_at_a_time_may_have_something_under_way() {
    let mut end = End::server(Limits::default(), 0);
    for at in 1..128 {
        end.hear(&raw(1, 4, 2 * at + 1, &POST)).expect("a request");
    }
    (1..128).for_each(|at| end.reset(2 * at + 1));
    for at in 0..128 {
        let late = [raw(0, 0, 2 * at + 1, b"x"), raw(1, 5, 2 * at + 1, &field("a", "b"))].concat();
        assert_eq!(end.hear(&late).expect("it was under way"), Vec::<String>::new());
    }
    assert!(end.out.is_empty());
}

#[test]
fn windows_that_are_opened_are_paid_for_by_what_is_sent() {
    let mut few = limits();
    few.updates = Allowance::new(50, 0);
    let most = Err(Fatal::TooMany(Nuisance::Updates));
    for stream in [0, 1] {
        for mut end in End::both(few, 0) {
            let update = raw(8, 0, stream, &[0, 0, 0, 1]);
            for _ in 0..50 {
                end.hear(&update).expect("within the bound");
            }
            assert_eq!(end.hear(&update), most);
            assert_eq!(end.code(), 11, "ENHANCE_YOUR_CALM");
        }
    }
    // Streams and bodies pay for sixteen each.
    let mut end = End::client(few, 0);
    let update = raw(8, 0, 0, &[0, 0, 0, 1]);
    (0..50).for_each(|_| assert!(end.hear(&update).is_ok()));
    end.ask();
    (0..16).for_each(|_| assert!(end.hear(&update).is_ok()));
    let opened = end.connection.open(false, &mut end.out, |head| request(head, "/"));
    let stream = opened.expect("a stream");
    (0..16).for_each(|_| assert!(end.hear(&update).is_ok()));
    assert!(end.connection.data_head(stream, 10, false, &mut end.out).is_some());
    (0..16).for_each(|_| assert!(end.hear(&update).is_ok()));
    assert_eq!(end.hear(&update), most);
}

#[test]
fn a_server_says_once_of_each_stream_that_it_is_over() {
    let mut few = limits();
    few.updates = Allowance::new(5, 0);
    let mut end = End::client(few, 0);
    let over = raw(3, 0, 1, &[0; 4]);
    // The one that crossed with the client's own.
    (0..6).for_each(|_| assert_eq!(end.hear(&over).expect("within the bound"), [""; 0]));
    assert_eq!(end.hear(&over), Err(Fatal::TooMany(Nuisance::Updates)));
}

#[test]
fn who_opens_streams_behind_a_farewell_is_stopped() {
    let mut few = limits();
    few.faults = Allowance::new(5, 0);
    let mut end = End::server(few, 0);
    end.hear(&raw(1, 4, 3, &POST)).expect("a request");
    end.connection.go_away(&mut end.out);
    end.hear(&raw(6, 1, 0, b"goodbye\0")).expect("it has heard");
    let stray = |at: u32| raw(1, 5, 2 * at + 5, &POST);
    (0..5).for_each(|at| assert_eq!(end.hear(&stray(at)).expect("within the bound"), [""; 0]));
    assert_eq!(end.hear(&stray(5)), Err(Fatal::TooMany(Nuisance::Faults)));
}
