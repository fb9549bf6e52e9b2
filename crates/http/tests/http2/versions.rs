//! Which HTTP is spoken: what was agreed on under TLS, and what is asked for in clear.

use ropewalk_http::{Request, Site};
use ropewalk_http2::frame::PREFACE;
use ropewalk_protocol::{Factory, TlsInfo, seat};
use ropewalk_trial::{Clock, Memory};

fn site() -> Site {
    Site::new(|request: Request| format!("by {:?}", request.version()))
}

/// A connection on which this was agreed on.
fn agreed_on(site: &Site, alpn: Option<&[u8]>) -> Memory {
    let mut tls = TlsInfo::default();
    tls.alpn = alpn.map(<[u8]>::to_vec);
    Memory::with_tls(seat(site.server()), &Clock::new(), Some(tls))
}

const OLD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn tls_offers_what_a_site_speaks() {
    assert_eq!(site().alpn(), ["h2", "http/1.1"]);
    assert_eq!(Site::ALPN, site().alpn());
}

#[test]
fn what_was_agreed_on_is_spoken_and_nothing_else() {
    // RFC 9113 3.2, 3.4: the settings come without a word of the client's.
    let site = site();
    let mut server = agreed_on(&site, Some(b"h2"));
    let greeting = server.take_sent();
    assert_eq!(greeting[3..9], [4, 0, 0, 0, 0, 0]);
    server.push(PREFACE);
    server.push(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
    assert_eq!(server.take_sent(), [0, 0, 0, 4, 1, 0, 0, 0, 0]);
    assert_eq!(site.connections(), 1);

    let mut server = agreed_on(&site, Some(b"h2"));
    server.take_sent();
    server.push(OLD);
    let sent = server.take_sent();
    // A farewell, which says that there was no preface.
    assert_eq!((sent[3], &sent[13..17]), (7, &[0, 0, 0, 1][..]));
    assert!(server.is_write_closed());

    for alpn in [None, Some(&b"http/1.1"[..])] {
        let mut server = agreed_on(&site, alpn);
        assert!(server.take_sent().is_empty());
        server.push(OLD);
        assert!(server.take_sent().ends_with(b"\r\n\r\nby HTTP/1.1"));
    }
}

#[test]
fn who_asks_to_upgrade_in_clear_is_answered_as_it_asked() {
    // RFC 9113 3.1, RFC 9110 7.8: an upgrade may always be left out.
    let mut server = Memory::seat(site().server(), &Clock::new());
    server.push(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
          HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
    );
    let answer = String::from_utf8(server.take_sent()).expect("text");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nby HTTP/1.1"), "{answer}");
    assert!(!answer.to_ascii_lowercase().contains("upgrade"), "{answer}");
    server.push(OLD);
    assert!(server.take_sent().ends_with(b"\r\n\r\nby HTTP/1.1"));
}

#[test]
fn a_site_that_drains_waits_for_a_client_that_begins_with_the_preface() {
    let mut site = site();
    let clock = Clock::new();
    let newcomer = site.build(&ropewalk_protocol::Address::Unnamed).expect("a server");
    let mut server = Memory::seat(newcomer, &clock);
    let drained = site.drain();
    let is_drained = std::rc::Rc::new(std::cell::Cell::new(false));
    let told = std::rc::Rc::clone(&is_drained);
    let _ = drained.on_result(move |_| told.set(true));
    server.push(&[&PREFACE[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat());
    assert_eq!((site.connections(), is_drained.get()), (1, false));
    drop(server);
    assert_eq!((site.connections(), is_drained.get()), (0, true));
}
