//! Bytes from nobody's friend.

use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_amp::{Amp, Limits};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory};

use crate::common::{Desk, Note, Sum, wire_box};

/// Both ends of a conversation with somebody who sends these pieces: what was sent back, how it ended.
fn replay<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, Option<Disconnect>, Vec<String>) {
    let desk = Desk::default();
    let limits = Limits { keys_max: 5, box_max: 120, requests_max: 3, ..Limits::default() };
    let amp = Amp::new(desk.responders()).with_limits(limits);
    let peer = amp.peer();
    let mut memory = Memory::seat(amp, &Clock::new());
    let calls = [1, 2].map(|a| peer.call(&Sum { a, b: 0 }));
    for piece in pieces {
        memory.push(piece);
    }
    let sent = memory.take_sent();
    let mut told = desk.notes();
    told.extend(calls.map(|call| {
        format!(
            "{:?}",
            call.now_or_never().map(|sum| { sum.map_err(|failure| failure.to_string()) })
        )
    }));
    (sent, memory.ended(), told)
}

/// Boxes that mean something, mean nothing, or are none.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = prop_oneof![
        Just("_ask"),
        Just("_answer"),
        Just("_error"),
        Just("_command"),
        Just("_error_code"),
        Just("_error_description"),
        Just("a"),
        Just("b"),
        Just("text"),
        Just("name"),
        Just("total"),
        Just("numerator"),
        Just("denominator"),
    ];
    let value = prop_oneof![
        Just("1"),
        Just("2"),
        Just("3"),
        Just("0"),
        Just("-1"),
        Just("Sum"),
        Just("Divide"),
        Just("Note"),
        Just("Wait"),
        Just("Strange"),
        Just("fail"),
        Just(""),
    ];
    let meant = vec((known, value), 0..5).prop_map(|fields| {
        let unique: std::collections::BTreeMap<_, _> = fields.into_iter().collect();
        wire_box(&unique.into_iter().collect::<Vec<_>>())
    });
    let sum = Just(wire_box(&[("_ask", "7"), ("_command", "Sum"), ("a", "1"), ("b", "2")]));
    let answer = Just(wire_box(&[("_answer", "1"), ("total", "2")]));
    let noise = vec(any::<u8>(), 0..8);
    let piece = prop_oneof![4 => meant, 3 => sum, 2 => answer, 1 => noise];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_cut_of_any_bytes_gives_the_same_conversation(bytes in any_bytes(), size in 1..50_usize) {
        let whole = replay([&bytes[..]]);
        prop_assert_eq!(replay(bytes.chunks(size)), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300)) {
        let (_, ended, _) = replay(bytes.chunks(7));
        prop_assert_ne!(ended, Some(Disconnect::Panicked));
    }
}

#[test]
fn a_key_at_a_time_is_as_good_as_all_at_once() {
    let note = Note { text: "x".to_owned() };
    let bytes = wire_box(&[("_command", "Note"), ("text", &note.text)]);
    assert_eq!(replay(bytes.chunks(1)), replay([&bytes[..]]));
}
