//! `Transcript`.

use std::time::Duration;

use ropewalk_protocol::{Conn, Protocol};
use ropewalk_trial::{Clock, Cut, Memory, Side, Transcript};

/// Greets, answers each line with itself, and goes after ten idle seconds or at `bye`.
#[derive(Default)]
struct Parrot {
    line: Vec<u8>,
}

impl Protocol for Parrot {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"hello\r\n");
        conn.call_later(Duration::from_secs(10), |_, conn| {
            conn.write(b"too late\r\n");
            conn.close();
        });
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        for &byte in data {
            self.line.push(byte);
            if byte == b'\n' {
                conn.write(&std::mem::take(&mut self.line));
            }
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        conn.write(b"bye\r\n");
        conn.close();
    }
}

/// Says one thing, and closes when it is answered.
struct Caller;

impl Protocol for Caller {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        if data.ends_with(b"\n") {
            conn.write(b"thanks\r\n");
            conn.close();
        }
    }
}

fn transcript(text: &str) -> Transcript {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_server_that_keeps_to_the_dialogue_passes() {
    let dialogue = "
        # The greeting comes at once.
        S: hello
        C: one
        S: one
        C: a tab\\t and\\x21
        S: a tab\\t and!
        + 9s
        C: half \\
        C: a line
        S: half a line
        C.
        S: bye
        S.
    ";
    transcript(dialogue).check(Side::Server, Parrot::default);
    transcript("S: hello\n+ 10s\nS: too late\nS.").check(Side::Server, Parrot::default);
}

#[test]
fn a_client_is_played_with_as_well() {
    transcript("S: hello\nC: thanks\nC.").check(Side::Client, || Caller);
}

fn departure(text: &str) -> String {
    let memory = Memory::seat(Parrot::default(), &Clock::new());
    transcript(text).play(Side::Server, memory, Cut::Whole).expect_err("it passes").to_string()
}

#[test]
fn departures_are_told_with_their_line() {
    let said = departure("S: hello\nC: one\n\nS: two");
    assert!(said.starts_with("line 4: they part at byte 0:"), "{said}");
    assert!(said.contains("expected  two\\r\\n") && said.contains("came      one\\r\\n"), "{said}");
    let said = departure("S: hello\nC: one");
    assert!(said.starts_with("line 2: "), "what comes unasked is a departure: {said}");
    assert_eq!(departure("S: hello\nS."), "line 2: the connection goes on");
    let said = departure("S: hello\n+ 10s\nS: too late\nC: anybody?");
    assert!(said.starts_with("line 4: the connection has ended before this"), "{said}");
}

#[test]
fn what_is_no_transcript_is_told_with_its_line() {
    let bad = [
        ("S: fine\nhello", "line 2 of a transcript begins with none of C, S, + and #"),
        ("C:no space", "line 1 of a transcript has no colon and space after its side"),
        ("C: \\q", "line 1 of a transcript has an escape that nobody knows"),
        ("C: \\x4", "line 1 of a transcript has an \\x without two digits"),
        ("+ soon", "line 1 of a transcript has no number of a time"),
        ("+ 5 weeks", "line 1 of a transcript has no unit of a time: ms, s, m or h"),
    ];
    for (text, said) in bad {
        assert_eq!(text.parse::<Transcript>().expect_err(text).to_string(), said);
    }
}
