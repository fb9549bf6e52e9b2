//! In memory, on a clock that the test moves.

use ropewalk::protocol::seat;
use ropewalk_trial::{Clock, Hostile, Memory, Side, Transcript, chunked};

use crate::gopher::{Gopher, LINE_MAX, PATIENCE};

#[test]
fn a_document_is_sent_and_that_is_all() {
    let mut memory = Memory::seat(Gopher::default(), &Clock::new());
    memory.push(b"/hel");
    assert_eq!(memory.sent(), b"");
    memory.push(b"lo\r\n");
    assert_eq!(memory.take_sent(), b"Hello, gopher!\r\n.\r\n");
    assert!(memory.ended().is_some());
}

#[test]
fn dialogues_are_kept_to() {
    let dialogues = include_str!("dialogues.txt").split("\n\n");
    for dialogue in dialogues {
        let dialogue: Transcript = dialogue.parse().expect("a dialogue");
        dialogue.check(Side::Server, Gopher::default);
    }
}

#[test]
fn however_a_line_is_cut_the_answer_is_the_same() {
    for length in [0, 1, LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, 5000] {
        let line = [vec![b'x'; length].as_slice(), b"\n"].concat();
        let answer = chunked(&line, Gopher::default);
        let is_short = length < LINE_MAX;
        assert_eq!(answer.sent.starts_with(b"3No selector is that long"), !is_short);
    }
}

#[test]
fn nobody_wears_it_out() {
    let server = |_: &Clock| seat(Gopher::default());
    Hostile::against(server).request(b"/hello\r\n").patience(PATIENCE).kept(1024).assert();
}
