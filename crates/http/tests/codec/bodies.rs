use ropewalk_http::{BadRequest, BodyDecoder, BodyLength, Limits, Piece};

/// The body and trailers in `bytes`, and what stays behind them.
fn read(
    length: BodyLength,
    bytes: &[u8],
    size: usize,
) -> Result<(Vec<u8>, String, Vec<u8>), BadRequest> {
    let limits = Limits::default();
    let mut decoder = BodyDecoder::new(length, limits.body_max)?;
    let (mut body, mut trailers, mut rest) = (Vec::new(), None, Vec::new());
    for mut piece in bytes.chunks(size) {
        while let Some(found) = decoder.feed(&mut piece, &limits)? {
            match found {
                Piece::Data(data) => body.extend(data),
                Piece::End(fields) => trailers = Some(format!("{fields:?}")),
            }
        }
        rest.extend(piece);
    }
    Ok((body, trailers.expect("the end of the body"), rest))
}

#[track_caller]
fn check(length: BodyLength, bytes: &str, body: &str, trailers: &str, rest: &str) {
    for size in 1..=bytes.len() {
        let (got, end, left) = read(length, bytes.as_bytes(), size).expect("a body");
        assert_eq!(got, body.as_bytes(), "in pieces of {size}");
        assert_eq!(end, trailers, "in pieces of {size}");
        assert_eq!(left, rest.as_bytes(), "in pieces of {size}");
    }
}

#[track_caller]
fn check_refused(bytes: &str, expected: &str) {
    for size in 1..=bytes.len() {
        let bad = read(BodyLength::Chunked, bytes.as_bytes(), size).expect_err("a refusal");
        assert_eq!(format!("{bad:?}"), expected, "in pieces of {size}");
        assert!(bad.to_string().starts_with("expected "), "{bad}");
    }
}

#[test]
fn bodies_end_where_the_head_says() {
    check(BodyLength::None, "GET", "", "{}", "GET");
    check(BodyLength::Fixed(0), "GET", "", "{}", "GET");
    check(BodyLength::Fixed(4), "abcdGET", "abcd", "{}", "GET");
    check(BodyLength::Chunked, "0\r\n\r\nGET", "", "{}", "GET");
    check(
        BodyLength::Chunked,
        "2\r\nab\r\n00a\r\n0123456789\r\n0\r\n\r\n",
        "ab0123456789",
        "{}",
        "",
    );
    check(BodyLength::Chunked, "1;x=\"\\\"\";y\r\na\r\n0;z\r\n\r\n", "a", "{}", "");
    check(
        BodyLength::Chunked,
        "2\r\n\r\n\r\n0\r\nA: b\r\n\r\nGET",
        "\r\n",
        "{\"a\": \"b\"}",
        "GET",
    );
}

#[test]
fn a_piece_lies_in_what_was_fed() {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, None).expect("a length");
    let bytes = b"5\r\nhello\r\n";
    let mut data = &bytes[..];
    let found = decoder.feed(&mut data, &Limits::default());
    let Ok(Some(Piece::Data(piece))) = found else { panic!("expected a piece, got {found:?}") };
    assert_eq!(piece.as_ptr(), bytes[3..].as_ptr());
    assert!(!decoder.is_over());
}

#[test]
fn a_body_without_bytes_is_over_at_once() {
    let mut decoder = BodyDecoder::new(BodyLength::Fixed(0), None).expect("a length");
    let found = decoder.feed(&mut &b""[..], &Limits::default());
    assert!(matches!(found, Ok(Some(Piece::End(_)))));
    assert!(decoder.is_over());
    assert_eq!(decoder.feed(&mut &b"a"[..], &Limits::default()), Ok(None));
}

#[test]
fn every_check_has_its_own_refusal() {
    check_refused("\r\n", "MissingChunkSize(13)");
    check_refused("+1\r\n", "MissingChunkSize(43)");
    check_refused("1 \r\n", "BadChunkSize(13)");
    check_refused("0x1\r\n", "BadChunkSize(120)");
    check_refused("00000000000000001\r\n", "HugeChunkSize");
    check_refused("1;=\r\n", "BadChunkExtension(61)");
    check_refused("1;a=\"b\"c\r\n", "BadChunkExtension(99)");
    check_refused("1;a b\r\n", "BadChunkExtension(98)");
    check_refused("1\n", "BareLf");
    check_refused("1\r\r", "BareCr");
    check_refused("1\r\nab", "MissingChunkEnd(98)");
    check_refused("1\r\na\ra", "BareCr");
    check_refused("a00001\r\n", "BodyTooLong { max: 10485760 }");
    check_refused("0\r\nHost: a\r\n\r\n", "ForbiddenTrailer(\"host\")");
    check_refused("0\r\nX\r\n\r\n", "MissingColon(\"X\")");
    check_refused("0\r\n: a\r\n\r\n", "EmptyHeaderName");
    check_refused("0\r\n a: b\r\n\r\n", "ObsFold");
    check_refused("0\r\na : b\r\n\r\n", "SpaceBeforeColon(\"a \")");
    check_refused("0\r\n(: b\r\n\r\n", "BadHeaderName(\"(\")");
    check_refused("0\r\na: \0\r\n\r\n", "ControlByte(0)");
}

#[test]
fn chunk_lines_have_a_limit() {
    let line = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length - 2));
    check(BodyLength::Chunked, &line(256), "a", "{}", "");
    check_refused(&line(257), "ChunkLineTooLong { max: 256 }");
}

#[test]
fn trailers_have_a_limit() {
    let trailer = |length: usize| format!("0\r\nx: {}\r\n\r\n", "y".repeat(length));
    let fits = trailer(4091);
    assert!(read(BodyLength::Chunked, fits.as_bytes(), 1).is_ok());
    let bad = read(BodyLength::Chunked, trailer(4092).as_bytes(), 1);
    assert_eq!(bad, Err(BadRequest::TrailersTooLong { max: 4096 }));
    let many = format!("0\r\n{}\r\n", "x: y\r\n".repeat(101));
    let bad = read(BodyLength::Chunked, many.as_bytes(), 1000);
    assert_eq!(bad, Err(BadRequest::TooManyHeaders { max: 100 }));
}

#[test]
fn bodies_have_a_limit() {
    let long = BadRequest::BodyTooLong { max: 4 };
    assert!(BodyDecoder::new(BodyLength::Fixed(4), Some(4)).is_ok());
    assert_eq!(BodyDecoder::new(BodyLength::Fixed(5), Some(4)).err(), Some(long));
    assert!(BodyDecoder::new(BodyLength::Fixed(u64::MAX), None).is_ok());

    let limits = Limits::default();
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, Some(4)).expect("a length");
    let mut bytes = &b"3\r\nabc\r\n2\r\nde\r\n"[..];
    assert_eq!(decoder.feed(&mut bytes, &limits), Ok(Some(Piece::Data(b"abc"))));
    assert_eq!(decoder.feed(&mut bytes, &limits), Err(long));
}
