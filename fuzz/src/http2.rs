//! Bytes to what happens on a connection of HTTP/2.

use std::time::Duration;

use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Connection, Event, Limits};

use crate::cut::cuts;

/// Nothing panics, any cut gives the same events and answers, and what is lent is bounded.
pub(crate) fn check(bytes: &[u8]) {
    check_end(bytes, || Connection::server(Limits::default()));
    check_end(bytes, || {
        let mut client = Connection::client(Limits::default());
        for _ in 0..2 {
            let head = |head: &mut ropewalk_http2::hpack::Section<'_>| {
                head.pseudo(Pseudo::Method, b"GET");
                head.pseudo(Pseudo::Path, b"/");
            };
            client.open(true, &mut Vec::new(), head).expect("a stream");
        }
        client
    });
}

fn check_end(bytes: &[u8], make: impl Fn() -> Connection) {
    let whole = hear(make(), [bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(hear(make(), pieces), whole);
    }
}

/// All that happens, bodies joined by stream, and all that is answered.
fn hear<'p>(
    mut end: Connection,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<String>, Vec<u8>) {
    let (mut said, mut out) = (Vec::new(), Vec::new());
    let mut body: Option<(u32, Vec<u8>)> = None;
    for mut piece in pieces {
        loop {
            match end.next(&mut piece, Duration::ZERO, &mut out) {
                Ok(Some(Event::Data { stream, data, is_end })) => {
                    match &mut body {
                        Some((before, joined)) if *before == stream => {
                            joined.extend_from_slice(data);
                        }
                        _ => {
                            said.extend(body.take().map(|body| format!("{body:?}")));
                            body = Some((stream, data.to_vec()));
                        }
                    }
                    if is_end {
                        said.extend(body.take().map(|body| format!("{body:?}, end")));
                    }
                }
                Ok(Some(event)) => {
                    said.extend(body.take().map(|body| format!("{body:?}")));
                    said.push(format!("{event:?}"));
                }
                Ok(None) => {
                    assert!(piece.is_empty(), "all is taken where nothing more happens");
                    break;
                }
                Err(fatal) => {
                    said.extend(body.take().map(|body| format!("{body:?}")));
                    said.push(format!("{fatal:?}"));
                    return (said, out);
                }
            }
        }
        assert!(end.streams() <= Limits::default().streams_max as usize);
    }
    said.extend(body.take().map(|body| format!("{body:?}")));
    (said, out)
}
