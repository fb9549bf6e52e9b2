//! Both sides of every bound.

use std::time::Duration;

use ropewalk_memcached::{BadReply, BadRequest, CallError, Client, KEY_MAX, LINE_MAX, Limits};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory, error_of, value_of};

use crate::{client, client_with};

fn bad<T: std::fmt::Debug + 'static>(answer: ropewalk_deferred::Deferred<T>) -> BadRequest {
    match error_of(answer) {
        CallError::Bad(bad) => bad,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_are_what_servers_take() {
    let (mut memory, client) = client();
    let longest = "k".repeat(KEY_MAX);
    let _longest = client.get(&longest);
    let _strange = client.get("\u{e4}!~");
    assert_eq!(memory.take_sent(), format!("get {longest}\r\nget \u{e4}!~\r\n").as_bytes());
    assert_eq!(bad(client.get(format!("{longest}k"))), BadRequest::LongKey { length: 251 });
    assert_eq!(bad(client.delete("")), BadRequest::EmptyKey);
    for key in ["a b", "a\r\nflush_all", "\0", "a\x7f", "\t"] {
        let byte = *key.as_bytes().iter().find(|byte| !byte.is_ascii_graphic()).expect("one");
        let expected = BadRequest::KeyByte { byte };
        assert_eq!(bad(client.get(key)), expected);
        assert_eq!(bad(client.set(key, "")), expected);
        assert_eq!(bad(client.incr(key, 1)), expected);
        assert_eq!(bad(client.touch(key, ropewalk_memcached::Expiry::Never)), expected);
    }
    assert_eq!(bad(client.stats_of("items\r\nflush_all")), BadRequest::KeyByte { byte: b'\r' });
    assert_eq!(bad(client.stats_of("detail  on")), BadRequest::EmptyKey);
    assert_eq!(memory.take_sent(), b"", "nothing wrong is sent");
}

#[test]
fn calls_have_so_many_keys() {
    let (mut memory, client) = client_with(Limits { keys_max: 2, ..Limits::default() });
    let _two = client.get_many(["a", "b", "a"]);
    assert_eq!(bad(client.get_many(["a", "b", "c"])), BadRequest::ManyKeys { count: 3 });
    assert_eq!(memory.take_sent(), b"get a b\r\n");
}

#[test]
fn values_are_so_long() {
    let limits = Limits { value_max: 3, ..Limits::default() };
    let (mut memory, client) = client_with(limits.clone());
    let stored = client.set("k", "abc");
    assert_eq!(bad(client.set("k", "abcd")), BadRequest::LongValue { length: 4 });
    memory.push(b"STORED\r\n");
    value_of(stored);
    let got = client.get("k");
    memory.push(b"VALUE k 0 3\r\nabc\r\nEND\r\n");
    assert!(value_of(got).is_some());
    let got = client.get("k");
    memory.push(b"VALUE k 0 4\r\n");
    assert_eq!(
        error_of::<_, CallError>(got),
        CallError::BadReply(BadReply::LongValue { length: 4 })
    );
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
}

#[test]
fn answers_are_so_long() {
    let limits = Limits { answer_max: 3, stats_max: 2, ..Limits::default() };
    let (mut memory, client) = client_with(limits.clone());
    let fine = client.get_many(["a", "b"]);
    memory.push(b"VALUE a 0 1\r\nx\r\nVALUE b 0 2\r\nxx\r\nEND\r\n");
    assert_eq!(value_of(fine).len(), 2);
    let stats = client.stats();
    memory.push(b"STAT a 1\r\nSTAT b 2\r\nEND\r\n");
    assert_eq!(value_of(stats).len(), 2);
    let long = client.get_many(["a", "b"]);
    memory.push(b"VALUE a 0 2\r\nxx\r\nVALUE b 0 2\r\nxx\r\n");
    assert_eq!(error_of::<_, CallError>(long), CallError::BadReply(BadReply::LongAnswer));
    let (mut memory, client) = client_with(limits);
    let long = client.stats();
    memory.push(b"STAT a 1\r\nSTAT b 2\r\nSTAT c 3\r\n");
    assert_eq!(error_of::<_, CallError>(long), CallError::BadReply(BadReply::LongAnswer));
}

#[test]
fn lines_are_so_long() {
    let line = |length: usize| format!("VERSION {}\r\n", "x".repeat(length - "VERSION ".len()));
    let (mut memory, client) = client();
    let version = client.version();
    memory.push(line(LINE_MAX).as_bytes());
    assert_eq!(value_of(version).len(), LINE_MAX - "VERSION ".len());
    let version = client.version();
    memory.push(line(LINE_MAX + 1).as_bytes());
    assert_eq!(error_of::<_, CallError>(version), CallError::BadReply(BadReply::Line));
}

#[test]
fn so_many_calls_may_wait() {
    let (mut memory, client) = client_with(Limits { calls_max: 2, ..Limits::default() });
    let (one, two) = (client.version(), client.version());
    two.cancel();
    assert_eq!(error_of::<_, CallError>(client.version()), CallError::TooMany, "also if cancelled");
    assert!(CallError::TooMany.is_temporary());
    memory.push(b"VERSION 1\r\n");
    value_of(one);
    let three = client.version();
    memory.push(b"VERSION 2\r\nVERSION 3\r\n");
    assert_eq!(value_of(three), "3");
}

#[test]
fn so_much_output_may_wait() {
    let limits = Limits { output_max: 27, ..Limits::default() };
    let (mut memory, client) = client_with(limits.clone());
    memory.set_room(0);
    let sets: Vec<_> = (0..3).map(|_| client.set("k", "")).collect();
    memory.run();
    let lengths = "set k 0 0 0\r\n\r\n".len();
    assert_eq!(lengths, 15);
    let errors: Vec<_> = sets.into_iter().map(|set| set.now_or_never().is_some()).collect();
    assert_eq!(errors, [false, true, true]);
    let (_, client) = Client::new(limits.clone());
    drop(client);
    let (protocol, client) = Client::new(Limits { output_max: 30, ..limits });
    let (one, two) = (client.set("k", ""), client.set("k", ""));
    assert_eq!(error_of::<_, CallError>(client.version()), CallError::TooMany);
    let mut memory = Memory::seat(protocol, &Clock::new());
    memory.push(b"STORED\r\nSTORED\r\n");
    value_of(one);
    value_of(two);
}

#[test]
fn servers_may_be_silent_so_long() {
    let patience = Duration::from_mins(1);
    let just_before = Duration::from_millis(59_999);
    let (mut memory, client) = client();
    memory.advance(10 * patience);
    assert_eq!(memory.ended(), None, "nothing was asked");
    let got = client.get("k");
    memory.advance(just_before);
    memory.push(b"VALUE k 0 1\r\n");
    memory.advance(just_before);
    memory.push(b"x\r\nEND\r\n");
    assert!(value_of(got).is_some(), "something came in time");
    memory.advance(10 * patience);
    assert_eq!(memory.ended(), None, "all is answered");
    let (one, two) = (client.version(), client.version());
    memory.run();
    memory.advance(just_before);
    memory.push(b"VERSION 1\r\n");
    value_of(one);
    memory.advance(just_before);
    assert_eq!(memory.ended(), None);
    memory.advance(Duration::from_millis(1));
    assert_eq!(memory.ended(), Some(Disconnect::TimedOut));
    assert_eq!(error_of::<_, CallError>(two), CallError::Late);
    assert_eq!(error_of::<_, CallError>(client.version()), CallError::Late);
}
