//! Every argument type, both ways.

use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;
use proptest::prelude::*;
use ropewalk_amp::{
    AmpList, BadBox, BadField, BadValue, DateTime, Decimal, Field, Integer, Value, record,
};

record! {
    /// A row.
    Row { x: i32, y: Option<String> }
}

fn encode(value: &impl Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out).expect("it has a form");
    out
}

/// A value that has just this form.
#[track_caller]
fn check<T: Value + Debug + PartialEq>(value: T, text: &[u8]) {
    assert_eq!(encode(&value), text, "{value:?}");
    assert_eq!(T::decode(text), Ok(value));
}

/// Bytes that are no `T`.
#[track_caller]
fn refuse<T: Value + Debug + PartialEq>(text: &[u8], why: &BadValue) {
    assert_eq!(T::decode(text).as_ref(), Err(why), "{}", text.escape_ascii());
}

#[test]
fn integers_are_decimal_digits() {
    check(0_i32, b"0");
    check(-1_i8, b"-1");
    check(u64::MAX, b"18446744073709551615");
    check(i128::MIN, b"-170141183460469231731687303715884105728");
    check(usize::MAX, usize::MAX.to_string().as_bytes());
    assert_eq!(i32::decode(b"+007"), Ok(7));
    for text in [&b""[..], b"-", b"1_0", b" 1", b"0x1", b"1.0", b"\xff"] {
        refuse::<i64>(text, &BadValue::NotInteger);
        refuse::<Integer>(text, &BadValue::NotInteger);
    }
    refuse::<i8>(b"128", &BadValue::OutOfRange);
    refuse::<i8>(b"-129", &BadValue::OutOfRange);
    refuse::<u16>(b"-1", &BadValue::OutOfRange);
}

#[test]
fn integers_of_any_size_pass_without_loss() {
    let digits = format!("-9{}", "0".repeat(400));
    check(digits.parse::<Integer>().unwrap(), digits.as_bytes());
    for (text, same) in [("-0", "0"), ("000", "0"), ("+12", "12"), ("-007", "-7")] {
        assert_eq!(text.parse::<Integer>().unwrap().as_str(), same);
    }
    assert_eq!(u8::try_from(&Integer::from(256_u64)), Err(BadValue::OutOfRange));
}

#[test]
fn bytes_text_and_paths_go_as_they_are() {
    check(Bytes::from_static(b"\0\xff"), b"\0\xff");
    check(b"\0\xff".to_vec(), b"\0\xff");
    check("n\u{e4}h".to_owned(), b"n\xc3\xa4h");
    check(PathBuf::from("/tmp/\u{e4}"), b"/tmp/\xc3\xa4");
    check(String::new(), b"");
    refuse::<String>(b"\xff", &BadValue::NotText);
    refuse::<PathBuf>(b"\xff", &BadValue::NotText);
}

#[cfg(unix)]
#[test]
fn paths_that_are_no_text_cannot_be_sent() {
    use std::os::unix::ffi::OsStrExt;
    let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/\xff"));
    assert_eq!(path.encode(&mut Vec::new()), Err(BadValue::NotText));
}

#[test]
fn booleans_are_words() {
    check(true, b"True");
    check(false, b"False");
    for text in [&b""[..], b"true", b"1", b"TRUE", b"True "] {
        refuse::<bool>(text, &BadValue::NotBoolean);
    }
}

#[test]
fn floats_are_written_as_python_does() {
    for (float, text) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (1.0, "1.0"),
        (1e15, "1000000000000000.0"),
        (9_999_999_999_999_998.0, "9999999999999998.0"),
        (1e16, "1e+16"),
        (1.234_567_890_123_456_8e17, "1.2345678901234568e+17"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1.5e300, "1.5e+300"),
        (-1.5e-300, "-1.5e-300"),
        (5e-324, "5e-324"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
    ] {
        check(float, text.as_bytes());
    }
    assert_eq!(encode(&f64::NAN), b"nan");
    assert!(f64::decode(b"nan").unwrap().is_nan());
    for text in [&b""[..], b"one", b"1,0", b"0x1p3", b"1_0.0", b"\xff"] {
        refuse::<f64>(text, &BadValue::NotFloat);
    }
}

#[test]
fn decimals_keep_their_text() {
    for text in [
        "0",
        "1.10",
        "-0.00",
        "1E+2",
        "1e-999999",
        ".5",
        "5.",
        "+3",
        "NaN",
        "-NaN123",
        "sNaN",
        "Infinity",
        "-Infinity",
        "inf",
    ] {
        check(text.parse::<Decimal>().unwrap(), text.as_bytes());
    }
    for text in ["", ".", "1e", "e5", "1.2.3", "--1", "NaNs", "Infinit", "1 ", "\u{661}", "sInf"] {
        refuse::<Decimal>(text.as_bytes(), &BadValue::NotDecimal);
    }
    refuse::<Decimal>(b"\xff", &BadValue::NotDecimal);
    let is = |text: &str| {
        let decimal: Decimal = text.parse().unwrap();
        (decimal.is_nan(), decimal.is_infinite())
    };
    assert_eq!(is("-sNaN7"), (true, false));
    assert_eq!(is("-Infinity"), (false, true));
    assert_eq!(is("1E+2"), (false, false));
    assert_eq!(Decimal::from(-5).as_str(), "-5");
}

#[test]
fn moments_have_thirty_two_characters() {
    let moment = DateTime::new(2024, 2, 29, 23, 59, 59, 999_999).unwrap();
    check(moment, b"2024-02-29T23:59:59.999999-00:00");
    check(moment.at_offset(90).unwrap(), b"2024-02-29T23:59:59.999999+01:30");
    check(moment.at_offset(-1439).unwrap(), b"2024-02-29T23:59:59.999999-23:59");
    assert_eq!(DateTime::decode(b"2024-02-29T23:59:59.999999+00:00"), Ok(moment));
    assert_eq!((moment.date(), moment.time()), ((2024, 2, 29), (23, 59, 59, 999_999)));
    for text in [
        "",
        "2024-02-29T23:59:59.999999",
        "2024-02-29T23:59:59.999999Z00:00",
        "2024-02-29 23:59:59.999999-00:00",
        "2023-02-29T23:59:59.999999-00:00",
        "2024-13-01T23:59:59.999999-00:00",
        "2024-00-01T23:59:59.999999-00:00",
        "2024-01-00T23:59:59.999999-00:00",
        "0000-01-01T23:59:59.999999-00:00",
        "2024-01-01T24:00:00.000000-00:00",
        "2024-01-01T23:60:00.000000-00:00",
        "2024-01-01T23:59:60.000000-00:00",
        "2024-01-01T23:59:59.999999-24:00",
        "2024-01-01T23:59:59.999999-00:60",
        "2024-01-01T23:59:59.99999x-00:00",
        "+024-01-01T23:59:59.999999-00:00",
    ] {
        refuse::<DateTime>(text.as_bytes(), &BadValue::NotDateTime);
    }
    assert!(moment.at_offset(1440).is_err());
    assert!(DateTime::new(2024, 1, 1, 0, 0, 0, 1_000_000).is_err());
}

#[test]
fn moments_are_counted_from_1970() {
    #[track_caller]
    fn check(text: &str, micros: i64) {
        let moment: DateTime = text.parse().unwrap();
        assert_eq!(moment.unix_micros(), micros);
        assert_eq!(DateTime::from_unix_micros(micros).unwrap().unix_micros(), micros);
        if moment.offset() == 0 {
            assert_eq!(DateTime::from_unix_micros(micros), Ok(moment));
        }
    }
    check("1970-01-01T00:00:00.000000-00:00", 0);
    check("1969-12-31T23:59:59.999999-00:00", -1);
    check("2000-02-29T00:00:00.000000-00:00", 951_782_400_000_000);
    check("2000-02-29T01:00:00.000000+01:00", 951_782_400_000_000);
    check("0001-01-01T00:00:00.000000-00:00", -62_135_596_800_000_000);
    check("9999-12-31T23:59:59.999999-00:00", 253_402_300_799_999_999);
    for micros in [-62_135_596_800_000_001, 253_402_300_800_000_000, i64::MIN, i64::MAX] {
        assert_eq!(DateTime::from_unix_micros(micros), Err(BadValue::NotDateTime));
    }
}

#[test]
fn lists_have_a_length_before_each_element() {
    check(Vec::<i32>::new(), b"");
    check(vec![String::new(), "a".to_owned()], b"\0\0\0\x01a");
    check(vec![vec![1, 2], vec![]], b"\0\x06\0\x011\0\x012\0\0");
    check(vec![b"x".to_vec()], b"\0\x01x");
    refuse::<Vec<String>>(b"\0", &BadValue::CutShort);
    refuse::<Vec<String>>(b"\0\x02a", &BadValue::CutShort);
    refuse::<Vec<i32>>(b"\0\x011\0\x01x", &BadValue::NotInteger);
    let long = vec!["a".repeat(65_536)];
    assert_eq!(long.encode(&mut Vec::new()), Err(BadValue::TooLong { length: 65_536 }));
}

#[test]
fn rows_are_boxes() {
    let row = |x, y: Option<&str>| Row { x, y: y.map(ToOwned::to_owned) };
    check(AmpList::<Row>::default(), b"");
    check(
        AmpList(vec![row(1, None), row(2, Some("z"))]),
        b"\0\x01x\0\x011\0\0\0\x01x\0\x012\0\x01y\0\x01z\0\0",
    );
    refuse::<AmpList<Row>>(b"\0\x01x\0\x011\0", &BadValue::CutShort);
    refuse::<AmpList<Row>>(b"\x01\0", &BadValue::BadBox(BadBox::KeyLength(256)));
    let missing = BadField::new("x", BadValue::Missing);
    refuse::<AmpList<Row>>(b"\0\0", &BadValue::Row(Box::new(missing)));
    let long = AmpList(vec![row(1, Some(&"a".repeat(65_536)))]);
    assert!(matches!(long.encode(&mut Vec::new()), Err(BadValue::Row(_))));
}

#[test]
fn optional_fields_may_be_absent() {
    assert_eq!(<Option<i32> as Field>::read(None), Ok(None));
    assert_eq!(<Option<i32> as Field>::read(Some(b"1")), Ok(Some(1)));
    assert_eq!(<Option<i32> as Field>::read(Some(b"x")), Err(BadValue::NotInteger));
    assert_eq!(<i32 as Field>::read(None), Err(BadValue::Missing));
}

proptest! {
    #[test]
    fn numbers_survive_the_wire(a in any::<i128>(), b in any::<u64>(), c in proptest::num::f64::ANY) {
        prop_assert_eq!(i128::decode(&encode(&a)), Ok(a));
        prop_assert_eq!(u64::decode(&encode(&b)), Ok(b));
        prop_assert_eq!(Integer::decode(&encode(&a)), Ok(Integer::from(a)));
        let back = f64::decode(&encode(&c)).unwrap();
        prop_assert!(back.to_bits() == c.to_bits() || c.is_nan() && back.is_nan());
    }

    #[test]
    fn moments_survive_the_wire(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000, offset in -1439..1440_i16) {
        let moment = DateTime::from_unix_micros(micros).unwrap();
        prop_assert_eq!(moment.unix_micros(), micros);
        let there = moment.at_offset(offset).unwrap();
        prop_assert_eq!(DateTime::decode(&encode(&there)), Ok(there));
        prop_assert_eq!(there.unix_micros(), micros - i64::from(offset) * 60_000_000);
    }

    #[test]
    fn lists_survive_the_wire(texts in proptest::collection::vec(any::<String>(), 0..9), rows in proptest::collection::vec((any::<i32>(), any::<Option<String>>()), 0..9)) {
        prop_assert_eq!(Vec::decode(&encode(&texts)), Ok(texts));
        let rows: AmpList<Row> = rows.into_iter().map(|(x, y)| Row { x, y }).collect();
        prop_assert_eq!(AmpList::decode(&encode(&rows)), Ok(rows));
    }

    #[test]
    fn any_bytes_are_a_value_or_none(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), b'0'..=b':', Just(0)], 0..40)) {
        let _ = (i64::decode(&bytes), Integer::decode(&bytes), f64::decode(&bytes));
        let _ = (Decimal::decode(&bytes), DateTime::decode(&bytes), Vec::<String>::decode(&bytes));
        let _ = (AmpList::<Row>::decode(&bytes), Vec::<AmpList<Row>>::decode(&bytes));
    }
}
