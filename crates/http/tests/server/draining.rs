//! The end of a site.

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use ropewalk_http::{Body, BodySender, IntoReply, Request, Site};
use ropewalk_protocol::{
    Address, Conn, Disconnect, Drain, Factory as _, Leaving, Protocol, SeatFactory as _,
};
use ropewalk_trial::{Clock, Memory};

use crate::client::{A_MOMENT, Client, Held, Seen, get, head, just_under, post, secs, site};

/// For how long a request may be on its way to a site that says goodbye.
const PARTING: Duration = Duration::from_millis(100);

struct Stage {
    site: Site,
    clock: Clock,
    held: Held<&'static str>,
    senders: Seen<BodySender>,
}

impl Stage {
    fn new() -> Self {
        let (held, senders) = (Held::new(), Seen::new());
        let (holding, kept) = (held.clone(), senders.clone());
        let site = site(move |request: Request| match request.uri().path() {
            "/later" => holding.wait().into_reply(),
            "/stream" => {
                let (sender, body) = Body::channel();
                kept.push(sender);
                body.into_reply()
            }
            _ => "hello".into_reply(),
        });
        Self { site, clock: Clock::new(), held, senders }
    }

    fn client(&self) -> Client {
        Client::of(&self.site, &self.clock)
    }
}

#[test]
fn idle_connections_end_soon_and_busy_ones_after_their_answer() {
    let stage = Stage::new();
    let [mut fresh, mut idle, mut busy, mut streaming] = std::array::from_fn(|_| stage.client());
    idle.ask(get("/"));
    busy.send(get("/later"));
    streaming.send(get("/stream"));
    assert_eq!(stage.site.connections(), 4);

    let mut drained = stage.site.drain();
    idle.assert_open();
    idle.advance(PARTING);
    idle.assert_ended(Disconnect::Closed);
    fresh.assert_open();
    fresh.advance(secs(5).saturating_sub(PARTING));
    fresh.assert_ended(Disconnect::Closed);
    busy.assert_open();
    streaming.assert_open();
    assert_eq!(stage.site.connections(), 2);

    stage.held.release("done");
    let answer = busy.answer();
    assert_eq!(answer.text(), "done");
    assert!(answer.closes());
    busy.assert_over();

    let mut sender = stage.senders.take().remove(0);
    sender.write("last").expect("room");
    sender.finish();
    assert_eq!(streaming.answer().text(), "last");
    drained = drained.try_take().expect_err("one is still there");
    // Its answer began before, and said nothing of an end.
    streaming.advance(PARTING);
    streaming.assert_ended(Disconnect::Closed);
    assert_eq!(stage.site.connections(), 0);
    assert!(drained.now_or_never().expect("all have ended").is_ok());
}

#[test]
fn a_site_without_connections_is_drained_already() {
    assert!(Stage::new().site.drain().now_or_never().is_some());
}

#[test]
fn a_request_that_has_begun_is_still_answered() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.send("GET / HTTP/1.1\r\n");
    let drained = stage.site.drain();
    client.assert_open();
    let answer = client.ask("Host: a\r\n\r\n");
    assert_eq!(answer.text(), "hello");
    assert!(answer.closes());
    client.assert_over();
    assert!(drained.now_or_never().is_some());
}

#[test]
fn requests_that_wait_behind_an_answer_are_answered_up_to_the_first_goodbye() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.send(["/stream", "/a", "/b"].map(get).concat());
    client.memory.take_sent();
    let _drained = stage.site.drain();
    stage.senders.take().remove(0).finish();
    let sent = client.memory.take_sent();
    let mut rest = sent.strip_prefix(b"0\r\n\r\n").expect("the end of a stream");
    assert!(rest.starts_with(b"HTTP/1.1 200 OK\r\n"));
    assert!(rest.ends_with(b"\r\n\r\nhello"));
    rest = &rest[1..];
    assert!(!rest.windows(5).any(|part| part == b"HTTP/"), "one answer and no more");
    client.assert_over();
}

#[test]
fn a_body_that_is_still_coming_does_not_keep_a_site_alive() {
    let stage = Stage::new();
    let mut client = stage.client();
    client.send(head("POST / HTTP/1.1", &["Content-Length: 8"])).send("half");
    assert_eq!(client.answer().text(), "hello");
    let _drained = stage.site.drain();
    client.send("full");
    client.advance(PARTING);
    client.assert_ended(Disconnect::Closed);
}

#[test]
fn a_slow_reader_of_an_answer_gets_all_of_it() {
    let site = site(|_: Request| vec![b'x'; 100_000]);
    let mut client = Client::of(&site, &Clock::new());
    client.memory.set_room(0);
    client.send(get("/"));
    let drained = site.drain();
    client.advance(secs(10)).memory.set_room(u64::MAX);
    assert_eq!(client.answer().body.len(), 100_000);
    client.advance(PARTING);
    client.assert_ended(Disconnect::Closed);
    assert!(drained.now_or_never().is_some());
}

#[test]
fn a_request_that_is_on_its_way_is_answered() {
    let stage = Stage::new();
    let [mut whole, mut halved, mut silent] = std::array::from_fn(|_| stage.client());
    let mut streaming = stage.client();
    for client in [&mut whole, &mut halved, &mut silent] {
        assert!(!client.ask(get("/")).closes());
    }
    streaming.send(get("/stream"));
    streaming.memory.take_sent();
    let drained = stage.site.drain();
    for client in [&mut whole, &mut halved, &mut silent] {
        client.assert_open();
    }
    whole.advance(PARTING.saturating_sub(A_MOMENT));
    assert!(whole.ask(get("/")).closes());
    whole.assert_over();
    // What has begun has the time that a head has.
    let request = get("/");
    let (first, second) = request.split_at(10);
    halved.send(first).advance(secs(9));
    assert!(halved.ask(second).closes());
    halved.assert_over();
    silent.assert_ended(Disconnect::Closed);
    // Nor is the request behind an answer lost that promised to hear it.
    stage.senders.take().remove(0).finish();
    assert!(streaming.memory.take_sent().ends_with(b"0\r\n\r\n"));
    streaming.assert_open();
    assert!(streaming.ask(get("/")).closes());
    streaming.assert_over();
    assert!(drained.now_or_never().is_some());
}

#[test]
fn who_has_come_lately_has_longer_than_who_has_said_nothing_for_a_while() {
    let stage = Stage::new();
    let mut old = stage.client();
    old.advance(secs(6));
    let mut young = stage.client();
    young.advance(secs(2));
    let drained = stage.site.drain();
    old.assert_open();
    old.advance(PARTING);
    old.assert_ended(Disconnect::Closed);
    young.advance(just_under(3).saturating_sub(PARTING));
    young.assert_open();
    assert!(young.ask(get("/")).closes());
    young.assert_over();
    assert!(drained.now_or_never().is_some());
}

#[test]
fn who_has_just_come_is_answered_once() {
    let stage = Stage::new();
    let mut early = stage.client();
    let drained = stage.site.drain();
    let mut late = stage.client();
    for client in [&mut early, &mut late] {
        let answer = client.ask(get("/"));
        assert_eq!(answer.text(), "hello");
        assert!(answer.closes());
        client.assert_over();
    }
    assert!(drained.now_or_never().is_some());
}

#[test]
fn who_was_accepted_and_is_not_here_yet_is_waited_for() {
    let stage = Stage::new();
    let server = stage.site.clone().build(&Address::Unnamed).expect("a server");
    assert_eq!(stage.site.connections(), 1);
    let drained = stage.site.drain();
    let drained = drained.try_take().expect_err("one is on its way");
    let mut memory = Memory::seat(server, &stage.clock);
    memory.push(&get("/"));
    assert!(memory.take_sent().starts_with(b"HTTP/1.1 200 "));
    drop(memory);
    assert_eq!(stage.site.connections(), 0);
    assert!(drained.now_or_never().is_some());
}

#[test]
fn a_site_serves_again_once_it_is_told_to() {
    let stage = Stage::new();
    assert!(stage.site.drain().now_or_never().is_some());
    Drain::resume(&stage.site);
    let mut client = stage.client();
    assert!(!client.ask(get("/")).closes());
    client.assert_open();
    assert_eq!(Drain::cut(&stage.site), 1);
    client.assert_ended(Disconnect::Aborted);
}

#[test]
fn a_new_connection_that_says_nothing_is_let_go() {
    let stage = Stage::new();
    let mut old = stage.client();
    old.send(get("/later"));
    let drained = stage.site.drain();
    let mut new = stage.client();
    new.assert_open();
    new.advance(secs(5));
    new.assert_ended(Disconnect::Closed);
    new.assert_silent();
    let again = stage.site.drain();
    old.memory.lose(Disconnect::Reset);
    assert!(drained.now_or_never().is_some());
    assert!(again.now_or_never().is_some());
}

#[test]
fn those_who_do_not_go_are_made_to() {
    let stage = Stage::new();
    let mut clients: [Client; 3] = std::array::from_fn(|_| stage.client());
    clients[0].send(get("/later"));
    clients[1].send(get("/stream"));
    clients[2].send(post("/", b"a"));
    let drained = stage.site.drain();
    clients[2].advance(PARTING);
    clients[2].assert_ended(Disconnect::Closed);
    assert_eq!(stage.site.abort_all(), 2);
    for client in &mut clients[..2] {
        client.assert_ended(Disconnect::Aborted);
    }
    assert!(stage.held.take().is_cancelled());
    assert!(stage.senders.take()[0].is_gone());
    assert!(drained.now_or_never().is_some());
}

/// Says back what it hears.
struct Parrot;

impl Protocol for Parrot {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

const SWITCHING: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: parrot\r\n\r\n";

fn switching(body: Body) -> http::Response<Body> {
    let head = http::Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
    let head = head.header("connection", "upgrade").header("upgrade", "parrot");
    head.body(body).expect("these are a response's fields")
}

fn switched(site: &Site) -> Memory {
    let mut memory = Memory::seat(site.server(), &Clock::new());
    memory.push(SWITCHING);
    assert!(memory.take_sent().starts_with(b"HTTP/1.1 101 "));
    memory
}

#[test]
fn what_another_protocol_has_is_waited_for_and_cut() {
    let site = site(|_: Request| switching(Body::switch_to(Parrot)));
    let (mut ends, mut stays) = (switched(&site), switched(&site));
    assert_eq!(site.connections(), 2);
    let mut drained = site.drain();
    ends.push(b"still there");
    assert_eq!(ends.take_sent(), b"still there");
    ends.eof();
    assert_eq!((ends.ended(), site.connections()), (Some(Disconnect::Closed), 1));
    drained = drained.try_take().expect_err("one is still there");
    assert_eq!(site.abort_all(), 1);
    stays.run();
    assert_eq!((stays.ended(), site.connections()), (Some(Disconnect::Aborted), 0));
    assert!(drained.now_or_never().is_some());
}

#[test]
fn a_group_of_another_protocol_says_goodbye_in_its_own_way() {
    let parrots = Rc::new(std::cell::RefCell::new(Leaving::by(
        |_: &Address| Some(Parrot),
        |_, conn| {
            conn.write(b"BYE");
            conn.close();
        },
    )));
    let group: Rc<dyn Drain> = Rc::new(parrots.borrow().clone());
    let among = Rc::clone(&group);
    let site = site(move |_: Request| switching(Body::switch_among(&among, Parrot)));
    // The group counts who is of it, which these are not.
    let mut apart = switched(&site);
    assert_eq!(site.connections(), 0);
    let seat = parrots.borrow_mut().seat(&Address::Unnamed).expect("a parrot");
    let mut member = Memory::take_seat(seat, &Clock::new());
    assert_eq!(site.connections(), 1);
    let mut busy = Memory::seat(site.server(), &Clock::new());
    busy.push(&SWITCHING[..20]);
    let mut drained = site.drain();
    member.run();
    assert_eq!(member.take_sent(), b"BYE");
    assert_eq!(member.ended(), Some(Disconnect::Closed));
    drained = drained.try_take().expect_err("one is still there");
    // Who switches at the end is waited for as well.
    busy.push(&SWITCHING[20..]);
    busy.take_sent();
    assert_eq!(site.connections(), 1);
    drained = drained.try_take().expect_err("one is still there");
    busy.eof();
    assert!(drained.now_or_never().is_some());
    apart.eof();
    Drain::resume(&site);
}
