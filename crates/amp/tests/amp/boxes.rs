//! Boxes in pieces of every size.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use ropewalk_amp::{AmpBox, BadBox, BadField, BoxWriter, Decoder, KEY_MAX, Limits, VALUE_MAX};

/// All boxes that are found, the rest that is none yet, and what is wrong with it.
fn decode<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> (Vec<AmpBox>, Vec<u8>, Option<BadBox>) {
    let (mut decoder, mut found) = (Decoder::default(), Vec::new());
    for mut piece in pieces {
        loop {
            match decoder.feed(&mut piece, limits) {
                Ok(Some(fields)) => found.push(AmpBox::from(fields)),
                Ok(None) => break,
                Err(bad) => return (found, Vec::new(), Some(bad)),
            }
        }
        assert!(piece.is_empty(), "a decoder that wants more has taken all");
    }
    (found, decoder.take_rest(), None)
}

fn small() -> Limits {
    Limits { keys_max: 3, box_max: 32, ..Limits::default() }
}

/// What is wrong with `bytes`, in pieces of every size.
#[track_caller]
fn check(bytes: &[u8], boxes: usize, expected: Option<BadBox>) {
    for size in 1..=bytes.len() {
        let (found, _, bad) = decode(bytes.chunks(size), &small());
        assert_eq!((found.len(), bad), (boxes, expected), "in pieces of {size}");
    }
}

#[test]
fn boxes_end_at_an_empty_key() {
    check(b"\0\0", 1, None);
    check(b"\0\x01a\0\x01b\0\0", 1, None);
    check(b"\0\x01a\0\0\0\0", 1, None);
    check(b"\0\x01a\0\x01b\0\0\0\x01a\0\x01b\0\0\0\x01", 2, None);
    check(b"\0\x01a\0\x01b\0", 0, None);
}

#[test]
fn keys_have_at_most_255_bytes() {
    check(b"\x01\0", 0, Some(BadBox::KeyLength(256)));
    check(b"\xff\xff", 0, Some(BadBox::KeyLength(65_535)));
    check(b"\0\0\x01\0", 1, Some(BadBox::KeyLength(256)));
    check(b"\0\xff", 0, Some(BadBox::Long));
}

#[test]
fn no_key_stands_in_a_box_twice() {
    check(b"\0\x01a\0\0\0\x01a\0\0\0\0", 0, Some(BadBox::SameKey));
    check(b"\0\x01b\0\0\0\x01a\0\0\0\x01b\0\0\0\0", 0, Some(BadBox::SameKey));
    check(b"\0\x01b\0\0\0\x01a\0\0\0\0", 1, None);
}

#[test]
fn boxes_have_at_most_so_many_keys_and_bytes() {
    check(b"\0\x01a\0\0\0\x01b\0\0\0\x01c\0\0\0\0", 1, None);
    check(b"\0\x01a\0\0\0\x01b\0\0\0\x01c\0\0\0\x01", 0, Some(BadBox::Keys));
    let of_length = |length: usize| {
        let value = vec![b'v'; length - 7];
        AmpBox::new().with("k", value).unwrap().encode()
    };
    check(&of_length(32), 1, None);
    check(&of_length(33), 0, Some(BadBox::Long));
}

#[test]
fn what_cannot_be_sent_is_told_before() {
    let long = |length| "k".repeat(length);
    assert!(AmpBox::new().with(long(KEY_MAX), "").is_ok());
    assert!(AmpBox::new().with(long(KEY_MAX + 1), "").unwrap_err().is_key_length());
    assert!(AmpBox::new().with("", "").unwrap_err().is_key_length());
    assert!(AmpBox::new().with("k", vec![0; VALUE_MAX]).is_ok());
    let bad = AmpBox::new().with("k", vec![0; VALUE_MAX + 1]).unwrap_err();
    assert_eq!((bad.key(), bad.is_key_length()), ("k", false));

    let write = |fill: &dyn Fn(&mut BoxWriter<'_>)| -> (Vec<u8>, Result<(), BadField>) {
        let mut out = b"before".to_vec();
        let mut writer = BoxWriter::new(&mut out);
        fill(&mut writer);
        let result = writer.finish();
        (out, result)
    };
    let impossible: [&dyn Fn(&mut BoxWriter<'_>); 5] = [
        &|writer| writer.raw(&[b'k'; KEY_MAX + 1], b""),
        &|writer| writer.raw(b"", b""),
        &|writer| writer.raw(b"k", &vec![0; VALUE_MAX + 1]),
        &|writer| writer.field("k", &"v".repeat(VALUE_MAX + 1)),
        &|writer| {
            writer.raw(b"b", b"");
            writer.raw(b"a", b"");
            writer.raw(b"b", b"");
        },
    ];
    for fill in impossible {
        let (out, result) = write(fill);
        assert!(result.is_err());
        assert_eq!(out, b"before");
    }
    let (out, result) = write(&|writer| writer.field("k", &"v".repeat(VALUE_MAX)));
    assert_eq!((out.len(), result), (6 + 3 + 2 + VALUE_MAX + 2, Ok(())));
}

#[test]
fn fields_are_written_in_the_order_of_their_keys() {
    let mut out = Vec::new();
    let mut writer = BoxWriter::new(&mut out);
    writer.raw(b"_command", b"C");
    writer.field("b", &1_i32);
    writer.field("none", &None::<i32>);
    writer.field("a", &Some(2_i32));
    writer.field("B", &String::new());
    writer.finish().unwrap();
    assert_eq!(out, b"\0\x01B\0\0\0\x08_command\0\x01C\0\x01a\0\x012\0\x01b\0\x011\0\0");
}

prop_compose! {
    fn any_box()(fields in btree_map(vec(any::<u8>(), 1..20), vec(any::<u8>(), 0..40), 0..6)) -> AmpBox {
        fields.into_iter().fold(AmpBox::new(), |all, (key, value)| all.with(key, value).unwrap())
    }
}

proptest! {
    #[test]
    fn boxes_survive_the_wire(all in vec(any_box(), 0..5), size in 1..100_usize) {
        let wire: Vec<u8> = all.iter().flat_map(AmpBox::encode).collect();
        prop_assert_eq!(decode(wire.chunks(size), &Limits::default()), (all, Vec::new(), None));
    }

    #[test]
    fn any_cut_gives_the_same_boxes(bytes in vec(prop_oneof![Just(0), 0..4_u8, any::<u8>()], 0..80), size in 1..40_usize) {
        let whole = decode([&bytes[..]], &small());
        prop_assert_eq!(decode(bytes.chunks(size), &small()), whole);
    }
}
