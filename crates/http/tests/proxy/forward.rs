use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_auth::{InMemory, Portal, UsernamePassword, Users};
use ropewalk_deferred::Deferred;
use ropewalk_forward::{Destinations, Dialer};
use ropewalk_http::Site;
use ropewalk_http::auth::Guard;
use ropewalk_http::proxy::ForwardProxy;
use ropewalk_protocol::{Address, Disconnect, Event, ResolveError, Seat, seat};
use ropewalk_trial::{Clock, Hostile, Memory};

use super::{heard, ok, settle, status};

type Dialled = Vec<(Vec<SocketAddr>, Box<dyn Seat>)>;

/// A network of two hosts, one outside and one inside.
#[derive(Clone, Default)]
struct World(Rc<RefCell<Dialled>>);

impl Dialer for World {
    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        let ips: &[[u8; 4]] = match host {
            "outside.example" => &[[1, 2, 3, 4]],
            "inside.example" => &[[10, 0, 0, 1]],
            "both.example" => &[[10, 0, 0, 1], [1, 2, 3, 4]],
            _ => return Deferred::fail(ResolveError::NoAddress { host: host.to_owned() }),
        };
        Deferred::succeed(ips.iter().map(|&ip| (ip, port).into()).collect())
    }

    fn connect(&self, addresses: &[SocketAddr], seat: Box<dyn Seat>) {
        self.0.borrow_mut().push((addresses.to_vec(), seat));
    }
}

struct House {
    world: World,
    clock: Clock,
    site: Site,
}

impl House {
    fn new(change: impl FnOnce(ForwardProxy) -> ForwardProxy) -> Self {
        let (world, clock) = (World::default(), Clock::new());
        let proxy = ForwardProxy::new(world.clone(), clock.clone(), Destinations::public());
        let site = Site::new(change(proxy)).wall_clock(|| std::time::UNIX_EPOCH);
        Self { world, clock, site }
    }

    fn client(&self, said: &str) -> Memory {
        let mut client = Memory::seat(self.site.server(), &self.clock);
        client.push(said.as_bytes());
        client.run();
        client
    }

    #[track_caller]
    fn accept(&self, peer: &str) -> Memory {
        let (addresses, seat) = self.world.0.borrow_mut().remove(0);
        let address = peer.parse().expect("an address");
        assert_eq!(addresses, [address]);
        let local = Address::Ip("1.2.3.9:5000".parse().expect("an address"));
        Memory::between(seat, &self.clock, local, Address::Ip(address))
    }

    fn is_quiet(&self) -> bool {
        self.world.0.borrow().is_empty()
    }
}

#[test]
fn a_request_with_a_whole_uri_is_taken_to_its_origin() {
    let house = House::new(|proxy| proxy.name("p.example"));
    let mut client = house.client(
        "GET http://outside.example:81/a?b HTTP/1.1\r\nHost: other\r\nProxy-Connection: keep-alive\r\n\
         X-Forwarded-For: 10.0.0.9\r\n\r\n",
    );
    let mut origin = house.accept("1.2.3.4:81");
    assert_eq!(
        heard(&mut origin),
        "GET /a?b HTTP/1.1\r\nhost: outside.example:81\r\nx-forwarded-for: 10.0.0.9\r\n\
         via: 1.1 p.example\r\n\r\n"
    );
    origin.push(&ok("hello"));
    settle(&mut client, &mut origin);
    let answer = heard(&mut client);
    assert!(answer.contains("\r\nvia: 1.1 p.example\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
}

#[test]
fn a_tunnel_carries_anything_both_ways() {
    let house = House::new(|proxy| proxy);
    let mut client = house
        .client("CONNECT outside.example:443 HTTP/1.1\r\nHost: outside.example:443\r\n\r\nearly");
    let mut origin = house.accept("1.2.3.4:443");
    settle(&mut client, &mut origin);
    let answer = heard(&mut client);
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(heard(&mut origin), "early");
    origin.push(b"back");
    settle(&mut client, &mut origin);
    assert_eq!(heard(&mut client), "back");
    origin.eof();
    settle(&mut client, &mut origin);
    assert!(client.is_write_closed());
    client.push(b"still");
    settle(&mut client, &mut origin);
    assert_eq!(heard(&mut origin), "still");
}

#[test]
fn it_is_addresses_that_are_judged() {
    for (request, code) in [
        ("GET http://inside.example/", 403),
        ("GET http://10.0.0.1/", 403),
        ("GET http://127.0.0.1/", 403),
        ("GET http://[::1]/", 403),
        ("GET http://[::ffff:127.0.0.1]/", 403),
        ("GET http://2130706433/", 403),
        ("GET http://localhost/", 502),
        ("GET http://nowhere.example/", 502),
        ("GET https://outside.example/", 421),
        ("GET ftp://outside.example/", 400),
        ("GET /", 400),
        ("TRACE http://outside.example/", 501),
        ("CONNECT inside.example:443", 403),
        ("CONNECT 127.0.0.1:443", 403),
        ("CONNECT [::1]:443", 403),
        ("CONNECT outside.example:22", 403),
        ("CONNECT outside.example:80", 403),
        ("CONNECT nowhere.example:443", 502),
    ] {
        let house = House::new(|proxy| proxy);
        let mut client = house.client(&format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(status(&heard(&mut client)), code, "{request}");
        assert!(house.is_quiet(), "{request}");
    }
    // Of several addresses those that are allowed are left.
    let house = House::new(|proxy| proxy.tunnel_ports([22..=22]));
    let _client = house.client("CONNECT both.example:22 HTTP/1.1\r\nHost: a\r\n\r\n");
    house.accept("1.2.3.4:22");
}

#[test]
fn a_tunnel_that_ends_up_elsewhere_is_none() {
    let house = House::new(|proxy| proxy);
    let mut client = house.client("CONNECT outside.example:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, seat) = house.world.0.borrow_mut().remove(0);
    let inside = Address::Ip("10.0.0.1:443".parse().expect("an address"));
    let mut far = Memory::between(seat, &house.clock, inside.clone(), inside);
    assert_eq!(status(&heard(&mut client)), 403);
    far.run();
    assert_eq!(far.ended(), Some(Disconnect::Aborted));
}

#[test]
fn what_cannot_be_reached_is_told_apart() {
    let house = House::new(|proxy| proxy);
    let mut client = house.client("CONNECT outside.example:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_, mut seat) = house.world.0.borrow_mut().remove(0);
    seat.handle(Event::Lost(Disconnect::Refused));
    assert_eq!(status(&heard(&mut client)), 502);

    let house = House::new(|proxy| proxy);
    let mut client = house.client("CONNECT outside.example:443 HTTP/1.1\r\nHost: a\r\n\r\n");
    client.advance(Duration::from_secs(5));
    assert_eq!(status(&heard(&mut client)), 504);
}

#[test]
fn no_client_wears_the_proxy_out() {
    for request in [
        "CONNECT 1.2.3.4:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://1.2.3.4/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let server = |clock: &Clock| {
            let proxy = ForwardProxy::new(World::default(), clock.clone(), Destinations::public());
            seat(Site::new(proxy).server())
        };
        let patience = Duration::from_secs(100);
        Hostile::against(server)
            .request(request.as_bytes())
            .patience(patience)
            .kept(1 << 20)
            .assert();
    }
}

#[test]
fn a_portal_says_who_may_use_the_proxy() {
    let world = World::default();
    let proxy = ForwardProxy::new(world.clone(), Clock::new(), Destinations::public());
    let users = InMemory::new().with("alice", "secret");
    let portal = Portal::new(Users).checker::<UsernamePassword>(users);
    let site = Site::new(Guard::new(portal).basic("proxy").proxy().around(proxy));
    let ask = |request: &str, fields: &str| {
        let mut client = Memory::seat(site.server(), &Clock::new());
        client.push(format!("{request} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
        client.run();
        client
    };
    for request in ["GET http://outside.example/", "CONNECT outside.example:443"] {
        for fields in [
            "",
            "Proxy-Authorization: Basic eDp5\r\n",
            "Proxy-Authorization: Bearer x\r\n",
            "Authorization: Basic YWxpY2U6c2VjcmV0\r\n",
        ] {
            let answer = heard(&mut ask(request, fields));
            assert_eq!(status(&answer), 407, "{request} {fields}");
            assert!(answer.contains("proxy-authenticate: Basic realm=\"proxy\""), "{answer}");
        }
        assert!(world.0.borrow().is_empty());
        let said = "Proxy-Authorization: basic YWxpY2U6c2VjcmV0\r\nAuthorization: Basic eA==\r\n";
        let _client = ask(request, said);
        let (_, seat) = world.0.borrow_mut().remove(0);
        let outside = "1.2.3.4:80".parse().expect("an address");
        let mut origin =
            Memory::between(seat, &Clock::new(), Address::Unnamed, Address::Ip(outside));
        let told = heard(&mut origin);
        assert!(!told.contains("roxy-"), "it is for nobody else: {told}");
        // What is for the origin goes there; through a tunnel nobody has said anything yet.
        let is_told = told.contains("\r\nauthorization: Basic eA==\r\n");
        assert_eq!(is_told, request.starts_with("GET"), "{told}");
    }
}
