//! Programs as peers, by a string.

use proptest::prelude::*;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_endpoint::{ClientDescription, ExecClient, Fault, client_from_string};
use ropewalk_protocol::process::{ErrorOutput, SpawnError};
use ropewalk_protocol::{Conn, Disconnect, Protocol, connect};
use ropewalk_reactor::{DriverKind, Reactor};

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

/// Says a word, ends its stream, and tells what comes back and how it ends.
struct Caller {
    word: &'static [u8],
    heard: Vec<u8>,
    told: Option<Promise<(String, Disconnect)>>,
}

impl Protocol for Caller {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(self.word);
        conn.close_write();
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        let heard = String::from_utf8(std::mem::take(&mut self.heard)).unwrap();
        self.told.take().unwrap().succeed((heard, why));
    }
}

fn call(reactor: &Reactor, place: &str, word: &'static [u8]) -> Deferred<(String, Disconnect)> {
    let (promise, told) = deferred();
    let endpoint = client_from_string(reactor, place).unwrap();
    let caller = Caller { word, heard: Vec::new(), told: Some(promise) };
    connect(&*endpoint, caller).on_result(|result| {
        if let Err(failure) = result {
            assert!(failure.check::<SpawnError>().is_some(), "{failure:?}");
        }
    });
    told
}

#[test]
fn programs_answer_as_servers_do() {
    let reactor = reactor();
    for (place, word, answer) in [
        ("exec:cat", &b"hello"[..], "hello"),
        ("exec:tr a-z 'A-Z'", b"hello", "HELLO"),
        ("EXEC:printf \"<%s>\" 'a b' '' c\\:d", b"", "<a b><><c:d>"),
        ("exec:command=wc -c:stderr=drop", b"12345", "5\n"),
    ] {
        let (heard, why) = reactor.run_until(call(&reactor, place, word)).unwrap();
        assert_eq!((heard.trim_start_matches(' '), why), (answer, Disconnect::Closed), "{place}");
    }
    let failing = call(&reactor, "exec:sh -c 'cat; echo sorry >&2; exit 3'", b"hi");
    assert_eq!(reactor.run_until(failing).unwrap(), ("hi".to_owned(), Disconnect::Reset));
    let missing = reactor.run_until(call(&reactor, "exec:no-such-program", b"")).unwrap();
    assert_eq!(missing.1, Disconnect::Failed(std::io::ErrorKind::NotFound));
    assert_eq!(reactor.census().processes, 0);
}

#[test]
fn much_goes_through_a_program_both_ways() {
    let reactor = reactor();
    let word: &'static [u8] = Box::leak(vec![b'x'; 2_000_000].into_boxed_slice());
    let (heard, why) = reactor.run_until(call(&reactor, "exec:cat", word)).unwrap();
    assert_eq!((heard.len(), why), (word.len(), Disconnect::Closed));
}

#[test]
fn commands_that_are_none_are_refused() {
    for text in ["exec:", "exec:''", "exec: ", "exec:cat 'open", "exec:a\0b"] {
        let error = text.parse::<ClientDescription>().unwrap_err();
        assert!(error.to_string().contains("command"), "{text}: {error}");
    }
    let error = "exec:cat:stderr=keep".parse::<ClientDescription>().unwrap_err();
    assert!(error.to_string().contains("log, drop or inherit"), "{error}");
    assert_eq!(ExecClient::new("", &[]), Err(Fault::Command));
}

proptest! {
    #[test]
    fn commands_read_back_as_they_were(
        program in "[^\0]{1,12}",
        arguments in proptest::collection::vec("[^\0]{0,12}|[ '\"=:\\\\]{0,6}", 0..4),
        errors in prop::sample::select(vec![
            ErrorOutput::Log, ErrorOutput::Drop, ErrorOutput::Inherit,
        ]),
    ) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let built = ExecClient::new(&program, &arguments).unwrap().with_error_output(errors);
        let built = ClientDescription::from(built);
        prop_assert_eq!(built.to_string().parse(), Ok(built));
    }
}
