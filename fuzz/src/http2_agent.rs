//! Bytes to answers of HTTP/2, as a client gets them.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use http::Method;
use ropewalk_http::{Agent, Answer, Options, Origin, Upgrade};
use ropewalk_protocol::Seat;
use ropewalk_trial::{Clock, Memory, Witness};

use crate::cut::cuts;

/// Nothing panics, every request comes to an end with its connection, and no place is lost.
pub(crate) fn check(bytes: &[u8]) {
    ask([bytes]);
    for pieces in cuts(bytes) {
        ask(pieces);
    }
}

fn ask<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) {
    let clock = Clock::new();
    let dialled: Rc<RefCell<Vec<Box<dyn Seat>>>> = Rc::default();
    let seats = Rc::clone(&dialled);
    let dial = move |_: &Origin, seat: Box<dyn Seat>| seats.borrow_mut().push(seat);
    let mut options = Options::default();
    options.http2.has_prior_knowledge = true;
    let agent = Agent::with_options(dial, clock.clone(), options);
    let requests = [(Method::GET, ""), (Method::POST, "body"), (Method::HEAD, "")];
    let answers = requests.map(|(method, body)| {
        let answer = agent.request(method, "http://a/").body(body).send();
        answer.add_callback(Answer::bytes)
    });
    let (witness, notes) = Witness::quiet();
    let asked = agent.get("http://a/").upgrade("witness", |_| Ok::<_, fmt::Error>(witness));
    let seat = dialled.borrow_mut().pop().expect("one connection is enough");
    let mut server = Memory::take_seat(seat, &clock);
    server.run();
    for piece in pieces {
        if server.ended().is_some() {
            break;
        }
        server.push(piece);
    }
    if server.ended().is_none() {
        server.eof();
    }
    server.run();
    drop(server);
    // What is asked again is asked of nobody.
    loop {
        let seats = std::mem::take(&mut *dialled.borrow_mut());
        if seats.is_empty() {
            break;
        }
        for seat in seats {
            Memory::take_seat(seat, &clock).eof();
        }
    }
    for answer in answers {
        answer.now_or_never().expect("it is over").ok();
    }
    // What has a stream hears of its end.
    if let Ok(Upgrade::Made(_)) = asked.now_or_never().expect("it is over") {
        assert!(notes.lost().is_some());
    }
    assert_eq!(notes.disorder(), None);
    assert_eq!(agent.connections(), (0, 0));
}
