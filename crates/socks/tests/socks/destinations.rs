//! Where clients are taken.

use ropewalk_protocol::Network;
use ropewalk_socks::Destinations;

fn network(text: &str) -> Network {
    text.parse().expect("a network")
}

#[track_caller]
fn check(rules: &Destinations, admitted: &[&str], refused: &[&str]) {
    for text in admitted {
        assert!(rules.admits(text.parse().expect(text)), "{text} is admitted");
    }
    for text in refused {
        assert!(!rules.admits(text.parse().expect(text)), "{text} is refused");
    }
}

#[test]
fn only_the_public_internet_is_a_destination_unless_told_otherwise() {
    let public = [
        "1.1.1.1:53",
        "9.255.255.255:1",
        "11.0.0.0:1",
        "100.63.255.255:1",
        "100.128.0.0:1",
        "126.0.0.1:1",
        "128.0.0.1:1",
        "169.253.1.1:1",
        "172.15.0.1:1",
        "172.32.0.1:1",
        "192.0.1.1:1",
        "192.167.0.1:1",
        "198.17.0.1:1",
        "198.20.0.1:1",
        "223.255.255.255:1",
        "[2606:4700::1111]:53",
        "[::ffff:1.1.1.1]:53",
        "[64:ff9b::1.1.1.1]:53",
    ];
    let inside = [
        "0.0.0.0:80",
        "0.1.2.3:80",
        "10.0.0.1:80",
        "100.64.0.1:80",
        "127.0.0.1:80",
        "127.255.255.255:80",
        "169.254.169.254:80",
        "172.16.0.1:80",
        "172.31.255.255:80",
        "192.0.0.1:80",
        "192.0.2.1:80",
        "192.88.99.1:80",
        "192.168.1.1:80",
        "198.18.0.1:80",
        "198.19.255.255:80",
        "198.51.100.1:80",
        "203.0.113.1:80",
        "224.0.0.1:80",
        "240.0.0.1:80",
        "255.255.255.255:80",
        "[::]:80",
        "[::1]:80",
        "[::127.0.0.1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:10.0.0.1]:80",
        "[64:ff9b::10.0.0.1]:80",
        "[64:ff9b:1::1]:80",
        "[100::1]:80",
        "[2001::1]:80",
        "[2001:db8::1]:80",
        "[2002:a00:1::]:80",
        "[3fff::1]:80",
        "[fc00::1]:80",
        "[fd00::1]:80",
        "[fe80::1]:80",
        "[fec0::1]:80",
        "[ff02::1]:80",
    ];
    check(&Destinations::public(), &public, &inside);
    check(&Destinations::default(), &public, &inside);
    check(&Destinations::anywhere(), &inside, &[]);
}

#[test]
fn networks_are_added_and_taken_away() {
    let rules = Destinations::public()
        .allow(network("10.0.0.0/8"))
        .deny(network("10.1.0.0/16"))
        .deny(network("1.1.1.1"));
    check(
        &rules,
        &["10.0.0.1:80", "10.2.0.1:80", "1.1.1.2:80", "[::ffff:10.0.0.1]:80"],
        &["10.1.0.1:80", "1.1.1.1:80", "192.168.0.1:80", "[::ffff:10.1.0.1]:80"],
    );
    let rules = Destinations::anywhere().deny(network("127.0.0.0/8")).deny(network("::1"));
    check(&rules, &["10.0.0.1:80"], &["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80"]);
}

#[test]
fn ports_are_bounded() {
    let rules = Destinations::public().ports([80..=80, 8000..=8999]);
    check(
        &rules,
        &["1.1.1.1:80", "1.1.1.1:8000", "1.1.1.1:8999"],
        &["1.1.1.1:79", "1.1.1.1:81", "1.1.1.1:9000", "10.0.0.1:80"],
    );
    assert!(rules.admits_port(80) && !rules.admits_port(25));
}
