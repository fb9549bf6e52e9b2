//! Agreeing on something, and what both sides know of it.

use std::time::Duration;

use ropewalk_protocol::{Disconnect, Layered, NotEncrypted, TlsAlert, TlsFault, seat};
use ropewalk_tls::{
    HANDSHAKE_MAX, HANDSHAKE_TIMEOUT, Identities, Identity, Limits, Policy, Reason, TlsClient,
    TlsError, TlsServer, Trust,
};
use ropewalk_trial::{Clock, Memory, Side, Wire};

use crate::common::{Authority, Talk, fail, on, on_told, pair, reason, serving, wire};

#[test]
fn both_sides_know_what_was_agreed_on() {
    let authority = Authority::new();
    let identity = authority.server("localhost");
    let server = serving(&identity, Policy::new().alpn(["h2", "http/1.1"]));
    let client = TlsClient::new(&authority.trust()).unwrap().alpn(["http/1.1", "h2"]);
    let (ask, asked) = Talk::saying("ping");
    let (answer, answered) = Talk::echo();
    let mut wire =
        wire((client.layer("LocalHost.").unwrap(), ask.until(4)), (server.layer(), answer));
    wire.run();
    let (asked, answered) = (asked.take(), answered.take());
    assert_eq!((asked.made, asked.heard.as_slice()), (1, &b"ping"[..]));
    for info in [asked.tls.as_ref().unwrap(), answered.tls.as_ref().unwrap()] {
        assert_eq!(info.protocol, "TLSv1.3");
        assert!(info.cipher.starts_with("TLS_AES_"), "{}", info.cipher);
        assert_eq!(info.group.as_deref(), Some("X25519MLKEM768"));
        assert_eq!(info.alpn.as_deref(), Some(&b"h2"[..]));
        assert_eq!(info.server_name.as_deref(), Some("localhost"));
        assert!(!info.resumed);
    }
    let chain: Vec<_> = identity.chain().map(<[u8]>::to_vec).collect();
    assert_eq!(asked.tls.unwrap().peer_chain, chain);
    assert!(answered.tls.unwrap().peer_chain.is_empty());
    assert_eq!((asked.lost, answered.lost), (Some(Disconnect::Closed), Some(Disconnect::Closed)));
    assert_eq!(answered.eofs, 1, "closing is said in TLS");
}

#[test]
fn a_plain_connection_says_that_it_is_plain() {
    let (memory, conn) = Memory::seat_with_conn(Talk::new().0, &Clock::new());
    assert_eq!(conn.tls(), None);
    assert_eq!(conn.require_tls(), Err(NotEncrypted));
    drop(memory);
}

#[test]
fn however_the_bytes_are_cut_the_same_is_said() {
    let (client, server) = pair("localhost");
    for size in [1, 2, 3, 5, 7, 64, 1000, 16 * 1024 + 21, 16 * 1024 + 22, 16 * 1024 + 23] {
        let says: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
        let (ask, asked) = Talk::saying(says.clone());
        let (answer, answered) = Talk::echo();
        let layers = (client.layer("localhost").unwrap(), server.layer());
        let mut wire =
            wire((layers.0, ask.until(says.len())), (layers.1, answer)).in_chunks_of(size);
        wire.run();
        assert!(asked.borrow().heard == says, "in pieces of {size}");
        assert!(answered.borrow().heard == says, "in pieces of {size}");
        assert_eq!(asked.borrow().lost, Some(Disconnect::Closed), "in pieces of {size}");
        assert_eq!(answered.borrow().lost, Some(Disconnect::Closed), "in pieces of {size}");
    }
}

#[test]
fn tls_stands_on_tls() {
    let (outer, inner) = (pair("outside"), pair("inside"));
    let clock = Clock::new();
    let (ask, asked) = Talk::saying("ping");
    let (answer, answered) = Talk::echo();
    let ask = Layered::seat(inner.0.layer("inside").unwrap(), seat(ask.until(4)));
    let ask = Layered::seat(outer.0.layer("outside").unwrap(), ask);
    let answer = Layered::seat(outer.1.layer(), Layered::seat(inner.1.layer(), seat(answer)));
    let mut wire =
        Wire::of(&clock, Memory::take_seat(ask, &clock), Memory::take_seat(answer, &clock));
    wire.run();
    assert_eq!(asked.borrow().heard, b"ping");
    let name = |story: &crate::common::Told| story.borrow().tls.clone().unwrap().server_name;
    assert_eq!(name(&asked).as_deref(), Some("inside"), "what is nearest counts");
    assert_eq!(name(&answered).as_deref(), Some("inside"));
    assert_eq!(answered.borrow().lost, Some(Disconnect::Closed));
}

#[test]
fn a_session_is_resumed_in_both_roles() {
    let (client, server) = pair("localhost");
    for is_resumed in [false, true, true] {
        let (ask, asked) = Talk::saying("ping");
        let (answer, answered) = Talk::echo();
        let layers = (client.layer("localhost").unwrap(), server.layer());
        wire((layers.0, ask.until(4)), (layers.1, answer)).run();
        for story in [asked, answered] {
            assert_eq!(story.borrow().tls.as_ref().unwrap().resumed, is_resumed);
        }
    }
    let fresh = client.without_resumption();
    let (ask, asked) = Talk::saying("ping");
    wire((fresh.layer("localhost").unwrap(), ask.until(4)), (server.layer(), Talk::echo().0)).run();
    assert!(!asked.borrow().tls.as_ref().unwrap().resumed);
}

#[test]
fn names_lead_to_their_identity_and_policy() {
    let authority = Authority::new();
    let identities = Identities::new(Policy::new()).unwrap();
    identities.add(&authority.server("first.example")).unwrap();
    identities.add(&authority.server("*.wild.example")).unwrap();
    let named = authority.server("named.example");
    identities.add_under("Named.Example", &named, Policy::new().alpn(["x"])).unwrap();
    let server = TlsServer::new(&identities);
    let client = TlsClient::new(&authority.trust()).unwrap();
    let shake = |name: &str, alpn: &str| {
        let (ask, asked) = Talk::saying("ping");
        let client = client.clone().alpn([alpn]);
        let ask = (client.layer(name).unwrap(), ask.until(4));
        wire(ask, (server.layer(), Talk::echo().0)).run();
        let tls = asked.borrow().tls.clone();
        let cause = asked.borrow().cause.as_ref().map(reason);
        (tls.map(|tls| tls.alpn), cause)
    };
    assert_eq!(shake("first.example", "x"), (Some(None), None));
    assert_eq!(shake("a.wild.example", "x"), (Some(None), None));
    assert_eq!(shake("named.example", "x"), (Some(Some(b"x".to_vec())), None));
    assert_eq!(
        shake("named.example", "y").1,
        Some(Reason::RefusedByPeer(TlsAlert::NO_APPLICATION_PROTOCOL))
    );
    // One label is what a star stands for; the default is shown to the rest, who do not like it.
    assert!(matches!(shake("a.b.wild.example", "x").1, Some(Reason::Certificate(..))));
    assert!(matches!(shake("other.example", "x").1, Some(Reason::Certificate(..))));

    let server = TlsServer::new(&identities.clone().refuse_unknown());
    let failed = fail(client.layer("other.example").unwrap(), server.layer());
    assert_eq!(reason(&failed.client), Reason::RefusedByPeer(TlsAlert::UNRECOGNIZED_NAME));
    assert_eq!(reason(&failed.server), Reason::UnknownName(Some("other.example".to_owned())));
    assert!(identities.add_under("no name", &named, Policy::new()).is_err());
}

#[test]
fn who_asks_for_no_name_gets_the_default_or_nobody() {
    let identity = Identity::self_signed(["127.0.0.1", "localhost"]).unwrap();
    let client = TlsClient::new(&Trust::pinned([identity.pin()])).unwrap();
    let server = serving(&identity, Policy::new());
    let (ask, asked) = Talk::saying("ping");
    wire((client.layer("127.0.0.1").unwrap(), ask.until(4)), (server.layer(), Talk::echo().0))
        .run();
    assert_eq!(asked.borrow().tls.as_ref().unwrap().server_name, None, "addresses are not named");
    let server = TlsServer::new(&server.identities().clone().refuse_unknown());
    let failed = fail(client.layer("127.0.0.1").unwrap(), server.layer());
    assert_eq!(reason(&failed.server), Reason::UnknownName(None));
}

#[test]
fn a_silent_peer_is_given_up_on() {
    let (client, server) = pair("localhost");
    let limits = Limits::default();
    assert_eq!(limits.handshake_timeout, HANDSHAKE_TIMEOUT);
    for (tls, side) in
        [(client.layer("localhost").unwrap(), Side::Client), (server.layer(), Side::Server)]
    {
        let (talk, story) = Talk::new();
        let mut memory = on(&Clock::new(), tls, talk);
        memory.advance(HANDSHAKE_TIMEOUT.saturating_sub(Duration::from_millis(1)));
        assert_eq!(memory.ended(), None, "{side:?}");
        memory.advance(Duration::from_millis(1));
        assert_eq!(story.borrow().lost, Some(Disconnect::TimedOut), "{side:?}");
        let cause = story.borrow().cause.clone().unwrap();
        assert_eq!(reason(&cause), Reason::TimedOut(HANDSHAKE_TIMEOUT));
        assert_eq!(story.borrow().made, 0);
    }
}

#[test]
fn nobody_is_timed_out_after_the_handshake() {
    let (client, server) = pair("localhost");
    let (ask, asked) = Talk::saying("ping");
    let mut wire =
        wire((client.layer("localhost").unwrap(), ask), (server.layer(), Talk::echo().0));
    wire.advance(HANDSHAKE_TIMEOUT * 10);
    assert_eq!(asked.borrow().lost, None);
}

#[test]
fn a_handshake_has_a_longest_length() {
    let (_, server) = pair("localhost");
    // A first message that announces more than it may: records of it come and come.
    let record = |content: &[u8]| {
        let mut record = vec![22, 3, 1];
        record.extend_from_slice(&(content.len() as u16).to_be_bytes());
        record.extend_from_slice(content);
        record
    };
    let mut hello = record(&[&[1, 0xff, 0xff, 0xff][..], &[0; 1000]].concat());
    while hello.len() < HANDSHAKE_MAX + 5000 {
        hello.extend(record(&[0; 4000]));
    }
    for size in [100, 5000] {
        let (talk, story) = Talk::new();
        let mut memory = on(&Clock::new(), server.layer(), talk);
        memory.push_in_pieces(&hello[..HANDSHAKE_MAX], size);
        assert_eq!(memory.ended(), None);
        memory.push(&hello[HANDSHAKE_MAX..=HANDSHAKE_MAX]);
        let cause = story.borrow().cause.clone().unwrap();
        assert_eq!(reason(&cause), Reason::TooLong(HANDSHAKE_MAX));
        assert_eq!(memory.sent(), [21, 3, 3, 0, 2, 2, TlsAlert::RECORD_OVERFLOW.0]);
    }
}

#[test]
fn connecting_fails_with_what_tls_says() {
    let (client, _) = pair("localhost");
    let (_, server) = pair("localhost");
    let clock = Clock::new();
    let (client, made) = on_told(&clock, client.layer("localhost").unwrap(), Talk::new().0);
    let mut wire = Wire::of(&clock, client, on(&clock, server.layer(), Talk::new().0));
    wire.run();
    let failure = made.now_or_never().unwrap().unwrap_err();
    let error: &TlsError = failure.check().unwrap();
    assert!(matches!(error.reason(), Reason::Certificate(..)), "{error}");
    let refused = Disconnect::Tls(TlsFault::Refused(TlsAlert::UNKNOWN_CA));
    assert_eq!(failure.check(), Some(&refused), "the one kind of end that every protocol knows");
    assert_eq!(error.alert(), Some(TlsAlert::UNKNOWN_CA));
}
