//! Validators and preconditions (RFC 9110, 8.8 and 13).

use std::time::{Duration, UNIX_EPOCH};

use http::Method;
use ropewalk_http::files::Ask;

use super::site::{CHANGED, NOW, Reply, Site, fields, get, get_with};

/// One second before the file was changed, that second, and the next.
const BEFORE: &str = "Sun, 31 Dec 2023 23:59:59 GMT";
const SAME: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const AFTER: &str = "Mon, 01 Jan 2024 00:00:01 GMT";

/// Asks for `abc` under the conditions in `lines`, where `TAG` is the file's tag and `BEFORE`,
/// `SAME` and `AFTER` are dates.
#[track_caller]
fn check(lines: &[&str], expected: &str) {
    let site = Site::new(&[("a.txt", "abc")]);
    let folder = site.folder();
    let first = get(&folder, "/a.txt");
    let tag = first.field("etag");
    let lines: Vec<String> = lines
        .iter()
        .map(|line| line.replace("TAG", tag).replace("BEFORE", BEFORE))
        .map(|line| line.replace("SAME", SAME).replace("AFTER", AFTER))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let reply = get_with(&folder, "/a.txt", &fields(&lines));
    let told = if reply.status == 206 { format!("206 {}", reply.text()) } else { reply.brief() };
    assert_eq!(told, expected, "{lines:?}");
    if reply.status == 304 {
        assert_eq!(reply.field("etag"), tag);
        assert!(!reply.headers.contains_key("content-type"));
    }
}

#[test]
fn a_file_has_validators() {
    let site = Site::new(&[("a.txt", "abc")]);
    let reply = get(&site.folder(), "/a.txt");
    assert_eq!(reply.field("last-modified"), SAME);
    let tag = reply.field("etag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
    assert_eq!(get(&site.folder(), "/a.txt").field("etag"), tag);

    site.file("a.txt", "abcd");
    let longer = get(&site.folder(), "/a.txt").field("etag").to_owned();
    assert_ne!(longer, tag);
    site.file("a.txt", "wxyz");
    let same_length_and_time = get(&site.folder(), "/a.txt").field("etag").to_owned();
    assert_ne!(same_length_and_time, longer);
    std::fs::copy(site.path("a.txt"), site.path("b.txt")).expect("a copy");
    site.touch("b.txt", CHANGED);
    assert_ne!(get(&site.folder(), "/b.txt").field("etag"), same_length_and_time);
}

#[test]
fn a_tag_is_weak_while_the_file_is_new() {
    let site = Site::new(&[("a.txt", "abc")]);
    let folder = site.folder();
    let ask = |age: Duration, lines: &[&str]| {
        let headers = fields(lines);
        let now = UNIX_EPOCH + CHANGED + age;
        Reply::of(folder.plan(&Ask::new(&Method::GET, "/a.txt", &headers, now)))
    };
    let strong = ask(Duration::from_secs(2), &[]).field("etag").to_owned();
    let weak = ask(Duration::from_millis(1999), &[]).field("etag").to_owned();
    assert_eq!(weak, format!("W/{strong}"));
    let young = Duration::from_secs(1);
    assert_eq!(ask(young, &[&format!("If-None-Match: {weak}")]).status, 304);
    assert_eq!(ask(young, &[&format!("If-None-Match: {strong}")]).status, 304);
    assert_eq!(ask(young, &[&format!("If-Match: {strong}")]).status, 412);
    for validator in [&weak, &strong, SAME] {
        let lines = [&format!("If-Range: {validator}"), "Range: bytes=0-0"];
        assert_eq!(ask(young, &lines).status, 200, "{validator}");
    }
}

#[test]
fn dates_that_cannot_be_told_are_left_out() {
    let site = Site::new(&[("a.txt", "abc")]);
    let told = |changed: Duration| {
        site.touch("a.txt", changed);
        get(&site.folder(), "/a.txt").field("last-modified").to_owned()
    };
    assert_eq!(told(Duration::ZERO), "Thu, 01 Jan 1970 00:00:00 GMT");
    let in_the_future = told(Duration::from_secs(4_000_000_000));
    assert_eq!(in_the_future, httpdate::fmt_http_date(UNIX_EPOCH + NOW));

    let file = std::fs::File::options().write(true).open(site.path("a.txt")).expect("a file");
    file.set_modified(UNIX_EPOCH - Duration::from_secs(1)).expect("a file that can be touched");
    let before = get(&site.folder(), "/a.txt");
    assert_eq!((before.status, before.field("last-modified")), (200, ""));
    let headers = fields(&["If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"]);
    assert_eq!(get_with(&site.folder(), "/a.txt", &headers).status, 200);
}

#[test]
fn if_none_match() {
    check(&["If-None-Match: TAG"], "304");
    check(&["If-None-Match: W/TAG"], "304");
    check(&["If-None-Match: *"], "304");
    check(&["If-None-Match: \"x\""], "200 abc");
    check(&["If-None-Match: \"x\", TAG"], "304");
    check(&["If-None-Match: \"x\",TAG,\"y\""], "304");
    check(&["If-None-Match: \"a,b\", W/\"\" , ,TAG"], "304");
    check(&["If-None-Match: \"x\"", "If-None-Match: TAG"], "304");
    check(&["If-None-Match: x"], "200 abc");
    check(&["If-None-Match: TAGx"], "200 abc");
    check(&["If-None-Match: \"x\" TAG"], "200 abc");
    check(&["If-None-Match: \"x, TAG"], "200 abc");
    check(&["If-None-Match: w/TAG"], "200 abc");
    check(&["If-None-Match: **"], "200 abc");
}

#[test]
fn if_modified_since() {
    check(&["If-Modified-Since: BEFORE"], "200 abc");
    check(&["If-Modified-Since: SAME"], "304");
    check(&["If-Modified-Since: AFTER"], "304");
    check(&["If-Modified-Since: Monday, 01-Jan-24 00:00:00 GMT"], "304");
    check(&["If-Modified-Since: Mon Jan  1 00:00:00 2024"], "304");
    check(&["If-Modified-Since: 2024-01-01"], "200 abc");
    check(&["If-Modified-Since: AFTER", "If-Modified-Since: AFTER"], "200 abc");
    check(&["If-Modified-Since: AFTER", "If-None-Match: \"x\""], "200 abc");
    check(&["If-Modified-Since: BEFORE", "If-None-Match: TAG"], "304");
}

#[test]
fn if_match() {
    check(&["If-Match: TAG"], "200 abc");
    check(&["If-Match: *"], "200 abc");
    check(&["If-Match: \"x\", TAG"], "200 abc");
    check(&["If-Match: \"x\""], "412");
    check(&["If-Match: W/TAG"], "412");
    check(&["If-Match: x"], "412");
    check(&["If-Match: "], "412");
    check(&["If-Match: TAG", "If-None-Match: TAG"], "304");
    check(&["If-Match: \"x\"", "If-None-Match: TAG"], "412");
}

#[test]
fn if_unmodified_since() {
    check(&["If-Unmodified-Since: BEFORE"], "412");
    check(&["If-Unmodified-Since: SAME"], "200 abc");
    check(&["If-Unmodified-Since: AFTER"], "200 abc");
    check(&["If-Unmodified-Since: yesterday"], "200 abc");
    check(&["If-Unmodified-Since: BEFORE", "If-Match: TAG"], "200 abc");
    check(&["If-Unmodified-Since: AFTER", "If-Modified-Since: AFTER"], "304");
    check(&["If-Unmodified-Since: BEFORE", "If-Modified-Since: AFTER"], "412");
}

#[test]
fn if_range() {
    check(&["Range: bytes=1-1", "If-Range: TAG"], "206 b");
    check(&["Range: bytes=1-1", "If-Range: W/TAG"], "200 abc");
    check(&["Range: bytes=1-1", "If-Range: \"x\""], "200 abc");
    check(&["Range: bytes=1-1", "If-Range: SAME"], "206 b");
    check(&["Range: bytes=1-1", "If-Range: BEFORE"], "200 abc");
    check(&["Range: bytes=1-1", "If-Range: AFTER"], "200 abc");
    check(&["Range: bytes=1-1", "If-Range: *"], "200 abc");
    check(&["Range: bytes=1-1", "If-Range: TAG", "If-Range: TAG"], "200 abc");
    check(&["Range: bytes=9-9", "If-Range: TAG"], "416");
    check(&["Range: bytes=9-9", "If-Range: \"x\""], "200 abc");
    check(&["If-Range: TAG"], "200 abc");
    check(&["Range: bytes=1-1", "If-None-Match: TAG"], "304");
    check(&["Range: bytes=9-9", "If-None-Match: TAG"], "304");
    check(&["Range: bytes=1-1", "If-Match: \"x\""], "412");
    check(&["Range: bytes=1-1", "If-Match: TAG"], "206 b");
}

#[test]
fn what_does_not_exist_meets_no_condition() {
    let site = Site::new(&[("a.txt", "abc"), ("dir/b.txt", "b")]);
    let status =
        |target: &str, line: &str| get_with(&site.folder(), target, &fields(&[line])).status;
    assert_eq!(status("/none", "If-Match: *"), 404);
    assert_eq!(status("/none", "If-None-Match: *"), 404);
    assert_eq!(status("/dir", "If-Match: \"x\""), 308);
    assert_eq!(status("/dir/", "If-Match: \"x\""), 412);
    assert_eq!(status("/dir/", "If-Match: *"), 200);
    assert_eq!(status("/dir/", "If-None-Match: \"x\""), 200);
    assert_eq!(status("/dir/", "If-None-Match: *"), 304);
    assert_eq!(status("/dir/", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"), 200);
    assert_eq!(status("/dir/", "Range: bytes=0-0"), 200);
}
