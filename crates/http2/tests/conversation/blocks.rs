//! Field blocks.

use std::fmt::Write;

use http::{HeaderName, HeaderValue, header};
use proptest::prelude::*;
use ropewalk_http2::hpack::{Decoder, Encoder, Field, HpackError, Name, Pseudo, Section};

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let value = |digit: u8| (digit as char).to_digit(16).expect("a digit") as u8;
    digits.chunks(2).map(|pair| value(pair[0]) << 4 | value(pair[1])).collect()
}

fn lines(decoder: &mut Decoder, block: &[u8]) -> Result<String, HpackError> {
    let mut text = String::new();
    decoder.decode(block, |field| {
        let (name, value) = (field.name.as_bytes().escape_ascii(), field.value.escape_ascii());
        writeln!(text, "{name}: {value}").expect("text");
    })?;
    Ok(text)
}

#[track_caller]
fn check_series(decoder: &mut Decoder, series: &[(&str, &str, usize)]) {
    for (block, expected, size) in series {
        assert_eq!(lines(decoder, &octets(block)).as_deref(), Ok(*expected));
        assert_eq!(decoder.table_size(), *size);
    }
}

/// RFC 7541 C.3 and C.4.
#[test]
fn requests_of_the_rfc() {
    let first = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n";
    let second = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n\
                  cache-control: no-cache\n";
    let third = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
                 custom-key: custom-value\n";
    check_series(
        &mut Decoder::new(),
        &[
            ("828684410f7777772e6578616d706c652e636f6d", first, 57),
            ("828684be58086e6f2d6361636865", second, 110),
            ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", third, 164),
        ],
    );
    check_series(
        &mut Decoder::new(),
        &[
            ("828684418cf1e3c2e5f23a6ba0ab90f4ff", first, 57),
            ("828684be5886a8eb10649cbf", second, 110),
            ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", third, 164),
        ],
    );
}

/// RFC 7541 C.6: a table of 256 octets, out of which entries fall. The peer says so first.
#[test]
fn responses_of_the_rfc() {
    let mut decoder = Decoder::new();
    decoder.set_table_max(256);
    let location = "location: https://www.example.com\n";
    let date = "date: Mon, 21 Oct 2013 20:13:21 GMT\n";
    let later = "date: Mon, 21 Oct 2013 20:13:22 GMT\n";
    let cookie = "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n";
    check_series(
        &mut decoder,
        &[
            (
                "3fe101 488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d\
                 29ad171863c78f0b97c8e9ae82ae43d3",
                &format!(":status: 302\ncache-control: private\n{date}{location}"),
                222,
            ),
            (
                "4883640effc1c0bf",
                &format!(":status: 307\ncache-control: private\n{date}{location}"),
                222,
            ),
            (
                "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6\
                 c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                &format!(
                    ":status: 200\ncache-control: private\n{later}{location}\
                     content-encoding: gzip\n{cookie}"
                ),
                215,
            ),
        ],
    );
}

#[test]
fn blocks_that_break_a_rule_are_told_apart() {
    use HpackError as E;
    #[track_caller]
    fn check(block: &str, expected: E) {
        assert_eq!(lines(&mut Decoder::new(), &octets(block)), Err(expected), "{block}");
    }
    check("80", E::NoEntry { index: 0 });
    check("be", E::NoEntry { index: 62 });
    check("7f 00 00", E::NoEntry { index: 63 });
    check("0f 2f 00", E::NoEntry { index: 62 });
    check("ff ff ff ff ff 0f", E::IntegerTooLarge);
    // Longer than it has to be, without end.
    check("ff 80 80 80 80 00", E::IntegerTooLarge);
    check("ff", E::Truncated);
    check("40", E::Truncated);
    check("40 01", E::Truncated);
    check("40 01 61", E::Truncated);
    check("40 01 61 02 62", E::Truncated);
    check("82 20", E::SizeUpdateTooLate);
    check("3f e2 1f", E::TableTooLarge { size: 4097, allowed: 4096 });
    // The end-of-string symbol, whole.
    check("40 01 61 84 ff ff ff ff", E::EndOfString);
    // Eight ones of padding; padding of zeroes.
    check("40 01 61 82 1f ff", E::BadPadding);
    check("40 01 61 81 18", E::BadPadding);
}

#[test]
fn seven_ones_of_padding_are_allowed_and_none_too() {
    // A symbol of 5 bits and 3 ones; eight symbols of 5 bits.
    assert_eq!(lines(&mut Decoder::new(), &octets("40 01 61 81 1f")).as_deref(), Ok("a: a\n"));
    let none = octets("40 01 61 85 00 00 00 00 00");
    assert_eq!(lines(&mut Decoder::new(), &none).as_deref(), Ok("a: 00000000\n"));
}

#[test]
fn a_smaller_table_has_to_be_announced_at_its_smallest() {
    let mut decoder = Decoder::new();
    decoder.set_table_max(100);
    decoder.set_table_max(200);
    let missing = Err(HpackError::SizeUpdateMissing { allowed: 100 });
    assert_eq!(lines(&mut decoder, &octets("82")), missing);
    // 200 alone does not do: the table was 100 in between.
    assert_eq!(lines(&mut decoder, &octets("3f a9 01 82")), missing);
    let both = octets("3f 45 3f a9 01 82");
    assert_eq!(lines(&mut decoder, &both).as_deref(), Ok(":method: GET\n"));
    assert_eq!(lines(&mut decoder, &octets("82")).as_deref(), Ok(":method: GET\n"));
}

#[test]
fn an_encoder_announces_each_change_and_the_smallest_first() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    let server = (header::SERVER, HeaderValue::from_static("ropewalk"));
    let mut sizes = Vec::new();
    for maxima in [&[4096][..], &[50], &[0, 4096], &[4096, 4096], &[100_000], &[120, 60, 90]] {
        for &max in maxima {
            encoder.set_table_max(max);
            decoder.set_table_max(max);
        }
        let mut block = Vec::new();
        encoder.section(&mut block).field(&server.0, &server.1);
        assert_eq!(lines(&mut decoder, &block).as_deref(), Ok("server: ropewalk\n"));
        assert_eq!(encoder.table_size(), decoder.table_size());
        sizes.push(encoder.table_size());
    }
    assert_eq!(sizes, [46, 46, 46, 46, 46, 46]);
}

#[test]
fn secrets_are_in_no_table() {
    let mut encoder = Encoder::new();
    let mut marked = HeaderValue::from_static("token");
    marked.set_sensitive(true);
    let secrets = [
        (header::AUTHORIZATION, HeaderValue::from_static("Basic YTpi")),
        (header::PROXY_AUTHORIZATION, HeaderValue::from_static("Basic YTpi")),
        (header::COOKIE, HeaderValue::from_static("id=1")),
        (header::SET_COOKIE, HeaderValue::from_static("id=1")),
        (HeaderName::from_static("x-key"), marked),
    ];
    for (name, value) in &secrets {
        let mut block = Vec::new();
        encoder.section(&mut block).field(name, value);
        assert_eq!(encoder.table_size(), 0, "{name}");
        let mut fields = Vec::new();
        Decoder::new().decode(&block, |field| fields.push(field)).expect("a block");
        assert!(fields[0].is_secret, "{name}");
    }
}

#[test]
fn a_small_block_cannot_name_a_large_table() {
    // One entry of 4,000 octets, named 4,000 times: each name is a handle on the same octets.
    let mut block = octets("40 01 61 7f a1 1e");
    block.extend_from_slice(&[b'x'; 4000]);
    block.extend_from_slice(&[0xbe; 4000]);
    let (mut fields, mut decoder) = (Vec::<Field>::new(), Decoder::new());
    decoder.decode(&block, |field| fields.push(field)).expect("a block");
    assert_eq!(fields.len(), 4001);
    let first = fields[0].value.as_ptr();
    assert!(fields.iter().all(|field| field.value.as_ptr() == first));
    assert_eq!(decoder.table_size(), 4033);
}

#[test]
fn names_that_http_has_no_place_for_are_kept_all_the_same() {
    let mut decoder = Decoder::new();
    let block = octets("40 01 41 01 62 40 02 3a 78 01 63 bf be");
    let mut names = Vec::new();
    decoder.decode(&block, |field| names.push(field.name)).expect("a block");
    assert!(names.iter().all(|name| matches!(name, Name::Other(_))));
    assert_eq!(names.iter().map(|name| name.as_bytes().len()).collect::<Vec<_>>(), [1, 2, 1, 2]);
}

/// One of a few fields, of which some change the table and some do not.
fn write_some(section: &mut Section<'_>, choice: u64) {
    let values = ["", "a", "bb", "text/plain"];
    let value = values[choice as usize / 8 % values.len()];
    let names = [header::CONTENT_TYPE, header::DATE, header::SET_COOKIE, header::ETAG];
    section.pseudo(Pseudo::Status, [b"200", b"404", b"418"][choice as usize % 3]);
    match names.get(choice as usize % 8) {
        Some(name) => section.field(name, &HeaderValue::from_static(value)),
        None => section.fleeting(&header::CONTENT_LENGTH, value.as_bytes()),
    }
}

proptest! {
    #[test]
    fn a_block_says_the_same_again_as_long_as_the_revision_is_the_same(
        steps in prop::collection::vec((0..10_u8, 0..32_u64), 1..200)
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let mut kept: Option<(u32, Vec<u8>, String)> = None;
        for (step, choice) in steps {
            let mut block = Vec::new();
            match step {
                0 => encoder.set_table_max([0, 40, 60, 4096][choice as usize % 4]),
                1..6 => {
                    let before = encoder.revision();
                    write_some(&mut encoder.section(&mut block), choice);
                    let said = lines(&mut decoder, &block).expect("a block");
                    if encoder.revision() == before {
                        kept = Some((before, block, said));
                    }
                }
                _ => {
                    let Some((revision, block, said)) = &kept else { continue };
                    if *revision == encoder.revision() {
                        let again = lines(&mut decoder, block);
                        prop_assert_eq!(again.as_deref(), Ok(said.as_str()));
                    }
                }
            }
        }
    }
}

fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("server".to_owned()),
        Just("date".to_owned()),
        Just("cookie".to_owned()),
        Just("content-length".to_owned()),
        "[a-z][a-z0-9-]{0,12}",
    ]
}

proptest! {
    /// Whatever is written is read, through every change of the table's size, and both ends' tables
    /// stay the same.
    #[test]
    fn what_is_written_is_read(
        sections in prop::collection::vec(
            (prop::option::of(0usize..300), prop::collection::vec((a_name(), "[ -~]{0,60}"), 0..8)),
            1..12,
        )
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        for (max, section) in sections {
            if let Some(max) = max {
                encoder.set_table_max(max);
                decoder.set_table_max(max);
            }
            let mut block = Vec::new();
            let mut out = encoder.section(&mut block);
            out.pseudo(Pseudo::Status, b"200");
            let mut expected = ":status: 200\n".to_owned();
            for (name, value) in &section {
                let value = HeaderValue::from_str(value).expect("a value");
                out.field(&HeaderName::from_bytes(name.as_bytes()).expect("a name"), &value);
                let value = value.as_bytes().escape_ascii();
                writeln!(expected, "{name}: {value}").expect("text");
            }
            prop_assert_eq!(lines(&mut decoder, &block), Ok(expected));
            prop_assert_eq!(encoder.table_size(), decoder.table_size());
        }
    }

    /// No octets are too much, and the table keeps its bound.
    #[test]
    fn any_octets_are_read_or_refused(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..6)) {
        let mut decoder = Decoder::new();
        for block in blocks {
            let outcome = decoder.decode(&block, drop);
            prop_assert!(decoder.table_size() <= 4096);
            if outcome.is_err() {
                break;
            }
        }
    }
}
