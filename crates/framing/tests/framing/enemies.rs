//! The kit's enemies, and its ways of cutting, on servers of frames.

use std::time::Duration;

use ropewalk_framing::policy::{Policy, Timeouts};
use ropewalk_framing::{
    Decoder, Ending, FrameConn, FrameProtocol, Framed, LineDecoder, Netstring, NetstringDecoder,
    Prefix, PrefixDecoder,
};
use ropewalk_protocol::{Address, SeatFactory as _};
use ropewalk_trial::{Attack, Hostile, chunked};

/// Says how long each frame is.
struct Measure<D>(std::marker::PhantomData<D>);

impl<D: Decoder> FrameProtocol for Measure<D> {
    type Decoder = D;

    fn frame_received(&mut self, conn: &FrameConn<Self>, frame: &[u8]) {
        conn.write(format!("{}\n", frame.len()).as_bytes());
    }
}

fn check<D: Decoder + Clone>(decoder: &D, frames: &[u8], spared: &[Attack]) {
    let make = {
        let decoder = decoder.clone();
        move || Framed::new(Measure(std::marker::PhantomData), decoder.clone())
    };
    assert_eq!(chunked(frames, &make).sent, b"0\n1\n5\n");
    let patience = Duration::from_secs(30);
    let timeouts = Timeouts {
        idle: Some(Duration::from_secs(10)),
        total: Some(patience),
        ..Timeouts::default()
    };
    let mut factory = timeouts.wrap(move |_: &Address| Some(make()));
    let server = move |_: &_| factory.seat(&Address::Unnamed).expect("there is room");
    let hostile = Hostile::against(server).request(frames).patience(patience).kept(1 << 20);
    spared.iter().fold(hostile, |hostile, attack| hostile.spare(*attack)).assert();
}

#[test]
fn lines_stand_it() {
    check(&LineDecoder::new(Ending::Tolerant), b"\r\na\nhello\r\n", &[]);
}

#[test]
fn netstrings_stand_it() {
    check(&NetstringDecoder::new(Netstring), b"0:,1:a,5:hello,", &[]);
}

/// Any bytes are frames here.
#[test]
fn prefixes_stand_it() {
    check(&PrefixDecoder::new(Prefix::U16), b"\0\0\0\x01a\0\x05hello", &[Attack::EndlessLine]);
}
