//! The suites of hostile clients and of cuts, against every server; hostile servers, against every client.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, Disconnect, Factory, Seat, SeatFactory};
use ropewalk_small::finger::{self, LOOK_UP_PATIENCE, QUERY_PATIENCE, Query};
use ropewalk_small::{ANSWER_MAX, IDLE, PATIENCE};
use ropewalk_small::{chargen, daytime, discard, echo, ident, qotd, time, users};
use ropewalk_trial::{Attack, Clock, Hostile, Random, chunked_seats};

use crate::hostile::Known;
use crate::kit::{Place, client};

/// What one connection may have a server keep: the high mark of what it writes, and what it reads at once.
const KEPT: u64 = 256 * 1024;

fn one<F: Factory>(serve: impl Fn() -> F + 'static) -> impl FnMut(&Clock) -> Box<dyn Seat> {
    move |_| serve().seat(&Address::Memory("peer".to_owned())).expect("there is room")
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

#[test]
fn finger_stands() {
    let server = one(|| finger::serve(Known));
    let patience = QUERY_PATIENCE + LOOK_UP_PATIENCE;
    Hostile::against(server).request(b"/W alice@host\r\n").patience(patience).kept(KEPT).assert();
}

#[test]
fn ident_stands() {
    let server = one(|| ident::serve(Known));
    Hostile::against(server).request(b"6193, 23\r\n").patience(IDLE * 2).kept(KEPT).assert();
}

#[test]
fn servers_that_say_one_thing_stand() {
    fn check<F: Factory>(serve: impl Fn() -> F + 'static) {
        Hostile::against(one(serve)).request(b"what?\r\n").patience(IDLE).kept(KEPT).assert();
    }
    check(|| daytime::serve(now));
    check(|| time::serve(now));
    check(|| qotd::serve(|| "Three strands.".to_owned()));
    check(|| users::serve(|| vec!["alice".to_owned()]));
}

/// These listen as long as somebody speaks, so that slow speech and endless lines are no attacks.
#[test]
fn servers_that_listen_stand() {
    fn check<F: Factory>(serve: impl Fn() -> F + 'static) {
        let hostile = Hostile::against(one(serve)).request(b"hello").patience(IDLE).kept(KEPT);
        hostile.spare(Attack::Slowloris).spare(Attack::EndlessLine).assert();
    }
    check(echo::serve);
    check(discard::serve);
}

/// It speaks for as long as somebody listens, whatever that one says.
#[test]
fn chargen_stands() {
    let hostile = Hostile::against(one(chargen::serve)).request(b"more").patience(IDLE).kept(KEPT);
    let talks = [Attack::Slowloris, Attack::EndlessLine, Attack::HalfOpen, Attack::Garbage];
    talks.into_iter().fold(hostile, Hostile::spare).assert();
}

#[test]
fn however_a_question_is_cut_the_answer_is_the_same() {
    fn check<F: Factory>(input: &[u8], expected: &[u8], serve: impl Fn() -> F + 'static) {
        let answer = chunked_seats(input, one(serve));
        assert_eq!(answer.sent.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_ne!(answer.ended, Some(Disconnect::Panicked));
    }
    check(b"/W alice\r\nbob\r\n", b"alice is in\r\n", || finger::serve(Known));
    check(b"alice bob\n", b"a name in the query cannot be one\r\n", || finger::serve(Known));
    let owners = b"1, 2 : USERID : UNIX :1, 2\r\n3, 4 : USERID : UNIX :3, 4\r\n";
    check(b"1,2\r\n3 , 4\n", owners, || ident::serve(Known));
    check(b"any words\r\nat all\0", b"any words\r\nat all\0", echo::serve);
    check(b"any words", b"", discard::serve);
    check(b"what?", b"Three\r\n", || qotd::serve(|| "Three".to_owned()));
    check(b"what?", b"alice\r\n", || users::serve(|| vec!["alice".to_owned()]));
    check(b"what?", &time::Stamp::of(now()).encode(), || time::serve(now));
    let day = b"Tuesday, November 14, 2023 22:13:20-UTC\r\n";
    check(b"what?", day, || daytime::serve(now));
}

/// How a client deals with a server that says these bytes and then nothing: it ends within its patience,
/// and its question with it.
#[track_caller]
fn ends<T: 'static>(ask: impl FnOnce(&Place) -> Deferred<T>, pieces: &[Vec<u8>], slowly: bool) {
    let (mut memory, answer) = client(ask);
    for piece in pieces {
        memory.push(piece);
        if slowly {
            memory.advance(Duration::from_secs(1));
        }
    }
    memory.advance(PATIENCE.saturating_sub(memory.now()));
    assert!(memory.ended().is_some_and(|why| why != Disconnect::Panicked));
    assert!(answer.now_or_never().is_some(), "the question is over too");
}

#[test]
fn hostile_servers_are_left() {
    let bytes = |seed| {
        let mut random = Random::new(seed);
        (0..4096).map(|_| random.number() as u8).collect::<Vec<u8>>()
    };
    let mut servers: Vec<(Vec<Vec<u8>>, bool)> = vec![
        // Says nothing, says a byte a second, never ends a line or an answer.
        (Vec::new(), false),
        (vec![b"a".to_vec(); 90], true),
        (vec![vec![b'a'; 16 * 1024]; ANSWER_MAX / (16 * 1024) + 1], false),
        (vec![b"a\r\n".to_vec(); 30_000], false),
    ];
    servers.extend((0..32).map(|seed| (vec![bytes(seed)], false)));
    for (pieces, slowly) in &servers {
        ends(|place| finger::ask(place, &Query::everyone()), pieces, *slowly);
        let query = ident::Query::new(1, 2).expect("ports");
        ends(|place| ident::ask(place, query), pieces, *slowly);
        ends(|place| echo::ask(place, "hello"), pieces, *slowly);
        ends(|place| discard::send(place, "hello"), pieces, *slowly);
        ends(|place| chargen::ask(place, 1_000_000), pieces, *slowly);
        ends(daytime::ask, pieces, *slowly);
        ends(time::ask, pieces, *slowly);
        ends(qotd::ask, pieces, *slowly);
        ends(users::ask, pieces, *slowly);
    }
}
