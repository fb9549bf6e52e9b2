//! Layers that do change something.

use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Cancelled;
use ropewalk_protocol::{
    Above, Address, Below, Chunk, Conn, Credentials, Disconnect, Event, Identity, Layer, Layered,
    Outbox, Protocol, ProxyFields, ProxyInfo, Seat, TlsInfo, Transport, seat, seat_and_tell,
};
use ropewalk_trial::{Clock, Memory};

const SECOND: Duration = Duration::from_secs(1);

/// Says back what it hears, and closes at a full stop.
struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
        if data.contains(&b'.') {
            conn.close();
        }
    }
}

/// Turns each byte into two in one direction and back in the other, after a greeting.
#[derive(Default)]
struct Doubled {
    is_greeted: bool,
    half: Option<u8>,
}

impl Layer for Doubled {
    fn connection_made(&mut self, below: &Below<Self>, _: &mut Above<Self>) {
        below.write(b"?");
    }

    fn data_received(&mut self, _: &Below<Self>, above: &mut Above<Self>, mut data: &[u8]) {
        if !std::mem::replace(&mut self.is_greeted, true) {
            data = &data[1..];
            above.set_peer(Address::Memory("far away".to_owned()));
            above.set_local(Address::Memory("here".to_owned()));
            let mut tls = TlsInfo::default();
            tls.protocol.push_str("doubling");
            above.set_tls(std::rc::Rc::new(tls));
            above.made();
        }
        for byte in data {
            match self.half.take() {
                Some(half) => above.data_received(&[half]),
                None => self.half = Some(*byte),
            }
        }
    }

    fn output_written(&mut self, below: &Below<Self>, mut out: Box<Outbox>) {
        for chunk in out.drain() {
            if let Chunk::Bytes(bytes) = chunk {
                below.write(&bytes.iter().flat_map(|byte| [*byte, *byte]).collect::<Vec<_>>());
            }
        }
    }

    fn close(&mut self, below: &Below<Self>) {
        below.write(b"!");
        below.close();
    }
}

#[test]
fn what_a_layer_makes_of_bytes_does_not_depend_on_how_they_were_cut() {
    let said = b"?aabbccdd..";
    for cut in 0..said.len() {
        for size in 1..said.len() {
            let echo = Layered::seat(Doubled::default(), seat(Echo));
            let mut memory = Memory::take_seat(echo, &Clock::new());
            memory.push(&said[..cut]);
            memory.push_in_pieces(&said[cut..], size);
            assert_eq!(memory.take_sent(), b"?aabbccdd..!");
            assert_eq!(memory.ended(), Some(Disconnect::Closed));
        }
    }
}

#[test]
fn a_layer_may_say_who_is_there() {
    let (above, made) = seat_and_tell(Echo);
    let mut memory = Memory::take_seat(Layered::seat(Doubled::default(), above), &Clock::new());
    memory.push(b"?");
    let conn = made.now_or_never().expect("the layer said so").expect("it is made");
    assert_eq!(conn.peer().to_string(), "memory:far away");
    assert_eq!(conn.local().to_string(), "memory:here");
    assert_eq!(conn.tls().expect("it says so").protocol, "doubling");
}

#[test]
fn a_protocol_whose_layer_never_came_up_hears_only_that() {
    let (above, made) = seat_and_tell(Echo);
    let mut memory = Memory::take_seat(Layered::seat(Doubled::default(), above), &Clock::new());
    memory.lose(Disconnect::Reset);
    let why = made.now_or_never().expect("it is over").expect_err("it was not made");
    assert_eq!(why.check::<Disconnect>(), Some(&Disconnect::Reset));
}

#[test]
fn an_attempt_is_given_up_through_layers() {
    let (above, made) = seat_and_tell(Echo);
    let layered = Layered::seat(Doubled::default(), Layered::seat(Doubled::default(), above));
    let mut memory = Memory::take_seat(layered, &Clock::new());
    made.cancel();
    memory.run();
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    let why = made.now_or_never().expect("it is over").expect_err("it was not made");
    assert!(why.check::<Cancelled>().is_some() || why.check::<Disconnect>().is_some());
}

/// Lets a byte a second through.
#[derive(Default)]
struct Drip {
    held: Outbox,
    is_dripping: bool,
}

impl Drip {
    fn drip(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        below.write(&self.held.front()[..1]);
        self.held.advance(1);
        self.is_dripping = !self.held.is_empty();
        if self.is_dripping {
            above.call_later(SECOND, Self::drip);
        }
    }
}

impl Layer for Drip {
    fn output_written(&mut self, below: &Below<Self>, mut out: Box<Outbox>) {
        self.held.append(&mut out);
        if !std::mem::replace(&mut self.is_dripping, true) {
            below.call_later(SECOND, |this, below| this.with(below, Self::drip));
        }
    }

    fn held(&self) -> u64 {
        self.held.len()
    }
}

#[test]
fn nothing_is_closed_before_what_a_layer_keeps_back_is_gone() {
    let (above, made) = seat_and_tell(Echo);
    let mut memory = Memory::take_seat(Layered::seat(Drip::default(), above), &Clock::new());
    let conn = made.now_or_never().expect("made at once").expect("it is made");
    let text = [&[b'x'; 39][..], b"."].concat();
    memory.push(&text);
    assert_eq!(conn.waiting(), 40);
    memory.advance(39 * SECOND);
    assert_eq!((conn.waiting(), memory.ended()), (1, None));
    memory.advance(SECOND);
    assert_eq!((memory.take_sent(), memory.ended()), (text, Some(Disconnect::Closed)));
}

/// Panics at the first byte.
struct Brittle;

impl Layer for Brittle {
    fn data_received(&mut self, _: &Below<Self>, _: &mut Above<Self>, _: &[u8]) {
        panic!("this panic is part of the test");
    }
}

#[test]
fn a_layer_that_panics_takes_its_protocol_along() {
    let (above, made) = seat_and_tell(Echo);
    let mut memory = Memory::take_seat(Layered::seat(Brittle, above), &Clock::new());
    let conn = made.now_or_never().expect("made at once").expect("it is made");
    memory.push(b"x");
    assert_eq!(memory.ended(), Some(Disconnect::Panicked));
    assert!(conn.is_over());
}

#[test]
fn a_layer_that_was_never_attached_can_be_dropped_and_lost() {
    let mut layered = Layered::seat(Drip::default(), seat(Echo));
    layered.handle(Event::Lost(Disconnect::Refused));
}

/// What is known of a peer that came over a Unix socket.
struct Socket;

impl Transport for Socket {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wake(&self, _: usize) {}

    fn local(&self, _: usize) -> Address {
        Address::Unix("/run/here".into())
    }

    fn peer(&self, _: usize) -> Address {
        Address::Unnamed
    }

    fn credentials(&self, _: usize) -> Option<Credentials> {
        Some(Credentials { process: Some(7), user: 1000, group: 100 })
    }
}

/// Says what it knows of its peer.
struct Introduced;

impl Layer for Introduced {
    fn connection_made(&mut self, below: &Below<Self>, above: &mut Above<Self>) {
        let mut fields = ProxyFields::default();
        fields.authority = Some("example.org".to_owned());
        above.set_proxy(Rc::new(ProxyInfo { proxy: below.peer(), fields }));
        above.set_peer(Address::Ip(([192, 0, 2, 1], 4000).into()));
        let mut tls = TlsInfo::default();
        tls.protocol.push_str("TLSv1.3");
        above.set_tls(std::rc::Rc::new(tls));
        above.made();
    }
}

/// Keeps who its peer is.
struct Asking(Rc<std::cell::RefCell<Option<Identity>>>);

impl Protocol for Asking {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        *self.0.borrow_mut() = Some(conn.identity());
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}

fn identity_on(carry: impl FnOnce(Box<dyn Seat>) -> Box<dyn Seat>) -> Identity {
    let known = Rc::default();
    let mut seat = carry(seat(Asking(Rc::clone(&known))));
    seat.attach(Rc::new(Socket), 0);
    seat.handle(Event::Made);
    seat.handle(Event::Lost(Disconnect::Closed));
    known.take().expect("the protocol has asked")
}

#[test]
fn what_each_layer_knows_of_a_peer_is_one_value() {
    let bare = identity_on(|seat| seat);
    assert_eq!(bare.to_string(), "unix (user 1000, group 100, process 7)");
    assert_eq!((bare.proxy, bare.tls), (None, None));

    let known = identity_on(|seat| super::under_glass(Layered::seat(Introduced, seat)));
    let through = "192.0.2.1:4000 (user 1000, group 100, process 7) over TLSv1.3 through unix";
    assert_eq!(known.to_string(), through);
    let proxy = known.proxy.expect("a proxy stands between");
    assert_eq!(proxy.fields.authority.as_deref(), Some("example.org"));
    assert_eq!(identity_on(super::under_glass).credentials, bare.credentials);
}
