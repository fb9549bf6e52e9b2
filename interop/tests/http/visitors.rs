//! Clients that people write programs with, at a desk that has something of everything.

use std::fs;
use std::process::{Child, Command, Stdio};

use ropewalk_interop::{TempDir, chromium, python_folder, tool};

use crate::desk::{Desk, text};
use crate::house::run;

#[track_caller]
fn said(command: &mut Command) -> String {
    let output = run(command, b"").expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {told}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn python(script: &str, desk: &Desk) -> String {
    let text = text();
    fs::write(desk.folder.path().join("expected"), &text).expect("a file");
    let mut python = Command::new(python_folder().join("bin/python3"));
    let expected = desk.folder.path().join("expected");
    said(python.args(["-c", script, &desk.url("")]).arg(expected))
}

#[test]
fn pythons_requests_is_answered() {
    const SCRIPT: &str = r#"
import io, requests, sys
base, expected = sys.argv[1], open(sys.argv[2]).read()
with requests.Session() as session:
    for coding in ["gzip", "br", "zstd", "identity"]:
        answer = session.get(base + "/text", headers={"Accept-Encoding": coding})
        assert answer.headers.get("Content-Encoding", "identity") == coding, answer.headers
        assert answer.text == expected, coding
    assert session.get(base + "/text", headers={"Accept-Encoding": "identity;q=0"}).status_code == 406
    tag = session.get(base + "/text").headers["ETag"]
    assert session.get(base + "/text", headers={"If-None-Match": tag}).status_code == 304
    part = session.get(base + "/text", headers={"Range": "bytes=3-8, 100-104"})
    assert part.status_code == 206 and b"byteranges" in part.headers["Content-Type"].encode()
    files = {"file": ("n\u00e4me.bin", io.BytesIO(bytes(300_000)))}
    print(session.post(base + "/form", data={"name": "gr\u00f6\u00dfe"}, files=files).text)
    print(session.post(base + "/count", data=(bytes(1000) for _ in range(100))).text, end="")
    import gzip
    packed = gzip.compress(bytes(500_000))
    headers = {"Content-Encoding": "gzip"}
    print(session.post(base + "/unpacked", data=packed, headers=headers).text, end="")
    assert session.post(base + "/unpacked", data=b"x", headers={"Content-Encoding": "x"}).status_code == 415
    print(session.put(base + "/in/requests.bin", data=bytes(200_000)).status_code)
    with session.get(base + "/events", stream=True) as answer:
        lines = [line for line in answer.iter_lines(decode_unicode=True) if line]
    print([line for line in lines if not line.startswith("retry")])
    assert session.get(base + "/trailers").text == "content\n"
"#;
    let desk = Desk::start();
    assert_eq!(
        python(SCRIPT, &desk),
        "name=gr\u{f6}\u{df}e file:n\u{e4}me.bin:300000\n100000\n500000\n201\n\
         ['id: 1', 'event: tick', 'data: tick 1', 'data: of many', \
         'id: 2', 'event: tick', 'data: tick 2', 'data: of many']\n"
    );
    assert_eq!(fs::read(desk.folder.path().join("requests.bin")).expect("it").len(), 200_000);
}

#[test]
fn pythons_httpx_is_answered() {
    const SCRIPT: &str = r#"
import asyncio, httpx, sys
base, expected = sys.argv[1], open(sys.argv[2]).read()
async def main():
    async with httpx.AsyncClient(timeout=60) as client:
        answers = await asyncio.gather(*(client.get(base + "/text") for _ in range(20)))
        assert all(answer.text == expected for answer in answers)
        print({answer.headers["content-encoding"] for answer in answers} <= {"zstd", "br", "gzip"})
        files = {"file": ("a.bin", bytes(300_000))}
        print((await client.post(base + "/form", data={"name": "x"}, files=files)).text)
        async def pieces():
            for _ in range(100):
                yield bytes(1000)
        print((await client.post(base + "/count", content=pieces())).text, end="")
        print((await client.get(base + "/hints")).text, end="")
        print((await client.get(base + "/trailers")).text, end="")
        async with client.stream("GET", base + "/events") as answer:
            print(len([line async for line in answer.aiter_lines() if line.startswith("data")]))
asyncio.run(main())
"#;
    let desk = Desk::start();
    let expected = "True\nname=x file:a.bin:300000\n100000\nhinted\ncontent\n4\n";
    assert_eq!(python(SCRIPT, &desk), expected);
}

#[test]
fn pythons_aiohttp_is_answered() {
    const SCRIPT: &str = r#"
import aiohttp, asyncio, sys
base, expected = sys.argv[1], open(sys.argv[2]).read()
async def main():
    async with aiohttp.ClientSession() as session:
        async def text():
            async with session.get(base + "/text") as answer:
                return await answer.text()
        texts = await asyncio.gather(*(text() for _ in range(20)))
        assert all(text == expected for text in texts)
        form = aiohttp.FormData()
        form.add_field("name", "gr\u00f6\u00dfe")
        form.add_field("file", bytes(300_000), filename="a.bin")
        async with session.post(base + "/form", data=form) as answer:
            print(await answer.text())
        async with session.post(base + "/count", data=bytes(2_000_000), expect100=True) as answer:
            print(await answer.text(), end="")
        async with session.get(base + "/hints") as answer:
            print(await answer.text(), end="")
        async with session.ws_connect(base + "/echo", compress=15) as socket:
            await socket.send_str("gr\u00fc\u00dfe")
            print((await socket.receive()).data)
            await socket.send_bytes(bytes(100_000))
            print(len((await socket.receive()).data))
        print(socket.close_code)
asyncio.run(main())
"#;
    let desk = Desk::start();
    assert_eq!(
        python(SCRIPT, &desk),
        "name=gr\u{f6}\u{df}e file:a.bin:300000\n2000000\nhinted\ngr\u{fc}\u{df}e\n100000\n1000\n"
    );
}

#[test]
fn scrapys_fetch_is_answered() {
    let desk = Desk::start();
    let mut scrapy = Command::new(tool("scrapy"));
    scrapy.args(["fetch", "--nolog", &desk.url("/text")]);
    let body = said(&mut scrapy);
    assert!(
        body.trim_end() == text().trim_end(),
        "{} bytes: {}",
        body.len(),
        &body[..200.min(body.len())]
    );
    let mut scrapy = Command::new(tool("scrapy"));
    scrapy.args(["fetch", "--nolog", "--headers", &desk.url("/text")]);
    let headers = said(&mut scrapy);
    assert!(
        headers.contains("< Content-Encoding: ") || headers.contains("< Vary: Accept-Encoding"),
        "{headers}"
    );
}

fn curl(words: &[&str]) -> String {
    let mut curl = Command::new(tool("curl"));
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]);
    said(curl.args(words))
}

#[test]
fn curls_many_options_are_answered() {
    let desk = Desk::start();
    let url = |path: &str| desk.url(path);
    assert!(curl(&["--compressed", &url("/text")]) == text());
    for coding in ["gzip", "br", "zstd"] {
        let accept = format!("Accept-Encoding: {coding}");
        assert!(curl(&["--compressed", "--header", &accept, &url("/text")]) == text(), "{coding}");
    }
    assert_eq!(curl(&["--range", "0-6", &url("/text")]), "line 0\n");
    let form = ["--form", "name=a b", "--form", "file=@-;filename=x.bin", &url("/form")];
    assert_eq!(curl(&form), "name=a b file:x.bin:0");
    assert_eq!(curl(&["--form-string", "name=@x", &url("/form")]), "name=@x");
    assert_eq!(curl(&["--data-urlencode", "a=b/c", &url("/count")]), "7\n");
    let said = curl(&["--no-buffer", "--header", "Last-Event-ID: 5", &url("/events")]);
    assert!(
        said.starts_with("id: 6\nevent: tick\nretry: 50\ndata: tick 6\ndata: of many\n\nid: 7\n"),
        "{said}"
    );
    assert_eq!(
        curl(&["--http1.0", &url("/events")]).lines().filter(|line| line.starts_with("id")).count(),
        2
    );
    let said = curl(&["--include", &url("/hints")]);
    assert!(said.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </style.css>;"), "{said}");
    assert!(said.ends_with("\r\n\r\nhinted\n"), "{said}");
    let old = curl(&["--include", "--http1.0", &url("/hints")]);
    assert!(old.starts_with("HTTP/1.1 200 OK\r\n"), "{old}");
    let said = curl(&["--include", "--header", "TE: trailers", &url("/trailers")]);
    assert!(said.contains("trailer: x-sum\r\n") && said.contains("content\n"), "{said}");
    assert!(said.contains("x-sum: 8\r\n"), "{said}");
    let said = curl(&["--include", &url("/trailers")]);
    assert!(said.contains("content\n") && !said.contains("x-sum: 8"), "{said}");
    let many: Vec<String> = (0..20).map(|_| url("/count")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let said = curl(&[&["--parallel", "--data", "abc"][..], &many].concat());
    assert_eq!(said, "3\n".repeat(20));
    let said = curl(&["--request", "OPTIONS", "--include", &url("/in/")]);
    assert!(said.contains("allow: GET, HEAD, OPTIONS, PUT\r\n"), "{said}");
}

#[test]
fn curl_resumes_an_upload() {
    let desk = Desk::start();
    let content: Vec<u8> = (0..1_000_000_u32).map(|place| (place / 251) as u8).collect();
    let here = TempDir::new("curl-upload").expect("a folder");
    fs::write(here.path().join("whole"), &content).expect("a file");
    let whole = here.path().join("whole");
    let whole = whole.to_str().expect("a plain path");
    let url = desk.url("/in/up.bin");
    let status = ["--output", "/dev/null", "--write-out", "%{http_code}"];

    // The first of two parts, as if the rest had broken off.
    fs::write(here.path().join("part"), &content[..400_000]).expect("a file");
    let part = here.path().join("part");
    let range = "Content-Range: bytes 0-399999/1000000";
    let part = ["--header", range, "--upload-file", part.to_str().expect("a plain path"), &url];
    assert_eq!(curl(&[&status[..], &part].concat()), "202");
    let told = curl(&["--head", &url]);
    let offset = told.lines().find_map(|line| line.strip_prefix("upload-offset: "));
    let offset = offset.expect("how much has come").trim().to_owned();
    assert_eq!(offset, "400000");

    let rest = ["--continue-at", &offset, "--upload-file", whole, &url];
    assert_eq!(curl(&[&status[..], &rest].concat()), "201");
    assert!(fs::read(desk.folder.path().join("up.bin")).expect("the file") == content);
    // `-C -` does not ask what has come: it sends all of it anew, and what is there stays.
    let anew = ["--continue-at", "-", "--upload-file", whole, &url];
    assert_eq!(curl(&[&status[..], &anew].concat()), "409");
    let other = desk.url("/in/other.bin");
    let anew = ["--continue-at", "-", "--upload-file", whole, &other];
    assert_eq!(curl(&[&status[..], &anew].concat()), "201");
}

/// A browser that shows a page until it goes.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn show(url: &str) -> Self {
        let profile = TempDir::new("chromium").expect("a folder");
        let mut command = chromium(&profile);
        command.args(["--remote-debugging-port=0", url]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().expect("chromium runs"), _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have gone by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn chromium_sends_forms_and_files_and_hears_events_and_sockets() {
    let desk = Desk::start();
    let browser = Browser::show(&desk.url("/page"));
    let report = desk.report();
    drop(browser);
    let expected = format!(
        "name=gr\u{f6}\u{df}e file:a b.bin:300000\n201\n409\nzstd {}\n206 5\n\
         tick 1|of many#1\ntick 2|of many#2\ntick 3|of many#3\ntick 4|of many#4\n\
         gr\u{fc}\u{df}e\n4000 true",
        text().len()
    );
    // A browser before version 123 takes no zstd.
    assert_eq!(report.replace("br ", "zstd "), expected);
    assert_eq!(fs::read(desk.folder.path().join("chromium.bin")).expect("it").len(), 200_000);
}

#[test]
fn chromium_submits_a_form() {
    let desk = Desk::start();
    let browser = Browser::show(&desk.url("/formpage"));
    let report = desk.report();
    drop(browser);
    assert_eq!(report, "name=gr\u{f6}\u{df}e & more text=two\r\nlines file:chosen.bin:100000");
}
