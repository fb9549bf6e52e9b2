//! Multicast between simulated hosts.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{
    Address, DatagramPort, DatagramProtocol, Interface, Membership, MulticastChange,
    MulticastError, SendError, seat_datagrams_and_tell,
};
use ropewalk_reactor::{Reactor, UdpOptions};
use ropewalk_trial::{Link, Simulation};

const GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(239, 1, 2, 3));
const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 7));
const PORT: u16 = 5000;

/// Writes down what comes, and from whom.
struct Member(Heard);

type Heard = Rc<RefCell<Vec<(String, IpAddr)>>>;

impl DatagramProtocol for Member {
    fn datagram_received(&mut self, _: &DatagramPort<Self>, data: &[u8], from: &Address) {
        let text = String::from_utf8(data.to_vec()).unwrap();
        self.0.borrow_mut().push((text, from.ip().unwrap().ip()));
    }

    fn send_failed(&mut self, _: &DatagramPort<Self>, _: Option<&Address>, why: SendError) {
        panic!("it cannot be sent: {why}");
    }
}

/// A port of a host that listens at any address of a family.
fn open(simulation: &Simulation, host: &Reactor, any: IpAddr) -> (DatagramPort<Member>, Heard) {
    let heard = Heard::default();
    let (seat, opened) = seat_datagrams_and_tell(Member(Rc::clone(&heard)));
    let _port = host.listen_udp(SocketAddr::new(any, PORT), &UdpOptions::default(), seat);
    let slot = Rc::new(RefCell::new(None));
    let found = Rc::clone(&slot);
    opened.on_result(move |opened| {
        found.replace(opened.ok());
    });
    assert!(simulation.until(|| slot.borrow().is_some()));
    let port = slot.take().unwrap();
    (port, heard)
}

fn say(port: &DatagramPort<Member>, text: &str, group: IpAddr) {
    port.send_to(text.as_bytes(), &Address::Ip((group, PORT).into())).unwrap();
}

fn texts(heard: &Heard) -> Vec<String> {
    let mut texts: Vec<_> = heard.take().into_iter().map(|(text, _)| text).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn a_group_hears_what_anybody_sends_to_it() {
    let any = [(Ipv4Addr::UNSPECIFIED.into(), GROUP), (Ipv6Addr::UNSPECIFIED.into(), GROUP_V6)];
    for (any, group) in any {
        let simulation = Simulation::new(1);
        let hosts = ["a", "b", "c"].map(|name| simulation.host(name));
        let [a, b, c] = hosts.each_ref().map(|host| open(&simulation, host, any));
        for (port, _) in [&b, &c] {
            port.join_group(group, Interface::Any).unwrap();
        }
        say(&a.0, "one", group);
        say(&b.0, "two", group);
        simulation.run_for(Duration::from_secs(1));
        // Who sends hears it too if they are in the group.
        assert_eq!(
            [texts(&a.1), texts(&b.1), texts(&c.1)],
            [
                vec![],
                vec!["one".to_owned(), "two".to_owned()],
                vec!["one".to_owned(), "two".to_owned()]
            ]
        );
        c.0.leave_group(group, Interface::Any).unwrap();
        b.0.change_multicast(MulticastChange::Loopback(false)).unwrap();
        say(&b.0, "not back", group);
        a.0.change_multicast(MulticastChange::Hops(0)).unwrap();
        say(&a.0, "not far", group);
        simulation.run_for(Duration::from_secs(1));
        assert!(texts(&b.1).is_empty() && texts(&c.1).is_empty());
    }
}

#[test]
fn a_member_can_want_one_source_alone() {
    let simulation = Simulation::new(2);
    let hosts = ["a", "b", "c"].map(|name| simulation.host(name));
    let any = Ipv4Addr::UNSPECIFIED.into();
    let [a, b, c] = hosts.each_ref().map(|host| open(&simulation, host, any));
    let source = Some(simulation.address("a", 0).ip());
    let wanted = Membership { group: GROUP, interface: Interface::Any, source };
    c.0.change_multicast(MulticastChange::Join(wanted)).unwrap();
    say(&a.0, "wanted", GROUP);
    say(&b.0, "unwanted", GROUP);
    simulation.run_for(Duration::from_secs(1));
    assert_eq!(c.1.take(), [("wanted".to_owned(), source.unwrap())]);
    c.0.change_multicast(MulticastChange::Leave(wanted)).unwrap();
    say(&a.0, "late", GROUP);
    simulation.run_for(Duration::from_secs(1));
    assert!(c.1.take().is_empty());
}

#[test]
fn what_goes_to_a_group_is_lost_on_its_way_as_all_is() {
    let simulation = Simulation::new(3);
    simulation.weather(&Link::default().loss(0.5));
    let any = Ipv4Addr::UNSPECIFIED.into();
    let hosts = ["a", "b", "c"].map(|name| simulation.host(name));
    let [a, b, c] = hosts.each_ref().map(|host| open(&simulation, host, any));
    for (port, _) in [&b, &c] {
        port.join_group(GROUP, Interface::Any).unwrap();
    }
    for number in 0..200 {
        say(&a.0, &number.to_string(), GROUP);
    }
    simulation.run_for(Duration::from_secs(10));
    let (b, c) = (texts(&b.1), texts(&c.1));
    for heard in [&b, &c] {
        assert!((50..150).contains(&heard.len()), "{} came", heard.len());
    }
    assert_ne!(b, c, "each link loses on its own");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let simulation = Simulation::new(4);
    let host = simulation.host("a");
    let (port, _) = open(&simulation, &host, Ipv4Addr::UNSPECIFIED.into());
    let own = Interface::V4(Ipv4Addr::new(10, 0, 0, 1));
    let elsewhere = Interface::V4(Ipv4Addr::new(10, 0, 0, 9));
    let no_group = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(port.join_group(no_group, own), Err(MulticastError::NotAGroup(no_group)));
    assert_eq!(port.join_group(GROUP_V6, Interface::Any), Err(MulticastError::WrongFamily));
    assert_eq!(port.join_group(GROUP, elsewhere), Err(MulticastError::NoSuchInterface));
    assert_eq!(port.join_group(GROUP, Interface::Index(2)), Err(MulticastError::NoSuchInterface));
    assert_eq!(port.leave_group(GROUP, own), Err(MulticastError::NotJoined));
    port.join_group(GROUP, own).unwrap();
    assert_eq!(port.join_group(GROUP, Interface::Index(1)), Err(MulticastError::AlreadyJoined));
    let group = |last| IpAddr::V4(Ipv4Addr::new(239, 0, 0, last));
    for last in 1..20 {
        port.join_group(group(last), Interface::Any).unwrap();
    }
    assert_eq!(port.join_group(group(20), Interface::Any), Err(MulticastError::TooMany));
    let settings = port.multicast_settings().unwrap();
    assert_eq!((settings.hops, settings.loopback, settings.interface), (1, true, Interface::Any));
    port.change_multicast(MulticastChange::Interface(own)).unwrap();
    port.change_multicast(MulticastChange::Hops(9)).unwrap();
    let settings = port.multicast_settings().unwrap();
    assert_eq!((settings.hops, settings.interface), (9, own));
}
