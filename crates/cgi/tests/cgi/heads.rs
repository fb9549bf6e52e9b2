//! Heads of answers, as bytes.

use proptest::prelude::*;
use ropewalk_cgi::{Answer, BadResponse, FIELDS_MAX, HEAD_MAX, ResponseDecoder};

type Read = Result<Option<(Answer, Vec<u8>)>, BadResponse>;

fn read(text: &[u8], size: usize) -> Read {
    let mut decoder = ResponseDecoder::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (mut piece, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        if let Some(answer) = decoder.feed(&mut piece)? {
            return Ok(Some((answer, [piece, rest].concat())));
        }
    }
    Ok(None)
}

#[track_caller]
fn all_cuts(text: &[u8]) -> Read {
    let whole = read(text, usize::MAX);
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(read(text, size), whole, "in pieces of {size}");
    }
    whole
}

/// What is read: the status, the fields, the length, and the body behind.
#[track_caller]
fn check(text: &str, expected: &str) {
    let told = match all_cuts(text.as_bytes()) {
        Ok(Some((Answer::Local(path), _))) => format!("local {path}"),
        Ok(Some((Answer::Document { status, headers, length }, body))) => {
            let fields: Vec<_> = headers
                .iter()
                .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
                .collect();
            let body = String::from_utf8(body).unwrap();
            format!("{} {} {length:?} {body:?}", status.as_u16(), fields.join(","))
        }
        Ok(None) => "more".to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(told, expected, "{text:?}");
}

#[test]
fn documents_and_redirects_are_told_apart() {
    check("Content-Type: text/plain\n\nhi", "200 content-type=text/plain None \"hi\"");
    check("content-type:text/plain\r\n\r\nhi", "200 content-type=text/plain None \"hi\"");
    check("Status: 404 Not here\nX: y\n\n", "404 x=y None \"\"");
    check("Status: 201\n\n", "201  None \"\"");
    check("Location: http://b/c\n\n", "302 location=http://b/c None \"\"");
    check("Location: //b/c\n\n", "302 location=//b/c None \"\"");
    check("Location: next\n\n", "302 location=next None \"\"");
    check("Status: 301\nLocation: /x\n\n", "301 location=/x None \"\"");
    check("Location: /x?y=z\n\n", "local /x?y=z");
    check(
        "Content-Type: a/b\nContent-Length: 2\n\nhi",
        "200 content-type=a/b,content-length=2 Some(2) \"hi\"",
    );
    check("HTTP/1.1 403 No\r\nX: y\r\n\r\n", "403 x=y None \"\"");
    check("Content-Type: a/b", "more");
    check("Content-Type: a/b\r\n\r", "more");
}

#[test]
fn what_is_the_servers_affair_is_left_out() {
    let text = "Content-Type: a/b\nConnection: close, X-Own\nX-Own: 1\nTransfer-Encoding: chunked\n\
                Keep-Alive: 5\nUpgrade: h2c\nTrailer: x\nSet-Cookie: a=1\nSet-Cookie: b=2\n\n";
    check(text, "200 content-type=a/b,set-cookie=a=1,set-cookie=b=2 None \"\"");
}

#[test]
fn what_is_no_head_is_told() {
    let no_field = "its head: expected a field, such as Content-Type: text/plain, got";
    check("hello\n", &format!("{no_field} \"hello\""));
    check("\u{1}\u{2}\n", &format!("{no_field} \"\\x01\\x02\""));
    check("Content-Type : a/b\n\n", &format!("{no_field} \"Content-Type : a/b\""));
    check("X: y\n folded\n\n", &format!("{no_field} \" folded\""));
    check("X: a\rb\n\n", &format!("{no_field} \"X: a\\rb\""));
    check(": x\n\n", &format!("{no_field} \": x\""));
    check("\n", "its head has no Content-Type, Location or Status");
    check("X: y\n\n", "its head has no Content-Type, Location or Status");
    check("Status: 200\nStatus: 200\n\n", "its head has Status twice");
    check("HTTP/1.0 200 OK\nStatus: 200\n\n", "its head has Status twice");
    check("Location: a\nLocation: b\n\n", "its head has Location twice");
    check("Content-Type: a/b\ncontent-type: a/b\n\n", "its head has Content-Type twice");
    check("Content-Length: 1\nContent-Length: 1\n\n", "its head has Content-Length twice");
    for got in ["", "OK", "20", "2000", "101 Switching Protocols", "600", "-20", "200OK"] {
        let told = format!("its Status: expected a code from 200 to 599, got \"{got}\"");
        check(&format!("Status: {got}\n\n"), &told);
    }
    for got in ["", "-1", "+1", "0x10", "1,1", "99999999999999999999"] {
        let told = format!("its Content-Length: expected a number of bytes, got \"{got}\"");
        check(&format!("Content-Type: a/b\nContent-Length: {got}\n\n"), &told);
    }
}

#[test]
fn heads_have_a_length_and_a_number_of_fields() {
    let start = "Status: 200\nX: ";
    for (over, expected) in [(0, true), (1, false)] {
        let filling = "x".repeat(HEAD_MAX - start.len() - 2 + over);
        let told = all_cuts(format!("{start}{filling}\n\n").as_bytes());
        assert_eq!(told.is_ok(), expected, "{over} over");
        assert!(expected || told == Err(BadResponse::TooLong));
    }
    assert_eq!(all_cuts(&vec![b'x'; HEAD_MAX + 1]), Err(BadResponse::TooLong));
    for (count, expected) in [(FIELDS_MAX, true), (FIELDS_MAX + 1, false)] {
        let told = all_cuts(
            format!("{}\n", "Content-Language: x\n".repeat(count - 1) + "Status: 200\n").as_bytes(),
        );
        assert_eq!(told.is_ok(), expected, "{count} fields");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_in_any_pieces(
        bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..200),
        size in 1..40_usize,
    ) {
        prop_assert_eq!(read(&bytes, size), read(&bytes, usize::MAX));
    }
}
