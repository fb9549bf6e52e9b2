//! Datagrams between simulated hosts.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol, seat_datagrams};
use ropewalk_reactor::UdpOptions;
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
