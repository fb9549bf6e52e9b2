//! Bytes from nobody's friend, to every server and every client.

use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Disconnect, Factory};
use ropewalk_small::finger::{Directory, Query};
use ropewalk_small::ident::{Asked, Owner, Owners, Refusal};
use ropewalk_small::{IDLE, daytime, discard, echo, finger, ident, qotd, time, users};

use crate::kit::{client, server};

pub(crate) struct Known;

impl Directory for Known {
    fn look_up(&self, query: &Query) -> Deferred<String> {
        Deferred::succeed(format!("{query} is in"))
    }
}

impl Owners for Known {
    fn look_up(&self, asked: &Asked) -> Deferred<Result<Owner, Refusal>> {
        Deferred::succeed(Owner::new("UNIX", asked.query.to_string()).map_err(|_| Refusal::Unknown))
    }
}

/// What a server says to these pieces, and how it ends when no more comes.
fn talk(factory: impl Factory, pieces: &[&[u8]]) -> (Vec<u8>, Option<Disconnect>) {
    let mut memory = server(factory);
    for piece in pieces {
        memory.push(piece);
    }
    let said = memory.take_sent();
    memory.advance(IDLE);
    memory.advance(IDLE);
    assert!(memory.ended().is_some(), "nobody is waited for for ever");
    (said, memory.ended())
}

fn is_unmoved<F: Factory>(serve: impl Fn() -> F, bytes: &[u8], size: usize) {
    let whole = talk(serve(), &[bytes]);
    let pieces: Vec<_> = bytes.chunks(size).collect();
    assert_eq!(talk(serve(), &pieces), whole);
    assert_ne!(whole.1, Some(Disconnect::Panicked));
}

fn is_answered<T: 'static>(
    ask: impl FnOnce(&crate::kit::Place) -> Deferred<T>,
    bytes: &[u8],
    size: usize,
) {
    let (mut memory, answer) = client(ask);
    memory.push_in_pieces(bytes, size);
    memory.eof();
    memory.advance(IDLE);
    assert!(memory.ended().is_some_and(|why| why != Disconnect::Panicked));
    assert!(answer.now_or_never().is_some(), "one way or the other");
}

/// Bytes that mean something to one of the protocols, or nothing.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        &b"\r\n"[..],
        &b"\n"[..],
        &b"\r"[..],
        &b"/W "[..],
        &b"alice"[..],
        &b"@"[..],
        &b"1, 2"[..],
        &b"65536"[..],
        &b","[..],
        &b" : USERID : UNIX :"[..],
        &b" : ERROR : NO-USER"[..],
        &b"\xff\0"[..],
    ]);
    let piece = prop_oneof![6 => known.prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..600)];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_cut_of_any_bytes_gives_the_same_conversation(bytes in any_bytes(), size in 1..50_usize) {
        is_unmoved(|| finger::serve(Known), &bytes, size);
        is_unmoved(|| ident::serve(Known), &bytes, size);
        is_unmoved(echo::serve, &bytes, size);
        is_unmoved(discard::serve, &bytes, size);
    }

    #[test]
    fn every_question_ends(bytes in any_bytes(), size in 1..50_usize) {
        is_answered(|place| finger::ask(place, &Query::everyone()), &bytes, size);
        is_answered(|place| ident::ask(place, ident::Query::new(1, 2).unwrap()), &bytes, size);
        is_answered(|place| echo::ask(place, "alice"), &bytes, size);
        is_answered(|place| discard::send(place, "alice"), &bytes, size);
        is_answered(daytime::ask, &bytes, size);
        is_answered(time::ask, &bytes, size);
        is_answered(qotd::ask, &bytes, size);
        is_answered(users::ask, &bytes, size);
    }
}
