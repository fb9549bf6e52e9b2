//! Servers that mean no good.

use std::time::Duration;

use ropewalk_memcached::{Client, Expiry, Limits};
use ropewalk_protocol::{Disconnect, Seat, seat};
use ropewalk_trial::{Attack, Clock, Hostile, Random, chunked_seats};

use crate::client_with;

/// Clients that have each made a call of every kind, and wait.
fn waiting() -> impl FnMut(&Clock) -> Box<dyn Seat> {
    // One whose last handle is gone would leave by itself.
    let mut handles = Vec::new();
    move |_| {
        let (protocol, client) = Client::new(small());
        client.get_many(["a", "b"]).on_result(drop);
        client.set("a", "x").on_result(drop);
        client.incr("n", 1).on_result(drop);
        client.delete("a").on_result(drop);
        client.touch("a", Expiry::Never).on_result(drop);
        client.stats().on_result(drop);
        client.version().on_result(drop);
        client.gets("a").on_result(drop);
        handles.push(client);
        seat(protocol)
    }
}

fn small() -> Limits {
    Limits { value_max: 1000, answer_max: 4000, stats_max: 10, ..Limits::default() }
}

/// Here the enemy is at the other end: what is a request to a server is an answer to this client.
#[test]
fn no_server_wears_a_client_out() {
    let honest = b"VALUE a 0 3\r\nabc\r\nEND\r\nSTORED\r\n8\r\nDELETED\r\nTOUCHED\r\n\
        STAT pid 1\r\nEND\r\nVERSION 1.6\r\nVALUE a 0 3 9\r\nabc\r\nEND\r\n";
    let hostile = Hostile::against(waiting()).request(honest);
    // A byte a second is something, so the whole of an answer may take as long as it has bytes.
    let patience = small().patience + Duration::from_secs(honest.len() as u64);
    hostile.patience(patience).kept(64 * 1024).spare(Attack::SlowRead).assert();
}

#[test]
fn however_answers_are_cut_the_end_is_the_same() {
    for answers in [
        &b"END\r\nNOT_STORED\r\nNOT_FOUND\r\nDELETED\r\nTOUCHED\r\nEND\r\nVERSION x\r\nEND\r\n"[..],
        b"VALUE a 0 3\r\nabc\r\nVALUE b 0 1001\r\n",
        b"VALUE c 0 3\r\nabc\r\nEND\r\n",
        b"SERVER_ERROR busy\r\nERROR\r\nCLIENT_ERROR no\r\nwhat?\r\n",
        b"END\r\nSTORED\r\n99999999999999999999\r\n",
    ] {
        chunked_seats(answers, waiting());
    }
}

#[test]
fn every_call_ends_whatever_a_server_says() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut memory, client) = client_with(small());
        let get = client.get_many(["a", "b"]);
        let count = client.incr("n", 1);
        let stats = client.stats();
        let words = [
            &b"VALUE "[..],
            b"a ",
            b"b ",
            b"0 ",
            b"3",
            b"4294967296 ",
            b"\r\n",
            b"END\r\n",
            b"STAT ",
            b"STORED\r\n",
            b"ERROR\r\n",
            b"8\r\n",
            b"\xff",
            b"-1",
            b"abc\r\n",
        ];
        for _ in 0..random.below(40) {
            memory.push(words[random.below(words.len() as u64) as usize]);
        }
        memory.advance(small().patience);
        memory.lose(Disconnect::Reset);
        assert_ne!(memory.ended(), Some(Disconnect::Panicked), "seed {seed}");
        let over = (get.now_or_never().is_some(), count.now_or_never().is_some());
        assert_eq!((over, stats.now_or_never().is_some()), ((true, true), true), "seed {seed}");
    }
}
