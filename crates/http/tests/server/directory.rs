//! Folders on a connection.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_http::files::{Folder, SMALL_MAX};
use ropewalk_http::{Directory, Router, Site, Tree};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::{Clock, LaterThreads};

use crate::client::{Client, filler, get, head, post, secs, site, wall_clock};

/// A folder that goes with the test.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-directory-{}-{number}", std::process::id());
        let files_at = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&files_at.0).expect("a folder");
        for (name, content) in files {
            let path = files_at.0.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        files_at
    }

    fn directory(&self, threads: &LaterThreads) -> Directory {
        let folder = Folder::new(&self.0).expect("an absolute path");
        Directory::new(folder, threads.clone()).wall_clock(wall_clock)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes that tell their place.
fn numbered(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 256 + index) as u8).collect()
}

struct Stage {
    threads: LaterThreads,
    client: Client,
    files: Files,
}

impl Stage {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let (files, threads) = (Files::new(files), LaterThreads::new());
        let client = Client::new(files.directory(&threads));
        Self { threads, client, files }
    }

    /// Where nothing is done without a thread.
    fn in_threads(files: &[(&str, &[u8])]) -> Self {
        let (files, threads) = (Files::new(files), LaterThreads::new());
        let client = Client::new(files.directory(&threads).threads_only());
        Self { threads, client, files }
    }

    /// Lets threads and connection work until neither has anything to do.
    fn settle(&mut self) {
        self.client.memory.run();
        while self.threads.do_one() {
            self.client.memory.run();
        }
    }

    #[track_caller]
    fn ask(&mut self, bytes: impl AsRef<[u8]>) -> crate::client::Answer {
        self.client.send(bytes);
        self.settle();
        self.client.answer()
    }
}

#[test]
fn a_small_file_is_read_in_a_thread() {
    let mut stage = Stage::new(&[("a.txt", b"hello"), ("b.html", b"<p>")]);
    stage.client.send(get("/a.txt")).assert_silent();
    assert_eq!(stage.threads.pending(), 1);
    stage.settle();
    let answer = stage.client.answer();
    assert_eq!((answer.status, answer.text()), (200, "hello"));
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(stage.ask(get("/nowhere")).status, 404);
    assert_eq!(stage.ask(get("/../a.txt")).status, 404);
    assert_eq!(stage.ask(get("/b.html")).text(), "<p>");
    stage.client.assert_open();
}

#[test]
fn a_large_file_comes_in_windows_that_a_thread_made_ready() {
    let content = numbered(3 * 1024 * 1024 + 17);
    let mut stage = Stage::in_threads(&[("large", &content)]);
    stage.client.send(get("/large"));
    let mut jobs = 0;
    while stage.threads.do_one() {
        stage.client.memory.run();
        jobs += 1;
    }
    assert_eq!(jobs, 1 + 4, "one to open it, one for each window");
    let answer = stage.client.answer();
    assert_eq!(answer.field("content-length"), Some(content.len().to_string().as_str()));
    assert!(answer.body == content);
    stage.client.assert_open();
}

#[test]
fn windows_wait_for_a_client_that_does_not_take_them() {
    let content = numbered(3 * 1024 * 1024);
    let mut stage = Stage::in_threads(&[("large", &content)]);
    stage.client.memory.set_room(0);
    stage.client.send(get("/large"));
    stage.settle();
    assert_eq!(stage.threads.pending(), 0);
    assert!(stage.client.memory.sent().is_empty());
    stage.client.memory.set_room(1024 * 1024 - 64 * 1024);
    assert_eq!(stage.threads.pending(), 0, "a sixteenth of the window is left");
    stage.client.memory.set_room(64 * 1024);
    assert_eq!(stage.threads.pending(), 1);
    stage.client.memory.set_room(u64::MAX);
    stage.settle();
    assert!(stage.client.answer().body == content);
}

#[test]
fn a_file_that_shrinks_meanwhile_cuts_the_connection() {
    let content = numbered(2 * 1024 * 1024);
    let mut stage = Stage::new(&[("large", &content)]);
    stage.client.memory.set_room(0);
    stage.client.send(get("/large"));
    stage.settle();
    let path = stage.files.0.join("large");
    fs::File::options().write(true).open(path).expect("a file").set_len(10).expect("a short file");
    stage.client.memory.set_room(u64::MAX);
    stage.settle();
    assert!(matches!(stage.client.memory.ended(), Some(Disconnect::Failed(_))));
}

#[test]
fn head_and_conditions_get_no_body() {
    let content = numbered(SMALL_MAX as usize + 1);
    let mut stage = Stage::new(&[("small", b"hello"), ("large", &content)]);
    for (path, length) in [("/small", 5), ("/large", content.len())] {
        stage.client.expect_no_body();
        let answer = stage.ask(head(&format!("HEAD {path} HTTP/1.1"), &[]));
        assert_eq!(answer.field("content-length"), Some(length.to_string().as_str()));
        let tag = answer.field("etag").expect("a tag").to_owned();
        let condition = format!("If-None-Match: {tag}");
        let answer = stage.ask(head(&format!("GET {path} HTTP/1.1"), &[&condition]));
        assert_eq!(answer.status, 304);
        assert_eq!(answer.field("etag"), Some(tag.as_str()));
    }
    stage.client.assert_open();
}

#[test]
fn ranges_of_small_and_large_files_are_sent() {
    let content = numbered(2 * 1024 * 1024);
    let mut stage = Stage::new(&[("small", b"0123456789"), ("large", &content)]);
    let answer = stage.ask(head("GET /small HTTP/1.1", &["Range: bytes=2-4"]));
    assert_eq!((answer.status, answer.text()), (206, "234"));
    assert_eq!(answer.field("content-range"), Some("bytes 2-4/10"));
    let answer = stage.ask(head("GET /large HTTP/1.1", &["Range: bytes=1000-1299999"]));
    assert_eq!(answer.status, 206);
    assert!(answer.body == content[1000..1_300_000]);
    let answer = stage.ask(head("GET /large HTTP/1.1", &["Range: bytes=0-9,2000000-2000009"]));
    assert_eq!(answer.status, 206);
    let whole = &answer.body;
    for part in [&content[..10], &content[2_000_000..2_000_010]] {
        assert!(whole.windows(10).any(|bytes| bytes == part));
    }
    let answer = stage.ask(head("GET /small HTTP/1.1", &["Range: bytes=10-"]));
    assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */10")));
    stage.client.assert_open();
}

#[test]
fn a_folder_is_listed() {
    let mut stage = Stage::new(&[("folder/one.txt", b"1"), ("folder/<two>", b"2")]);
    let answer = stage.ask(get("/folder"));
    assert_eq!((answer.status, answer.field("location")), (308, Some("./folder/")));
    let answer = stage.ask(get("/folder/"));
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("one.txt"));
    assert!(answer.text().contains("&lt;two&gt;") && !answer.text().contains("<two>"));
}

#[test]
fn other_methods_are_not_for_files_and_their_bodies_are_dropped() {
    let mut stage = Stage::new(&[("a", b"hello")]);
    let answer = stage.ask(post("/a", &filler(100_000)));
    assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    assert_eq!(stage.ask(get("/a")).text(), "hello");
}

fn answers_of(site: &Site, threads: &LaterThreads, paths: &[&str]) -> Vec<(u16, String)> {
    let mut client = Client::of(site, &Clock::new());
    let mut all = Vec::new();
    for path in paths {
        client.send(get(path));
        while threads.do_one() {
            client.memory.run();
        }
        let answer = client.answer();
        let shown = answer.field("location").unwrap_or(answer.text()).to_owned();
        all.push((answer.status, shown));
    }
    all
}

#[test]
fn a_folder_stands_below_a_tree() {
    let files = Files::new(&[("index.html", b"index"), ("a/b", b"hello"), ("a/index.html", b"a")]);
    let threads = LaterThreads::new();
    let tree = Tree::new()
        .child("files", Tree::new().child("all", files.directory(&threads)))
        .otherwise(files.directory(&threads));
    let got = answers_of(
        &site(tree),
        &threads,
        &["/files/all/a/b", "/files/all/a", "/files/all/", "/files/all", "/a/b", "/"],
    );
    let expected = [
        (200, "hello"),
        (308, "./a/"),
        (200, "index"),
        (308, "./all/"),
        (200, "hello"),
        (200, "index"),
    ];
    let got: Vec<_> = got.iter().map(|(status, text)| (*status, text.as_str())).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_folder_stands_behind_a_router() {
    let files = Files::new(&[("a/b", b"hello")]);
    let threads = LaterThreads::new();
    let router = Router::new()
        .get("/hello", |_: ropewalk_http::Request| "routed")
        .otherwise(files.directory(&threads));
    let got = answers_of(&site(router), &threads, &["/hello", "/a/b"]);
    assert_eq!(got, [(200, "routed".to_owned()), (200, "hello".to_owned())]);
}

#[test]
fn files_are_answered_in_the_order_of_their_requests() {
    let content = numbered(2 * 1024 * 1024);
    let mut stage = Stage::new(&[("small", b"hello"), ("large", &content)]);
    stage.client.send([get("/large"), get("/small"), get("/nowhere")].concat());
    stage.settle();
    stage.client.advance(secs(1));
    let answers = stage.client.answers();
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 404]);
    assert_eq!(answers[1].text(), "hello");
}

/// A folder on a clock that is ahead, so that its files are no fresh ones.
fn aged(files: &Files, threads: &LaterThreads) -> Directory {
    let folder = Folder::new(files.path()).expect("an absolute path");
    let ahead = || std::time::UNIX_EPOCH + secs(4_000_000_000);
    Directory::new(folder, threads.clone()).wall_clock(ahead)
}

fn aged_stage(files: &[(&str, &[u8])]) -> Stage {
    let (files, threads) = (Files::new(files), LaterThreads::new());
    let client = Client::new(aged(&files, &threads));
    Stage { threads, client, files }
}

#[cfg(unix)]
#[test]
fn a_small_file_is_kept_as_long_as_it_does_not_change() {
    let mut stage = aged_stage(&[("a.txt", b"hello")]);
    let first = stage.ask(get("/a.txt"));
    assert_eq!((first.status, first.text()), (200, "hello"));
    let second = stage.client.send(get("/a.txt")).answer();
    assert_eq!(second.text(), "hello", "no thread had to be asked");
    assert_eq!(second.field("etag"), first.field("etag"));

    // The same length, so that its times alone tell.
    fs::write(stage.files.path().join("a.txt"), b"HELLO").expect("a file");
    assert_eq!(stage.ask(get("/a.txt")).text(), "HELLO");
    fs::rename(stage.files.path().join("a.txt"), stage.files.path().join("b")).expect("a name");
    assert_eq!(stage.ask(get("/a.txt")).status, 404);
    stage.client.assert_open();
}

#[cfg(unix)]
#[test]
fn what_is_kept_answers_requests_for_the_whole_alone() {
    let mut stage = aged_stage(&[("a.txt", b"hello")]);
    let first = stage.ask(get("/a.txt"));
    let tag = first.field("etag").expect("a tag").to_owned();
    let asked = format!("GET /a.txt HTTP/1.1\r\nHost: a\r\nIF-None-Match: {tag}\r\n\r\n");
    assert_eq!(stage.ask(asked).status, 304);
    let part = stage.ask("GET /a.txt HTTP/1.1\r\nHost: a\r\nrange: bytes=1-2\r\n\r\n");
    assert_eq!((part.status, part.text()), (206, "el"));
    assert_eq!(stage.ask(post("/a.txt", b"x")).status, 405);
    assert_eq!(stage.ask(get("/a.txt?x=1")).text(), "hello");
    stage.client.assert_open();
}

#[cfg(unix)]
#[test]
fn a_file_that_has_just_changed_is_not_kept() {
    let (files, threads) = (Files::new(&[("a.txt", b"hello")]), LaterThreads::new());
    let folder = Folder::new(files.path()).expect("an absolute path");
    let directory = Directory::new(folder, threads.clone()).wall_clock(wall_clock);
    let mut stage = Stage { client: Client::new(directory), threads, files };
    assert_eq!(stage.ask(get("/a.txt")).text(), "hello");
    stage.client.send(get("/a.txt")).assert_silent();
    stage.settle();
    assert_eq!(stage.client.answer().text(), "hello");
}

#[cfg(unix)]
#[test]
fn nothing_is_kept_where_that_was_said() {
    let (files, threads) = (Files::new(&[("a.txt", b"hello")]), LaterThreads::new());
    let mut stage =
        Stage { client: Client::new(aged(&files, &threads).threads_only()), threads, files };
    assert_eq!(stage.ask(get("/a.txt")).text(), "hello");
    stage.client.send(get("/a.txt")).assert_silent();
}

#[cfg(unix)]
#[test]
fn what_is_kept_is_bounded() {
    use ropewalk_http::files::{KEPT_BYTES_MAX, KEPT_FILES_MAX};

    let content = vec![b'x'; SMALL_MAX as usize];
    let most = KEPT_BYTES_MAX / content.len();
    assert!(most < KEPT_FILES_MAX);
    let names: Vec<_> = (0..=most).map(|index| index.to_string()).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), content.as_slice())).collect();
    let mut stage = aged_stage(&files);
    for name in &names {
        assert_eq!(stage.ask(get(&format!("/{name}"))).status, 200);
    }
    assert_eq!(stage.client.send(get("/1")).answer().status, 200, "it is still there");
    stage.client.send(get("/0")).assert_silent();
    assert_eq!(stage.threads.pending(), 1, "it was unused for longest and made room");
}

#[test]
fn a_large_file_that_is_in_memory_needs_no_thread() {
    let content = numbered(3 * 1024 * 1024 + 17);
    let mut stage = Stage::new(&[("large", &content)]);
    let answer = stage.ask(get("/large"));
    assert_eq!(answer.field("content-length"), Some(content.len().to_string().as_str()));
    assert!(answer.body == content);
    stage.client.assert_open();
}
