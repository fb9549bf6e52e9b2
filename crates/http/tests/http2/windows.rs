//! Windows that a client makes smaller while bodies are under way, down to less than was sent.

use std::collections::BTreeMap;

use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, BodyPiece, BodyStream, Request, Site, Tree};
use ropewalk_http2::frame::PREFACE;
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, Memory, Random};

use crate::frames::{exchange, raw};

const SIZE: i64 = 200_000;
/// GET http, in front of a path.
const GET: [u8; 3] = [0x82, 0x86, 0x04];

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
fn window(size: i64) -> Vec<u8> {
    raw(4, 0, 0, &[&[0, 4], &(size as u32).to_be_bytes()[..]].concat())
}

fn site() -> Site {
    let streamed = |_: Request| {
        let mut left = SIZE as usize;
        Body::stream(BodyStream::new(move || {
            let len = left.min(7777);
            left -= len;
            Deferred::succeed((len > 0).then(|| BodyPiece::Bytes(vec![b's'; len].into())))
        }))
    };
    let whole = |_: Request| Body::from(vec![b'w'; SIZE as usize]);
    Site::new(Tree::new().child("s", streamed).child("w", whole))
}

/// A client that counts what it is sent, stream by stream.
struct Counting {
    server: Memory,
    sent: BTreeMap<u32, i64>,
    whole: usize,
}

impl Counting {
    fn push(&mut self, octets: &[u8]) {
        let (sent, whole) = (&mut self.sent, &mut self.whole);
        exchange(&mut self.server, octets, |kind, flags, stream, len| {
            if kind == 0 {
                *sent.entry(stream).or_default() += len as i64;
                *whole += usize::from(flags & 1);
            }
        });
    }
}

/// Each stream gets all that it was ever allowed and nothing more, whatever was taken back meanwhile.
#[test]
fn a_window_that_was_taken_back_is_owed_and_then_filled_to_the_octet() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let server = Memory::seat(site().server(), &Clock::new());
        let mut client = Counting { server, sent: BTreeMap::new(), whole: 0 };
        let mut initial = random.below(100_000) as i64;
        let first = [&PREFACE[..], &window(initial), &raw(8, 0, 0, &[0x3f, 0, 0, 0])].concat();
        client.push(&first);
        let paths = [&b"/s"[..], b"/w", b"/s"];
        for (at, path) in paths.iter().enumerate() {
            let block = [&GET[..], &[path.len() as u8], path].concat();
            client.push(&raw(1, 5, 2 * at as u32 + 1, &block));
        }
        let (mut updates, mut expected) = ([0_i64; 3], [0_i64; 3]);
        // Settings are allowed a certain number at once.
        let (mut left, mut is_lowest) = (25, 0);
        while client.whole < 3 {
            for (at, expected) in expected.iter_mut().enumerate() {
                *expected = SIZE.min(initial + updates[at]).max(*expected);
                is_lowest = is_lowest.min(initial + updates[at] - *expected);
            }
            let sent = [1, 3, 5].map(|stream| client.sent.get(&stream).copied().unwrap_or(0));
            assert_eq!(sent, expected, "seed {seed}");
            if left > 0 && random.below(2) == 0 {
                left -= 1;
                initial = random.below(100_000) as i64;
                client.push(&window(initial));
            } else {
                let at = random.below(3) as usize;
                let more = 1 + random.below(30_000) as u32;
                updates[at] += i64::from(more);
                // On one that is whole it changes nothing.
                client.push(&raw(8, 0, 2 * at as u32 + 1, &more.to_be_bytes()));
            }
        }
        assert!(is_lowest < 0, "a window was owed to: seed {seed}");
        assert_eq!(client.sent.values().copied().collect::<Vec<_>>(), [SIZE; 3]);
        client.server.lose(Disconnect::Closed);
    }
}
