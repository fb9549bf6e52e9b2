//! The suites of hostile clients and of cuts, against a server on each kind of frame.

use std::time::Duration;

use ropewalk_framing::policy::{Policy, Timeouts};
use ropewalk_framing::{
    Decoder, Ending, FrameConn, FrameProtocol, Framed, LengthDecoder, LineDecoder, Netstring,
    Prefix,
};
use ropewalk_protocol::{Address, Seat, SeatFactory};
use ropewalk_trial::{Clock, Hostile, chunked_seats};

/// The longest frame here.
const MAX: usize = 64;
/// How long a client may take to its first frame, and between any two.
const PATIENCE: Duration = Duration::from_secs(30);

/// Says how long each frame is.
struct Measuring<D>(std::marker::PhantomData<D>);

impl<D: Decoder + 'static> FrameProtocol for Measuring<D> {
    type Decoder = D;

    fn frame_received(&mut self, conn: &FrameConn<Self>, frame: &[u8]) {
        conn.write(format!("{}\n", frame.len()).as_bytes());
    }

    fn writing_paused(&mut self, conn: &FrameConn<Self>) {
        conn.pause_reading();
    }

    fn writing_resumed(&mut self, conn: &FrameConn<Self>) {
        conn.resume_reading();
    }
}

/// Its end of a connection, under time-outs.
fn server<D: Decoder + 'static>(
    decoder: impl Fn() -> D + 'static,
) -> impl FnMut(&Clock) -> Box<dyn Seat> {
    move |_| {
        let framed = Framed::new(Measuring(std::marker::PhantomData), decoder());
        let mut framed = Some(framed);
        let timeouts = Timeouts { idle: Some(PATIENCE), first: Some(PATIENCE), total: None };
        let mut factory = timeouts.wrap(move |_: &Address| framed.take());
        factory.seat(&Address::Unnamed).expect("there is room")
    }
}

#[track_caller]
fn check<D: Decoder + 'static>(
    decoder: impl Fn() -> D + Copy + 'static,
    frames: &[u8],
    said: &str,
) {
    Hostile::against(server(decoder))
        .request(frames)
        .patience(PATIENCE * 4)
        .kept(256 * 1024)
        .assert();
    let answer = chunked_seats(frames, server(decoder));
    assert_eq!(String::from_utf8_lossy(&answer.sent), said);
}

#[test]
fn line_receivers_stand() {
    check(|| LineDecoder::new(Ending::CrLf).line_max(MAX), b"one\r\n\r\nfour\r\n", "3\n0\n4\n");
    check(|| LineDecoder::new(Ending::Lf).line_max(MAX), b"one\n\nfour\n", "3\n0\n4\n");
    check(|| LineDecoder::new(Ending::Tolerant).line_max(MAX), b"one\r\n\nfour\n", "3\n0\n4\n");
}

#[test]
fn length_driven_receivers_stand() {
    check(|| LengthDecoder::new(Netstring).frame_max(MAX), b"3:one,0:,4:four,", "3\n0\n4\n");
    let prefixed: [(Prefix, &[u8]); 5] = [
        (Prefix::U8, b"\x03one\0\x04four"),
        (Prefix::U16, b"\0\x03one\0\0\0\x04four"),
        (Prefix::U16Le, b"\x03\0one\0\0\x04\0four"),
        (Prefix::U32, b"\0\0\0\x03one\0\0\0\0\0\0\0\x04four"),
        (Prefix::U32Le, b"\x03\0\0\0one\0\0\0\0\x04\0\0\0four"),
    ];
    for (prefix, frames) in prefixed {
        check(move || LengthDecoder::new(prefix).frame_max(MAX), frames, "3\n0\n4\n");
    }
}
