//! Groups, over the loopback interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use ropewalk_protocol::{Address, Interface, Membership, MulticastChange, MulticastError, Port};
use ropewalk_reactor::{DriverKind, Reactor, UdpOptions};

use super::{Heard, open, open_at};
use crate::kit::{APART, come_to_rest, on_each_driver, reactor, turn_until};

on_each_driver! {
    groups_of_ipv4_are_joined_per_interface_and_left,
    members_may_hear_one_source_alone,
    loopback_and_hops_are_the_senders,
    groups_that_cannot_be_are_refused,
}

mod apart {
    use super::groups_of_ipv6_are_joined_per_interface_and_left;

    // The loopback interface has no way to the groups of IPv6.
    crate::kit::on_each_driver! { apart groups_of_ipv6_are_joined_per_interface_and_left }
}

/// The number of the loopback interface.
const LOOPBACK: u32 = 1;

fn group_v4() -> IpAddr {
    Ipv4Addr::new(239, 255, 17, 4).into()
}

fn group_v6() -> IpAddr {
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x17, 4).into()
}

/// Two ports on one number that hears groups, and that number.
fn members(reactor: &Reactor, group: IpAddr) -> ([Rc<Heard>; 2], u16) {
    let options = UdpOptions::default().reuse_address(true);
    let everywhere = |number| match group {
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, number)),
    };
    let (one, port) = open_at(reactor, everywhere(0), &options, false);
    let number = port.address().ip().unwrap().port();
    let (two, _) = open_at(reactor, everywhere(number), &options, false);
    ([one, two], number)
}

/// A port that sends to groups by an interface of this machine alone.
fn sender(reactor: &Reactor, group: IpAddr) -> Rc<Heard> {
    let (place, interface) = match group {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), LOOPBACK),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), APART),
    };
    let (sender, _) = open_at(reactor, SocketAddr::new(place, 0), &UdpOptions::default(), false);
    let by = MulticastChange::Interface(Interface::Index(interface));
    sender.port().change_multicast(by).unwrap();
    sender
}

/// Statement 79: `listenMulticast(listenMultiple)`: several ports on one number, join and leave.
#[track_caller]
fn check_join_and_leave(reactor: &Reactor, group: IpAddr, interface: Interface) {
    let ([one, two], number) = members(reactor, group);
    let sender = sender(reactor, group);
    let to = Address::Ip(match group {
        IpAddr::V4(_) => SocketAddr::new(group, number),
        IpAddr::V6(ip) => std::net::SocketAddrV6::new(ip, number, 0, APART).into(),
    });
    // Joining reaches the port of whoever asks, and no other.
    one.port().join_group(group, interface).unwrap();
    assert_eq!(one.port().join_group(group, interface), Err(MulticastError::AlreadyJoined));
    two.port().join_group(group, interface).unwrap();
    sender.port().send_to(b"both", &to).unwrap();
    turn_until(reactor, || one.count() == 1 && two.count() == 1);
    two.port().leave_group(group, interface).unwrap();
    one.port().leave_group(group, interface).unwrap();
    assert_eq!(one.port().leave_group(group, interface), Err(MulticastError::NotJoined));
    sender.port().send_to(b"nobody", &to).unwrap();
    come_to_rest(reactor);
    assert_eq!((one.count(), two.count()), (1, 1));
}

fn groups_of_ipv4_are_joined_per_interface_and_left(kind: DriverKind) {
    let reactor = reactor(kind);
    check_join_and_leave(&reactor, group_v4(), Interface::Index(LOOPBACK));
    check_join_and_leave(&reactor, group_v4(), Interface::V4(Ipv4Addr::LOCALHOST));
}

/// Differs from Twisted (statement 79): there an IPv6 group can be joined on the default interface
/// alone.
fn groups_of_ipv6_are_joined_per_interface_and_left(kind: DriverKind) {
    check_join_and_leave(&reactor(kind), group_v6(), Interface::Index(APART));
}

fn members_may_hear_one_source_alone(kind: DriverKind) {
    let reactor = reactor(kind);
    let group = IpAddr::V4(Ipv4Addr::new(232, 1, 17, 4));
    let ([one, two], number) = members(&reactor, group);
    let (wanted, other) = (Ipv4Addr::new(127, 0, 0, 5), Ipv4Addr::new(127, 0, 0, 6));
    let of =
        |source: Ipv4Addr, interface| Membership { group, interface, source: Some(source.into()) };
    let by_number = of(wanted, Interface::Index(LOOPBACK));
    one.port().change_multicast(MulticastChange::Join(by_number)).unwrap();
    let by_address = of(wanted, Interface::V4(Ipv4Addr::LOCALHOST));
    two.port().change_multicast(MulticastChange::Join(by_address)).unwrap();
    for source in [other, wanted] {
        let (port, _) = open_at(&reactor, (source, 0).into(), &UdpOptions::default(), false);
        let by = MulticastChange::Interface(Interface::Index(LOOPBACK));
        port.port().change_multicast(by).unwrap();
        let to = Address::Ip((group, number).into());
        port.port().send_to(source.to_string().as_bytes(), &to).unwrap();
        come_to_rest(&reactor);
    }
    turn_until(&reactor, || one.count() == 1 && two.count() == 1);
    assert_eq!([one.said(), two.said()].concat(), [b"127.0.0.5".to_vec(), b"127.0.0.5".to_vec()]);
    one.port().change_multicast(MulticastChange::Leave(by_number)).unwrap();
    two.port().change_multicast(MulticastChange::Leave(by_address)).unwrap();
    let gone = one.port().change_multicast(MulticastChange::Leave(by_number));
    assert!(gone.is_err());

    let six = Membership {
        group: Ipv6Addr::new(0xff32, 0, 0, 0, 0, 0, 0x17, 4).into(),
        interface: Interface::Index(LOOPBACK),
        source: Some(Ipv6Addr::LOCALHOST.into()),
    };
    let ([member, _], _) = members(&reactor, six.group);
    member.port().change_multicast(MulticastChange::Join(six)).unwrap();
    member.port().change_multicast(MulticastChange::Leave(six)).unwrap();
}

/// Statement 79: loopback and the number of hops. Differs from Twisted, where an IPv6 port sets the
/// number of IPv4.
fn loopback_and_hops_are_the_senders(kind: DriverKind) {
    let reactor = reactor(kind);
    for any in [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()] {
        let place = SocketAddr::new(any, 0);
        let (sender, _) = open_at(&reactor, place, &UdpOptions::default(), false);
        let port = sender.port();
        let by = MulticastChange::Interface(Interface::Index(LOOPBACK));
        port.change_multicast(by).unwrap();
        let settings = port.multicast_settings().unwrap();
        assert_eq!((settings.hops, settings.loopback), (1, true));
        port.change_multicast(MulticastChange::Hops(9)).unwrap();
        port.change_multicast(MulticastChange::Loopback(false)).unwrap();
        let settings = port.multicast_settings().unwrap();
        assert_eq!((settings.hops, settings.loopback), (9, false));
        if place.is_ipv6() {
            assert_eq!(settings.interface, Interface::Index(LOOPBACK));
        }
    }
    let (port, _) = open(&reactor, &UdpOptions::default());
    let by = Interface::V4(Ipv4Addr::LOCALHOST);
    port.port().change_multicast(MulticastChange::Interface(by)).unwrap();
    assert_eq!(port.port().multicast_settings().unwrap().interface, by);
}

fn groups_that_cannot_be_are_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let (heard, _) = open(&reactor, &UdpOptions::default());
    let port = heard.port();
    let nobody = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let any = Interface::Any;
    assert_eq!(port.join_group(nobody, any), Err(MulticastError::NotAGroup(nobody)));
    assert_eq!(port.join_group(group_v6(), any), Err(MulticastError::WrongFamily));
    let nowhere = Interface::Index(9999);
    assert_eq!(port.join_group(group_v4(), nowhere), Err(MulticastError::NoSuchInterface));
    assert!(port.leave_group(group_v4(), any).is_err());
    let (protocol, heard) = super::receiver(false);
    let (socket, place) = super::plain();
    reactor.connect_udp(place, &UdpOptions::default(), ropewalk_protocol::seat_datagrams(protocol));
    turn_until(&reactor, || heard.port.borrow().is_some());
    heard.port().abort();
    turn_until(&reactor, || heard.stopped.get().is_some());
    assert_eq!(heard.port().join_group(group_v4(), any), Err(MulticastError::Unsupported));
    drop(socket);
}
