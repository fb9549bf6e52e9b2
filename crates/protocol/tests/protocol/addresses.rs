//! Addresses and the networks that they belong to.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use ropewalk_protocol::{Address, BadNetwork, Conn, Factory, Network, Protocol};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[track_caller]
fn check(network: &str, inside: &[&str], outside: &[&str]) {
    let parsed: Network = network.parse().expect(network);
    assert_eq!(parsed.to_string(), network);
    for address in inside {
        assert!(parsed.contains(ip(address)), "{address} is in {network}");
    }
    for address in outside {
        assert!(!parsed.contains(ip(address)), "{address} is not in {network}");
    }
}

#[test]
fn networks_hold_what_begins_alike() {
    check(
        "10.0.0.0/8",
        &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"],
        &["11.0.0.0", "::a00:1"],
    );
    check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "::1"]);
    check("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]);
    check("192.0.2.1", &["192.0.2.1"], &["192.0.2.2", "192.0.2.0"]);
    check("fd00::/8", &["fd00::", "fdff:ffff::1"], &["fe00::", "fc00::", "10.0.0.1"]);
    check("::/0", &["::", "ffff::"], &["0.0.0.0", "::ffff:1.2.3.4"]);
    check("::1", &["::1"], &["::2"]);
    assert_eq!("192.0.2.1/32".parse(), Ok(Network::of(ip("192.0.2.1"))));
    assert_eq!("::1/128".parse(), Ok(Network::of(ip("::1"))));
    assert_eq!("::ffff:10.0.0.0/104".parse::<Network>(), "10.0.0.0/8".parse());
    assert_eq!("::ffff:192.0.2.1".parse::<Network>(), "192.0.2.1".parse());
}

#[test]
fn what_is_no_network_is_told_why() {
    let check = |text: &str, told: &str| {
        assert_eq!(text.parse::<Network>().expect_err(text).to_string(), told);
    };
    for text in ["", "/", "/8", "10/8", "10.0.0/8", "host/8", "[::1]/8"] {
        check(text, "a network begins with an IP address, as in 10.0.0.0/8");
    }
    for text in ["10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8/8", "10.0.0.0/99999999999"]
    {
        check(text, "a number of bits stands behind the /, as in 10.0.0.0/8");
    }
    check("10.0.0.0/33", "a prefix of 33 bits is too long: such an address has 32");
    check("::/129", "a prefix of 129 bits is too long: such an address has 128");
    check("::/300", "a prefix of 300 bits is too long: such an address has 128");
    check("10.1.0.0/8", "the address has bits beyond the prefix; did you mean 10.0.0.0/8?");
    let meant = Network::new(ip("fd00::"), 64).expect("a network");
    assert_eq!(Network::new(ip("fd00::1"), 64), Err(BadNetwork::HostBits(meant)));
}

#[test]
fn those_without_an_internet_address_are_treated_as_is_said() {
    let networks = ["10.0.0.0/8".parse().expect("a network")];
    let any = |address: &Address, if_local| Network::any_contains(&networks, address, if_local);
    assert!(any(&Address::Ip(([10, 0, 0, 1], 80).into()), false));
    assert!(!any(&Address::Ip(([11, 0, 0, 1], 80).into()), true));
    assert!(any(&Address::Unnamed, true));
    assert!(!any(&Address::Unnamed, false));
    assert!(!Network::any_contains(&[], &Address::Ip(([10, 0, 0, 1], 80).into()), true));
}

#[test]
fn one_factory_serves_several_listeners() {
    struct Silent;
    impl Protocol for Silent {
        fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
    }

    let mut left = 3;
    let three = move |_: &Address| {
        left -= 1;
        (left >= 0).then_some(Silent)
    };
    let mut first = Rc::new(RefCell::new(three));
    let mut second = Rc::clone(&first);
    let peer = Address::Unnamed;
    assert!(first.build(&peer).is_some() && second.build(&peer).is_some());
    assert!(first.build(&peer).is_some() && second.build(&peer).is_none());
}
