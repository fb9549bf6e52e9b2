//! Fifty thousand idle WebSockets in one process, counted byte by byte. One test alone: the count is the
//! whole program's. Descriptors, of which many systems give a process fewer, are not what it is about.

use std::alloc::System;
use std::rc::Rc;

use ropewalk_http::{Request, Site};
use ropewalk_protocol::{Event, Outbox, Seat, Successor, Transport, Wishes};
use ropewalk_trial::{Clock, Memory};
use ropewalk_websocket::{
    Message, Prepared, Slow, WebSocket, WebSocketProtocol, WebSocketResource,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const COUNT: usize = 50_000;
/// What an idle WebSocket may take, in bytes, of which the reactor's own tables take some 100 besides.
const EACH_MAX: usize = 600;

const OPENING: &[u8] =
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n";
/// A masked text, `hello`, and what comes back.
const HELLO: &[u8] = b"\x81\x85\x00\x00\x00\x00hello";
const ECHO: &[u8] = b"\x81\x05hello";

/// How many bytes are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

/// Nobody on a connection: what the test's own end of it costs.
struct Hollow;

impl Seat for Hollow {
    fn attach(&mut self, _: Rc<dyn Transport>, _: usize) {}

    fn handle(&mut self, _: Event<'_>) {}

    fn wishes(&self) -> Wishes {
        Wishes {
            reading: true,
            close_write: false,
            ending: None,
            output: false,
            sent: false,
            succession: false,
            next_call: None,
            peer_done: false,
        }
    }

    fn take_output(&mut self) -> Option<Box<Outbox>> {
        None
    }

    fn take_successor(&mut self) -> Option<Successor> {
        None
    }
}

#[test]
fn fifty_thousand_idle_conversations_fit_one_process() {
    let clock = Clock::new();
    let mut clients = Vec::with_capacity(COUNT);
    let before = held();
    clients.extend((0..COUNT).map(|_| Memory::take_seat(Box::new(Hollow), &clock)));
    let own = held() - before;
    clients.clear();

    let resource = WebSocketResource::new(|_: &Request| Echo);
    let group = resource.group();
    let site = Site::new(resource);
    let open = || {
        let mut client = Memory::seat(site.server(), &clock);
        client.push(OPENING);
        assert!(client.take_sent().starts_with(b"HTTP/1.1 101 "));
        client.push(HELLO);
        assert_eq!(client.take_sent(), ECHO);
        client
    };
    drop(open());
    let before = held();
    clients.extend((0..COUNT).map(|_| open()));
    let each = (held() - before - own) / COUNT;
    println!("{each} bytes for each of {COUNT} idle WebSockets");
    assert!(each <= EACH_MAX, "{each} bytes each");
    assert_eq!(group.len(), COUNT);
    assert!(clients.iter().all(|client| client.next_call().is_some()), "all are to be pinged");

    // They are all there: one frame, encoded once, comes to each.
    group.send(&Prepared::text("news"), Slow::Misses);
    for client in &mut clients {
        client.run();
        assert_eq!(client.take_sent(), b"\x81\x04news");
        client.push(HELLO);
        assert_eq!(client.take_sent(), ECHO);
    }
    let after = (held() - before - own) / COUNT;
    assert!(after <= EACH_MAX, "{after} bytes each after they have all spoken");
}
