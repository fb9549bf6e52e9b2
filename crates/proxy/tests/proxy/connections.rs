//! Connections that begin with a header, seen from both sides.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, ClientEndpoint, Conn, Disconnect, Factory, Protocol, Seat, SeatFactory, connect, seat,
};
use ropewalk_proxy::{Acceptance, Announcing, HEADER_PATIENCE, Version, announce};
use ropewalk_trial::{Attack, Clock, Hostile, Memory, chunked_seats};

use crate::kit::{ENDS, From, Greeter, binary, from, ip, wordy};

const PROXY: &str = "127.0.0.1:5000";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n";

fn greeters() -> impl Factory {
    |_: &Address| Some(Greeter)
}

/// A connection from `peer` to a service under `acceptance`.
#[track_caller]
fn call(acceptance: Acceptance, factory: impl SeatFactory, peer: &str, clock: &Clock) -> Memory {
    let peer = ip(peer);
    let awaiting = acceptance.wrap(factory).build(&peer).expect("a trusted proxy");
    Memory::take_seat(from(&peer, seat(awaiting)), clock)
}

fn greeter() -> Memory {
    call(Acceptance::default(), greeters(), PROXY, &Clock::new())
}

#[test]
fn protocols_see_the_client_and_not_the_proxy() {
    for size in 1..LINE.len() {
        let mut memory = greeter();
        memory.push_in_pieces(&[LINE, b"hello"].concat(), size);
        let told = "192.0.2.1:4000 through 127.0.0.1:5000 to 198.51.100.7:443 \nhello";
        assert_eq!(String::from_utf8_lossy(&memory.take_sent()), told, "pieces of {size}");
    }
}

#[test]
fn protocols_see_what_else_the_proxy_said() {
    let mut bytes = Vec::new();
    wordy().encode(Version::V2Checked, &mut bytes).expect("there is room");
    let mut memory = greeter();
    memory.push(&bytes);
    let told = "192.0.2.1:4000 through 127.0.0.1:5000 to 198.51.100.7:443 example.org\n";
    assert_eq!(String::from_utf8_lossy(&memory.take_sent()), told);
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_peer() {
    for header in [binary(0x20, 0, b""), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut memory = greeter();
        memory.push(&header);
        let told = "127.0.0.1:5000 through 127.0.0.1:5000 to 10.0.0.9:8080 \n";
        assert_eq!(String::from_utf8_lossy(&memory.take_sent()), told);
    }
}

#[test]
fn the_factory_is_asked_with_the_clients_address_once_it_is_known() {
    let asked: Rc<RefCell<Vec<Address>>> = Rc::default();
    let told = Rc::clone(&asked);
    let only_some = move |peer: &Address| {
        told.borrow_mut().push(peer.clone());
        (*peer == ip("192.0.2.1:4000")).then_some(Greeter)
    };
    let only_some = Rc::new(RefCell::new(only_some));
    let mut first = call(Acceptance::default(), Rc::clone(&only_some), PROXY, &Clock::new());
    assert!(asked.borrow().is_empty());
    first.push(LINE);
    assert_eq!(first.ended(), None);

    let mut second = call(Acceptance::default(), only_some, PROXY, &Clock::new());
    second.push(b"PROXY TCP4 192.0.2.2 198.51.100.7 4000 443\r\nhello");
    assert_eq!(second.ended(), Some(Disconnect::Closed));
    assert_eq!(second.take_sent(), b"");
    assert_eq!(*asked.borrow(), [ip("192.0.2.1:4000"), ip("192.0.2.2:4000")]);
}

#[test]
fn strangers_are_not_believed() {
    let admits = |acceptance: &Acceptance, peer: &Address| {
        acceptance.clone().wrap(greeters()).build(peer).is_some()
    };
    let here = Acceptance::default();
    for peer in [PROXY, "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(admits(&here, &ip(peer)), "{peer}");
    }
    for peer in ["10.0.0.1:1", "128.0.0.1:1", "[::2]:1", "[::ffff:10.0.0.1]:1"] {
        assert!(!admits(&here, &ip(peer)), "{peer}");
    }
    assert!(admits(&here, &Address::Unnamed));

    let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
    let there = Acceptance { trusted, trusts_local: false, ..here };
    assert!(admits(&there, &ip("10.0.0.1:1")));
    assert!(!admits(&there, &ip(PROXY)));
    assert!(!admits(&there, &Address::Unnamed));
}

#[test]
fn what_does_not_begin_with_a_header_is_cut_off_unheard() {
    let bad = Some(Disconnect::Failed(std::io::ErrorKind::InvalidData));
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 x x 1 1\r\nhello", &[0; 300]] {
        let mut memory = greeter();
        memory.push(bytes);
        assert_eq!(memory.ended(), bad);
        assert_eq!(memory.take_sent(), b"");
    }
    let mut memory = greeter();
    memory.push(&LINE[..20]);
    memory.eof();
    assert_eq!(memory.ended(), bad);
}

#[test]
fn headers_have_a_time_and_connections_behind_them_have_any() {
    let moment = Duration::from_millis(1);
    let mut memory = greeter();
    memory.push(&LINE[..20]);
    memory.advance(HEADER_PATIENCE.saturating_sub(moment));
    assert_eq!(memory.ended(), None);
    memory.advance(moment);
    assert_eq!(memory.ended(), Some(Disconnect::TimedOut));

    let mut memory = greeter();
    memory.advance(HEADER_PATIENCE.saturating_sub(moment));
    memory.push(LINE);
    memory.advance(HEADER_PATIENCE * 100);
    assert_eq!(memory.ended(), None);

    let hasty = Acceptance { patience: moment, ..Acceptance::default() };
    let mut memory = call(hasty, greeters(), PROXY, &Clock::new());
    memory.advance(moment);
    assert_eq!(memory.ended(), Some(Disconnect::TimedOut));
}

#[test]
fn headers_have_a_length() {
    let acceptance = Acceptance { length_max: 20, ..Acceptance::default() };
    for (length, told) in [(20, None), (21, Some(std::io::ErrorKind::InvalidData))] {
        let mut memory = call(acceptance.clone(), greeters(), PROXY, &Clock::new());
        let field = [&[4, 0, length - 3][..], &vec![0; usize::from(length) - 3]].concat();
        memory.push(&binary(0x21, 0x00, &field));
        assert_eq!(memory.ended(), told.map(Disconnect::Failed), "{length}");
    }
}

#[test]
fn a_half_closed_connection_is_passed_on_as_one() {
    struct Patient;
    impl Protocol for Patient {
        fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
        fn eof_received(&mut self, conn: &Conn<Self>) {
            conn.write(b"goodbye");
            conn.close();
        }
    }
    let patient = |_: &Address| Some(Patient);
    let mut memory = call(Acceptance::default(), patient, PROXY, &Clock::new());
    memory.push(LINE);
    memory.eof();
    assert_eq!(memory.take_sent(), b"goodbye");
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

/// Connects at once, in memory, from and to these ends.
struct Near(Clock, Rc<RefCell<Vec<Memory>>>);

impl ClientEndpoint for Near {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        let seat = ropewalk_protocol::Layered::seat(From(ip("192.0.2.7:80")), seat);
        self.1.borrow_mut().push(Memory::take_seat(seat, &self.0));
    }
}

#[test]
fn clients_say_who_they_are_before_all_else() {
    let made = Rc::default();
    let near = Near(Clock::new(), Rc::clone(&made));
    let conn = connect(&Announcing::new(near, Version::V1), Greeter);
    assert!(conn.now_or_never().is_some_and(|made| made.is_ok()));
    let sent = made.borrow_mut()[0].take_sent();
    let told = "PROXY TCP4 10.0.0.9 192.0.2.7 8080 80\r\n192.0.2.7:80 to 10.0.0.9:8080 \n";
    assert_eq!(String::from_utf8_lossy(&sent), told);
}

#[test]
fn what_is_passed_on_is_believed_on_the_other_side() {
    let (source, destination) = (ip("[2001:db8::1]:4000"), ip("[2001:db8::2]:80"));
    for version in [Version::V1, Version::V2, Version::V2Checked] {
        let clock = Clock::new();
        let client = announce(&source, &destination, version, seat(Greeter));
        let mut client = Memory::take_seat(client, &clock);
        let mut server = greeter();
        server.push(&client.take_sent());
        let told = "[2001:db8::1]:4000 through 127.0.0.1:5000 to [2001:db8::2]:80 \n";
        let sent = String::from_utf8_lossy(&server.take_sent()).into_owned();
        assert!(sent.starts_with(told), "{sent}");
    }
}

/// A greeter's end of a connection that a trusted proxy makes.
fn greeter_on(_: &Clock) -> Box<dyn Seat> {
    let peer = ip(PROXY);
    let awaiting = Acceptance::default().wrap(greeters()).build(&peer).expect("a trusted proxy");
    from(&peer, seat(awaiting))
}

#[test]
fn nobody_wears_it_out_before_the_header_is_whole() {
    for header in [LINE.to_vec(), binary(0x21, 0x11, &ENDS)] {
        // What comes after the header is the protocol's own business, as is how long it waits for it.
        let begun = &header[..header.len() - 1];
        let hostile = Hostile::against(greeter_on).request(begun).patience(HEADER_PATIENCE);
        hostile.kept(64 * 1024).spare(Attack::Garbage).spare(Attack::Flood).assert();
    }
}

#[test]
fn any_cut_of_a_header_is_the_same_header() {
    let checked = {
        let mut bytes = Vec::new();
        wordy().encode(Version::V2Checked, &mut bytes).expect("there is room");
        bytes
    };
    for header in [LINE.to_vec(), binary(0x20, 0, b""), checked, b"GET / HTTP/1.1\r\n".to_vec()] {
        chunked_seats(&[&header[..], b"hello"].concat(), greeter_on);
    }
}
