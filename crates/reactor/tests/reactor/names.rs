//! Names, as the system and files resolve them.

use std::net::SocketAddr;

use ropewalk_deferred::{Deferred, Rest, gather};
use ropewalk_protocol::{ResolveError, Resolver, ResolverChain};
use ropewalk_reactor::{ConnectOptions, HostsFile, Reactor, SystemResolver};

use crate::kit::{Echo, Folder, Note, reactor, serve, turn_until, witness};

fn error(answer: Deferred<Vec<SocketAddr>>, reactor: &Reactor) -> ResolveError {
    let failure = reactor.run_until(answer).expect_err("there is no answer");
    failure.check::<ResolveError>().expect("it is the resolver's own error").clone()
}

#[test]
fn the_same_question_is_asked_once() {
    let reactor = reactor();
    let system = SystemResolver::new(&reactor);
    let answers: Vec<_> = (1..=20).map(|port| system.resolve("127.1", port)).collect();
    let other = system.clone().resolve("127.2", 80);
    assert_eq!(system.pending(), 2);
    let found = reactor.run_until(gather(answers, Rest::Leave)).unwrap();
    for (port, found) in (1..=20).zip(found) {
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], port))]);
    }
    let found = reactor.run_until(other).unwrap();
    assert_eq!(found, [SocketAddr::from(([127, 0, 0, 2], 80))]);
    assert_eq!(system.pending(), 0);
}

#[test]
fn who_does_not_wait_for_all_answers_gets_those_that_he_wants() {
    let reactor = reactor();
    let system = SystemResolver::new(&reactor);
    let unwanted: Vec<_> = (0..100).map(|n| system.resolve(&format!("127.7.{n}"), 80)).collect();
    let (first, second) = (system.resolve("127.1", 80), system.resolve("127.1", 81));
    unwanted.iter().for_each(Deferred::cancel);
    first.cancel();
    assert_eq!(reactor.run_until(second).unwrap(), [SocketAddr::from(([127, 0, 0, 1], 81))]);
    drop((unwanted, first));
    turn_until(&reactor, || system.pending() == 0);
}

#[test]
fn so_many_questions_wait_and_no_more() {
    const QUESTIONS_MAX: usize = 1024;
    let reactor = reactor();
    let system = SystemResolver::new(&reactor);
    let ask = |n: usize| system.resolve(&format!("127.{}.{}", n / 256, n % 256), 80);
    let answers: Vec<_> = (0..QUESTIONS_MAX).map(ask).collect();
    let busy = error(ask(QUESTIONS_MAX), &reactor);
    assert!(matches!(&busy, ResolveError::Busy { .. }) && busy.is_temporary(), "{busy}");
    // One that is asked already takes no place.
    let again = ask(5);
    assert_eq!(reactor.run_until(gather(answers, Rest::Leave)).unwrap().len(), QUESTIONS_MAX);
    reactor.run_until(again).unwrap();
    reactor.run_until(ask(QUESTIONS_MAX)).unwrap();
}

#[test]
fn a_reactor_that_is_gone_answers_nobody() {
    let reactor = reactor();
    let system = SystemResolver::new(&reactor);
    drop(reactor);
    let failure = system.resolve("127.1", 80).now_or_never().unwrap().unwrap_err();
    assert!(matches!(failure.check(), Some(ResolveError::Failed { .. })), "{failure:?}");
    assert_eq!(system.pending(), 0);
}

#[test]
fn files_of_hosts_are_read_again_when_they_change() {
    let (reactor, folder) = (reactor(), Folder::new("hosts"));
    let path = folder.path("hosts");
    let hosts = HostsFile::new(&path);
    let unknown = ResolveError::NoAddress { host: "one".to_owned() };
    assert_eq!(error(hosts.resolve("one", 80), &reactor), unknown);
    std::fs::write(&path, "127.0.0.1 one\n").unwrap();
    let found = hosts.resolve("one", 80).now_or_never().unwrap().unwrap();
    assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 80))]);
    std::fs::write(&path, "127.0.0.1 one\n127.0.0.2 one\n").unwrap();
    assert_eq!(hosts.resolve("one", 80).now_or_never().unwrap().unwrap().len(), 2);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(error(hosts.resolve("one", 80), &reactor), unknown);
    std::fs::create_dir(&path).unwrap();
    let failed = error(hosts.resolve("one", 80), &reactor);
    assert!(matches!(failed, ResolveError::Failed { .. }), "{failed}");
}

#[test]
fn one_connects_to_names_of_a_file_and_of_the_system() {
    let (reactor, folder) = (reactor(), Folder::new("chain"));
    let path = folder.path("hosts");
    std::fs::write(&path, "127.0.0.1 ours.example\n").unwrap();
    let system = SystemResolver::new(&reactor);
    reactor.set_resolver(ResolverChain::new(HostsFile::new(&path), system));
    let (_port, address) = serve(&reactor, || Echo);
    for host in ["ours.example", "127.1", "127.0.0.1"] {
        let (client, notes) = witness(|conn, note| match note {
            Note::Made => conn.write(b"word"),
            Note::Data(_) => conn.close(),
            _ => (),
        });
        let seat = ropewalk_protocol::seat(client);
        reactor.connect_name(host, address.port(), ConnectOptions::default(), seat);
        turn_until(&reactor, || notes.lost().is_some());
        assert_eq!(notes.data(), b"word", "{host}");
    }
}
