//! curl, which says what it thinks of a server.

use std::fs::File;
use std::process::{Command, Stdio};

use ropewalk_interop::tool;

use crate::server::{Server, large, sum};

struct Said {
    out: Vec<u8>,
    /// What it told of its work, with `-v`.
    told: String,
}

impl Said {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("text")
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(tool("curl"));
    // No proxy of this machine has a say in it.
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]).args(words);
    command.stdin(Stdio::null());
    command
}

#[track_caller]
fn run(command: &mut Command) -> Said {
    let output = command.output().expect("curl runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {told}", output.status);
    Said { out: output.stdout, told }
}

#[track_caller]
fn curl(words: &[&str]) -> Said {
    run(&mut command(words))
}

#[test]
fn two_pages_come_over_one_connection() {
    let server = Server::start();
    let (one, two) = (server.url("/hello"), server.url("/files/hello.txt"));
    let said = curl(&["--write-out", "%{http_code} %{num_connects}\n", &one, &two]);
    assert_eq!(said.text(), "hello, world\n200 1\nhello, file\n200 0\n");
}

#[test]
fn a_large_file_comes_whole_and_in_ranges() {
    let server = Server::start();
    let (url, content) = (server.url("/files/large.bin"), large());
    assert!(curl(&[&url]).out == content);
    assert!(curl(&["--range", "1000-2999999", &url]).out == content[1000..3_000_000]);
    assert!(curl(&["--range", "-321", &url]).out == content[content.len() - 321..]);

    let part = server.folder.path().join("part");
    std::fs::write(&part, &content[..1_234_567]).expect("a file");
    let out = part.to_str().expect("a plain path");
    curl(&["--continue-at", "-", "--output", out, &url]);
    assert!(std::fs::read(&part).expect("the file") == content);
}

#[test]
fn head_tells_what_get_would_bring() {
    let server = Server::start();
    let said = curl(&["--head", &server.url("/files/large.bin"), &server.url("/hello")]);
    let lengths: Vec<_> =
        said.text().lines().filter_map(|line| line.strip_prefix("content-length: ")).collect();
    assert_eq!(lengths, [large().len().to_string().as_str(), "13"]);
}

#[test]
fn a_page_that_has_not_changed_is_not_sent_again() {
    let server = Server::start();
    let url = server.url("/files/hello.txt");
    let tag = server.folder.path().join("tag");
    let tag = tag.to_str().expect("a plain path");
    let status = ["--write-out", "%{http_code}", &url];
    let first = curl(&[&["--etag-save", tag][..], &status].concat());
    assert_eq!(first.text(), "hello, file\n200");
    let second = curl(&[&["--etag-compare", tag][..], &status].concat());
    assert_eq!(second.text(), "304");
    let path = server.folder.path().join("hello.txt");
    let dated =
        curl(&[&["--time-cond", path.to_str().expect("a plain path")][..], &status].concat());
    assert_eq!(dated.text(), "304");
}

#[test]
fn a_large_body_is_sent_once_the_server_asks_for_it() {
    let server = Server::start();
    let from = format!("@{}", server.folder.path().join("large.bin").display());
    let words = ["--verbose", "--header", "Expect: 100-continue", "--expect100-timeout", "30"];
    let url = server.url("/sum");
    let said = curl(&[&words[..], &["--data-binary", &from, &url]].concat());
    assert_eq!(said.text(), format!("{} {}\n", large().len(), sum(&large())));
    assert!(said.told.contains("100 Continue"), "{}", said.told);
}

#[test]
fn a_body_of_unknown_length_is_sent_in_chunks() {
    let server = Server::start();
    let file = File::open(server.folder.path().join("large.bin")).expect("a file");
    let url = server.url("/sum");
    let mut command = command(&["--verbose", "--upload-file", "-", "--request", "POST", &url]);
    let said = run(command.stdin(file));
    assert_eq!(said.text(), format!("{} {}\n", large().len(), sum(&large())));
    assert!(said.told.contains("Transfer-Encoding: chunked"), "{}", said.told);
}

#[test]
fn a_body_that_nobody_wants_costs_the_client_no_answer() {
    let server = Server::start();
    let from = format!("@{}", server.folder.path().join("large.bin").display());
    let url = server.url("/careless");
    let status = ["--write-out", "%{http_code}", &url];
    let said = curl(
        &[&["--data-binary", &from, "--header", "Expect: 100-continue"][..], &status].concat(),
    );
    assert_eq!(said.text(), "I do not listen\n200");
    let said = curl(&[&["--data-binary", "short"][..], &status].concat());
    assert_eq!(said.text(), "I do not listen\n200");
}

#[test]
fn the_old_version_is_spoken() {
    let server = Server::start();
    let (one, two) = (server.url("/hello"), server.url("/files/large.bin"));
    let said = curl(&["--http1.0", "--write-out", "%{num_connects}\n", &one]);
    assert_eq!(said.text(), "hello, world\n1\n");
    assert!(curl(&["--http1.0", &two]).out == large());
}

#[test]
fn errors_are_errors() {
    let server = Server::start();
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];
    let check = |words: &[&str], path: &str, expected: &str| {
        let url = server.url(path);
        let said = curl(&[words, &status, &["--path-as-is", &url]].concat());
        assert_eq!(said.text(), expected, "{path}");
    };
    check(&[], "/nowhere", "404");
    check(&[], "/files/../../etc/passwd", "404");
    check(&["--request", "DELETE"], "/files/hello.txt", "405");
    check(&["--header", "Host:"], "/hello", "400");
    check(&["--header", "Content-Length: x"], "/hello", "400");
    let long = format!("/{}", "x".repeat(9000));
    check(&[], &long, "414");
}

#[test]
fn the_same_pages_come_by_http2() {
    const HTTP2: &str = "--http2-prior-knowledge";
    let server = Server::start();
    // One a call: curl 7.88 fails at the second request of a connection without TLS, with nginx too.
    for (path, expected) in [("/hello", "hello, world\n"), ("/files/hello.txt", "hello, file\n")] {
        let said = curl(&[HTTP2, "--write-out", "%{http_version}\n", &server.url(path)]);
        assert_eq!(said.text(), format!("{expected}2\n"));
    }

    let (url, content) = (server.url("/files/large.bin"), large());
    assert!(curl(&[HTTP2, &url]).out == content);
    assert!(curl(&[HTTP2, "--range", "1000-2999999", &url]).out == content[1000..3_000_000]);
    let said = curl(&[HTTP2, "--head", &url]);
    assert!(said.text().contains(&format!("content-length: {}\r\n", content.len())));

    // Many windows of it.
    let part = server.folder.path().join("part");
    std::fs::write(&part, &content).expect("a file");
    let data = format!("@{}", part.display());
    let said = curl(&[HTTP2, "--data-binary", &data, &server.url("/sum")]);
    assert_eq!(said.text(), format!("{} {}\n", content.len(), sum(&content)));
}
