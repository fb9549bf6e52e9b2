//! Tunnels and Ethernet frames, in a network of the test's own.

use std::cell::RefCell;
use std::net::UdpSocket;
use std::process::Command;
use std::rc::Rc;

use ropewalk_protocol::{
    Address, DatagramEndpoint, DatagramPort, DatagramProtocol, Disconnect, SendError,
    seat_datagrams,
};
use ropewalk_reactor::{
    DriverKind, FrameEndpoint, FrameOptions, Reactor, TunnelEndpoint, TunnelKind, TunnelOptions,
};

use crate::kit::{on_each_driver, reactor, turn_until};

on_each_driver!(apart
    what_the_system_sends_into_a_tunnel_comes_here_and_back,
    two_taps_hear_frames_and_a_port_beside_them_too,
    what_is_no_packet_is_told_of_and_the_tunnel_goes_on,
    names_that_are_none_are_refused,
);

type Log = Rc<RefCell<Vec<Vec<u8>>>>;

/// Keeps what comes, and answers what it is told to.
struct Keeps {
    log: Log,
    said: Rc<RefCell<Vec<String>>>,
    port: Rc<RefCell<Option<DatagramPort<Self>>>>,
    answer: fn(&[u8]) -> Option<Vec<u8>>,
}

impl DatagramProtocol for Keeps {
    fn started(&mut self, port: &DatagramPort<Self>) {
        self.said.borrow_mut().push("started".to_owned());
        self.port.replace(Some(port.clone()));
    }

    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        assert!(matches!(from, Address::Device(_) | Address::Unnamed), "{from:?}");
        if let Some(answer) = (self.answer)(data) {
            port.send(&answer).unwrap();
        }
        self.log.borrow_mut().push(data.to_vec());
    }

    fn send_failed(&mut self, _: &DatagramPort<Self>, _: Option<&Address>, why: SendError) {
        self.said.borrow_mut().push(format!("unsent {why:?}"));
    }

    fn stopped(&mut self, _: &DatagramPort<Self>, why: Disconnect) {
        self.said.borrow_mut().push(format!("stopped {why:?}"));
    }
}

#[derive(Clone)]
struct Kept {
    log: Log,
    said: Rc<RefCell<Vec<String>>>,
    port: Rc<RefCell<Option<DatagramPort<Keeps>>>>,
}

impl Kept {
    fn new() -> Self {
        Self { log: Rc::default(), said: Rc::default(), port: Rc::default() }
    }

    fn keeps(&self, answer: fn(&[u8]) -> Option<Vec<u8>>) -> Keeps {
        let Self { log, said, port } = self.clone();
        Keeps { log, said, port, answer }
    }

    fn await_start(&self, reactor: &Reactor) -> DatagramPort<Keeps> {
        turn_until(reactor, || self.port.borrow().is_some());
        self.port.borrow().clone().unwrap()
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
}

/// Answers UDP over IPv4: addresses and ports change places, which leaves the sums as they are.
fn turned(packet: &[u8]) -> Option<Vec<u8>> {
    if packet.len() < 28 || packet[0] != 0x45 || packet[9] != 17 {
        return None;
    }
    let mut answer = packet.to_vec();
    answer[12..16].copy_from_slice(&packet[16..20]);
    answer[16..20].copy_from_slice(&packet[12..16]);
    answer[20..22].copy_from_slice(&packet[22..24]);
    answer[22..24].copy_from_slice(&packet[20..22]);
    Some(answer)
}

fn what_the_system_sends_into_a_tunnel_comes_here_and_back(kind: DriverKind) {
    let reactor = reactor(kind);
    let kept = Kept::new();
    let options = TunnelOptions::default().name("rope0");
    let tunnel = reactor.open_tunnel(&options, seat_datagrams(kept.keeps(turned))).unwrap();
    assert_eq!(tunnel.name(), "rope0");
    assert!(kept.said.borrow().is_empty(), "it is told in a turn to come");
    let port = kept.await_start(&reactor);
    assert_eq!(port.local(), Address::Device("rope0".to_owned()));
    ip("addr add 10.9.0.1/24 dev rope0");
    ip("link set rope0 up");
    let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    for round in 0..100_u32 {
        socket.send_to(&round.to_be_bytes(), "10.9.0.2:7").unwrap();
        let mut answer = [0; 16];
        turn_until(&reactor, || socket.peek_from(&mut [0; 16]).is_ok());
        let came = socket.recv_from(&mut answer).unwrap();
        assert_eq!(came, (4, "10.9.0.2:7".parse().unwrap()));
        assert_eq!(answer[..4], round.to_be_bytes());
    }
    tunnel.close();
    assert_eq!(kept.said.borrow().last().unwrap(), "stopped Closed");
    assert_eq!(reactor.census().watches, 0);
    let is_there = || Command::new("ip").args(["link", "show", "rope0"]).output().unwrap();
    turn_until(&reactor, || !is_there().status.success());
}

fn frame(kind: u16, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend_from_slice(&[2, 0, 0, 0, 0, 9]);
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(content);
    frame.resize(frame.len().max(60), 0);
    frame
}

fn two_taps_hear_frames_and_a_port_beside_them_too(kind: DriverKind) {
    const MINE: u16 = 0x88b5;
    let reactor = reactor(kind);
    let (tap, port) = (Kept::new(), Kept::new());
    let options = TunnelOptions::default().kind(TunnelKind::Frames).name("tap0");
    let endpoint = TunnelEndpoint::new(&reactor, options);
    endpoint.open_seat(None, seat_datagrams(tap.keeps(|_| None)));
    let tap_port = tap.await_start(&reactor);
    ip("link set tap0 up");
    let options = FrameOptions::default().ethertype(MINE);
    let frames = FrameEndpoint::new(&reactor, "tap0", options);
    frames.open_seat(None, seat_datagrams(port.keeps(|_| None)));
    let frame_port = port.await_start(&reactor);
    assert_eq!(frame_port.peer(), Address::Device("tap0".to_owned()));
    let is_mine = |frame: &&Vec<u8>| frame[12..14] == MINE.to_be_bytes();
    // Out at the port, and so in from the tap's interface.
    for number in 0..100 {
        frame_port.send(&frame(MINE, &[number])).unwrap();
    }
    turn_until(&reactor, || tap.log.borrow().iter().filter(is_mine).count() == 100);
    assert!(tap.log.borrow().iter().any(|got| *got == frame(MINE, &[99])));
    // Into the interface by the tap, and so in at the port; what is of another kind is not.
    tap_port.send(&frame(0x88b6, b"other")).unwrap();
    for number in 0..100 {
        tap_port.send(&frame(MINE, &[number])).unwrap();
    }
    turn_until(&reactor, || port.log.borrow().len() == 100);
    let expected: Vec<_> = (0..100).map(|number| frame(MINE, &[number])).collect();
    // And nothing of what it sent itself.
    assert_eq!(*port.log.borrow(), expected);
    tap_port.close();
    frame_port.close();
    turn_until(&reactor, || {
        let ended = |kept: &Kept| kept.said.borrow().last().unwrap() == "stopped Closed";
        ended(&tap) && ended(&port)
    });
}

fn what_is_no_packet_is_told_of_and_the_tunnel_goes_on(kind: DriverKind) {
    let reactor = reactor(kind);
    let kept = Kept::new();
    let seat = seat_datagrams(kept.keeps(turned));
    let tunnel = reactor.open_tunnel(&TunnelOptions::default(), seat).unwrap();
    let port = kept.await_start(&reactor);
    // The interface is down.
    port.send(&[0x45; 40]).unwrap();
    turn_until(&reactor, || kept.said.borrow().len() == 2);
    ip(&format!("link set {} up", tunnel.name()));
    // Neither of IPv4 nor of IPv6.
    port.send(b"xyz").unwrap();
    turn_until(&reactor, || kept.said.borrow().len() == 3);
    port.close();
    turn_until(&reactor, || kept.said.borrow().last().unwrap() == "stopped Closed");
    let said = kept.said.borrow();
    assert!(said[1..3].iter().all(|line| line.starts_with("unsent")), "{said:?}");
}

fn names_that_are_none_are_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let kept = Kept::new();
    let seat = || seat_datagrams(kept.keeps(|_| None));
    for name in ["a_name_much_too_long", "a/b"] {
        assert!(reactor.open_tunnel(&TunnelOptions::default().name(name), seat()).is_err());
    }
    let error = reactor.open_frames("nothing0", &FrameOptions::default(), seat()).unwrap_err();
    assert_eq!(error.advice(), Some("there is no such interface (ip link)"));
    let first = TunnelOptions::default().name("twice");
    let _tunnel = reactor.open_tunnel(&first, seat()).unwrap();
    let error = reactor.open_tunnel(&first, seat()).unwrap_err();
    assert_eq!(error.advice(), Some("somebody has it open already"));
    turn_until(&reactor, || kept.said.borrow().len() == 5);
    let stopped = kept.said.borrow().iter().filter(|line| line.starts_with("stopped")).count();
    assert_eq!(stopped, 4);
}

mod rights {
    use std::process::Command;

    use ropewalk_protocol::seat_datagrams;
    use ropewalk_reactor::{DriverKind, FrameOptions, TunnelOptions};

    use super::Kept;
    use crate::kit::{on_each_driver, reactor};

    on_each_driver!(who_may_not_is_told_what_it_takes);

    /// Without the rights, in a process that has none.
    fn who_may_not_is_told_what_it_takes(kind: DriverKind) {
        let is_allowed = std::fs::read_to_string("/proc/self/status").unwrap();
        let effective = is_allowed.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        if u64::from_str_radix(effective.trim(), 16).unwrap() != 0 {
            // This test again, by nobody.
            let name = std::thread::current().name().unwrap().to_owned();
            let outcome = Command::new("setpriv")
                .args([
                    "--bounding-set=-all",
                    "--inh-caps=-all",
                    "--reuid=65534",
                    "--clear-groups",
                    "--",
                ])
                .arg(std::env::current_exe().unwrap())
                .args(["--exact", &name, "--nocapture"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&outcome.stdout);
            let errors = String::from_utf8_lossy(&outcome.stderr);
            // Whoever may not even read the program has no say here.
            if !errors.contains("Permission denied") {
                assert!(outcome.status.success() && said.contains("1 passed"), "{said}{errors}");
            }
            return;
        }
        let reactor = reactor(kind);
        let kept = Kept::new();
        let seat = || seat_datagrams(kept.keeps(|_| None));
        let error = reactor.open_tunnel(&TunnelOptions::default(), seat()).unwrap_err();
        assert!(error.advice().unwrap().contains("CAP_NET_ADMIN"), "{error:#}");
        let error = reactor.open_frames("lo", &FrameOptions::default(), seat()).unwrap_err();
        assert!(error.advice().unwrap().contains("CAP_NET_RAW"), "{error:#}");
    }
}
