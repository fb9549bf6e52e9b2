//! Files that are put.

use std::fs;
use std::io::ErrorKind;

use ropewalk_http::files::{ContentRange, Folder, UploadError};
use ropewalk_http::{Limits, Site, Tree, Uploads};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, LaterThreads};

use crate::client::{Answer, Client, head, wall_clock};
use crate::directory::Files;

struct Stage {
    files: Files,
    threads: LaterThreads,
    clock: Clock,
    site: Site,
}

impl Stage {
    fn new(files: &[(&str, &[u8])], set_up: impl FnOnce(Uploads) -> Uploads) -> Self {
        let (files, threads) = (Files::new(files), LaterThreads::new());
        let folder = Folder::new(files.path()).expect("an absolute path");
        let uploads = Uploads::new(folder, threads.clone()).wall_clock(wall_clock);
        let limits = Limits { body_max: None, ..Limits::default() };
        let site = Site::new(Tree::new().child("in", set_up(uploads))).limits(limits);
        Self { files, threads, clock: Clock::new(), site: site.wall_clock(wall_clock) }
    }

    fn plain(files: &[(&str, &[u8])]) -> Self {
        Self::new(files, |uploads| uploads)
    }

    fn settle(&self, client: &mut Client) {
        client.memory.run();
        while self.threads.do_one() {
            client.memory.run();
        }
    }

    #[track_caller]
    fn ask(&self, line: &str, fields: &[&str], body: &[u8]) -> Answer {
        let mut client = Client::of(&self.site, &self.clock);
        if line.starts_with("HEAD") {
            client.expect_no_body();
        }
        let length = format!("Content-Length: {}", body.len());
        client.send(head(&format!("{line} HTTP/1.1"), &[fields, &[&length]].concat()));
        for piece in body.chunks(10_000) {
            client.memory.push(piece);
            self.settle(&mut client);
        }
        self.settle(&mut client);
        client.answer()
    }

    #[track_caller]
    fn put(&self, name: &str, fields: &[&str], body: &[u8]) -> u16 {
        self.ask(&format!("PUT /in/{name}"), fields, body).status
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.files.path().join(name)).ok()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.files.path()).expect("the folder");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 251 + place) as u8).collect()
}

#[test]
fn a_file_is_put_and_got() {
    let stage = Stage::plain(&[("there/x", b"x")]);
    let body = content(300_000);
    assert_eq!(stage.put("a%20b.bin", &[], &body), 201);
    assert_eq!(stage.read("a b.bin"), Some(body.clone()));
    assert_eq!(stage.names(), ["a b.bin", "there"]);
    assert!(stage.ask("GET /in/a%20b.bin", &[], b"").body == body);
    assert_eq!(stage.put("there/empty", &[], b""), 201);
    assert_eq!(stage.read("there/empty").as_deref(), Some(&b""[..]));
    let answer = stage.ask("OPTIONS /in/there/", &[], b"");
    assert_eq!((answer.status, answer.field("allow")), (204, Some("GET, HEAD, OPTIONS, PUT")));
    let answer = stage.ask("DELETE /in/there/x", &[], b"");
    assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, HEAD, OPTIONS, PUT")));
}

#[test]
fn what_is_there_stays_unless_it_is_said() {
    let stage = Stage::plain(&[("a", b"old"), ("folder/x", b"")]);
    assert_eq!(stage.put("a", &[], b"new"), 409);
    assert_eq!(stage.put("folder", &[], b"new"), 409);
    assert_eq!(stage.read("a").as_deref(), Some(&b"old"[..]));
    assert_eq!(stage.names(), ["a", "folder"], "nothing waits for what was refused");

    let stage = Stage::new(&[("a", b"old"), ("folder/x", b"")], |uploads| uploads.overwrite(true));
    assert_eq!(stage.put("a", &[], b"new"), 204);
    assert_eq!(stage.read("a").as_deref(), Some(&b"new"[..]));
    assert_eq!(stage.put("folder", &[], b"new"), 409);
    assert_eq!(stage.put("b", &[], b"new"), 201);
}

#[test]
fn preconditions_hold_for_what_is_put() {
    let stage = Stage::new(&[("a", b"old")], |uploads| uploads.overwrite(true));
    let tag = stage.ask("GET /in/a", &[], b"").field("etag").expect("a tag").to_owned();
    // A file that was made just now has a weak tag, which no If-Match meets.
    let tag = tag.trim_start_matches("W/").to_owned();
    assert_eq!(stage.put("a", &["If-None-Match: *"], b"new"), 412);
    assert_eq!(stage.put("a", &[&format!("If-None-Match: {tag}")], b"new"), 412);
    assert_eq!(stage.put("a", &["If-Match: \"other\""], b"new"), 412);
    assert_eq!(stage.put("b", &["If-Match: *"], b"new"), 412);
    assert_eq!(
        stage.put("a", &["If-Unmodified-Since: Thu, 01 Jan 1970 00:00:01 GMT"], b"new"),
        412
    );
    assert_eq!(stage.read("a").as_deref(), Some(&b"old"[..]));
    assert_eq!(stage.put("a", &["If-Match: *"], b"new"), 204);
    assert_eq!(stage.put("b", &["If-None-Match: *"], b"new"), 201);
    assert_eq!(stage.names(), ["a", "b"]);
}

#[test]
fn an_upload_that_broke_off_is_resumed() {
    let stage = Stage::plain(&[]);
    let body = content(100_000);
    let mut client = Client::of(&stage.site, &stage.clock);
    client.send(head("PUT /in/a HTTP/1.1", &["Content-Length: 100000"]));
    for piece in body[..40_000].chunks(8_000) {
        client.memory.push(piece);
        stage.settle(&mut client);
    }
    assert_eq!(stage.put("a", &[], b"mine"), 409, "somebody is sending it");
    client.memory.lose(Disconnect::Reset);
    stage.settle(&mut client);

    let answer = stage.ask("HEAD /in/a", &[], b"");
    assert_eq!((answer.status, answer.field("upload-offset")), (404, Some("40000")));
    assert_eq!(
        stage.ask("GET /in/.a.part", &[], b"").status,
        404,
        "what is not whole is not served"
    );
    let answer =
        stage.ask("PUT /in/a", &["Content-Range: bytes 50000-99999/100000"], &body[50_000..]);
    assert_eq!((answer.status, answer.field("upload-offset")), (409, Some("40000")));
    assert_eq!(stage.put("a", &["Content-Range: bytes 30000-99999/100000"], &body[30_000..]), 201);
    assert!(stage.read("a") == Some(body));
    assert_eq!(stage.names(), ["a"]);
    let answer = stage.ask("HEAD /in/a", &[], b"");
    assert_eq!((answer.status, answer.field("upload-offset")), (200, None));
}

#[test]
fn a_file_is_put_in_parts() {
    let stage = Stage::plain(&[]);
    let body = content(1000);
    let answer = stage.ask("PUT /in/a", &["Content-Range: bytes 0-399/1000"], &body[..400]);
    assert_eq!((answer.status, answer.field("upload-offset")), (202, Some("400")));
    let answer = stage.ask("PUT /in/a", &["Content-Range: bytes 400-899/*"], &body[400..900]);
    assert_eq!((answer.status, answer.field("upload-offset")), (202, Some("900")));
    assert_eq!(stage.put("a", &["Content-Range: bytes 900-999/1000"], &body[900..]), 201);
    assert!(stage.read("a") == Some(body));

    // One that begins anew forgets what came.
    assert_eq!(stage.put("b", &["Content-Range: bytes 0-399/1000"], &[1; 400]), 202);
    assert_eq!(stage.put("b", &[], b"whole"), 201);
    assert_eq!(stage.read("b").as_deref(), Some(&b"whole"[..]));
}

#[test]
fn ranges_and_bodies_have_to_agree() {
    let stage = Stage::plain(&[]);
    for range in [
        "bytes 0-9/5",
        "bytes 9-0/20",
        "bytes */20",
        "lines 0-9/20",
        "0-9/20",
        "bytes 0-/20",
        "bytes +0-9/20",
    ] {
        assert_eq!(stage.put("a", &[&format!("Content-Range: {range}")], &[0; 10]), 400, "{range}");
    }
    let twice = ["Content-Range: bytes 0-9/20", "Content-Range: bytes 0-9/20"];
    assert_eq!(stage.put("a", &twice, &[0; 10]), 400);
    assert_eq!(stage.put("a", &["Content-Range: bytes 0-9/10"], &[0; 9]), 400);
    assert_eq!(stage.put("a", &["Content-Range: bytes 0-9/10"], &[0; 11]), 400);
    assert_eq!(stage.put("a", &["Content-Encoding: gzip"], &[0; 9]), 400);
    assert_eq!(stage.read("a"), None);
}

#[test]
fn files_have_a_bound() {
    let stage = Stage::new(&[], |uploads| uploads.max(1000));
    assert_eq!(stage.put("a", &[], &[0; 1000]), 201);
    assert_eq!(stage.put("b", &[], &[0; 1001]), 413);
    assert_eq!(stage.put("c", &["Content-Range: bytes 0-9/1001"], &[0; 10]), 413);
    assert_eq!(stage.put("d", &["Content-Range: bytes 0-999/*"], &[0; 1000]), 202);
    assert_eq!(stage.put("d", &["Content-Range: bytes 1000-1000/*"], &[0; 1]), 413);
    assert_eq!((stage.read("b"), stage.read("c"), stage.read("d")), (None, None, None));
}

#[test]
fn a_full_disk_is_told_as_such() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
        let error = UploadError::from(std::io::Error::from(kind));
        assert_eq!(error.status(), 507, "{kind}");
    }
    assert_eq!(UploadError::from(std::io::Error::from(ErrorKind::TimedOut)).status(), 500);
}

#[test]
fn nothing_is_put_elsewhere() {
    let stage = Stage::new(&[("in/x", b"")], |uploads| uploads.overwrite(true));
    for name in [
        "../a",
        "..%2Fa",
        "%2e%2e/a",
        "a%2Fb",
        ".a",
        ".a.part",
        "in/.hidden/a",
        ".well-known/a",
        "nowhere/a",
        "a/",
        "",
        "a%00b",
        "in/x/y",
        "%2Fa",
    ] {
        assert_eq!(stage.put(name, &[], b"evil"), 409, "{name}");
    }
    assert_eq!(stage.put("a%zz", &[], b"evil"), 400);
    assert_eq!(
        stage.put(&"x".repeat(251), &[], b"long"),
        409,
        "with what it waits under it is too long"
    );
    assert_eq!(stage.names(), ["in"]);
}

#[cfg(unix)]
#[test]
fn links_lead_nobody_out() {
    use std::os::unix::fs::symlink;

    let outside = Files::new(&[("target", b"theirs")]);
    let stage = Stage::new(&[("inner/x", b"")], |uploads| uploads.overwrite(true));
    let place = |name: &str| stage.files.path().join(name);
    symlink(outside.path(), place("out")).expect("a link");
    symlink(outside.path().join("target"), place("file")).expect("a link");
    symlink(outside.path().join("made"), place(".c.part")).expect("a link");
    fs::hard_link(outside.path().join("target"), place(".d.part")).expect("a link");
    symlink("inner", place("way")).expect("a link");
    assert_eq!(stage.put("out/a", &[], b"evil"), 409);
    // The link itself is replaced, not what it leads to.
    assert_eq!(stage.put("file", &[], b"new"), 204);
    assert_eq!(stage.put("c", &[], b"evil"), 500);
    assert_eq!(stage.put("d", &[], b"evil"), 409);
    assert_eq!(fs::read(outside.path().join("target")).expect("the file"), b"theirs");
    assert_eq!(fs::read_dir(outside.path()).expect("the folder").count(), 1);
    assert_eq!(stage.put("way/a", &[], b"inside"), 201);
    assert_eq!(stage.read("inner/a").as_deref(), Some(&b"inside"[..]));
}

#[test]
fn ranges_survive_the_wire() {
    for text in ["bytes 0-0/1", "bytes 5-9/*", "bytes 0-18446744073709551613/18446744073709551614"]
    {
        let range = ContentRange::parse(text.as_bytes()).expect("a range");
        assert_eq!(range.to_string(), text);
    }
    assert!(ContentRange::parse(b"bytes 0-18446744073709551615/*").is_err());
    assert!(ContentRange::parse(b"bytes 0-18446744073709551616/*").is_err());
}
