//! Datagrams between simulated hosts.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol, Port as _, seat_datagrams};
use ropewalk_reactor::{UdpOptions, UnixDatagramOptions};
use ropewalk_trial::{Link, Simulation};

const COUNT: u32 = 200;

/// Writes down what comes, and sends numbers if it is to.
struct Peer {
    heard: Rc<RefCell<Vec<u32>>>,
    refused: Rc<RefCell<u32>>,
    sends: bool,
}

impl DatagramProtocol for Peer {
    fn started(&mut self, port: &DatagramPort<Self>) {
        if self.sends {
            for number in 0..COUNT {
                port.send(&number.to_be_bytes()).expect("there is room");
            }
        }
    }

    fn datagram_received(&mut self, _: &DatagramPort<Self>, data: &[u8], _: &Address) {
        let number = data.try_into().map(u32::from_be_bytes).expect("a whole datagram");
        self.heard.borrow_mut().push(number);
    }

    fn connection_refused(&mut self, _: &DatagramPort<Self>) {
        *self.refused.borrow_mut() += 1;
    }
}

/// What a receiver heard of so many numbers, and how often the sender was refused.
fn exchange(seed: u64, link: &Link, is_there: bool) -> (Vec<u32>, u32) {
    let simulation = Simulation::new(seed);
    simulation.weather(link);
    let (server, client) = (simulation.host("server"), simulation.host("client"));
    let (heard, refused) = (Rc::default(), Rc::default());
    let peer = |sends| Peer { heard: Rc::clone(&heard), refused: Rc::clone(&refused), sends };
    let address = simulation.address("server", 53);
    let options = UdpOptions::default();
    if is_there {
        server.listen_udp(address, &options, seat_datagrams(peer(false))).expect("it is free");
    }
    client.connect_udp(address, &options, seat_datagrams(peer(true)));
    simulation.run_for(Duration::from_secs(10));
    let heard = heard.borrow().clone();
    (heard, refused.take())
}

#[test]
fn on_a_calm_link_all_arrive_once() {
    let (mut heard, refused) = exchange(1, &Link::default(), true);
    heard.sort_unstable();
    assert_eq!((heard, refused), ((0..COUNT).collect(), 0));
}

#[test]
fn on_a_rough_one_they_are_lost_doubled_and_overtaken() {
    let rough = Link::default().loss(0.1).duplication(0.1).reordering(0.1);
    for seed in 0..20 {
        let (heard, _) = exchange(seed, &rough, true);
        let distinct: std::collections::BTreeSet<_> = heard.iter().collect();
        assert!(distinct.len() < COUNT as usize, "seed {seed}: none is lost");
        assert!(heard.len() > distinct.len(), "seed {seed}: none comes twice");
        assert!(!heard.is_sorted(), "seed {seed}: none is overtaken");
        assert_eq!(exchange(seed, &rough, true).0, heard, "seed {seed}: another story");
    }
}

#[test]
fn a_sender_hears_that_nobody_is_there() {
    let (heard, refused) = exchange(2, &Link::default(), false);
    assert!(heard.is_empty() && refused > 0, "{refused}");
}

/// Writes down how long what comes is, and whether that was all.
struct Ruler(Rc<RefCell<Vec<(usize, bool)>>>);

impl DatagramProtocol for Ruler {
    fn datagram_received(&mut self, _: &DatagramPort<Self>, data: &[u8], _: &Address) {
        self.0.borrow_mut().push((data.len(), true));
    }

    fn datagram_truncated(&mut self, _: &DatagramPort<Self>, data: &[u8], _: &Address) {
        self.0.borrow_mut().push((data.len(), false));
    }
}

#[test]
fn what_is_too_long_comes_truncated() {
    let simulation = Simulation::new(3);
    let (server, client) = (simulation.host("server"), simulation.host("client"));
    let lengths = Rc::default();
    let (address, options) =
        (simulation.address("server", 53), UdpOptions::default().max_length(3));
    let ruler = seat_datagrams(Ruler(Rc::clone(&lengths)));
    server.listen_udp(address, &options, ruler).expect("it is free");
    let (heard, refused) = (Rc::default(), Rc::default());
    let sender = Peer { heard, refused, sends: true };
    client.connect_udp(address, &UdpOptions::default(), seat_datagrams(sender));
    simulation.run_for(Duration::from_secs(10));
    assert_eq!(*lengths.borrow(), [(3, false)].repeat(COUNT as usize));
}

#[test]
fn between_processes_of_a_host_they_come_whole_and_in_order() {
    let simulation = Simulation::new(4);
    simulation.weather(&Link::default().loss(0.5).reordering(0.5));
    let host = simulation.host("host");
    let place = Address::Unix("/run/log".into());
    let (heard, refused): (Rc<RefCell<Vec<u32>>>, Rc<RefCell<u32>>) = Default::default();
    let peer = |sends| Peer { heard: Rc::clone(&heard), refused: Rc::clone(&refused), sends };
    let options = UnixDatagramOptions::default();
    host.connect_unix_datagrams(&place, &options, seat_datagrams(peer(true)));
    simulation.run_for(Duration::from_secs(1));
    assert!(heard.borrow().is_empty(), "nobody is there yet");
    let port = host.listen_unix_datagrams(&place, &options, seat_datagrams(peer(false)));
    let port = port.expect("it is free");
    let again = host.listen_unix_datagrams(&place, &options, seat_datagrams(peer(false)));
    assert!(again.is_err(), "one name has one port");
    host.connect_unix_datagrams(&place, &options, seat_datagrams(peer(true)));
    simulation.run_for(Duration::from_secs(1));
    let mut sorted = heard.borrow().clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..COUNT).collect::<Vec<_>>());
    port.stop_listening().on_result(drop);
    simulation.run_for(Duration::from_secs(1));
    assert_eq!(simulation.descriptors("host"), 1, "the sender's alone");
}
