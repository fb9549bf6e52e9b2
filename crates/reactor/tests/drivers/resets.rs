//! Peers that reset at each possible moment, and ends that do not wait.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, seat};
use ropewalk_reactor::{Census, DriverKind, Reactor};

use crate::kit::{
    Echo, Seen, Witness, bytes, come_to_rest, connect, descriptors, in_thread, listen,
    on_each_driver, reactor, turn_until,
};

on_each_driver! {
    alone
    a_peer_may_reset_at_each_moment,
    a_peer_that_resets_a_connection_that_it_had_asked_for_harms_nobody,
    an_urgent_close_does_not_wait_for_a_blocked_send,
    an_urgent_close_overtakes_one_in_order,
    output_that_nobody_takes_any_more_is_no_wait,
}

/// What the connection is in the middle of when its peer resets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Made,
    Unread,
    Paused,
    PausedWithMoreThanFits,
    Blocked,
    PeerEnded,
    PeerEndedAndBlocked,
    Ended,
    EndedAndPaused,
    BothEnded,
    Closing,
}

const MOMENTS: [Moment; 11] = [
    Moment::Made,
    Moment::Unread,
    Moment::Paused,
    Moment::PausedWithMoreThanFits,
    Moment::Blocked,
    Moment::PeerEnded,
    Moment::PeerEndedAndBlocked,
    Moment::Ended,
    Moment::EndedAndPaused,
    Moment::BothEnded,
    Moment::Closing,
];

/// More than both kernels' buffers hold.
const TOO_MUCH: usize = 32 << 20;

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

fn at_rest(reactor: &Reactor, before: Census) {
    turn_until(reactor, || {
        let census = reactor.census();
        (census.connections, census.lingering, census.outputs) == (0, 0, 0)
            && census.descriptors == before.descriptors
    });
}

/// Brings a connection to such a moment.
fn bring_about(reactor: &Reactor, moment: Moment, conn: &Conn<Witness>, stream: &mut TcpStream) {
    match moment {
        Moment::Made | Moment::PeerEnded => (),
        Moment::Unread => stream.write_all(&bytes(10_000)).unwrap(),
        Moment::Paused => conn.pause_reading(),
        Moment::PausedWithMoreThanFits => {
            conn.pause_reading();
            come_to_rest(reactor);
            stream.set_nonblocking(true).unwrap();
            let some = bytes(100_000);
            while stream.write(&some).is_ok() {}
        }
        Moment::Blocked | Moment::PeerEndedAndBlocked => conn.write(&bytes(TOO_MUCH)),
        Moment::Ended | Moment::BothEnded => conn.close_write(),
        Moment::EndedAndPaused => {
            conn.close_write();
            conn.pause_reading();
        }
        Moment::Closing => {
            conn.write(&bytes(TOO_MUCH));
            conn.close();
        }
    }
}

fn a_peer_may_reset_at_each_moment(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, neighbour) = listen(&reactor, || Echo);
    for moment in MOMENTS {
        let seen = Rc::new(Seen::default());
        let witness = Rc::clone(&seen);
        let make = move || Witness { stays: true, ..Witness::new(&witness) };
        let (_listening, address) = listen(&reactor, make);
        come_to_rest(&reactor);
        let before = reactor.census();
        let stream = TcpStream::connect(address).unwrap();
        turn_until(&reactor, || seen.made.get() == 1);
        let conn = seen.conn();
        let ends = [Moment::PeerEnded, Moment::PeerEndedAndBlocked, Moment::BothEnded];
        if ends.contains(&moment) {
            stream.shutdown(Shutdown::Write).unwrap();
            turn_until(&reactor, || seen.ended.get());
        }
        let mut stream = stream;
        bring_about(&reactor, moment, &conn, &mut stream);
        if moment != Moment::Unread {
            come_to_rest(&reactor);
        }
        reset(stream);
        // Who neither reads nor writes is not told by every interface; he hears when he goes on.
        come_to_rest(&reactor);
        if seen.lost.get().is_none() {
            conn.resume_reading();
            if moment == Moment::PeerEnded {
                conn.write(b"?");
            }
        }
        turn_until(&reactor, || seen.lost.get().is_some());
        let why = seen.lost.get().unwrap();
        let may_be_in_order = moment == Moment::BothEnded;
        assert!(
            matches!(why, Disconnect::Reset | Disconnect::Failed(_))
                || (may_be_in_order && why == Disconnect::Closed),
            "{moment:?} on {kind}: {why:?}",
        );
        at_rest(&reactor, before);
        // Nobody else noticed.
        let echoed = Rc::new(Seen::default());
        let greeting = b"still there".to_vec();
        connect(&reactor, neighbour, Witness { greeting, ..Witness::new(&echoed) });
        turn_until(&reactor, || echoed.count() == 11);
        echoed.conn().abort();
        turn_until(&reactor, || echoed.lost.get().is_some());
        at_rest(&reactor, before);
    }
}

/// It is gone before it was accepted.
fn a_peer_that_resets_a_connection_that_it_had_asked_for_harms_nobody(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    come_to_rest(&reactor);
    let before = reactor.census();
    reset(TcpStream::connect(address).unwrap());
    come_to_rest(&reactor);
    turn_until(&reactor, || seen.made.get() == 0 || seen.lost.get().is_some());
    assert_eq!(seen.lost.get().is_some(), seen.made.get() == 1);
    at_rest(&reactor, before);
}

/// A connection whose output is held up, and its peer.
fn blocked(reactor: &Reactor) -> (Rc<Seen>, TcpStream) {
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(reactor, move || Witness::new(&witness));
    let stream = TcpStream::connect(address).unwrap();
    turn_until(reactor, || seen.made.get() == 1);
    seen.conn().write(&bytes(TOO_MUCH));
    come_to_rest(reactor);
    assert_eq!(reactor.census().outputs, 1, "it is not held up");
    (seen, stream)
}

/// The peer gets a part, and is told that it is one.
#[track_caller]
fn check_cut_off(reactor: &Reactor, seen: &Seen, mut stream: TcpStream, open: usize) {
    turn_until(reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Aborted));
    come_to_rest(reactor);
    let census = reactor.census();
    assert_eq!((census.connections, census.outputs, census.lingering), (0, 0, 0));
    assert_eq!(descriptors(), open - 1, "its descriptor is not free");
    let reading = in_thread(move || {
        let mut received = Vec::new();
        let end = stream.read_to_end(&mut received);
        (end.map_err(|error| error.kind()), received.len())
    });
    let (end, received) = reading.join().unwrap();
    assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset));
    assert!(received < TOO_MUCH);
}

fn an_urgent_close_does_not_wait_for_a_blocked_send(kind: DriverKind) {
    let reactor = reactor(kind);
    let (seen, stream) = blocked(&reactor);
    let open = descriptors();
    seen.conn().abort();
    check_cut_off(&reactor, &seen, stream, open);
}

fn an_urgent_close_overtakes_one_in_order(kind: DriverKind) {
    let reactor = reactor(kind);
    let (seen, stream) = blocked(&reactor);
    let open = descriptors();
    seen.conn().close();
    come_to_rest(&reactor);
    assert_eq!(seen.lost.get(), None, "a close in order waits for what was written");
    seen.conn().abort();
    check_cut_off(&reactor, &seen, stream, open);
}

/// A peer that shuts both ways and stays open: what it has not read keeps the kernel from calling the
/// connection writable.
fn output_that_nobody_takes_any_more_is_no_wait(kind: DriverKind) {
    let reactor = reactor(kind);
    for (stays, pauses) in [(false, false), (true, false), (true, true), (false, true)] {
        let before = reactor.census();
        let (ours, peer) = UnixStream::pair().unwrap();
        let seen: Rc<Seen> = Rc::default();
        let witness = Witness { stays, ..Witness::new(&seen) };
        reactor.adopt_stream(ours.into(), seat(witness)).unwrap();
        turn_until(&reactor, || seen.made.get() == 1);
        seen.conn().write(&bytes(TOO_MUCH));
        if pauses {
            seen.conn().pause_reading();
        }
        come_to_rest(&reactor);
        peer.shutdown(Shutdown::Both).unwrap();
        come_to_rest(&reactor);
        drop(peer);
        turn_until(&reactor, || seen.lost.get().is_some());
        at_rest(&reactor, before);
    }
}
