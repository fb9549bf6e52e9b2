//! Where a server takes its clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ropewalk_protocol::Network;

/// Which destinations a server takes its clients to.
///
/// It is addresses that are judged, those that a name stands for too, right before they are dialled: a
/// name that leads inside is no way inside. Unless told otherwise, only the public Internet is a
/// destination: not this machine, nor networks that are private, link-local or reserved.
///
/// ```
/// use ropewalk_forward::Destinations;
///
/// let inside = "10.1.0.0/16".parse()?;
/// let printer = "10.1.2.3".parse()?;
/// let rules = Destinations::public().allow(inside).deny(printer).ports([1024..=65535]);
/// assert!(rules.admits("10.1.2.4:8080".parse().unwrap()));
/// assert!(!rules.admits("10.1.2.3:8080".parse().unwrap()));
/// assert!(!rules.admits("10.1.2.4:25".parse().unwrap()));
/// assert!(!rules.admits("127.0.0.1:8080".parse().unwrap()));
/// # Ok::<(), ropewalk_protocol::BadNetwork>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destinations {
    is_public_only: bool,
    allowed: Vec<Network>,
    denied: Vec<Network>,
    /// Empty for all.
    ports: Vec<RangeInclusive<u16>>,
}

impl Default for Destinations {
    fn default() -> Self {
        Self::public()
    }
}

impl Destinations {
    /// All of the public Internet and nothing else.
    pub fn public() -> Self {
        let (allowed, denied, ports) = Default::default();
        Self { is_public_only: true, allowed, denied, ports }
    }

    /// Everything that this machine can reach, itself included.
    pub fn anywhere() -> Self {
        Self { is_public_only: false, ..Self::public() }
    }

    /// Takes clients to `network` too.
    pub fn allow(mut self, network: Network) -> Self {
        self.allowed.push(network);
        self
    }

    /// Does not take clients to `network`, whatever else is allowed.
    pub fn deny(mut self, network: Network) -> Self {
        self.denied.push(network);
        self
    }

    /// Takes clients to these ports alone.
    pub fn ports(self, ports: impl IntoIterator<Item = RangeInclusive<u16>>) -> Self {
        Self { ports: ports.into_iter().collect(), ..self }
    }

    /// Whether clients are taken to this address.
    pub fn admits(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_in = |networks: &[Network]| networks.iter().any(|network| network.contains(ip));
        self.admits_port(address.port())
            && !is_in(&self.denied)
            && (!self.is_public_only || is_in(&self.allowed) || is_public(ip))
    }

    /// Whether clients are taken to this port of any host at all.
    pub fn admits_port(&self, port: u16) -> bool {
        self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(&port))
    }
}

/// Whether an address is of the public Internet (the special-purpose registries of RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let octets = ip.octets();
    // This network, private, this machine, multicast and reserved.
    let is_local =
        matches!(octets, [0 | 10 | 127 | 224..=255, ..] | [192, 168, ..] | [172, 16..=31, ..]);
    // Shared by a provider's customers, link-local, benchmarks.
    let is_near = matches!(octets, [100, 64..=127, ..] | [169, 254, ..] | [198, 18 | 19, ..]);
    // Protocol assignments, documentation, relays to IPv6.
    let is_odd = matches!(
        octets,
        [192, 0, 0 | 2, _] | [198, 51, 100, _] | [203, 0, 113, _] | [192, 88, 99, _]
    );
    !(is_local || is_near || is_odd)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // An IPv4 address behind a translator (RFC 6052): what it says is where it leads.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments, tunnels, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}
