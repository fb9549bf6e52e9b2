//! Parts of files (RFC 9110, 14).

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;

use proptest::prelude::*;
use ropewalk_http::files::{RANGES_MAX, SMALL_MAX};

use super::site::{Reply, Site, fields, get_with};

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";

/// An answer in one line: the status, and for each part its place and content.
fn told(reply: &Reply) -> String {
    match reply.status {
        206 if reply.field("content-type").starts_with("multipart/") => {
            let parts = parts(reply).into_iter();
            let parts =
                parts.map(|(place, body)| format!(" [{place} {}]", String::from_utf8_lossy(&body)));
            format!("206{}", parts.collect::<String>())
        }
        206 => format!("206 {} {}", reply.field("content-range"), reply.text()),
        416 => format!("416 {}", reply.field("content-range")),
        _ => reply.brief(),
    }
}

/// Takes a multipart body apart, strictly.
#[track_caller]
fn parts(reply: &Reply) -> Vec<(String, Vec<u8>)> {
    let boundary = reply.field("content-type").strip_prefix("multipart/byteranges; boundary=");
    let open = format!("--{}", boundary.expect("a boundary"));
    let close = format!("\r\n{open}--\r\n");
    assert!(!reply.headers.contains_key("content-range"));
    let mut rest = reply.body.as_slice();
    let mut parts = Vec::new();
    while rest != close.as_bytes() {
        let line = if parts.is_empty() { open.clone() } else { format!("\r\n{open}") };
        rest = rest.strip_prefix(line.as_bytes()).expect("a boundary");
        rest =
            rest.strip_prefix(b"\r\nContent-Type: text/plain; charset=utf-8\r\n").expect("a type");
        rest = rest.strip_prefix(b"Content-Range: bytes ").expect("a place");
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n").expect("an empty line");
        let place = String::from_utf8(rest[..end].to_vec()).expect("plain text");
        rest = &rest[end + 4..];
        let (body, tail) = rest.split_at(span(&place).count());
        parts.push((place, body.to_vec()));
        rest = tail;
    }
    parts
}

fn span(place: &str) -> Range<usize> {
    let (first, rest) = place.split_once('-').expect("a place");
    let last = rest.split('/').next().expect("a place");
    first.parse().expect("a number")..last.parse::<usize>().expect("a number") + 1
}

#[track_caller]
fn check(text: &str, range: &str, expected: &str) {
    let site = Site::new(&[("a.txt", text)]);
    let reply = get_with(&site.folder(), "/a.txt", &fields(&[&format!("Range: {range}")]));
    assert_eq!(told(&reply), expected, "{range}");
}

#[test]
fn one_range_is_sent_as_it_is() {
    check(LETTERS, "bytes=0-0", "206 bytes 0-0/26 a");
    check(LETTERS, "bytes=0-4", "206 bytes 0-4/26 abcde");
    check(LETTERS, "bytes=5-9", "206 bytes 5-9/26 fghij");
    check(LETTERS, "bytes=25-25", "206 bytes 25-25/26 z");
    check(LETTERS, "bytes=24-", "206 bytes 24-25/26 yz");
    check(LETTERS, "bytes=24-99", "206 bytes 24-25/26 yz");
    check(LETTERS, "bytes=-3", "206 bytes 23-25/26 xyz");
    check(LETTERS, "bytes=-1", "206 bytes 25-25/26 z");
    check("abc", "bytes=-99", "206 bytes 0-2/3 abc");
    check("abc", "bytes=0-", "206 bytes 0-2/3 abc");
    check("abc", "bytes=1-18446744073709551615", "206 bytes 1-2/3 bc");
    check("abc", "bytes=1-99999999999999999999999", "206 bytes 1-2/3 bc");
    check("abc", "bytes=-99999999999999999999999", "206 bytes 0-2/3 abc");
    check("abc", "bytes=00001-02", "206 bytes 1-2/3 bc");
    check("abc", "BYTES=1-1", "206 bytes 1-1/3 b");
    check("abc", "bytes= 1-1 ", "206 bytes 1-1/3 b");
    check("abc", "bytes=,\t1-1 ,,", "206 bytes 1-1/3 b");
}

#[test]
fn several_ranges_are_sent_in_parts() {
    check(LETTERS, "bytes=0-1,5-6", "206 [0-1/26 ab] [5-6/26 fg]");
    check(LETTERS, "bytes=5-6, 0-1", "206 [5-6/26 fg] [0-1/26 ab]");
    check(LETTERS, "bytes=0-0,-1", "206 [0-0/26 a] [25-25/26 z]");
    check(LETTERS, "bytes=-1,0-0,3-3", "206 [25-25/26 z] [0-0/26 a] [3-3/26 d]");
    check(LETTERS, "bytes=0-1,99-,5-6", "206 [0-1/26 ab] [5-6/26 fg]");
    check(LETTERS, "bytes=99-,5-6", "206 bytes 5-6/26 fg");
    check(LETTERS, "bytes=-0,5-6", "206 bytes 5-6/26 fg");
}

#[test]
fn ranges_that_touch_become_one() {
    check(LETTERS, "bytes=0-1,2-3", "206 bytes 0-3/26 abcd");
    check(LETTERS, "bytes=2-3,0-1", "206 bytes 0-3/26 abcd");
    check(LETTERS, "bytes=0-3,2-5", "206 bytes 0-5/26 abcdef");
    check(LETTERS, "bytes=0-9,2-3", "206 bytes 0-9/26 abcdefghij");
    check(LETTERS, "bytes=3-3,3-3", "206 bytes 3-3/26 d");
    check(LETTERS, "bytes=2-3,9-9,0-1", "206 [0-3/26 abcd] [9-9/26 j]");
    check(LETTERS, "bytes=20-20,0-1,1-2", "206 [20-20/26 u] [0-2/26 abc]");
    check(LETTERS, "bytes=8-9,0-1,4-5,0-4", "206 [8-9/26 ij] [0-5/26 abcdef]");
    check("abc", &format!("bytes={}0-", "0-,".repeat(RANGES_MAX - 1)), "206 bytes 0-2/3 abc");
}

#[test]
fn ranges_behind_the_end_are_refused() {
    check("abc", "bytes=3-", "416 bytes */3");
    check("abc", "bytes=3-3", "416 bytes */3");
    check("abc", "bytes=99-100,200-", "416 bytes */3");
    check("abc", "bytes=99999999999999999999999-", "416 bytes */3");
    check("abc", "bytes=18446744073709551615-18446744073709551615", "416 bytes */3");
    check("abc", "bytes=-0", "416 bytes */3");
    check("", "bytes=0-", "416 bytes */0");
    check("", "bytes=0-0", "416 bytes */0");
    check("", "bytes=-0", "416 bytes */0");
    check("", "bytes=-1", "200 ");
    check("", "bytes=-1,0-", "200 ");
}

#[test]
fn malformed_ranges_are_ignored() {
    for range in [
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=0",
        "bytes=a-b",
        "bytes=0-a",
        "bytes=a-",
        "bytes=2-1",
        "bytes=0-1,2-1",
        "bytes=0-1,x",
        "bytes=0--1",
        "bytes=--1",
        "bytes=+0-1",
        "bytes=0-+1",
        "bytes=0x0-1",
        "bytes=0 -1",
        "bytes=0- 1",
        "bytes =0-1",
        "bytes:0-1",
        "bytes 0-1",
        "0-1",
        "=0-1",
        "lines=0-1",
        "bytes=0-1;2-3",
        "bytes=0-1-2",
        "bytes==0-1",
        "bytes=\"0-1\"",
        "bytes=０-1",
        "none",
        "*",
        "bytes=*",
        "bytes=0-1/3",
    ] {
        check("abc", range, "200 abc");
    }
}

#[test]
fn a_request_has_so_many_ranges() {
    let every_other = |count: usize| {
        let ranges: Vec<_> = (0..count).map(|index| format!("{0}-{0}", 2 * index)).collect();
        format!("bytes={}", ranges.join(","))
    };
    let text = LETTERS.repeat(4);
    let site = Site::new(&[("a.txt", text.as_str())]);
    let ask =
        |range: &str| get_with(&site.folder(), "/a.txt", &fields(&[&format!("Range: {range}")]));
    let most = ask(&every_other(RANGES_MAX));
    assert_eq!((most.status, parts(&most).len()), (206, RANGES_MAX));
    assert_eq!(ask(&every_other(RANGES_MAX + 1)).status, 200);
    assert_eq!(ask(&format!("bytes={}", "0-,".repeat(RANGES_MAX + 1))).status, 200);
    assert_eq!(ask(&format!("bytes={}", "999-,".repeat(RANGES_MAX + 1))).status, 200);
}

#[test]
fn ranges_are_for_one_field_of_a_get() {
    let site = Site::new(&[("a.txt", "abc")]);
    let twice = fields(&["Range: bytes=0-0", "Range: bytes=1-1"]);
    assert_eq!(get_with(&site.folder(), "/a.txt", &twice).brief(), "200 abc");

    let headers = fields(&["Range: bytes=0-0"]);
    let method = http::Method::HEAD;
    let ask = ropewalk_http::files::Ask::new(&method, "/a.txt", &headers, super::site::now());
    let answer = site.folder().plan(&ask);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-length"], "3");
    assert_eq!(answer.headers["accept-ranges"], "bytes");
}

#[test]
fn a_boundary_is_not_to_be_guessed() {
    let site = Site::new(&[("a.txt", LETTERS)]);
    let boundary = || {
        let headers = fields(&["Range: bytes=0-0,5-5"]);
        get_with(&site.folder(), "/a.txt", &headers).field("content-type").to_owned()
    };
    assert_ne!(boundary(), boundary(), "each folder has its own");
}

/// A file too large for memory, with a different byte at every place nearby.
fn large() -> (Site, Vec<u8>) {
    let site = Site::new(&[("a.txt", "")]);
    let bytes: Vec<u8> = (0..=SMALL_MAX as u32).flat_map(u32::to_be_bytes).collect();
    let mut file = File::create(site.path("a.txt")).expect("a file");
    file.write_all(&bytes).expect("space for the file");
    site.touch("a.txt", super::site::CHANGED);
    (site, bytes)
}

#[test]
fn small_parts_of_large_files_are_in_memory() {
    let (site, bytes) = large();
    let ask =
        |range: &str| get_with(&site.folder(), "/a.txt", &fields(&[&format!("Range: {range}")]));
    let small = ask(&format!("bytes=1-{SMALL_MAX}"));
    assert!(!small.is_streamed);
    assert_eq!(small.body, bytes[1..=SMALL_MAX as usize]);
    let large = ask(&format!("bytes=0-{SMALL_MAX}"));
    assert!(large.is_streamed);
    assert_eq!(large.body, bytes[..=SMALL_MAX as usize]);
}

proptest! {
    /// That lengths are right and parts within the file is checked with every answer.
    #[test]
    fn random_ranges_tell_the_truth(range in range_field()) {
        let (site, bytes) = large();
        let reply = get_with(&site.folder(), "/a.txt", &fields(&[&format!("Range: {range}")]));
        match reply.status {
            206 if reply.headers.contains_key("content-range") => {
                let place = reply.field("content-range").strip_prefix("bytes ").expect("bytes");
                prop_assert_eq!(&reply.body, &bytes[span(place)]);
            }
            206 => {
                let parts = parts(&reply);
                prop_assert!((2..=RANGES_MAX).contains(&parts.len()));
                let sent: usize = parts.iter().map(|(_, body)| body.len()).sum();
                prop_assert!(sent <= bytes.len());
                for (place, body) in parts {
                    prop_assert_eq!(&body, &bytes[span(&place)]);
                }
            }
            200 => prop_assert_eq!(&reply.body, &bytes),
            status => prop_assert_eq!(status, 416),
        }
    }
}

fn range_field() -> impl Strategy<Value = String> {
    let length = 4 * (SMALL_MAX + 1);
    let number = prop_oneof![
        4 => 0..length + 3,
        2 => length - 3..length + 3,
        2 => 0..5u64,
        1 => Just(u64::MAX),
    ];
    let text =
        prop_oneof![9 => number.prop_map(|number| number.to_string()), 2 => Just(String::new())];
    let spec = (text.clone(), text).prop_map(|(first, last)| format!("{first}-{last}"));
    let spec = prop_oneof![30 => spec, 1 => "[ -~]{0,6}"];
    prop::collection::vec(spec, 1..20).prop_map(|specs| format!("bytes={}", specs.join(",")))
}
