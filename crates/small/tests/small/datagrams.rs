//! The family over datagrams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, DatagramEndpoint, DatagramSeat, Disconnect};
use ropewalk_small::datagrams::{self, ATTEMPTS, DATAGRAM_MAX, RETRY, SERVICE_PORTS, Service};
use ropewalk_small::{AskError, time::Stamp};
use ropewalk_trial::{Clock, MemoryDatagrams};

use crate::kit::{error, just_before, peer, told};

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// What a server answers to these datagrams.
fn answers(service: Service, asked: &[&[u8]]) -> Vec<String> {
    let mut memory = MemoryDatagrams::seat(service, &Clock::new());
    for data in asked {
        assert!(memory.push(data, &peer(1)));
    }
    let said = memory.take_sent().into_iter();
    said.map(|(data, to)| {
        assert_eq!(to, peer(1));
        data.escape_ascii().to_string()
    })
    .collect()
}

#[test]
fn each_datagram_has_its_answer() {
    assert_eq!(answers(datagrams::echo(), &[b"one", b"", b"\xff"]), ["one", "", "\\xff"]);
    assert!(answers(datagrams::discard(), &[b"one", b""]).is_empty());
    assert_eq!(answers(datagrams::time(now), &[b""]), ["\\xe8\\xfeo\\x80"]);
    let day = "Tuesday, November 14, 2023 22:13:20-UTC\\r\\n";
    assert_eq!(answers(datagrams::daytime(now), &[b"", b"?"]), [day, day]);
    assert_eq!(answers(datagrams::qotd(|| "Three".to_owned()), &[b""]), ["Three\\r\\n"]);
    let users = || vec!["alice".to_owned(), "b\nob".to_owned()];
    assert_eq!(answers(datagrams::users(users), &[b""]), ["alice\\r\\nb ob\\r\\n"]);
}

#[test]
fn no_answer_is_longer_than_the_limit() {
    let mut memory = MemoryDatagrams::seat(datagrams::chargen(), &Clock::new());
    for _ in 0..1000 {
        memory.push(b"", &peer(1));
    }
    let lengths: Vec<_> = memory.take_sent().iter().map(|(data, _)| data.len()).collect();
    assert_eq!(lengths.len(), 1000);
    assert!(lengths.iter().all(|length| (74..=6 * 74).contains(length) && length % 74 == 0));
    let length = |service| {
        let mut memory = MemoryDatagrams::seat(service, &Clock::new());
        memory.push(b"", &peer(1));
        memory.take_sent()[0].0.len()
    };
    assert_eq!(length(datagrams::qotd(|| "x".repeat(2000))), DATAGRAM_MAX);
    let many = || vec!["x".repeat(98); 10];
    assert_eq!(length(datagrams::users(many)), 500, "no name is cut");
}

#[test]
fn services_do_not_answer_one_another() {
    let at = |port| Address::Ip(SocketAddr::from(([192, 0, 2, 1], port)));
    let mut memory = MemoryDatagrams::seat(datagrams::echo(), &Clock::new());
    memory.push(b"no", &at(7));
    memory.push(b"no", &at(SERVICE_PORTS - 1));
    memory.push(b"yes", &at(SERVICE_PORTS));
    assert_eq!(memory.take_sent(), [(b"yes".to_vec(), at(SERVICE_PORTS))]);
}

#[test]
fn what_finds_no_room_is_dropped() {
    let mut memory = MemoryDatagrams::seat(datagrams::echo(), &Clock::new());
    memory.set_room(0);
    for _ in 0..10_000 {
        memory.push(&[b'x'; 1000], &peer(1));
    }
    memory.set_room(usize::MAX);
    memory.run();
    assert!(memory.take_sent().len() < 10_000);
    assert_eq!(memory.ended(), None);
}

/// A place whose ports are the test's.
#[derive(Default)]
struct Place(RefCell<Option<Box<dyn DatagramSeat>>>);

impl DatagramEndpoint for Place {
    fn open_seat(&self, _: Option<&Address>, seat: Box<dyn DatagramSeat>) {
        *self.0.borrow_mut() = Some(seat);
    }
}

/// A client that asks, on a port whose other side is the test.
fn asking() -> (MemoryDatagrams, Deferred<Vec<u8>>) {
    let place = Place::default();
    let answer = datagrams::ask(&place, &peer(9), "?");
    let seat = place.0.take().expect("it opens a port");
    (MemoryDatagrams::take_seat(seat, Some(peer(9)), &Clock::new()), answer)
}

#[test]
fn clients_ask_again_and_then_give_up() {
    let (mut memory, answer) = asking();
    for _ in 1..ATTEMPTS {
        assert_eq!(memory.take_sent(), [(b"?".to_vec(), peer(9))]);
        memory.advance(just_before(RETRY));
        assert!(memory.take_sent().is_empty());
        memory.advance(Duration::from_millis(1));
    }
    assert_eq!(memory.take_sent().len(), 1);
    memory.push(&Stamp::of(now()).encode(), &peer(9));
    let stamp = answer.add_callback(|bytes| Stamp::decode(&bytes));
    assert_eq!(told(stamp), Ok(Stamp::of(now())));
    assert!(memory.ended().is_some(), "the port is closed");

    let (mut memory, answer) = asking();
    memory.advance(RETRY * ATTEMPTS);
    assert_eq!(error::<_, AskError>(answer), AskError::Late);
    assert!(memory.ended().is_some());
}

#[test]
fn clients_hear_that_nobody_listens() {
    let (mut memory, answer) = asking();
    memory.refuse();
    assert_eq!(error::<_, AskError>(answer), AskError::Lost(Disconnect::Refused));
    let (mut memory, answer) = asking();
    memory.stop(Disconnect::Stopped);
    assert_eq!(error::<_, AskError>(answer), AskError::Lost(Disconnect::Stopped));
}

#[test]
fn a_question_that_is_taken_back_is_not_asked_again() {
    let (mut memory, answer) = asking();
    memory.take_sent();
    answer.cancel();
    memory.advance(RETRY);
    assert!(memory.take_sent().is_empty() && memory.ended().is_some());
    drop(answer.now_or_never());
}
