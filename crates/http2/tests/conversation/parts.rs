//! A `DATA` frame is told as it comes; what is wrong with it is known by its head, however it was cut.

use std::time::Duration;

use ropewalk_http2::frame::PREFACE;
use ropewalk_http2::{Connection, Fatal, Limits};

use crate::corpus::say;
use crate::frames::raw;

/// POST, with a length of ten.
const TEN: [u8; 7] = [0x83, 0x87, 0x84, 0x0f, 0x0d, 0x02, b'1'];

/// All that a server says and tells of a frame on such a request, cut into pieces of `size`, and of one more request.
fn told(frame: &[u8], size: usize) -> (Vec<String>, Vec<u8>, Option<Fatal>) {
    let mut limits = Limits::default();
    limits.window = 30;
    let mut server = Connection::server(limits);
    let mut out = Vec::new();
    server.greet(&mut out);
    let post = [&TEN[..], b"0"].concat();
    let (settings, acknowledged) = (raw(4, 0, 0, b""), raw(4, 1, 0, b""));
    let before = [&PREFACE[..], &settings, &acknowledged, &raw(1, 4, 1, &post)].concat();
    let after = raw(1, 5, 3, &[0x82, 0x87, 0x84]);
    let mut said = Vec::new();
    for mut input in [&before[..]].into_iter().chain(frame.chunks(size)).chain([&after[..]]) {
        loop {
            match server.next(&mut input, Duration::ZERO, &mut out) {
                Ok(Some(event)) => said.push(say(&event)),
                Ok(None) => break,
                Err(fatal) => return (said, out, Some(fatal)),
            }
        }
    }
    (said, out, None)
}

#[test]
fn a_frame_that_is_wrong_is_wrong_from_its_first_octet() {
    let padded = |data: &[u8]| [&[3][..], data, &[0; 3]].concat();
    let frames = [
        ("longer than announced", raw(0, 0, 1, &[b'x'; 12])),
        ("longer than announced, and the last", raw(0, 1, 1, &[b'x'; 12])),
        ("longer than announced, padded", raw(0, 8, 1, &padded(&[b'x'; 12]))),
        ("shorter than announced", raw(0, 1, 1, &[b'x'; 9])),
        ("beyond the stream's window", raw(0, 0, 1, &[b'x'; 31])),
        ("beyond it by its padding", raw(0, 8, 1, &[&[22][..], b"12345678", &[0; 22]].concat())),
    ];
    for (name, frame) in frames {
        let whole = told(&frame, frame.len());
        assert!(whole.2.is_none(), "{name}: {whole:?}");
        assert!(whole.0.iter().all(|event| !event.starts_with("data")), "{name}: {whole:?}");
        assert_eq!(
            whole.0.len(),
            4,
            "settings, a request, its end, and the next one: {name}: {whole:?}"
        );
        for size in 1..frame.len() {
            assert_eq!(told(&frame, size), whole, "{name}, in pieces of {size}");
        }
    }
}

#[test]
fn a_frame_beyond_the_connections_window_ends_it_before_any_of_it_is_told() {
    let frame = raw(0, 0, 1, &[b'x'; 16_384]);
    let frames = frame.repeat(5);
    for size in [1, 9, 10, 1000, frames.len()] {
        let mut limits = Limits::default();
        limits.connection_window = 65_535;
        limits.window = 1 << 20;
        let mut server = Connection::server(limits);
        let mut out = Vec::new();
        server.greet(&mut out);
        let settings = [raw(4, 0, 0, b""), raw(4, 1, 0, b"")].concat();
        let before = [&PREFACE[..], &settings, &raw(1, 4, 1, &[0x83, 0x87, 0x84])].concat();
        let (mut bytes, mut end) = (0, None);
        'pieces: for mut input in [&before[..]].into_iter().chain(frames.chunks(size)) {
            loop {
                match server.next(&mut input, Duration::ZERO, &mut out) {
                    Ok(Some(ropewalk_http2::Event::Data { data, .. })) => bytes += data.len(),
                    Ok(Some(_)) => (),
                    Ok(None) => break,
                    Err(fatal) => {
                        end = Some(fatal);
                        break 'pieces;
                    }
                }
            }
        }
        assert_eq!((bytes, end), (3 * 16_384, Some(Fatal::WindowExceeded)), "pieces of {size}");
    }
}
