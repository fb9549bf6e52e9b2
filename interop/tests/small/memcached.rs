//! Our client with memcached itself.

use std::process::Command;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_interop::{Peer, free_port, tool, wait_for_port};
use ropewalk_memcached::{self as memcached, CallError, CasOutcome, Client, Entry, Expiry, Limits};
use ropewalk_protocol::Disconnect;
use ropewalk_reactor::Reactor;

use crate::answers::Asks;
use crate::kit::{asked_on, local};
use crate::support::reactor;

/// A running memcached and a client of it.
struct Cache {
    peer: Option<Peer>,
    reactor: Reactor,
    client: Client,
}

impl Cache {
    fn start(limits: Limits) -> Self {
        let port = free_port().expect("a port");
        let mut command = Command::new(tool("memcached"));
        command.args(["-l", "127.0.0.1", "-U", "0", "-p", &port.to_string()]);
        // It wants to be told so where it could be somebody else.
        command.args(["-u", "root"]);
        let peer = Peer::start(&mut command).expect("memcached starts");
        wait_for_port(local(port)).expect("it listens");
        let reactor = reactor();
        let client = asked_on(&reactor, port, |place| memcached::connect_with(place, limits));
        Self { peer: Some(peer), client: client.expect("a connection"), reactor }
    }

    #[track_caller]
    fn told<T: 'static>(&self, call: impl FnOnce(&Client) -> Deferred<T>) -> T {
        Asks::told(self, call(&self.client))
    }

    #[track_caller]
    fn refused<T: std::fmt::Debug + 'static>(
        &self,
        call: impl FnOnce(&Client) -> Deferred<T>,
    ) -> CallError {
        self.refused_as(call(&self.client))
    }
}

impl Asks for Cache {
    fn reactor(&self) -> &Reactor {
        &self.reactor
    }
}

#[test]
fn every_command_is_answered() {
    let cache = Cache::start(Limits::default());
    assert!(!cache.told(Client::version).is_empty());
    assert_eq!(cache.told(|client| client.get("a")), None);
    cache.told(|client| client.set("a", Entry::new("one").flags(7)));
    let item = cache.told(|client| client.get("a")).expect("it is there");
    assert_eq!((&*item.value, item.flags), (&b"one"[..], 7));
    assert!(!cache.told(|client| client.add("a", "two")));
    assert!(cache.told(|client| client.replace("a", "two")));
    assert!(!cache.told(|client| client.replace("b", "two")));
    assert!(cache.told(|client| client.append("a", "+")));
    assert!(cache.told(|client| client.prepend("a", "-")));
    let item = cache.told(|client| client.gets("a")).expect("it is there");
    assert_eq!(&*item.value, b"-two+");
    let cas = |unique| cache.told(|client| client.cas("a", "three", unique));
    assert_eq!(cas(item.cas_unique), CasOutcome::Stored);
    assert_eq!(cas(item.cas_unique), CasOutcome::Exists);
    assert_eq!(cache.told(|client| client.cas("b", "x", 1)), CasOutcome::NotFound);
    cache.told(|client| client.set("n", "10"));
    assert_eq!(cache.told(|client| client.incr("n", u64::MAX)), Some(9), "it goes round");
    assert_eq!(cache.told(|client| client.decr("n", 100)), Some(0));
    assert_eq!(cache.told(|client| client.incr("b", 1)), None);
    let refused = cache.refused(|client| client.incr("a", 1));
    assert!(matches!(refused, CallError::Client(_)), "{refused:?}");
    let minute = Expiry::After(Duration::from_mins(1));
    assert!(cache.told(|client| client.touch("a", minute)));
    assert!(!cache.told(|client| client.touch("b", minute)));
    assert_eq!(&*cache.told(|client| client.gat("a", minute)).expect("an item").value, b"three");
    assert_ne!(cache.told(|client| client.gats("a", minute)).expect("an item").cas_unique, 0);
    let many = cache.told(|client| client.get_many(["a", "b", "n"]));
    assert_eq!((many.len(), many[&b"n"[..]].value.trim_ascii()), (2, &b"0"[..]));
    assert!(cache.told(|client| client.delete("a")));
    assert!(!cache.told(|client| client.delete("a")));
    cache.told(|client| client.set("gone", Entry::new("x").expires(Expiry::Now)));
    assert_eq!(cache.told(|client| client.get("gone")), None);
    assert!(cache.told(Client::stats).contains_key("curr_items"));
    assert!(!cache.told(|client| client.stats_of("settings")).is_empty());
    cache.told(|client| client.verbosity(0));
    cache.told(|client| client.flush_all(Duration::ZERO));
    assert_eq!(cache.told(|client| client.get("n")), None);
}

#[test]
fn answers_keep_their_order_with_a_thousand_calls_in_flight() {
    let cache = Cache::start(Limits::default());
    let numbers = 0..500_u32;
    let set: Vec<_> = numbers
        .clone()
        .map(|at| cache.client.set(format!("k{at}"), vec![at as u8; at as usize]))
        .collect();
    let got: Vec<_> = numbers.clone().map(|at| cache.client.get(format!("k{at}"))).collect();
    for answer in set {
        cache.wait(answer).expect("stored");
    }
    for (at, answer) in numbers.zip(got) {
        let item = cache.wait(answer).expect("an answer").expect("it is there");
        assert_eq!(item.value, vec![at as u8; at as usize]);
    }
    let keys: Vec<_> = (0..1000).map(|at| format!("k{at}")).collect();
    assert_eq!(cache.told(|client| client.get_many(&keys)).len(), 500);
}

#[test]
fn values_and_keys_are_any_bytes_and_long() {
    let cache = Cache::start(Limits { value_max: 2 << 20, ..Limits::default() });
    let value: Vec<u8> = (0..1_000_000_u32).map(|at| (at % 251) as u8).collect();
    let key = "\u{e4}".repeat(125);
    cache.told(|client| client.set(&key, value.clone()));
    assert_eq!(cache.told(|client| client.get(&key)).expect("it is there").value, value);
    let refused = cache.refused(|client| client.set("k", vec![b'x'; 2 << 20]));
    assert!(matches!(&refused, CallError::Server(why) if why.contains("too large")), "{refused:?}");
    assert_eq!(cache.told(|client| client.get("k")), None, "the connection is as good as before");
}

#[test]
fn a_server_that_dies_leaves_no_call_waiting() {
    let mut cache = Cache::start(Limits::default());
    cache.told(|client| client.set("k", "v"));
    drop(cache.peer.take());
    let refused = cache.refused(|client| client.get("k"));
    assert!(
        matches!(refused, CallError::Lost(Disconnect::Closed | Disconnect::Reset)),
        "{refused:?}"
    );
}
