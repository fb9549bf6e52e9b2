//! `chunked`, `Cut`, `Difference` and `golden`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Protocol};
use ropewalk_trial::{Cut, Difference, chunked, golden};

/// Answers each line with its length.
#[derive(Default)]
struct Lengths {
    line: Vec<u8>,
}

impl Protocol for Lengths {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        for &byte in data {
            if byte == b'\n' {
                conn.write(format!("{}\n", self.line.len()).as_bytes());
                self.line.clear();
            } else {
                self.line.push(byte);
            }
        }
    }
}

/// Believes that each piece is a line.
struct Naive;

impl Protocol for Naive {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(format!("{}\n", data.len() - 1).as_bytes());
    }
}

/// Takes a break after each piece, and closes after the third line.
struct Slow {
    lines: usize,
}

impl Protocol for Slow {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.lines += data.split(|byte| *byte == b'\n').count() - 1;
        conn.pause_reading();
        if self.lines == 3 {
            conn.write(b"three");
            conn.close();
        }
        conn.call_later(Duration::from_secs(1), |_, conn| conn.resume_reading());
    }
}

fn complaint(test: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(test)).expect_err("it passes");
    payload.downcast_ref::<String>().cloned().expect("it says why")
}

#[test]
fn what_depends_on_no_cut_gives_its_answer() {
    let answer = chunked(b"one\nthree\n\n", Lengths::default);
    assert_eq!((answer.sent.as_slice(), answer.ended), (&b"3\n5\n0\n"[..], None));
    let answer = chunked(b"a\nb\nc\n", || Slow { lines: 0 });
    assert_eq!((answer.sent.as_slice(), answer.ended), (&b"three"[..], Some(Disconnect::Closed)));
}

#[test]
fn what_depends_on_a_cut_is_shown_where_it_does() {
    let said = complaint(|| drop(chunked(b"ab\n", || Naive)));
    assert!(said.starts_with("given byte by byte, it answers otherwise"), "{said}");
    assert!(said.contains("expected  2\\n") && said.contains("came      0\\n0\\n0\\n"), "{said}");
}

#[test]
fn cuts_lose_nothing_and_add_nothing() {
    let bytes: Vec<u8> = (0..200).collect();
    for cut in Cut::all() {
        let pieces = cut.cut(&bytes);
        assert_eq!(pieces.concat(), bytes, "{cut}");
        assert!(pieces.iter().all(|piece| !piece.is_empty()), "{cut}");
    }
    assert_eq!(Cut::Pieces(1).cut(&bytes).len(), 200);
    assert_eq!(Cut::Whole.cut(&bytes).len(), 1);
    let ways: std::collections::BTreeSet<_> =
        (0..16).map(|seed| Cut::Random(seed).cut(&bytes)).collect();
    assert!(ways.len() > 10, "{} ways", ways.len());
}

#[test]
fn differences_are_shown_aligned_wherever_they_are() {
    assert_eq!(Difference::between(b"", b""), None);
    let expected: Vec<u8> = (0..100).map(|n| b'a' + n % 26).collect();
    let mut came = expected.clone();
    came[60] = b'\r';
    let shown = Difference::between(&expected, &came).expect("they differ").to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let column = lines[3].find('^').expect("there is a mark");
    let at = |line: &str| line.chars().skip(column).take(2).collect::<String>();
    assert_eq!((at(lines[1]).as_str(), at(lines[2]).as_str()), ("ij", "\\r"), "{shown}");
    let shorter = Difference::between(b"same but longer", b"same").expect("they differ");
    assert_eq!(shorter.at(), 4);
}

#[test]
fn golden_captures_are_compared_byte_by_byte() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lengths");
    golden(path, &chunked(b"one\nthree\n\n", Lengths::default).sent);
    let said = complaint(|| golden(path, b"3\n6\n0\n"));
    assert!(said.contains("they part at byte 2"), "{said}");
    let said = complaint(|| golden("/nonexistent/capture", b""));
    assert!(said.contains("ROPEWALK_TRIAL_BLESS=1 writes it"), "{said}");
}
