//! RFC 862 to 868.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use ropewalk_deferred::Deferred;
use ropewalk_protocol::Disconnect;
use ropewalk_small::time::Stamp;
use ropewalk_small::{
    ANSWER_MAX, AskError, IDLE, PATIENCE, chargen, daytime, discard, echo, qotd, time, users,
};
use ropewalk_trial::Side;

use crate::kit::{
    Nobody, Place, SECOND, client, ends_after, error, hears, is_limited, join, just_before, says,
    server, told,
};

const MILLISECOND: Duration = Duration::from_millis(1);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn echo_says_back_what_it_hears() {
    assert_eq!(says(echo::serve, b"hello\r\n\0, world"), "hello\r\n\0, world");
    let mut memory = server(echo::serve());
    memory.push(b"more");
    assert_eq!(memory.ended(), None);
    memory.eof();
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn echo_stops_reading_from_who_does_not_listen() {
    let mut memory = server(echo::serve());
    memory.set_room(0);
    let mut taken = 0;
    while taken < 1 << 20 {
        match memory.push(&[b'x'; 1000]) {
            0 => break,
            count => taken += count,
        }
    }
    assert_eq!(taken, 66_000, "a piece beyond 64 KiB");
    memory.set_room(u64::MAX);
    assert!(memory.is_reading());
    assert_eq!(memory.take_sent().len(), taken);
}

#[test]
fn an_echo_is_measured() {
    let words = vec![b'x'; 200_000];
    for size in [1000, 7919, 300_000] {
        let (wire, answer) = join(|place| echo::ask(place, words.clone()), echo::serve());
        let mut wire = wire.in_chunks_of(size);
        wire.run();
        assert_eq!(told(answer), Ok(Duration::ZERO));
        assert_eq!(wire.ended(Side::Client), Some(Disconnect::Closed));
        assert_eq!(wire.ended(Side::Server), Some(Disconnect::Closed));
    }
    let (mut memory, answer) = client(|place| echo::ask(place, "abc"));
    memory.push(b"a");
    memory.advance(3 * SECOND);
    memory.push(b"bc");
    assert_eq!(told(answer), Ok(3 * SECOND));
    assert_eq!(told(client(|place| echo::ask(place, "")).1), Ok(Duration::ZERO));
}

#[test]
fn an_echo_of_other_words_is_none() {
    let ask = |place: &Place| echo::ask(place, "abc");
    let garbled = |at| Err(AskError::Garbled { at }.to_string());
    assert_eq!(hears(ask, b"abd"), garbled(2));
    assert_eq!(hears(ask, b"xbc"), garbled(0));
    assert_eq!(hears(ask, b"abcd"), Ok(Duration::ZERO), "what comes after it is not looked at");
    let (mut memory, answer) = client(ask);
    memory.push(b"ab");
    memory.eof();
    assert_eq!(error::<_, AskError>(answer), AskError::Short { came: 2, wanted: 3 });
}

#[test]
fn discard_forgets_what_it_hears() {
    assert_eq!(says(discard::serve, b"hello\r\n"), "");
    let (mut wire, sent) = join(|place| discard::send(place, vec![0; 100_000]), discard::serve());
    wire.run();
    assert_eq!(told(sent), Ok(()));
    assert_eq!(wire.sent_by(Side::Client).len(), 100_000);
}

#[test]
fn what_was_not_taken_is_not_discarded() {
    let (mut memory, sent) = client(|place| discard::send(place, "hello"));
    assert!(memory.is_write_closed());
    memory.lose(Disconnect::Reset);
    assert_eq!(error::<_, AskError>(sent), AskError::Lost(Disconnect::Reset));
}

#[test]
fn characters_are_generated_line_by_line() {
    let mut out = Vec::new();
    chargen::encode(0, 96, &mut out);
    let text = String::from_utf8(out).expect("ASCII");
    let lines: Vec<_> = text.split_terminator("\r\n").collect();
    assert!(lines.iter().all(|line| line.len() == 72), "72 characters a line");
    assert!(lines[0].starts_with(" !\"#") && lines[0].ends_with("efg"), "{}", lines[0]);
    assert!(lines[1].starts_with("!\"#$") && lines[1].ends_with("fgh"), "{}", lines[1]);
    assert!(lines[94].starts_with("~ !") && lines[94].ends_with("def"), "{}", lines[94]);
    assert_eq!(lines[95], lines[0]);
}

#[test]
fn characters_come_no_faster_than_they_may() {
    let mut memory = server(chargen::serve());
    assert_eq!(memory.sent().len(), chargen::PIECE);
    memory.advance(chargen::PACE);
    memory.push(b"what is this?");
    assert_eq!(memory.sent().len(), 2 * chargen::PIECE);
    memory.advance(8 * chargen::PACE);
    let mut expected = Vec::new();
    chargen::encode(0, 640, &mut expected);
    assert!(memory.take_sent() == expected, "lines go on from piece to piece");
    memory.eof();
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn characters_wait_for_who_does_not_take_them() {
    let mut memory = server(chargen::serve());
    memory.set_room(0);
    let before = memory.take_sent().len();
    memory.advance(SECOND);
    memory.set_room(10_000_000);
    let waited = memory.take_sent().len();
    assert!(waited > 60_000 && waited <= 64 * 1024 + chargen::PIECE, "{waited} waited");
    memory.advance(chargen::PACE);
    assert_eq!(memory.take_sent().len(), chargen::PIECE);
    assert_eq!(before, chargen::PIECE);
}

#[test]
fn a_client_takes_as_many_characters_as_it_wants() {
    for wanted in [0, 1, chargen::PIECE, 100_000] {
        let (wire, answer) = join(|place| chargen::ask(place, wanted), chargen::serve());
        let mut wire = wire.in_chunks_of(1009);
        wire.advance(SECOND);
        let mut expected = Vec::new();
        chargen::encode(0, wanted / 74 + 1, &mut expected);
        expected.truncate(wanted);
        assert!(told(answer) == Ok(expected), "{wanted}");
        assert!(wire.ended(Side::Server).is_some(), "it is told that this was enough");
    }
    let (mut memory, answer) = client(|place| chargen::ask(place, 3));
    memory.push(b"ab");
    memory.eof();
    assert_eq!(error::<_, AskError>(answer), AskError::Short { came: 2, wanted: 3 });
}

#[test]
fn quotes_are_cut_between_characters() {
    let quote = |text: &str| {
        says(
            || {
                qotd::serve({
                    let text = text.to_owned();
                    move || text.clone()
                })
            },
            b"",
        )
    };
    assert_eq!(quote("To be,\nor not.\n"), "To be,\r\nor not.\r\n");
    assert_eq!(quote("\x1b[2Jgone"), "[2Jgone\r\n");
    let longest = "x".repeat(qotd::QUOTE_MAX - 2);
    assert_eq!(quote(&longest), format!("{longest}\r\n"));
    assert_eq!(quote(&format!("{longest}y")), format!("{longest}\r\n"));
    let umlauts = "ä".repeat(qotd::QUOTE_MAX);
    assert_eq!(quote(&umlauts), format!("{}\r\n", "ä".repeat(255)));
    assert_eq!(quote(&format!("x{umlauts}")), format!("x{}\r\n", "ä".repeat(254)));
    let line = "x".repeat(qotd::QUOTE_MAX - 3);
    assert_eq!(quote(&format!("{line}\nz")), format!("{line}\r\n"));
    let (mut wire, answer) = join(qotd::ask, qotd::serve(|| "one\ntwo".to_owned()));
    wire.run();
    assert_eq!(told(answer), Ok("one\ntwo\n".to_owned()));
}

#[test]
fn users_are_named_one_a_line() {
    let names = || vec!["alice".to_owned(), "bob\nmallory\r\n".to_owned()];
    assert_eq!(says(|| users::serve(names), b"ignored"), "alice\r\nbob mallory  \r\n");
    assert_eq!(hears(users::ask, b"alice\r\nbob\r\n"), Ok(vec!["alice".into(), "bob".into()]));
    assert_eq!(hears(users::ask, b""), Ok(Vec::new()));
}

#[test]
fn the_time_is_told_to_people() {
    let line = |now: SystemTime| says(move || daytime::serve(move || now), b"");
    assert_eq!(line(at(383_247_463)), "Monday, February 22, 1982 17:37:43-UTC\r\n");
    assert_eq!(line(at(1_765_000_000)), "Saturday, December 6, 2025 05:46:40-UTC\r\n");
    assert_eq!(line(at(253_402_300_799)), "Friday, December 31, 9999 23:59:59-UTC\r\n");
    assert_eq!(line(at(253_402_300_800)), "\r\n");
    assert_eq!(line(UNIX_EPOCH - SECOND), "\r\n");
    assert_eq!(hears(daytime::ask, b"\x1b half past\r\n"), Ok("half past".to_owned()));
}

#[test]
fn the_time_is_told_to_machines() {
    let (mut wire, answer) = join(time::ask, time::serve(|| at(1_700_000_000)));
    wire.run();
    assert_eq!(wire.sent_by(Side::Server), 3_908_988_800_u32.to_be_bytes());
    assert_eq!(told(answer).map(|stamp| stamp.near(at(1_600_000_000))), Ok(at(1_700_000_000)));
    assert_eq!(hears(time::ask, b"\0\0\0"), Err("the answer ended after 3 bytes of 4".to_owned()));
    assert_eq!(
        hears(time::ask, b"\0\0\0\0\0"),
        Err("the answer is longer than 4 bytes".to_owned())
    );
}

#[test]
fn stamps_of_the_rfc_are_right() {
    for (stamp, days) in [(2_208_988_800, 0), (2_398_291_200, 2191), (2_629_584_000, 4868)] {
        assert_eq!(Stamp::of(at(days * 86_400)), Stamp(stamp));
    }
    assert_eq!(Stamp::of(UNIX_EPOCH - Duration::from_hours(613_608)), Stamp(0));
    assert_eq!(Stamp::of(UNIX_EPOCH - MILLISECOND), Stamp::of(UNIX_EPOCH - SECOND));
}

proptest! {
    #[test]
    fn any_moment_is_found_from_any_other_that_is_near(
        moment in -5_000_000_000_i64..9_000_000_000,
        off in -2_147_483_647_i64..2_147_483_647,
        nanos in 0..1_000_000_000_u32,
    ) {
        let at = |seconds: i64| {
            let far = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { UNIX_EPOCH - far } else { UNIX_EPOCH + far }
        };
        let (moment, about) = (at(moment), at(moment + off) + Duration::from_nanos(nanos.into()));
        let nanos = Duration::from_nanos(nanos.into());
        prop_assert_eq!(Stamp::of(moment).near(about), moment);
        prop_assert_eq!(Stamp::of(moment + nanos), Stamp::of(moment));
    }
}

#[test]
fn silent_connections_are_ended() {
    ends_after(echo::serve(), b"hello", IDLE);
    ends_after(discard::serve(), b"hello", IDLE);
}

#[test]
fn servers_take_so_many_clients() {
    is_limited(echo::serve());
    is_limited(discard::serve());
    is_limited(chargen::serve());
    is_limited(daytime::serve(|| UNIX_EPOCH));
    is_limited(time::serve(|| UNIX_EPOCH));
    is_limited(qotd::serve(String::new));
    is_limited(users::serve(Vec::new));
}

#[test]
fn clients_keep_no_endless_answer() {
    for (length, expected) in [
        (ANSWER_MAX, Ok("x".repeat(ANSWER_MAX))),
        (ANSWER_MAX + 1, Err(AskError::Long { max: ANSWER_MAX }.to_string())),
    ] {
        let (mut memory, answer) = client(qotd::ask);
        memory.push_in_pieces(&vec![b'x'; length], 4096);
        memory.eof();
        assert!(told(answer) == expected, "{length} bytes");
    }
}

#[test]
fn clients_give_up_on_slow_servers() {
    #[track_caller]
    fn check<T: std::fmt::Debug + 'static>(ask: impl FnOnce(&Place) -> Deferred<T>) {
        let (mut memory, answer) = client(ask);
        memory.push(b"a");
        memory.advance(just_before(PATIENCE));
        assert_eq!(memory.ended(), None);
        memory.advance(MILLISECOND);
        assert_eq!(memory.ended(), Some(Disconnect::Aborted));
        assert_eq!(error::<_, AskError>(answer), AskError::Late);
    }
    check(daytime::ask);
    check(time::ask);
    check(users::ask);
    check(|place| chargen::ask(place, 2));
    check(|place| echo::ask(place, "abc"));
    check(|place| discard::send(place, "abc"));
}

#[test]
fn no_connection_is_no_answer() {
    let refused = AskError::Lost(Disconnect::Refused);
    assert!(refused.is_temporary());
    assert_eq!(error::<_, AskError>(qotd::ask(&Nobody)), refused);
    assert_eq!(error::<_, AskError>(echo::ask(&Nobody, "")), refused);
    assert_eq!(error::<_, AskError>(discard::send(&Nobody, "")), refused);
    let (mut memory, answer) = client(users::ask);
    memory.push(b"alice\r\n");
    memory.lose(Disconnect::Reset);
    assert_eq!(error::<_, AskError>(answer), AskError::Lost(Disconnect::Reset));
}

#[test]
fn an_answer_that_nobody_wants_ends_the_connection() {
    let (mut memory, answer) = client(users::ask);
    answer.cancel();
    memory.run();
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    assert!(told(answer).is_err());
    // Cancelled before there is a connection, none is made.
    let place = Place::default();
    let answer = users::ask(&place);
    answer.cancel();
    assert!(told(answer).is_err());
    let memory = place.connection();
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
}
