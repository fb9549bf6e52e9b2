//! What headers mean, what is none, and what is written.

use ropewalk_protocol::{Address, ProxyFields};
use ropewalk_proxy::{BadHeader, CannotEncode, Decoder, Ends, Header, LENGTH_MAX, Version};

use crate::kit::{ENDS, binary, plain, read, wordy};

#[track_caller]
fn check(bytes: &[u8], expected: &Header) {
    let followed = [bytes, b"GET"].concat();
    assert_eq!(read([&followed[..]]), Ok(Some((expected.clone(), b"GET".to_vec()))));
}

#[track_caller]
fn refuse(bytes: &[u8], expected: BadHeader) {
    assert_eq!(read([bytes]), Err(expected), "{}", bytes.escape_ascii());
}

#[test]
fn lines_tell_both_ends() {
    check(
        b"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n",
        &plain("255.255.255.255:65535", "0.0.0.0:0"),
    );
    check(b"PROXY TCP6 2001:db8::1 ::1 4000 443\r\n", &plain("[2001:db8::1]:4000", "[::1]:443"));
    let longest = b"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
        ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let end = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    check(longest, &plain(end, end));
}

#[test]
fn proxies_may_know_nothing() {
    check(b"PROXY UNKNOWN\r\n", &Header::default());
    check(b"PROXY UNKNOWN whatever stands\there\r\n", &Header::default());
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(longest.len(), 107);
    check(longest.as_bytes(), &Header::default());
    refuse(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes(), BadHeader::LongLine);
}

#[test]
fn lines_that_are_none_are_refused() {
    for bytes in ["X", "GET / HTTP/1.1\r\n", "proxy TCP4", "PROXYTCP4", "PROXY\r\n", "\r\n\r\nQ"] {
        refuse(bytes.as_bytes(), BadHeader::Signature);
    }
    for words in ["TCP5 1.2.3.4 1.2.3.4 1 1", "tcp4 1.2.3.4 1.2.3.4 1 1", "", " ", "UDP4"] {
        refuse(format!("PROXY {words}\r\n").as_bytes(), BadHeader::Protocol);
    }
    let lines = [
        "TCP4",
        "TCP4 1.2.3.4 1.2.3.4 1",
        "TCP4 1.2.3.4 1.2.3.4 1 1 1",
        "TCP4 1.2.3.4 1.2.3.4 1 1 ",
    ];
    for words in lines {
        refuse(format!("PROXY {words}\r\n").as_bytes(), BadHeader::Line);
    }
    refuse(b"PROXY TCP4 \xff 1.2.3.4 1 1\r\n", BadHeader::Line);
    for address in ["", "1.2.3", "::1", "1.2.3.4.5", "01.2.3.4", "host", "[::1]", "1.2.3.4\r"] {
        let line = format!("PROXY TCP4 1.2.3.4 {address} 1 1\r\n");
        refuse(line.as_bytes(), BadHeader::LineAddress);
    }
    refuse(b"PROXY TCP6 1.2.3.4 ::1 1 1\r\n", BadHeader::LineAddress);
    for port in ["", "65536", "-1", "+1", "01", "00", "0x1", "1\n"] {
        let line = format!("PROXY TCP4 1.2.3.4 1.2.3.4 1 {port}\r\n");
        refuse(line.as_bytes(), BadHeader::LinePort);
    }
}

#[test]
fn bytes_tell_both_ends() {
    let known = plain("192.0.2.1:4000", "198.51.100.7:443");
    check(&binary(0x21, 0x11, &ENDS), &known);
    check(&binary(0x21, 0x12, &ENDS), &known);
    let mut six = [0; 36];
    (six[0], six[15], six[31], six[33], six[34]) = (0xfd, 1, 2, 80, 1);
    check(&binary(0x21, 0x21, &six), &plain("[fd00::1]:80", "[::2]:256"));
    check(&binary(0x21, 0x22, &six), &plain("[fd00::1]:80", "[::2]:256"));

    let mut paths = [0; 216];
    paths[..8].copy_from_slice(b"/run/src");
    paths[108..].fill(b'x');
    let ends = Ends {
        source: Address::Unix("/run/src".into()),
        destination: Address::Unix("x".repeat(108).into()),
    };
    check(&binary(0x21, 0x31, &paths), &Header { ends: Some(ends), ..Header::default() });
    let ends = Ends { source: Address::Unnamed, destination: Address::Unnamed };
    check(&binary(0x21, 0x32, &[0; 216]), &Header { ends: Some(ends), ..Header::default() });
}

#[test]
fn a_proxy_may_speak_for_itself() {
    check(&binary(0x20, 0x00, b""), &Header::default());
    // What follows is not even looked at.
    check(&binary(0x20, 0xff, b"\x03\xff"), &Header::default());
    check(&binary(0x21, 0x00, b""), &Header::default());
    let named = binary(0x21, 0x00, b"\x02\x00\x04name");
    let (header, _) = read([&named[..]]).expect("a header").expect("all of it");
    assert_eq!((header.ends, header.fields.authority.as_deref()), (None, Some("name")));
}

#[test]
fn fields_are_read_and_written() {
    let header = wordy();
    for version in [Version::V2, Version::V2Checked] {
        let mut bytes = Vec::new();
        header.encode(version, &mut bytes).expect("there is room");
        check(&bytes, &header);
    }
    let mut line = Vec::new();
    header.encode(Version::V1, &mut line).expect("a line has room for the ends");
    assert_eq!(line, b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n");
}

/// What is said of encryption with these bits in front, and how the verification went.
fn tls_of(client: u8, verified: u32) -> Option<(bool, bool, bool)> {
    let [a, b, c, d] = verified.to_be_bytes();
    // The last field inside is of a type that is not known.
    let field = [0x20, 0, 9, client, a, b, c, d, 0x99, 0, 1, 7];
    let bytes = binary(0x21, 0x11, &[&ENDS[..], &field].concat());
    let (header, _) = read([&bytes[..]]).expect("a header").expect("all of it");
    header.fields.tls.map(|tls| (tls.has_certificate, tls.had_certificate, tls.is_verified))
}

#[test]
fn certificates_are_verified_only_where_there_was_one() {
    assert_eq!(tls_of(0b000, 0), None);
    assert_eq!(tls_of(0b110, 0), None, "no encryption, whatever else is said");
    assert_eq!(tls_of(0b001, 0), Some((false, false, false)));
    assert_eq!(tls_of(0b011, 0), Some((true, false, true)));
    assert_eq!(tls_of(0b101, 0), Some((false, true, true)));
    assert_eq!(tls_of(0b111, 1), Some((true, true, false)));
}

#[test]
fn bytes_that_are_no_header_are_refused() {
    refuse(b"\r\n\r\n\0\r\nQUIT\r", BadHeader::Signature);
    refuse(&binary(0x11, 0x11, &ENDS), BadHeader::Version { version: 1 });
    refuse(&binary(0x31, 0x11, &ENDS), BadHeader::Version { version: 3 });
    refuse(&binary(0x22, 0x11, &ENDS), BadHeader::Command { command: 2 });
    for family in [0x01, 0x10, 0x13, 0x20, 0x30, 0x41, 0xff] {
        refuse(&binary(0x21, family, &[0; 216]), BadHeader::Family { family });
    }
    refuse(&binary(0x21, 0x11, &ENDS[..11]), BadHeader::Short { length: 11, wanted: 12 });
    refuse(&binary(0x21, 0x21, &[0; 35]), BadHeader::Short { length: 35, wanted: 36 });
    refuse(&binary(0x21, 0x31, &[0; 215]), BadHeader::Short { length: 215, wanted: 216 });
}

#[test]
fn fields_that_are_none_are_refused() {
    let with = |fields: &[u8]| binary(0x21, 0x11, &[&ENDS[..], fields].concat());
    for short in [&[5][..], &[5, 0], &[5, 0, 1], &[5, 1, 0, 1]] {
        refuse(&with(short), BadHeader::FieldLength { kind: 5 });
    }
    refuse(&with(&[4, 0, 1, 0, 7]), BadHeader::FieldLength { kind: 7 });
    refuse(&with(&[2, 0, 1, 0xff]), BadHeader::FieldValue { kind: 2 });
    refuse(&with(&[3, 0, 3, 1, 2, 3]), BadHeader::FieldValue { kind: 3 });
    refuse(&with(&[0x20, 0, 4, 1, 0, 0, 0]), BadHeader::FieldValue { kind: 0x20 });
    refuse(&with(&[0x20, 0, 6, 1, 0, 0, 0, 0, 7]), BadHeader::FieldLength { kind: 7 });
    let twice = [0x20, 0, 11, 1, 0, 0, 0, 0, 0x22, 0, 0, 0x22, 0, 0];
    refuse(&with(&twice), BadHeader::FieldTwice { kind: 0x22 });
    for kind in [1, 2, 5] {
        refuse(&with(&[kind, 0, 0, kind, 0, 0]), BadHeader::FieldTwice { kind });
    }
    refuse(&with(&[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0]), BadHeader::FieldTwice { kind: 3 });
    // Of padding and of what is not known there may be any number.
    let many = with(&[4, 0, 1, 9, 4, 0, 0, 0xe0, 0, 1, 1, 0xe0, 0, 1, 2]);
    let (header, _) = read([&many[..]]).expect("a header").expect("all of it");
    assert_eq!(header.fields.other, [(0xe0, vec![1]), (0xe0, vec![2])]);
}

#[test]
fn a_checksum_that_is_there_counts() {
    let mut bytes = Vec::new();
    wordy().encode(Version::V2Checked, &mut bytes).expect("there is room");
    for index in 0..bytes.len() {
        let mut broken = bytes.clone();
        broken[index] ^= 1;
        let read = read([&broken[..]]);
        assert!(!matches!(&read, Ok(Some(_))) || index == 12, "byte {index}: {read:?}");
    }
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(matches!(read([&bytes[..]]), Err(BadHeader::Checksum { .. })));
}

#[test]
fn lengths_have_bounds() {
    let fill = |length: usize| {
        let value = length - ENDS.len() - 3;
        let field = [&[4, (value >> 8) as u8, value as u8][..], &vec![0; value]].concat();
        binary(0x21, 0x11, &[&ENDS[..], &field].concat())
    };
    check(&fill(LENGTH_MAX), &plain("192.0.2.1:4000", "198.51.100.7:443"));
    let (length, length_max) = (LENGTH_MAX + 1, LENGTH_MAX);
    // As soon as the length is there, and not when all of it has come.
    refuse(&fill(length)[..16], BadHeader::Long { length, length_max });
    let mut small = Decoder::default().length_max(12);
    assert!(small.feed(&mut &binary(0x21, 0x11, &ENDS)[..]).is_ok_and(|found| found.is_some()));
    let mut small = Decoder::default().length_max(11);
    let long = Err(BadHeader::Long { length: 12, length_max: 11 });
    assert_eq!(small.feed(&mut &binary(0x21, 0x11, &ENDS)[..]), long);

    let id = |length: usize| {
        let field = [&[5, 0, length as u8][..], &vec![b'x'; length]].concat();
        binary(0x21, 0x11, &[&ENDS[..], &field].concat())
    };
    assert!(read([&id(128)[..]]).is_ok());
    refuse(&id(129), BadHeader::FieldValue { kind: 5 });
    let named = |length: usize| {
        let field = [&[2, (length >> 8) as u8, length as u8][..], &vec![b'x'; length]].concat();
        binary(0x21, 0x11, &[&ENDS[..], &field].concat())
    };
    assert!(read([&named(255)[..]]).is_ok());
    refuse(&named(256), BadHeader::FieldValue { kind: 2 });
}

#[test]
fn fields_that_have_no_room_are_not_written() {
    let with = |change: fn(&mut ProxyFields)| {
        let mut header = Header::default();
        change(&mut header.fields);
        let mut out = b"before".to_vec();
        let outcome = header.encode(Version::V2Checked, &mut out);
        assert!(outcome.is_ok() || out == b"before", "nothing is left half written");
        outcome
    };
    assert_eq!(with(|fields| fields.unique_id = Some(vec![0; 128])), Ok(()));
    let long = Err(CannotEncode::LongUniqueId { length: 129 });
    assert_eq!(with(|fields| fields.unique_id = Some(vec![0; 129])), long);
    // The field's own three bytes and the checksum's seven.
    assert_eq!(with(|fields| fields.alpn = Some(vec![0; 65535 - 10])), Ok(()));
    let long = Err(CannotEncode::LongFields { length: 65536 });
    assert_eq!(with(|fields| fields.alpn = Some(vec![0; 65536 - 10])), long);
    assert_eq!(with(|fields| fields.alpn = Some(vec![0; 65536])), long);
}

#[test]
fn ends_are_written_as_two_of_one_kind() {
    let encoded = |source: &Address, destination: &Address, version| {
        let mut out = Vec::new();
        Header::new(source, destination).encode(version, &mut out).expect("there is room");
        out
    };
    let line = |source: &str, destination: &str| {
        let address = |text: &str| Address::Ip(text.parse().expect("an address"));
        let line = encoded(&address(source), &address(destination), Version::V1);
        String::from_utf8(line).expect("text")
    };
    assert_eq!(line("1.2.3.4:5", "6.7.8.9:0"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 0\r\n");
    assert_eq!(line("[fd00::1]:5", "[::1]:80"), "PROXY TCP6 fd00::1 ::1 5 80\r\n");
    assert_eq!(line("[::ffff:1.2.3.4]:5", "6.7.8.9:80"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n");
    assert_eq!(line("1.2.3.4:5", "[::1]:80"), "PROXY TCP6 ::ffff:1.2.3.4 ::1 5 80\r\n");

    let (unix, unnamed) = (Address::Unix("/run/x".into()), Address::Unnamed);
    assert_eq!(encoded(&unnamed, &unix, Version::V1), b"PROXY UNKNOWN\r\n");
    let bytes = encoded(&unnamed, &unix, Version::V2);
    check(&bytes, &Header::new(&unnamed, &unix));
    assert_eq!(bytes[13], 0x31);
    // No two of one kind, or a path that has no room: there is nothing to tell.
    let memory = Address::Memory("x".to_owned());
    assert_eq!(encoded(&memory, &unix, Version::V2), binary(0x20, 0x00, b""));
    let long = Address::Unix("x".repeat(109).into());
    assert_eq!(encoded(&unnamed, &long, Version::V2), binary(0x21, 0x00, b""));
}
