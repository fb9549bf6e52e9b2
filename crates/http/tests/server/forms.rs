//! Forms, in fields and in parts.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_deferred::Deferred;
use ropewalk_http::form::{
    FIELDS_LENGTH_MAX, FIELDS_MAX, Fields, FormData, FormError, FormLimits, Multipart,
    MultipartDecoder, MultipartPiece, PART_HEAD_MAX,
};
use ropewalk_http::{IntoReply as _, Request, Resource, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, ClockThreads, Cut};

use crate::client::{Client, get, head};

const TYPE: &str = "multipart/form-data; boundary=xYz";

/// What browsers and curl send for two fields and a file.
const FORM: &str = "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n\
    --xYz\r\nContent-Disposition: form-data; name=\"b%22\"\r\n\r\n\r\n\
    --xYz\r\ncontent-disposition: form-data; name=\"f\"; filename=\"x y.txt\"\r\n\
    Content-Type: text/plain\r\n\r\n\r\n--xY\r\r\n--xYno\r\n\r\n--xYz--\r\n";

fn post_as(content_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = format!("Content-Length: {}", body.len());
    let content_type = format!("Content-Type: {content_type}");
    [&head("POST / HTTP/1.1", &[&length, &content_type])[..], body].concat()
}

/// What comes of a form that is cut so: a line for each part, or why there is none.
fn parts(content_type: &str, pieces: &[&[u8]]) -> Result<Vec<String>, FormError> {
    let mut decoder = MultipartDecoder::new(content_type.as_bytes())?;
    let (mut lines, mut data) = (Vec::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        while let Some(piece) = decoder.next()? {
            match piece {
                MultipartPiece::Begin(head) => {
                    let kind = head.content_type.map_or("-".to_owned(), |kind| format!("{kind:?}"));
                    lines.push(format!("{} {:?} {kind}", head.name, head.file_name));
                }
                MultipartPiece::Data(bytes) => data.extend_from_slice(&bytes),
                MultipartPiece::End => {
                    lines.push(std::mem::take(&mut data).escape_ascii().to_string());
                }
                _ => unreachable!("a piece of another kind"),
            }
        }
    }
    decoder.finish()?;
    Ok(lines)
}

#[test]
fn however_a_form_is_cut_its_parts_are_the_same() {
    let expected = [
        "a None -",
        "one",
        "b\" None -",
        "",
        "f Some(\"x y.txt\") \"text/plain\"",
        r"\r\n--xY\r\r\n--xYno\r\n",
    ];
    for form in [FORM.to_owned(), format!("a preamble\r\n{FORM}and\r\n--xYz\r\nwhat follows")] {
        for cut in Cut::all() {
            assert_eq!(parts(TYPE, &cut.cut(form.as_bytes())).unwrap(), expected, "{cut:?}");
        }
        for end in 0..form.find("--xYz--").unwrap() + 7 {
            let cut_short = parts(TYPE, &[&form.as_bytes()[..end]]);
            assert_eq!(cut_short, Err(FormError::CutShort), "after {end} bytes");
        }
    }
    assert_eq!(parts(TYPE, &[b"--xYz--"]).unwrap(), [""; 0]);
    assert_eq!(parts(TYPE, &[FORM.replace("--xYz\r", "--xYz \t\r").as_bytes()]).unwrap(), expected);
}

#[test]
fn what_breaks_a_rule_is_told() {
    let part = |fields: &str| format!("--xYz\r\n{fields}\r\n\r\nx\r\n--xYz--");
    let named = "Content-Disposition: form-data; name=a";
    let long = format!("{named}\r\nX: {}", "x".repeat(PART_HEAD_MAX));
    let crowded = format!("{named}{}", "\r\nX: y".repeat(16));
    for (form, told) in [
        (part("Content-Type: text/plain"), "no Content-Disposition"),
        (part("Content-Disposition: attachment; name=a"), "no Content-Disposition"),
        (part("Content-Disposition: form-data"), "has no name"),
        (part("Content-Disposition: form-data; name=\"a"), "has no name"),
        (part("no field"), "are no fields"),
        (part(&long), "is too long"),
        (part(&crowded), "too many fields"),
        ("--xYz\r\n\r\nx\r\n--xYz--".to_owned(), "no Content-Disposition"),
        ("--xYzz\r\n".to_owned(), "not followed by its line's end"),
        ("--xYz\nContent".to_owned(), "not followed by its line's end"),
        ("--xYz -\r\n".to_owned(), "not followed by its line's end"),
        (format!("--xYz{}\r\n", " ".repeat(80)), "not followed by its line's end"),
        (
            format!(
                "--xYz{}",
                "\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--xYz"
                    .repeat(FIELDS_MAX + 1)
            ),
            "more than 1000 fields",
        ),
    ] {
        let whole = parts(TYPE, &[form.as_bytes()]).expect_err(told);
        assert!(whole.to_string().contains(told), "{whole}: {told}");
        let bytes: Vec<_> = form.as_bytes().chunks(1).collect();
        assert_eq!(parts(TYPE, &bytes), Err(whole));
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    for content_type in
        ["multipart/form-data", "multipart/form-data; boundary=", "a; boundary=\"x\u{e9}\"", &long]
    {
        assert!(parts(content_type, &[]).unwrap_err().to_string().contains("no boundary"));
    }
}

proptest! {
    #[test]
    fn what_is_put_together_comes_apart_again(
        data in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-xYza".to_vec()), 0..40), 0..6),
        seed in any::<u64>(),
    ) {
        let delimiter = "\r\n--xYz";
        let kept: Vec<_> = data.iter().filter(|data| {
            !String::from_utf8_lossy(data).contains("\n--xYz")
        }).collect();
        let mut form = String::new();
        for data in &kept {
            form += delimiter;
            form += "\r\nContent-Disposition: form-data; name=n\r\n\r\n";
            form += std::str::from_utf8(data).unwrap();
        }
        form += delimiter;
        form += "--";
        let found = parts(TYPE, &Cut::Random(seed).cut(form.as_bytes())).unwrap();
        let expected: Vec<_> = kept.iter().flat_map(|data| {
            ["n None -".to_owned(), data.escape_ascii().to_string()]
        }).collect();
        prop_assert_eq!(found, expected);
    }
}

/// The sum of what came, part by part.
fn streamed(request: Request) -> Deferred<String> {
    fn go_on(mut form: Multipart, mut seen: String) -> Deferred<String> {
        form.next_piece().add_callback(move |piece| {
            match piece {
                Some(MultipartPiece::Begin(head)) => seen.extend([&head.name, "="]),
                Some(MultipartPiece::Data(data)) => seen += &String::from_utf8_lossy(&data),
                Some(_) => seen += ";",
                None => return Deferred::succeed(seen),
            }
            go_on(form, seen)
        })
    }
    match Multipart::of(request) {
        Ok(form) => go_on(form, String::new()),
        Err(error) => Deferred::fail(error),
    }
}

#[test]
fn parts_come_as_the_client_sends_them() {
    let mut client = Client::new(streamed);
    let request = post_as(TYPE, FORM);
    let expected = "a=one;b\"=;f=\r\n--xY\r\r\n--xYno\r\n;";
    assert_eq!(client.ask(&request).text(), expected);
    client.memory.push_in_pieces(&request, 1);
    assert_eq!(client.answer().text(), expected);
    let many = "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n".repeat(FIELDS_MAX);
    let answer = client.ask(post_as(TYPE, format!("{many}--xYz--")));
    assert_eq!(answer.text(), "a=b;".repeat(FIELDS_MAX));
}

#[test]
fn clients_are_told_what_was_wrong_with_their_forms() {
    let mut client = Client::new(streamed);
    for (content_type, body, status) in [
        ("text/plain", FORM, 415),
        ("multipart/form-data", FORM, 400),
        (TYPE, "--xYz\r\nX: y\r\n\r\n", 400),
        (TYPE, &FORM[..40], 400),
    ] {
        assert_eq!(client.ask(post_as(content_type, body)).status, status, "{content_type} {body}");
    }
    assert_eq!(client.ask(post_as(TYPE, FORM)).status, 200, "the connection goes on");
}

fn shown(fields: &Fields) -> String {
    fields.iter().flat_map(|(name, value)| [name, "=", value, ";"]).collect()
}

#[test]
fn fields_are_read_as_browsers_write_them() {
    let query = |request: Request| Fields::of_query(&request).map(|fields| shown(&fields));
    let mut client = Client::new(query);
    assert_eq!(
        client.ask(get("/?a=1&b=x+y&a=%C3%A9%FF&=&c&&d=e=f")).text(),
        "a=1;b=x y;a=é\u{fffd};=;c=;d=e=f;"
    );
    assert_eq!(client.ask(get("/")).text(), "");
    let many = format!("/?{}", "a&".repeat(FIELDS_MAX + 1));
    assert_eq!(client.ask(get(&many)).status, 413);
    let fields = Fields::parse(b"a=1&a=2").unwrap();
    assert_eq!((fields.get("a"), fields.get("b")), (Some("1"), None));
    assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn fields_in_a_body_are_bounded_and_typed() {
    let body = |request: Request| Fields::read(request).map(|fields| shown(&fields));
    let mut client = Client::new(body);
    let kind = "application/x-www-form-urlencoded";
    assert_eq!(client.ask(post_as(kind, "a=b&c=d")).text(), "a=b;c=d;");
    let with = "Application/X-WWW-Form-Urlencoded ; charset=utf-8";
    assert_eq!(client.ask(post_as(with, "a=b")).text(), "a=b;");
    assert_eq!(client.ask(post_as("application/json", "a=b")).status, 415);
    assert_eq!(client.ask(get("/")).status, 415);
    assert_eq!(client.ask(post_as(kind, vec![b'a'; FIELDS_LENGTH_MAX])).status, 200);
    assert_eq!(client.ask(post_as(kind, vec![b'a'; FIELDS_LENGTH_MAX + 1])).status, 413);
}

/// A folder that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-forms-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a new folder");
        Self(path)
    }

    fn count(&self) -> usize {
        fs::read_dir(&self.0).expect("it is there").count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn keeping(folder: PathBuf, clock: &Clock, limits: FormLimits) -> impl Resource {
    let clock = clock.clone();
    move |request: Request| {
        let threads = ClockThreads::new(&clock, Duration::from_millis(1));
        let kept = folder.join("kept");
        FormData::read(request, limits, folder.clone(), threads)
            .add_callback(move |mut data| {
                let mut told = shown(&data.fields);
                for file in &data.files {
                    told.extend([
                        file.name(),
                        " ",
                        file.file_name(),
                        " ",
                        &file.len().to_string(),
                        ";",
                    ]);
                }
                let kept = data.files.pop().map(|file| file.keep(kept)).transpose();
                kept.map(|_| told)
            })
            .into_reply()
    }
}

#[test]
fn files_are_on_disk_until_they_are_dropped() {
    let (scratch, clock) = (Scratch::new(), Clock::new());
    let site = Site::new(keeping(scratch.0.clone(), &clock, FormLimits::default()));
    let mut client = Client::of(&site, &clock);
    let other = "--xYz\r\nContent-Disposition: form-data; name=g; filename=g\r\n\r\n12345\r\n";
    let form = format!("{other}{FORM}");
    client.send(post_as(TYPE, &form)).advance(Duration::from_millis(20));
    assert_eq!(client.answer().text(), "a=one;b\"=;g g 5;f x y.txt 17;");
    assert_eq!(fs::read(scratch.0.join("kept")).unwrap(), b"\r\n--xY\r\r\n--xYno\r\n");
    assert_eq!(scratch.count(), 1, "what was not kept is gone");
    // There is one of that name already.
    client.send(post_as(TYPE, &form)).advance(Duration::from_millis(20));
    assert_eq!(client.answer().status, 500);
    assert_eq!(scratch.count(), 1);
}

#[test]
fn what_is_too_much_is_refused_and_leaves_nothing() {
    let (scratch, clock) = (Scratch::new(), Clock::new());
    let file = "--xYz\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n12345\r\n";
    let field = "--xYz\r\nContent-Disposition: form-data; name=a\r\n\r\n12345\r\n";
    let mut limits = FormLimits::default();
    (limits.fields, limits.file, limits.files) = (8, 4, 1);
    for (form, limits) in [
        (file.to_owned(), limits),
        (format!("{field}{field}"), limits),
        (format!("{file}{file}"), {
            limits.file = 5;
            limits
        }),
    ] {
        let site = Site::new(keeping(scratch.0.clone(), &clock, limits));
        let mut client = Client::of(&site, &clock);
        client.send(post_as(TYPE, format!("{form}--xYz--"))).advance(Duration::from_millis(20));
        assert_eq!(client.answer().status, 413, "{form}");
        assert_eq!(scratch.count(), 0);
    }
}

#[test]
fn a_client_that_goes_leaves_no_file() {
    let (scratch, clock) = (Scratch::new(), Clock::new());
    let site = Site::new(keeping(scratch.0.clone(), &clock, FormLimits::default()));
    let mut client = Client::of(&site, &clock);
    let request = post_as(TYPE, FORM);
    client.send(&request[..request.len() - 20]).advance(Duration::from_millis(20));
    assert_eq!(scratch.count(), 1, "it is being written");
    client.memory.lose(Disconnect::Aborted);
    client.advance(Duration::from_millis(20));
    assert_eq!(scratch.count(), 0);
}
