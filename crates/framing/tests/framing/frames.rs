//! Bytes to frames and back, cut anywhere.

use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_framing::{
    BadLine, BadNetstring, Decoder, Delimiter, Ending, Extent, LengthDecoder, LineDecoder, Measure,
    Netstring, Prefix, TooLong,
};

trait Known: Decoder {
    /// Whether it can be fed after an error.
    const GOES_ON: bool;
}

impl Known for LineDecoder {
    const GOES_ON: bool = true;
}

impl<M: Measure> Known for LengthDecoder<M> {
    const GOES_ON: bool = false;
}

/// What a decoder makes of some bytes: frames, errors, and what it keeps in the end.
type Made<E> = (Vec<Result<Vec<u8>, E>>, Vec<u8>);

/// Feeds the pieces; goes on after an error as far as the decoder does.
fn decode<'p, D: Known>(
    mut decoder: D,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Made<D::Error>
where
    D::Error: PartialEq,
{
    let mut made = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            match decoder.feed(&mut piece) {
                Ok(Some(frame)) => made.push(Ok(frame.to_vec())),
                Ok(None) => assert!(piece.is_empty(), "all is taken where no frame is whole"),
                Err(bad) => {
                    made.push(Err(bad));
                    if !D::GOES_ON {
                        return (made, Vec::new());
                    }
                }
            }
        }
    }
    (made, decoder.take_rest())
}

/// What a decoder makes of `bytes` whole, having made the same of them in two pieces cut anywhere
/// and in pieces of every size.
#[track_caller]
fn decode_cut<D: Known + Clone>(decoder: &D, bytes: &[u8]) -> Made<D::Error>
where
    D::Error: PartialEq + Debug,
{
    let (whole, rest) = decode(decoder.clone(), [bytes]);
    for cut in 0..bytes.len() {
        let (left, right) = bytes.split_at(cut);
        let (made, _) = decode(decoder.clone(), [left, right]);
        assert_eq!(made, whole, "cut at {cut}: {}", bytes.escape_ascii());
    }
    for size in 1..=bytes.len() {
        let (made, _) = decode(decoder.clone(), bytes.chunks(size));
        assert_eq!(made, whole, "in pieces of {size}: {}", bytes.escape_ascii());
    }
    (whole, rest)
}

#[track_caller]
fn check<D: Known + Clone>(decoder: &D, bytes: &[u8], expected: &[Result<&str, D::Error>])
where
    D::Error: PartialEq + Debug + Clone,
{
    let expected: Vec<Result<Vec<u8>, D::Error>> =
        expected.iter().cloned().map(|each| each.map(|text| text.as_bytes().to_vec())).collect();
    assert_eq!(decode_cut(decoder, bytes).0, expected);
}

fn lines(ending: Ending) -> LineDecoder {
    LineDecoder::new(ending).line_max(5)
}

fn between(delimiter: &str) -> Ending {
    Ending::Sequence(Delimiter::new(delimiter.as_bytes()).unwrap())
}

const LONG: BadLine = BadLine::TooLong { max: 5 };

#[test]
fn strict_lines_end_in_both() {
    let strict = lines(Ending::CrLf);
    check(&strict, b"one\r\n\r\ntwo\r\nthr", &[Ok("one"), Ok(""), Ok("two")]);
    check(&strict, b"12345\r\n123456\r\n1\r\n", &[Ok("12345"), Err(LONG), Ok("1")]);
    check(&strict, b"a\nb\r\nc\r\n", &[Err(BadLine::BareLineFeed), Ok("c")]);
    check(&strict, b"\n\r\nc\r\n", &[Err(BadLine::BareLineFeed), Ok("c")]);
    check(&strict, b"a\rb\r\nc\r\n", &[Err(BadLine::BareCarriageReturn), Ok("c")]);
    check(&strict, b"a\r\r\nc\r\n", &[Err(BadLine::BareCarriageReturn), Ok("c")]);
    check(&strict, b"123456\n\r\nc\r\n", &[Err(LONG), Ok("c")]);
    check(&strict, b"12345\n\r\nc\r\n", &[Err(BadLine::BareLineFeed), Ok("c")]);
    check(&strict, b"12345\r6\r\nc\r\n", &[Err(BadLine::BareCarriageReturn), Ok("c")]);
}

#[test]
fn tolerant_lines_end_in_either() {
    let tolerant = lines(Ending::Tolerant);
    check(&tolerant, b"one\r\ntwo\n\n\r\n", &[Ok("one"), Ok("two"), Ok(""), Ok("")]);
    check(&tolerant, b"a\rb\n\r\r\n", &[Ok("a\rb"), Ok("\r")]);
    check(
        &tolerant,
        b"12345\r\n12345\n123456\nc\n",
        &[Ok("12345"), Ok("12345"), Err(LONG), Ok("c")],
    );
    check(&tolerant, b"12345\r6\r\nc\n", &[Err(LONG), Ok("c")]);
}

#[test]
fn unix_lines_keep_their_carriage_returns() {
    let unix = lines(Ending::Lf);
    check(&unix, b"one\r\n\n\r", &[Ok("one\r"), Ok("")]);
    check(&unix, b"12345\n123456\nc\n", &[Ok("12345"), Err(LONG), Ok("c")]);
}

#[test]
fn any_sequence_may_stand_between_lines() {
    check(&lines(between("\0")), b"one\0\0two\0", &[Ok("one"), Ok(""), Ok("two")]);
    check(
        &lines(between("aab")),
        b"aaab1aab12345aab123456aab2aab",
        &[Ok("a"), Ok("1"), Ok("12345"), Err(LONG), Ok("2")],
    );
    check(&lines(between("\r\n")), b"a\nb\rc\r\n", &[Ok("a\nb\rc")]);
    assert_eq!(Delimiter::new(b""), None);
}

#[test]
fn lines_that_hold_their_own_end_are_not_written() {
    for (ending, line, is_fine) in [
        (Ending::CrLf, &b"a b"[..], true),
        (Ending::CrLf, b"a\rb", false),
        (Ending::CrLf, b"a\n", false),
        (Ending::Tolerant, b"a\r", false),
        (Ending::Lf, b"a\r", true),
        (Ending::Lf, b"\n", false),
        (between("aa"), b"xa", false),
        (between("ab"), b"xa", true),
        (between("ab"), b"xab", false),
    ] {
        let mut out = Vec::new();
        let written = ending.encode(line, &mut out);
        assert_eq!(written.is_ok(), is_fine, "{ending:?} {}", line.escape_ascii());
        assert_eq!(out.is_empty(), !is_fine);
    }
}

#[test]
fn netstrings_are_read_strictly() {
    let strings = LengthDecoder::new(Netstring).frame_max(12);
    check(&strings, b"12:hello world!,0:,1:,,", &[Ok("hello world!"), Ok(""), Ok(",")]);
    check(&strings, b"13:", &[Err(BadNetstring::TooLong(TooLong { length: 13, max: 12 }))]);
    for (bytes, bad) in [
        (&b"00:,"[..], BadNetstring::BadLength),
        (b"01:a,", BadNetstring::BadLength),
        (b"10000000000000000000:", BadNetstring::BadLength),
        (b":,", BadNetstring::NoLength),
        (b"a", BadNetstring::NoLength),
        (b"1 :a,", BadNetstring::NoLength),
        (b"-1:a,", BadNetstring::NoLength),
        (b"1:ab", BadNetstring::NoComma),
    ] {
        check(&strings, bytes, &[Err(bad)]);
        check(&strings, &[b"1:x,", bytes, b"1:y,"].concat(), &[Ok("x"), Err(bad)]);
    }
}

#[test]
fn prefixes_count_what_follows() {
    check(&LengthDecoder::new(Prefix::U8), b"\x02hi\x00\x01!", &[Ok("hi"), Ok(""), Ok("!")]);
    check(&LengthDecoder::new(Prefix::U16), b"\0\x02hi\0\0\0", &[Ok("hi"), Ok("")]);
    check(&LengthDecoder::new(Prefix::U16Le), b"\x02\0hi", &[Ok("hi")]);
    check(&LengthDecoder::new(Prefix::U32), b"\0\0\0\x02hi", &[Ok("hi")]);
    check(&LengthDecoder::new(Prefix::U32Le), b"\x02\0\0\0hi", &[Ok("hi")]);
    let short = LengthDecoder::new(Prefix::U32).frame_max(3);
    check(&short, b"\0\0\0\x03abc\0\0\0\x04", &[Ok("abc"), Err(TooLong { length: 4, max: 3 })]);
    let huge = TooLong { length: u32::MAX.into(), max: 3 };
    check(&short, b"\xff\xff\xff\xff", &[Err(huge)]);
}

#[test]
fn prefixes_write_no_more_than_they_can_count() {
    for prefix in [Prefix::U8, Prefix::U16, Prefix::U16Le] {
        let mut out = Vec::new();
        prefix.encode(&vec![b'x'; prefix.max()], &mut out).unwrap();
        assert_eq!(out.len(), prefix.size() + prefix.max());
        assert!(prefix.encode(&vec![b'x'; prefix.max() + 1], &mut out).is_err());
        assert_eq!(out.len(), prefix.size() + prefix.max());
    }
}

/// A length, a type that is not handed out, a body, a check sum of one byte.
#[derive(Clone)]
struct Summed;

impl Measure for Summed {
    type Error = TooLong;
    const FRONT_MAX: usize = 1;

    fn measure(&self, front: &[u8]) -> Result<Option<Extent>, TooLong> {
        Ok(front.first().map(|length| Extent { head: 2, body: u64::from(*length), tail: 1 }))
    }

    fn check_tail(&self, tail: &[u8]) -> Result<(), TooLong> {
        if tail == b"#" { Ok(()) } else { Err(TooLong { length: 0, max: 0 }) }
    }
}

#[test]
fn other_shapes_have_a_head_and_a_tail() {
    let summed = LengthDecoder::new(Summed);
    check(&summed, b"\x02thi#\0t#", &[Ok("hi"), Ok("")]);
    check(&summed, b"\x02thi!\0t#", &[Err(TooLong { length: 0, max: 0 })]);
}

#[test]
fn whole_frames_are_lent_from_where_they_lie() {
    let bytes = b"5:hello,\r\n".to_vec();
    let is_inside = |frame: &[u8]| bytes.as_ptr_range().contains(&frame.as_ptr());
    let mut strings = LengthDecoder::new(Netstring);
    assert!(is_inside(strings.feed(&mut &bytes[..]).unwrap().unwrap()));
    let mut lines = LineDecoder::new(Ending::CrLf);
    assert!(is_inside(lines.feed(&mut &bytes[..]).unwrap().unwrap()));
    assert_eq!(lines.feed(&mut &b"rest"[..]), Ok(None));
    assert_eq!(lines.take_rest(), b"rest");
    assert_eq!(lines.take_rest(), b"");
}

/// Bytes that are often ends of lines, digits and what else has a meaning.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(b"\r\n\r\n,:01234ab\0\x01\x02".to_vec()),
        1 => any::<u8>(),
    ];
    vec(byte, 0..60)
}

fn endings() -> Vec<Ending> {
    vec![Ending::CrLf, Ending::Tolerant, Ending::Lf, between("\r\n"), between("aab"), between("\n")]
}

proptest! {
    #[test]
    fn any_cut_of_any_bytes_gives_the_same_lines(bytes in likely_bytes(), max in 0..8_usize) {
        for ending in endings() {
            let (made, rest) = decode_cut(&LineDecoder::new(ending).line_max(max), &bytes);
            prop_assert!(rest.len() <= max + 2, "no more is kept than a line can need");
            prop_assert!(made.iter().flatten().all(|line| line.len() <= max));
        }
    }

    #[test]
    fn any_cut_of_any_bytes_gives_the_same_frames(bytes in likely_bytes(), max in 0..8_usize) {
        let made = decode_cut(&LengthDecoder::new(Netstring).frame_max(max), &bytes).0;
        prop_assert!(made.iter().flatten().all(|frame| frame.len() <= max));
        for prefix in [Prefix::U8, Prefix::U16, Prefix::U16Le, Prefix::U32, Prefix::U32Le] {
            let made = decode_cut(&LengthDecoder::new(prefix).frame_max(max), &bytes).0;
            prop_assert!(made.iter().flatten().all(|frame| frame.len() <= max));
        }
        decode_cut(&LengthDecoder::new(Summed).frame_max(max), &bytes);
    }

    #[test]
    fn what_was_encoded_is_decoded(frames in vec(vec(any::<u8>(), 0..40), 0..6)) {
        let expected: Vec<_> = frames.iter().cloned().map(Ok).collect();
        let mut out = Vec::new();
        for frame in &frames {
            Netstring.encode(frame, &mut out);
        }
        prop_assert_eq!(&decode_cut(&LengthDecoder::new(Netstring), &out).0, &expected);
        for prefix in [Prefix::U8, Prefix::U16, Prefix::U16Le, Prefix::U32, Prefix::U32Le] {
            let mut out = Vec::new();
            for frame in &frames {
                prefix.encode(frame, &mut out).unwrap();
            }
            let made = decode_cut(&LengthDecoder::new(prefix), &out).0;
            let expected: Vec<_> = frames.iter().cloned().map(Ok).collect();
            prop_assert_eq!(made, expected);
        }
    }

    #[test]
    fn lines_that_can_be_written_can_be_read(lines in vec(likely_bytes(), 0..6)) {
        for ending in endings() {
            let mut out = Vec::new();
            let written: Vec<_> = lines
                .iter()
                .filter(|line| ending.encode(line, &mut out).is_ok())
                .cloned()
                .map(Ok)
                .collect();
            prop_assert_eq!(decode(LineDecoder::new(ending), [&out[..]]), (written, Vec::new()));
        }
    }
}
