//! However bytes are cut, they mean the same; whatever they are, nothing breaks.

use proptest::prelude::*;
use ropewalk_protocol::{ProxyFields, ProxyTls};
use ropewalk_proxy::{Header, Version};

use crate::kit::{ENDS, binary, ends, read, wordy};

#[test]
fn headers_may_come_in_pieces_of_any_size() {
    let mut samples = vec![
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\nPROXY ".to_vec(),
        b"PROXY UNKNOWN\r\n\r\n\r\n".to_vec(),
        binary(0x21, 0x11, &ENDS),
        binary(0x20, 0x00, b""),
        binary(0x21, 0x11, &ENDS[..11]),
        binary(0x25, 0x11, &ENDS),
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 70000\r\n".to_vec(),
        vec![b'P'; 200],
    ];
    for version in [Version::V2, Version::V2Checked] {
        let mut bytes = Vec::new();
        wordy().encode(version, &mut bytes).expect("there is room");
        bytes.extend_from_slice(b"and what comes after");
        samples.push(bytes);
    }
    for bytes in samples {
        let whole = read([&bytes[..]]);
        for size in 1..=bytes.len() {
            assert_eq!(read(bytes.chunks(size)), whole, "pieces of {size}");
        }
        for cut in 0..bytes.len() {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(read([front, back]), whole, "cut at {cut}");
        }
    }
}

fn bytes(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..length_max)
}

prop_compose! {
    fn a_tls()(
        words in prop::collection::vec(prop::option::of("[ -~]{0,20}"), 5),
        certificates in any::<(bool, bool, bool)>(),
    ) -> ProxyTls {
        let mut words = words.into_iter();
        let mut tls = ProxyTls::default();
        tls.protocol = words.next().flatten();
        tls.cipher = words.next().flatten();
        tls.common_name = words.next().flatten();
        tls.signature_algorithm = words.next().flatten();
        tls.key_algorithm = words.next().flatten();
        (tls.has_certificate, tls.had_certificate, tls.is_verified) = certificates;
        tls.is_verified &= tls.has_certificate || tls.had_certificate;
        tls
    }
}

prop_compose! {
    fn a_header()(
        has_ends in any::<bool>(),
        authority in prop::option::of("[a-zß.]{0,60}"),
        alpn in prop::option::of(bytes(20)),
        unique_id in prop::option::of(bytes(128)),
        tls in prop::option::of(a_tls()),
        other in prop::collection::vec((0x40_u8.., bytes(20)), 0..4),
    ) -> Header {
        let mut fields = ProxyFields::default();
        (fields.authority, fields.alpn, fields.unique_id) = (authority, alpn, unique_id);
        (fields.tls, fields.other) = (tls, other);
        let ends = has_ends.then(|| ends("[2001:db8::7]:1", "[::]:2"));
        Header { ends, fields }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(header in a_header(), is_checked: bool, after in bytes(20)) {
        let version = if is_checked { Version::V2Checked } else { Version::V2 };
        let mut written = Vec::new();
        header.encode(version, &mut written).expect("there is room");
        written.extend_from_slice(&after);
        prop_assert_eq!(read([&written[..]]), Ok(Some((header, after))));
    }

    #[test]
    fn any_bytes_mean_the_same_in_any_pieces(
        front in prop::sample::select(vec![
            b"PROXY TCP4 ".to_vec(),
            b"PROXY TCP6 ::1 ::".to_vec(),
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0".to_vec(),
            b"\r\n\r\n\0\r\nQUIT\n\x21\0\0".to_vec(),
            Vec::new(),
        ]),
        after in bytes(150),
        size in 1_usize..40,
    ) {
        let bytes = [front, after].concat();
        prop_assert_eq!(read(bytes.chunks(size)), read([&bytes[..]]));
    }
}
