//! Frames into messages, however they are cut.

use ropewalk_websocket::{Encoder, FrameHead, Limits, Message, OpCode, Role};

use crate::kit::{bare, decode, masked};

/// What a client's decoder says of a server's bytes, in pieces of every size.
#[track_caller]
fn check(bytes: &[u8], expected: &[&str]) {
    check_within(Limits::default(), bytes, expected);
}

#[track_caller]
fn check_within(limits: Limits, bytes: &[u8], expected: &[&str]) {
    let sizes = (1..=bytes.len().min(200)).chain([bytes.len().max(1)]);
    for size in sizes {
        assert_eq!(decode(Role::Client, limits, bytes, size), expected, "in pieces of {size}");
    }
}

/// The same of a server's decoder.
#[track_caller]
fn check_server(bytes: &[u8], expected: &[&str]) {
    for size in 1..=bytes.len() {
        let said = decode(Role::Server, Limits::default(), bytes, size);
        assert_eq!(said, expected, "in pieces of {size}");
    }
}

/// RFC 6455 5.7.
#[test]
fn the_examples_of_the_rfc_are_read() {
    check(b"\x81\x05\x48\x65\x6c\x6c\x6f", &[r#"Message(Text("Hello"))"#]);
    check_server(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[r#"Message(Text("Hello"))"#]);
    check(b"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", &[r#"Message(Text("Hello"))"#]);
    check(b"\x89\x05\x48\x65\x6c\x6c\x6f", &["Ping([72, 101, 108, 108, 111])"]);
    check_server(
        b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        &["Pong([72, 101, 108, 108, 111])"],
    );
    let long = [&b"\x82\x7E\x01\x00"[..], &[7; 256]].concat();
    check(&long, &["256 bytes, the last is Some(7)"]);
    let longer = [&b"\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"[..], &vec![8; 65536]].concat();
    check(&longer, &["65536 bytes, the last is Some(8)"]);
}

#[test]
fn control_frames_stand_between_fragments() {
    let bytes = [
        bare(false, OpCode::Text, "é".as_bytes()),
        bare(true, OpCode::Ping, b"1"),
        bare(false, OpCode::Continuation, b""),
        bare(true, OpCode::Pong, b""),
        bare(true, OpCode::Continuation, b"a"),
        bare(true, OpCode::Binary, b""),
        bare(true, OpCode::Close, b"\x03\xE8bye"),
        bare(true, OpCode::Text, b"not heard"),
    ]
    .concat();
    let expected = [
        "Ping([49])",
        "Pong([])",
        r#"Message(Text("éa"))"#,
        "Message(Binary([]))",
        r#"Close(CloseCode(1000), "bye")"#,
    ];
    check(&bytes, &expected);
}

#[test]
fn characters_may_be_cut_between_fragments() {
    let text = "κόσμε😀".as_bytes();
    for cut in 0..=text.len() {
        let bytes = [
            masked(false, OpCode::Text, &text[..cut]),
            masked(true, OpCode::Continuation, &text[cut..]),
        ]
        .concat();
        check_server(&bytes, &[r#"Message(Text("κόσμε😀"))"#]);
    }
}

#[test]
fn each_broken_rule_has_its_name() {
    check(b"\xC1\x00", &["ReservedBits"]);
    check(b"\xA1\x00", &["ReservedBits"]);
    check(b"\x91\x00", &["ReservedBits"]);
    check(b"\x83\x00", &["OpCode { number: 3 }"]);
    check(b"\x8B\x00", &["OpCode { number: 11 }"]);
    check(b"\x09\x00", &["FragmentedControl"]);
    check(b"\x89\x7E\x00\x7E", &["LongControl"]);
    check(b"\x82\x7E\x00\x7D", &["Length"]);
    check(b"\x82\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF", &["Length"]);
    check(b"\x82\x7F\x80\x00\x00\x00\x00\x01\x00\x00", &["Length"]);
    check(b"\x81\x80\x00\x00\x00\x00", &["Masked"]);
    check_server(b"\x81\x00", &["Unmasked"]);
    check(b"\x80\x00", &["NothingToContinue"]);
    check(b"\x01\x00\x81\x00", &["Unfinished"]);
    check(b"\x81\x01\xFF", &["Text"]);
    check(b"\x81\x02\xC3", &[]);
    check(b"\x81\x01\xC3", &["Text"]);
    check(b"\x88\x01\x03", &["CloseCode"]);
    check(b"\x88\x02\x03\xED", &["CloseCode"]);
    check(b"\x88\x02\x03\xE7", &["CloseCode"]);
    check(b"\x88\x03\x03\xE8\xFF", &["Text"]);
}

#[test]
fn a_text_that_cannot_become_one_is_refused_before_it_ends() {
    check(&bare(false, OpCode::Text, b"a\xFF"), &["Text"]);
    check(&bare(true, OpCode::Text, b"a\xED\xA0\x80")[..5], &["Text"]);
}

#[test]
fn messages_are_as_long_as_the_limit_allows() {
    let limits = Limits { message_max: 10, frames_max: 3 };
    check_within(
        limits,
        &bare(true, OpCode::Text, b"0123456789"),
        &[r#"Message(Text("0123456789"))"#],
    );
    check_within(
        limits,
        &bare(true, OpCode::Text, b"0123456789a"),
        &["MessageTooLong { max: 10 }"],
    );
    let cut = |last: &[u8]| {
        [bare(false, OpCode::Binary, &[0; 8]), bare(true, OpCode::Continuation, last)].concat()
    };
    check_within(limits, &cut(&[0; 2]), &["Message(Binary([0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))"]);
    check_within(limits, &cut(&[0; 3]), &["MessageTooLong { max: 10 }"]);
    // Nothing is kept for what is announced.
    check_within(
        limits,
        b"\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
        &["MessageTooLong { max: 10 }"],
    );
}

#[test]
fn messages_come_in_as_many_frames_as_the_limit_allows() {
    let limits = Limits { message_max: 10, frames_max: 3 };
    let first = bare(false, OpCode::Text, b"");
    let more = bare(false, OpCode::Continuation, b"");
    let last = bare(true, OpCode::Continuation, b"x");
    let three = [&first[..], &more, &last].concat();
    check_within(limits, &three, &[r#"Message(Text("x"))"#]);
    let four = [&first[..], &more, &more, &last].concat();
    check_within(limits, &four, &["TooManyFrames { max: 3 }"]);
}

#[test]
fn lengths_are_written_in_the_shortest_form() {
    for (length, head) in [
        (0, &b"\x82\x00"[..]),
        (125, b"\x82\x7D"),
        (126, b"\x82\x7E\x00\x7E"),
        (65535, b"\x82\x7E\xFF\xFF"),
        (65536, b"\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00"),
    ] {
        let mut out = Vec::new();
        let payload = vec![1; length];
        let done = Encoder::new(Role::Server).message(&mut out, Message::Binary(&payload));
        assert_eq!(done, Ok(()));
        assert_eq!(&out[..head.len()], head);
        assert_eq!(out.len(), head.len() + length);
    }
}

#[test]
fn a_client_masks_each_frame_anew() {
    let mut encoder = Encoder::new(Role::Client);
    let mut masks = Vec::new();
    for _ in 0..1000 {
        let mut out = Vec::new();
        assert_eq!(encoder.message(&mut out, Message::Text("Hello")), Ok(()));
        let head = FrameHead::read(&out).expect("it is a frame").expect("its head is whole").0;
        masks.push(head.mask.expect("it is masked"));
        assert_eq!(decode(Role::Server, Limits::default(), &out, 3), [r#"Message(Text("Hello"))"#]);
    }
    masks.sort_unstable();
    masks.dedup();
    // Of 1,000 numbers of 32 bits, two are the same once in eight thousand runs.
    assert!(masks.len() >= 998, "{} masks", masks.len());
}
