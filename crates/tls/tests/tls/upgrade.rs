//! TLS in the middle of a protocol.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Conn, Disconnect, Protocol, TlsAlert, TlsFault, TlsInfo};
use ropewalk_tls::{HANDSHAKE_TIMEOUT, Reason, TlsClient, TlsError, TlsServer, start_tls};
use ropewalk_trial::{Clock, Memory, Side, Wire};

use crate::common::{pair, reason};

/// What one side lived through, in order.
type Diary = Rc<RefCell<Vec<String>>>;

/// A server of lines that can be told to encrypt.
struct Server {
    tls: TlsServer,
    diary: Diary,
    line: Vec<u8>,
}

impl Protocol for Server {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.diary.borrow_mut().push("made".to_owned());
        conn.write(b"hello\n");
        conn.call_later(Duration::from_secs(5), |this, _| {
            this.diary.borrow_mut().push("five seconds".to_owned());
        });
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&data[..end]);
            data = &data[end + 1..];
            let line = String::from_utf8(std::mem::take(&mut self.line)).unwrap();
            self.diary.borrow_mut().push(line.clone());
            if line == "starttls" {
                conn.write(b"go ahead\n");
                let agreed = start_tls(conn, self.tls.layer(), data);
                conn.write(b"first encrypted\n");
                return conn.then(agreed, |this, conn, result| this.agreed(conn, &result));
            }
            conn.write(
                format!("{line}, {}\n", if conn.tls().is_some() { "safe" } else { "plain" })
                    .as_bytes(),
            );
        }
        self.line.extend_from_slice(data);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let error = conn.cause().and_then(|cause| cause.check::<TlsError>().cloned());
        let cause = error.map(|error| reason(&error));
        self.diary.borrow_mut().push(format!("lost: {why:?} {cause:?}"));
    }
}

impl Server {
    fn agreed(&mut self, conn: &Conn<Self>, result: &Result<TlsInfo, Failure>) {
        assert_eq!(conn.tls(), result.as_ref().ok().cloned());
        self.diary.borrow_mut().push(format!("agreed: {}", result.is_ok()));
    }
}

/// A client that encrypts once it may, and keeps all lines.
struct Client {
    tls: TlsClient,
    diary: Diary,
    line: Vec<u8>,
    /// Said in the same breath as the wish to encrypt.
    ahead: &'static [u8],
}

impl Protocol for Client {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"one\nstarttls\n");
        conn.write(self.ahead);
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&data[..end]);
            data = &data[end + 1..];
            let line = String::from_utf8(std::mem::take(&mut self.line)).unwrap();
            self.diary.borrow_mut().push(line.clone());
            if line == "go ahead" {
                let agreed = start_tls(conn, self.tls.layer("localhost").unwrap(), data);
                conn.write(b"two\n");
                return conn.then(agreed, |this, conn, result| {
                    this.diary.borrow_mut().push(format!("agreed: {}", result.is_ok()));
                    conn.write(b"three\n");
                });
            }
            if line.starts_with("three") {
                conn.close();
            }
        }
        self.line.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.diary.borrow_mut().push(format!("lost: {why:?}"));
    }
}

fn sides(ahead: &'static [u8]) -> (Client, Diary, Server, Diary) {
    let (client, server) = pair("localhost");
    let (asked, answered) = (Diary::default(), Diary::default());
    let line = Vec::new();
    let client = Client { tls: client, diary: Rc::clone(&asked), line: line.clone(), ahead };
    let server = Server { tls: server, diary: Rc::clone(&answered), line };
    (client, asked, server, answered)
}

#[test]
fn a_conversation_goes_on_encrypted() {
    // 98, and 96 of what is written before the handshake is done.
    for size in [1, 2, 3, 7, 50, 10_000] {
        let (client, asked, server, answered) = sides(b"");
        let mut wire = Wire::join(client, server).in_chunks_of(size);
        wire.run();
        let answered = answered.take();
        let expected =
            ["made", "one", "starttls", "agreed: true", "two", "three", "lost: Closed None"];
        assert_eq!(answered, expected, "in pieces of {size}: it is not made a second time");
        let asked = asked.take();
        let expected = [
            "hello",
            "one, plain",
            "go ahead",
            "agreed: true",
            "first encrypted",
            "two, safe",
            "three, safe",
            "lost: Closed",
        ];
        assert_eq!(asked, expected, "in pieces of {size}");
        let sent = wire.sent_by(Side::Server);
        assert!(sent.starts_with(b"hello\none, plain\ngo ahead\n\x16\x03\x03"), "in the clear");
        assert!(!sent.windows(4).any(|four| four == b"safe"), "and nothing else");
    }
}

#[test]
fn calls_go_on_below_the_layer() {
    let (mut client, _, server, answered) = sides(b"");
    client.ahead = b"";
    let mut wire = Wire::join(client, server);
    wire.run();
    drop(wire);
    let (_, _, server, kept) = sides(b"");
    let mut memory = Memory::seat(server, &Clock::new());
    memory.push(b"starttls\n");
    memory.advance(Duration::from_secs(5));
    assert!(kept.borrow().contains(&"five seconds".to_owned()), "while the handshake is under way");
    memory.advance(HANDSHAKE_TIMEOUT);
    let lost = format!("lost: TimedOut {:?}", Some(Reason::TimedOut(HANDSHAKE_TIMEOUT)));
    assert_eq!(kept.borrow().last(), Some(&lost));
    assert_eq!(answered.borrow().first().unwrap(), "made");
}

#[test]
fn what_came_ahead_of_the_handshake_ends_the_connection() {
    for ahead in [&b"evil\n"[..], b"e"] {
        let (client, asked, server, answered) = sides(ahead);
        let mut wire = Wire::join(client, server);
        wire.run();
        let refused = Disconnect::Tls(TlsFault::Refused(TlsAlert::UNEXPECTED_MESSAGE));
        let cause = Some(Reason::EarlyBytes(ahead.len()));
        let answered = answered.take();
        assert_eq!(answered.last(), Some(&format!("lost: {refused:?} {cause:?}")));
        assert!(!answered.contains(&"evil".to_owned()), "it is not listened to");
        // The alert is on the heels of the server's answer, where nothing may be.
        assert_eq!(asked.borrow().last(), Some(&format!("lost: {refused:?}")));
    }
}

#[test]
fn what_comes_in_the_clear_after_that_is_not_listened_to_either() {
    let (_, _, server, answered) = sides(b"");
    let mut memory = Memory::seat(server, &Clock::new());
    memory.push(b"starttls\n");
    memory.push(b"evil\n");
    let answered = answered.take();
    assert_eq!(&answered[..2], ["made", "starttls"]);
    assert_eq!(answered[2], "agreed: false");
    assert!(answered[3].starts_with("lost: Tls(Refused("), "{answered:?}");
    assert_eq!(answered.len(), 4);
}

/// Encrypts at once, twice, or when it is too late.
struct Hasty {
    tls: TlsServer,
    outcomes: Rc<RefCell<Vec<Reason>>>,
    holds: bool,
}

impl Protocol for Hasty {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        if self.holds {
            conn.hand_back(data);
        }
        for _ in 0..2 {
            let outcomes = Rc::clone(&self.outcomes);
            start_tls(conn, self.tls.layer(), b"").on_result(move |result| {
                let failure = result.expect_err("there is no peer");
                outcomes.borrow_mut().push(reason(failure.check::<TlsError>().unwrap()));
            });
        }
    }
}

#[test]
fn there_is_one_handshake_at_a_time() {
    for (holds, first) in [
        (false, Reason::Lost(Disconnect::Reset)),
        // Bytes that were handed back would be read as if they had been encrypted.
        (true, Reason::EarlyBytes(1)),
    ] {
        let (_, tls) = pair("localhost");
        let outcomes = Rc::default();
        let hasty = Hasty { tls, outcomes: Rc::clone(&outcomes), holds };
        let mut memory = Memory::seat(hasty, &Clock::new());
        memory.push(b"now");
        memory.lose(Disconnect::Reset);
        assert_eq!(outcomes.take(), [Reason::NotNow, first]);
    }
}

#[test]
fn whoever_does_not_want_the_answer_any_more_has_no_connection() {
    // 97: before the handshake, without a word.
    struct Fickle(TlsServer);
    impl Protocol for Fickle {
        fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
            start_tls(conn, self.0.layer(), b"").cancel();
        }
    }
    let mut memory = Memory::seat(Fickle(pair("localhost").1), &Clock::new());
    memory.push(b"now");
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
}
