//! Requests by the thousand over a hundred connections, of which many are taken back: nothing is left of them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ropewalk_http2::frame::ErrorCode;
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Connection, Event, Limits};
use ropewalk_interop::PATIENCE;
use ropewalk_trial::Random;

use crate::process::Belongings;
use crate::web::Web;

const CONNECTIONS: usize = 100;
/// How many requests there are, unless `ROPEWALK_REQUESTS` says.
const REQUESTS: usize = 2_000;
/// How many of them are under way on a connection.
const TOGETHER: usize = 10;
/// By how much a server's memory may have grown between the first requests and the last, in KiB.
const GROWTH_MAX: u64 = 4 << 10;

struct Client {
    stream: TcpStream,
    engine: Connection,
    began: Instant,
    resets: u64,
    answered: usize,
    taken_back: usize,
}

impl Client {
    fn of(web: &Web) -> Self {
        let stream = TcpStream::connect(Web::authority(&web.clear)).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let engine = Connection::client(Limits::default());
        let began = Instant::now();
        let mut client = Self { stream, engine, began, resets: 0, answered: 0, taken_back: 0 };
        let mut out = Vec::new();
        client.engine.greet(&mut out);
        client.stream.write_all(&out).expect("somebody hears");
        client
    }

    /// Whether a stream can be taken back that the server puts up with.
    fn may_reset(&self) -> bool {
        self.resets < 200 + 30 * self.began.elapsed().as_secs()
    }

    fn reset(&mut self, stream: u32, out: &mut Vec<u8>) {
        if self.engine.is_live(stream) && self.may_reset() {
            self.resets += 1;
            self.taken_back += 1;
            self.engine.reset(stream, ErrorCode::Cancel, out);
        }
    }

    /// Some requests side by side, until each is answered or taken back.
    fn ask(&mut self, random: &mut Random) {
        let mut out = Vec::new();
        for _ in 0..TOGETHER {
            let path = if random.below(50) == 0 { "/large.bin" } else { "/hello.txt" };
            let has_body = random.below(10) == 0;
            let opened = self.engine.open(!has_body, &mut out, |head| {
                head.pseudo(Pseudo::Method, if has_body { b"POST" } else { b"GET" });
                head.pseudo(Pseudo::Scheme, b"http");
                head.pseudo(Pseudo::Authority, b"localhost");
                head.pseudo(Pseudo::Path, path.as_bytes());
            });
            let stream = opened.expect("a stream");
            if has_body {
                // A folder takes none, and says so before it is all there.
                let part = self.engine.data_head(stream, 100, false, &mut out).expect("a stream");
                out.extend_from_slice(&part);
                out.extend_from_slice(&[b'x'; 100]);
            }
            if random.below(8) == 0 {
                self.reset(stream, &mut out);
            }
        }
        let mut buffer = vec![0; 1 << 16];
        loop {
            self.stream.write_all(&out).expect("somebody hears");
            out.clear();
            if self.engine.streams() == 0 {
                return;
            }
            let len = self.stream.read(&mut buffer).expect("somebody answers");
            assert!(len > 0, "nobody is there any more");
            self.hear(&buffer[..len], random, &mut out);
        }
    }

    fn hear(&mut self, mut input: &[u8], random: &mut Random, out: &mut Vec<u8>) {
        let now = self.began.elapsed();
        while let Some(event) = self.engine.next(&mut input, now, out).expect("frames") {
            match event {
                Event::Response { is_end, .. } => self.answered += usize::from(is_end),
                Event::Data { stream, data, is_end } => {
                    self.engine.release(stream, data.len(), out);
                    self.answered += usize::from(is_end);
                    // Some are taken back in the middle.
                    if !is_end && random.below(20) == 0 {
                        self.reset(stream, out);
                    }
                }
                Event::Reset { stream, why } => {
                    assert_eq!(why.code(), ErrorCode::NoError, "{stream}");
                }
                Event::GoAway { code, .. } => panic!("{code}"),
                _ => (),
            }
        }
    }
}

#[test]
fn requests_by_the_thousand_of_which_many_are_taken_back_leave_nothing() {
    let count = std::env::var("ROPEWALK_REQUESTS")
        .map_or(REQUESTS, |count| count.parse().expect("ROPEWALK_REQUESTS is a number"));
    let web = Web::start();
    let mut random = Random::new(7);
    let alone = Belongings::of(web.id());
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::of(&web)).collect();
    let mut round = |count: usize| {
        for at in 0..count / TOGETHER {
            clients[at % CONNECTIONS].ask(&mut random);
        }
    };
    // What each connection has once it was used.
    round(REQUESTS);
    let (began, before) = (Instant::now(), Belongings::of(web.id()));
    round(count);
    let after = Belongings::of(web.id());
    let took = began.elapsed();
    let answered: usize = clients.iter().map(|client| client.answered).sum();
    let taken_back: usize = clients.iter().map(|client| client.taken_back).sum();
    let streams: usize = clients.iter().map(|client| client.engine.streams()).sum();
    drop(clients);
    let gone = wait_for(web.id(), alone.descriptors);
    println!(
        "{count} requests in {took:?}: {answered} answered, {taken_back} taken back, {streams} streams left; \
         memory {} KiB alone, {} before, {} after, {} when all were gone; descriptors {}, {}, {}, {}",
        alone.resident,
        before.resident,
        after.resident,
        gone.resident,
        alone.descriptors,
        before.descriptors,
        after.descriptors,
        gone.descriptors,
    );
    assert_eq!((streams, after.descriptors), (0, before.descriptors));
    assert!(after.resident <= before.resident + GROWTH_MAX, "{before:?} {after:?}");
    assert_eq!(gone.descriptors, alone.descriptors);
}

/// What the server has once it has closed what its clients did.
fn wait_for(id: u32, descriptors: usize) -> Belongings {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = Belongings::of(id);
        if now.descriptors <= descriptors || Instant::now() > deadline {
            return now;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
