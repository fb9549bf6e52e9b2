//! Says each line back, to at most two clients an address, slowly, and not to sleepers:
//! `cargo run --example lines`, then `nc localhost 8007`.

use std::time::Duration;

use ropewalk::framing::policy::{Limits, Policy, Rate, Rates, Throttle, Timeouts};
use ropewalk::framing::{Ending, FrameConn, FrameProtocol, Framed, LineDecoder};
use ropewalk::protocol::Address;

struct Echo;

impl FrameProtocol for Echo {
    type Decoder = LineDecoder;

    fn frame_received(&mut self, conn: &FrameConn<Self>, line: &[u8]) {
        conn.write(line);
        conn.write(b"\r\n");
    }
}

fn main() -> Result<(), ropewalk::Failure> {
    let echo = |_: &Address| Some(Framed::new(Echo, LineDecoder::new(Ending::Tolerant)));
    let slowly = Rates { write: Rate::new(100_000), ..Rates::default() };
    let echo = Throttle::each(slowly).wrap(echo);
    let echo = Timeouts { idle: Some(Duration::from_secs(3)), ..Timeouts::default() }.wrap(echo);
    let overflow = b"later, please\r\n".to_vec();
    ropewalk::serve(
        "tcp:8007",
        Limits { per_peer: Some(2), overflow, ..Limits::default() }.wrap(echo),
    )
}
