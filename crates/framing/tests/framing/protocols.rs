//! Protocols that are told frames, and files on their way out.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_framing::{
    BadLine, Ending, Expect, FileSender, FrameConn, FrameProtocol, Framed, LineDecoder, PIECE_MAX,
};
use ropewalk_protocol::{Conn, Disconnect, Protocol};
use ropewalk_trial::{Clock, Memory};

const SECOND: Duration = Duration::from_secs(1);

type Log = Rc<RefCell<Vec<String>>>;

/// Notes what it is told; does what it is told, if that is a command.
struct Told {
    log: Log,
    missing: u64,
}

/// What takes over at `switch`.
struct Heir(Log);

impl Protocol for Heir {
    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.0.borrow_mut().push(format!("heir: {}", data.escape_ascii()));
    }
}

impl FrameProtocol for Told {
    type Decoder = LineDecoder;

    fn frame_received(&mut self, conn: &FrameConn<Self>, line: &[u8]) {
        self.log.borrow_mut().push(line.escape_ascii().to_string());
        match line {
            b"pause" => {
                conn.pause_reading();
                conn.call_later(SECOND, |this, conn| {
                    this.log.borrow_mut().push("resumed".to_owned());
                    conn.resume_reading();
                });
            }
            b"close" => conn.close(),
            b"raw" => self.missing = 5,
            b"soon" => {
                conn.call_later(SECOND, |this, _| this.missing = 5);
            }
            b"switch" => {
                conn.switch_protocol(Heir(Rc::clone(&self.log)), b"");
            }
            _ => (),
        }
    }

    fn expects(&self) -> Expect {
        if self.missing > 0 { Expect::Bytes(self.missing) } else { Expect::Frame }
    }

    fn bytes_received(&mut self, _: &FrameConn<Self>, data: &[u8]) {
        self.missing -= data.len() as u64;
        // Bytes come cut anywhere; noted one by one they are the same.
        for byte in data {
            self.log.borrow_mut().push(format!("<{}>", byte.escape_ascii()));
        }
    }

    fn frame_refused(&mut self, conn: &FrameConn<Self>, why: BadLine) {
        self.log.borrow_mut().push(format!("{why:?}"));
        if why == BadLine::BareLineFeed {
            conn.close();
        }
    }
}

fn told() -> (Memory, Log) {
    let log = Log::default();
    let told = Told { log: Rc::clone(&log), missing: 0 };
    let decoder = LineDecoder::new(Ending::CrLf).line_max(8);
    (Memory::seat(Framed::new(told, decoder), &Clock::new()), log)
}

/// Pushes `bytes` in pieces of every size, letting time pass where reading is paused.
#[track_caller]
fn check(bytes: &[u8], expected: &[&str]) {
    for size in 1..=bytes.len() {
        let (mut memory, log) = told();
        let mut rest = bytes;
        while memory.ended().is_none() && !rest.is_empty() {
            let taken = memory.push_in_pieces(rest, size);
            rest = &rest[taken..];
            memory.advance(SECOND);
        }
        memory.advance(10 * SECOND);
        assert_eq!(*log.borrow(), expected, "in pieces of {size}");
    }
}

#[test]
fn frames_come_one_by_one() {
    check(b"one\r\n\r\ntwo\r\nthr", &["one", "", "two"]);
}

#[test]
fn no_frame_comes_while_reading_is_paused() {
    check(
        b"pause\r\none\r\npause\r\npause\r\ntwo\r\n",
        &["pause", "resumed", "one", "pause", "resumed", "pause", "resumed", "two"],
    );
}

#[test]
fn no_frame_comes_after_the_end() {
    check(b"one\r\nclose\r\ntwo\r\n", &["one", "close"]);
    check(b"one\r\n\ntwo\r\n", &["one", "BareLineFeed"]);
}

#[test]
fn bytes_may_be_told_between_frames() {
    check(
        b"raw\r\na\r\n\r\n\r\none\r\n",
        &["raw", "<a>", "<\\r>", "<\\n>", "<\\r>", "<\\n>", "", "one"],
    );
}

#[test]
fn frames_go_on_after_one_that_was_refused() {
    check(b"123456789\r\none\r\n", &["TooLong { max: 8 }", "one"]);
}

#[test]
fn what_was_kept_as_the_beginning_of_a_frame_may_turn_out_to_be_bytes() {
    let (mut memory, log) = told();
    memory.push(b"soon\r\nab");
    memory.advance(SECOND);
    memory.push(b"c\r\nd\r\n");
    assert_eq!(*log.borrow(), ["soon", "<a>", "<b>", "<c>", "<\\r>", "<\\n>", "d"]);
}

#[test]
fn the_rest_goes_to_who_takes_over() {
    let (mut memory, log) = told();
    memory.push(b"switch\r\nthe rest");
    memory.push(b"and more");
    assert_eq!(*log.borrow(), ["switch", "heir: the rest", "heir: and more"]);
}

struct Download(FileSender);

impl Download {
    fn go_on(&mut self, conn: &Conn<Self>) {
        if self.0.resume(conn) {
            conn.write(b" end");
            conn.close();
        }
    }
}

impl Protocol for Download {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.go_on(conn);
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.go_on(conn);
    }
}

/// Would send its file, had it been asked.
struct Late(FileSender);

impl Protocol for Late {
    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        self.0.resume(conn);
    }
}

/// A file of `length` bytes that nobody else sees.
fn file_of(length: usize) -> (Arc<File>, Vec<u8>) {
    let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
    let path = std::env::temp_dir().join(format!("ropewalk-{}-{length}", std::process::id()));
    File::create(&path).and_then(|mut file| file.write_all(&bytes)).expect("a file can be written");
    let file = File::open(&path).expect("it is there");
    std::fs::remove_file(&path).expect("it can be removed");
    (Arc::new(file), bytes)
}

#[test]
fn files_are_sent_piece_by_piece() {
    for length in [0, 1, PIECE_MAX as usize, 3 * PIECE_MAX as usize + 7] {
        let (file, bytes) = file_of(length);
        let (sender, sent) = FileSender::new(file, 0, length as u64);
        let (mut memory, conn) = {
            let (seat, made) = ropewalk_protocol::seat_and_tell(Download(sender));
            let mut memory = Memory::take_seat(seat, &Clock::new());
            memory.set_room(0);
            (memory, made.now_or_never().and_then(Result::ok).expect("it is made"))
        };
        while memory.ended().is_none() {
            assert!(conn.waiting() <= PIECE_MAX + 64 * 1024, "{} wait", conn.waiting());
            memory.set_room(10_000);
        }
        assert_eq!(memory.take_sent(), [&bytes[..], b" end"].concat());
        assert!(matches!(sent.now_or_never(), Some(Ok(()))));
    }
}

#[test]
fn a_file_that_was_not_sent_is_a_failure() {
    let length = 2 * PIECE_MAX;
    let (sender, sent) = FileSender::new(file_of(length as usize).0, 0, length);
    let mut memory = Memory::seat(Late(sender), &Clock::new());
    memory.lose(Disconnect::Reset);
    drop(memory);
    assert!(sent.now_or_never().expect("it is over").is_err());
}
