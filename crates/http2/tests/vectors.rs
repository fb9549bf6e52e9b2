//! Field blocks that other implementations wrote, read here; and written and read again.

use http::HeaderValue;
use ropewalk_http2::hpack::{Decoder, Encoder, Name};

/// Name, value, and whether it may never be remembered.
type Line = (Vec<u8>, Vec<u8>, bool);

/// One block and what is in it.
struct Block {
    octets: Vec<u8>,
    fields: Vec<Line>,
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).expect("a digit") as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

/// The blocks of each connection.
fn connections(text: &str) -> Vec<Vec<Block>> {
    let mut all: Vec<Vec<Block>> = Vec::new();
    for line in text.lines() {
        match line.split_once(' ') {
            None => {
                assert_eq!(line, "connection");
                all.push(Vec::new());
            }
            Some(("table", _)) => (),
            Some(("block", octets)) => {
                let block = Block { octets: unhex(octets), fields: Vec::new() };
                all.last_mut().expect("a connection").push(block);
            }
            Some((mark, field)) => {
                let (name, value) = field.split_once(':').expect("a colon");
                let block = all.last_mut().and_then(|blocks| blocks.last_mut()).expect("a block");
                block.fields.push((unhex(name), unhex(value), mark == "!"));
            }
        }
    }
    all
}

/// Reads all of it, and what is written of it.
fn check(text: &str, blocks_min: usize) {
    let (mut count, mut secrets) = (0, 0);
    for connection in connections(text) {
        let (mut decoder, mut encoder, mut again) =
            (Decoder::new(), Encoder::new(), Decoder::new());
        for block in connection {
            count += 1;
            // Which fields are secrets, each of them judges for itself: one finds even those in the static
            // table, the other adds short cookies.
            let fields = read(&mut decoder, &block.octets);
            assert_eq!(without_marks(&fields), without_marks(&block.fields));
            secrets += fields.iter().filter(|field| field.2).count();
            assert!(decoder.table_size() <= 4096);
            let mut octets = Vec::new();
            let mut section = encoder.section(&mut octets);
            for (name, value, is_secret) in &fields {
                match Name::new(name) {
                    Name::Pseudo(pseudo) => section.pseudo(pseudo, value),
                    Name::Field(name) => {
                        let mut value = HeaderValue::from_bytes(value).expect("a value");
                        value.set_sensitive(*is_secret);
                        section.field(&name, &value);
                    }
                    Name::Other(_) => panic!("a name"),
                }
            }
            let found = read(&mut again, &octets);
            assert_eq!(without_marks(&found), without_marks(&fields));
            for (found, expected) in found.iter().zip(&fields) {
                assert!(found.2 || !expected.2, "a secret stays one");
            }
            assert_eq!(again.table_size(), encoder.table_size());
        }
    }
    assert!(count >= blocks_min && secrets > 10, "{count} blocks, {secrets} secrets");
}

fn without_marks(fields: &[Line]) -> Vec<(&[u8], &[u8])> {
    fields.iter().map(|(name, value, _)| (&name[..], &value[..])).collect()
}

fn read(decoder: &mut Decoder, octets: &[u8]) -> Vec<Line> {
    let mut fields = Vec::new();
    let take = |field: ropewalk_http2::hpack::Field| {
        fields.push((field.name.as_bytes().to_vec(), field.value.to_vec(), field.is_secret));
    };
    decoder.decode(octets, take).expect("a block");
    fields
}

#[test]
fn blocks_of_pythons_hpack_are_read() {
    check(include_str!("vectors/python.txt"), 240);
}

#[test]
fn blocks_of_nghttp2_are_read() {
    check(include_str!("vectors/nghttp2.txt"), 120);
}
