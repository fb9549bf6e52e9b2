//! The protocol of PostgreSQL with a server that is the test.

use std::time::Duration;

use ropewalk_database::postgres::{
    BadMessage, Client, Config, Decoder, Limits, Message, PostgresError, Status,
};
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Disconnect, Seat, seat};
use ropewalk_tls::{TlsClient, Trust};
use ropewalk_trial::{Attack, Clock, Hostile, Memory, Random, chunked_seats, error_of, value_of};

/// A message of the server.
fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[tag], &length[..], body].concat()
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

/// All that lets a client in that needs no password.
fn welcome() -> Vec<u8> {
    let key = [7_u32.to_be_bytes(), 8_u32.to_be_bytes()].concat();
    let parts = [
        message(b'R', &0_u32.to_be_bytes()),
        message(b'S', b"server_version\x0015.0\0"),
        message(b'K', &key),
        ready(),
    ];
    parts.concat()
}

/// The answer to the preparation of a statement with one parameter and one column, both `int4`.
fn prepared() -> Vec<u8> {
    let parameters = [&1_u16.to_be_bytes()[..], &23_u32.to_be_bytes()].concat();
    let column = [
        &1_u16.to_be_bytes()[..],
        b"n\0",
        &[0; 6],
        &23_u32.to_be_bytes(),
        &4_u16.to_be_bytes(),
        &[0; 4],
        &0_u16.to_be_bytes(),
    ];
    let column = message(b'T', &column.concat());
    [message(b'1', b""), message(b't', &parameters), column, ready()].concat()
}

/// One row with this number.
fn row(number: i32) -> Vec<u8> {
    let body = [&1_u16.to_be_bytes()[..], &4_u32.to_be_bytes(), &number.to_be_bytes()];
    message(b'D', &body.concat())
}

fn executed(number: i32) -> Vec<u8> {
    [message(b'2', b""), row(number), message(b'C', b"SELECT 1\0"), ready()].concat()
}

fn refusal(severity: &str, code: &str) -> Vec<u8> {
    message(b'E', format!("S{severity}\0V{severity}\0C{code}\0Mno\0\0").as_bytes())
}

fn small() -> Limits {
    Limits { message_max: 2000, result_max: 4000, calls_max: 3, ..Limits::default() }
}

fn config() -> Config {
    Config::new("alice").password("secret").limits(small())
}

fn client(config: Config) -> (Memory, Client, Deferred<()>) {
    let (protocol, client, ready) = Client::new(config);
    (Memory::seat(protocol, &Clock::new()), client, ready)
}

/// One that has been let in.
fn let_in() -> (Memory, Client) {
    let (mut memory, client, ready) = client(config());
    memory.push(&welcome());
    value_of(ready);
    memory.take_sent();
    (memory, client)
}

#[track_caller]
fn refused(config: Config, answers: &[&[u8]]) -> PostgresError {
    let (mut memory, _client, ready) = client(config);
    for answer in answers {
        memory.push(answer);
    }
    let why = error_of(ready);
    assert!(memory.ended().is_some(), "it does not stay");
    why
}

#[test]
fn a_client_says_who_it_is_and_is_let_in() {
    let (mut memory, client, ready) = client(Config::new("alice").database("shop"));
    let first = memory.take_sent();
    assert_eq!(first[4..8], [0, 3, 0, 0]);
    let words: Vec<_> = first[8..].split(|byte| *byte == 0).collect();
    assert_eq!(words[..2], [b"user", b"alice".as_slice()]);
    assert!(words.windows(2).any(|pair| pair == [b"database", b"shop".as_slice()]));
    memory.push(&welcome());
    value_of(ready);
    assert_eq!(client.setting("server_version").as_deref(), Some("15.0"));
    drop(client);
    memory.run();
    assert_eq!(memory.take_sent(), message(b'X', b""), "it says goodbye");
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn passwords_are_proven_and_not_shown() {
    let cleartext = message(b'R', &3_u32.to_be_bytes());
    assert_eq!(refused(config(), &[&cleartext]), PostgresError::Cleartext);
    let (mut memory, _client, _ready) = client(config().danger_cleartext());
    memory.take_sent();
    memory.push(&cleartext);
    assert_eq!(memory.take_sent(), message(b'p', b"secret\0"));
    let md5 = message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]);
    let (mut memory, _client, _ready) = client(config());
    memory.take_sent();
    memory.push(&md5);
    let sent = memory.take_sent();
    assert!(sent[5..].starts_with(b"md5") && sent.len() == 5 + 35 + 1, "{sent:?}");
    let none = Config::new("alice");
    assert_eq!(refused(none, &[&md5]), PostgresError::NoPassword);
    let kerberos = message(b'R', &2_u32.to_be_bytes());
    assert!(matches!(refused(config(), &[&kerberos]), PostgresError::Authentication(_)));
}

#[test]
fn a_server_that_does_not_know_the_password_is_not_one() {
    let sasl = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
    let in_without_proof = message(b'R', &0_u32.to_be_bytes());
    let why = refused(config(), &[&sasl, &in_without_proof]);
    assert!(matches!(why, PostgresError::NotTheServer(_)), "{why:?}");
    let other_nonce = message(b'R', b"\0\0\0\x0br=abc,s=AAAA,i=4096");
    let why = refused(config(), &[&sasl, &other_nonce]);
    assert!(matches!(why, PostgresError::NotTheServer(_)), "{why:?}");
    let unknown = message(b'R', b"\0\0\0\x0aSCRAM-SHA-1\0\0");
    assert!(matches!(refused(config(), &[&unknown]), PostgresError::Authentication(_)));
}

#[test]
fn tls_is_agreed_on_or_there_is_no_connection() {
    let trust = Trust::pinned(["sha256/AAAA"]);
    let config = || config().tls(TlsClient::new(&trust).expect("a client"), "localhost");
    let (mut memory, _client, _ready) = client(config());
    assert_eq!(memory.take_sent(), [0, 0, 0, 8, 4, 210, 22, 47]);
    memory.push(b"S");
    assert_eq!(memory.take_sent()[0], 22, "a handshake begins");
    assert_eq!(refused(config(), &[b"N"]), PostgresError::NoTls);
    assert_eq!(refused(config(), &[b"E"]), PostgresError::Bad(BadMessage::TlsAnswer(b'E')));
    // What came in the clear behind the answer was put there by somebody else.
    let early = refused(config(), &[&[b"S", &welcome()[..]].concat()]);
    assert!(matches!(early, PostgresError::Tls(_)), "{early:?}");
}

#[test]
fn a_statement_is_prepared_once() {
    let (mut memory, client) = let_in();
    let sql = "SELECT $1::int4";
    let first = client.query_as::<(i32,)>(sql, (5,));
    let sent = memory.take_sent();
    assert_eq!((sent[0], sent.ends_with(&message(b'S', b""))), (b'P', true));
    memory.push(&prepared());
    assert_eq!(memory.take_sent()[0], b'B');
    memory.push(&executed(5));
    assert_eq!(value_of(first), [(5,)]);
    let again = client.query_as::<(i32,)>(sql, (6,));
    assert_eq!(memory.take_sent()[0], b'B');
    memory.push(&executed(6));
    assert_eq!((value_of(again), client.status()), (vec![(6,)], Status::Idle));
}

#[test]
fn a_refused_call_leaves_the_connection_to_others() {
    let (mut memory, client) = let_in();
    let call = client.query("SELEKT", ());
    memory.push(&[refusal("ERROR", "42601"), ready()].concat());
    let PostgresError::Server(why) = error_of(call) else { panic!("the server refused") };
    assert_eq!((&*why.code, &*why.message, why.is_temporary()), ("42601", "no", false));
    let script = client.script("SELECT 1");
    memory.push(&[message(b'C', b"SELECT 1\0"), ready()].concat());
    value_of(script);
    // A fatal one ends it, for all.
    let calls = [client.script("SELECT 1"), client.script("SELECT 2")];
    memory.push(&refusal("FATAL", "57P01"));
    for call in calls {
        let PostgresError::Server(why) = error_of(call) else { panic!("the server ended it") };
        assert!(why.is_temporary());
    }
    assert!(client.is_over() && memory.ended().is_some());
    assert!(matches!(error_of(client.script("SELECT 1")), PostgresError::Server(_)));
}

#[test]
fn calls_and_answers_are_bounded() {
    let (mut memory, client) = let_in();
    let calls = [client.script("1"), client.script("2"), client.script("3")];
    assert_eq!(error_of::<_, PostgresError>(client.script("4")), PostgresError::TooMany);
    memory.push(&[ready(), ready(), ready()].concat());
    assert_eq!(calls.map(value_of), [(), (), ()]);
    // The largest message, and one that is larger.
    let call = client.script("SELECT 1");
    memory.push(&message(b'N', &[&b"M"[..], &[b'x'; 1993], b"\0\0"].concat()));
    memory.push(&ready());
    value_of(call);
    let call = client.script("SELECT 1");
    memory.push(&[b'N', 0, 0, 7, 209]);
    let long = BadMessage::TooLong { tag: b'N', length: 2001 };
    assert_eq!(error_of::<_, PostgresError>(call), PostgresError::Bad(long));
}

#[test]
fn a_result_may_have_so_many_bytes() {
    for (rows, fits) in [(10, true), (200, false)] {
        let (mut memory, client) = let_in();
        let call = client.query("SELECT $1::int4", (1,));
        memory.push(&prepared());
        memory.push(&message(b'2', b""));
        for number in 0..rows {
            memory.push(&row(number));
        }
        memory.push(&[message(b'C', b"SELECT\0"), ready()].concat());
        if fits {
            assert_eq!(value_of(call).len(), rows as usize);
        } else {
            assert_eq!(error_of::<_, PostgresError>(call), PostgresError::TooLarge);
            assert!(!client.is_over());
        }
    }
}

#[test]
fn nobody_waits_for_ever() {
    let (mut memory, _client, ready) = client(config());
    memory.advance(small().login_patience);
    assert_eq!(
        (error_of(ready), memory.ended()),
        (PostgresError::Late, Some(Disconnect::TimedOut))
    );
    let (mut memory, client) = let_in();
    // Idle connections have no time-out, and what comes puts it off.
    memory.advance(Duration::from_hours(1));
    let call = client.script("SELECT 1");
    memory.advance(small().patience.saturating_sub(Duration::from_secs(1)));
    memory.push(&message(b'N', b"Mstill at it\0\0"));
    memory.advance(small().patience.saturating_sub(Duration::from_secs(1)));
    assert_eq!(memory.ended(), None);
    memory.advance(Duration::from_secs(1));
    assert_eq!(error_of::<_, PostgresError>(call), PostgresError::Late);
}

/// Clients that have been let in, and wait for three answers.
fn waiting() -> impl FnMut(&Clock) -> Box<dyn Seat> {
    // One whose last handle is gone would leave by itself.
    let mut handles = Vec::new();
    move |_| {
        let (protocol, client, ready) = Client::new(config());
        let asking = client.clone();
        ready.on_result(move |ready| {
            if ready.is_ok() {
                asking.query("SELECT $1::int4", (1,)).on_result(drop);
                asking.script("SELECT 1").on_result(drop);
            }
        });
        handles.push(client);
        seat(protocol)
    }
}

#[test]
fn no_server_wears_a_client_out() {
    let honest =
        [welcome(), prepared(), message(b'C', b"SELECT 1\0"), ready(), executed(1)].concat();
    let hostile = Hostile::against(waiting()).request(&honest);
    // A byte a second is something, so the whole of an answer may take as long as it has bytes.
    let patience = small().patience + Duration::from_secs(honest.len() as u64);
    hostile.patience(patience).kept(64 * 1024).spare(Attack::SlowRead).assert();
}

#[test]
fn however_answers_are_cut_the_end_is_the_same() {
    let script = || [message(b'C', b"SELECT 1\0"), ready()].concat();
    for answers in [
        [welcome(), prepared(), script(), executed(1)].concat(),
        [welcome(), refusal("ERROR", "42601"), ready(), script()].concat(),
        [welcome(), prepared(), script(), message(b'2', b""), row(1), refusal("FATAL", "57P01")]
            .concat(),
        [welcome(), message(b'A', b"\0\0\0\x01news\0hello\0"), prepared(), row(1)].concat(),
        [message(b'R', &[0, 0, 0, 5, 1, 2, 3, 4]), welcome(), message(b'?', b"what?")].concat(),
        [refusal("FATAL", "28000"), welcome()].concat(),
    ] {
        chunked_seats(&answers, waiting());
    }
}

#[test]
fn every_call_ends_whatever_a_server_says() {
    let words = [
        welcome(),
        prepared(),
        executed(1),
        row(2),
        ready(),
        refusal("ERROR", "26000"),
        refusal("FATAL", "57P01"),
        message(b'C', b"SELECT 1\0"),
        message(b'G', b"\0\0\0"),
        message(b'H', b"\0\0\0"),
        message(b'd', b"data"),
        message(b'c', b""),
        message(b'3', b""),
        message(b'n', b""),
        message(b'I', b""),
        message(b's', b""),
        message(b'N', b"Mnotice\0\0"),
        b"\xff".to_vec(),
    ];
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (mut memory, client) = let_in();
        let calls = [
            client.query("SELECT $1::int4", (1,)).map(|_| ()),
            client.script("SELECT 1"),
            client.execute("SELECT $1::int4", (1,)).map(|_| ()),
        ];
        for _ in 0..random.below(30) {
            memory.push(random.choose::<Vec<u8>>(&words));
        }
        memory.advance(small().patience);
        memory.lose(Disconnect::Reset);
        assert_ne!(memory.ended(), Some(Disconnect::Panicked), "seed {seed}");
        for call in calls {
            assert!(call.now_or_never().is_some(), "seed {seed}");
        }
    }
}

#[test]
fn the_decoder_keeps_only_what_is_not_whole() {
    let mut decoder = Decoder::new(100);
    decoder.push(&[ready(), ready()].concat()[..7]);
    assert_eq!(decoder.next_message(), Ok(Some(Message::Ready(Status::Idle))));
    assert_eq!(decoder.next_message(), Ok(None));
    decoder.push(&ready()[1..]);
    assert_eq!(decoder.next_message(), Ok(Some(Message::Ready(Status::Idle))));
    decoder.push(b"R\0\0\0\x03");
    assert_eq!(decoder.next_message(), Err(BadMessage::Malformed { tag: b'R' }));
}
