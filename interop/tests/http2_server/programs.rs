//! curl, nghttp, h2load, Python's httpx and h2, Node and Chromium.

use std::process::Command;

use ropewalk_interop::{TempDir, chromium, python_folder, tool};

use crate::web::{Web, large, said};

#[track_caller]
fn curl(words: &[&str]) -> String {
    said(Command::new(tool("curl")).args(["-sSk", "--max-time", "60"]).args(words))
}

#[track_caller]
fn python(script: &str, web: &Web) -> String {
    let mut python = Command::new(python_folder().join("bin/python3"));
    python.args(["-c", script, &web.clear, &web.encrypted]);
    said(python.arg(web.folder.path().join("large.bin")))
}

#[test]
fn curl_agrees_on_http2_over_tls_and_asks_for_it_in_vain_in_clear() {
    const VERSION: &str = "%{http_version} %{http_code}\n";
    let web = Web::start();
    let [clear, encrypted] = web.urls("hello.txt");
    let ask = |words: &[&str]| curl(&[&["--write-out", VERSION], words].concat());
    assert_eq!(ask(&["--http2", &encrypted]), "hello, file\n2 200\n");
    assert_eq!(ask(&["--http2-prior-knowledge", &clear]), "hello, file\n2 200\n");
    assert_eq!(ask(&["--http1.1", &encrypted]), "hello, file\n1.1 200\n");
    // With `Upgrade: h2c`, which is answered as if it were not there.
    assert_eq!(ask(&["--http2", &clear]), "hello, file\n1.1 200\n");
    // Several over one connection, and one that is put there.
    let several = [&encrypted; 5].map(String::as_str);
    let all = curl(&[&["--http2", "--write-out", "%{num_connects}"], &several[..]].concat());
    assert_eq!(all, format!("{0}1{0}0{0}0{0}0{0}0", "hello, file\n"));
    let from = web.folder.path().join("large.bin");
    let from = from.to_str().expect("text");
    let there = format!("{}put.bin", web.encrypted);
    assert!(ask(&["--http2", "-T", from, &there]).ends_with("2 201\n"));
    assert!(std::fs::read(web.folder.path().join("put.bin")).expect("it came") == large());
}

#[test]
fn nghttp_gets_pages_with_priorities_padding_and_small_windows() {
    let web = Web::start();
    for url in web.urls("large.bin") {
        let out = web.folder.path().join("got");
        let script = format!(
            "{} --no-verify-peer --window-bits=10 --connection-window-bits=16 --padding=200 \
             --weight=200 -H'priority: u=1, i' '{url}' > '{}'",
            tool("nghttp").display(),
            out.display()
        );
        said(Command::new("sh").args(["-c", &script]));
        assert!(std::fs::read(&out).expect("a page") == large(), "{url}");
    }
    let url = format!("{}hello.txt", web.encrypted);
    let mut nghttp = Command::new(tool("nghttp"));
    nghttp.args(["-v", "--null-out", "--no-verify-peer", "--stat", "--multiply=50", &url]);
    let said = said(&mut nghttp);
    assert!(said.contains("The negotiated protocol: h2"), "{said}");
    assert_eq!(said.matches(":status: 200").count(), 50, "{said}");
    assert!(!said.contains("RST_STREAM"), "{said}");
}

#[test]
fn h2load_finds_no_fault() {
    let web = Web::start();
    let cases = [("hello.txt", "2000"), ("large.bin", "200")];
    for (file, count) in cases {
        for url in web.urls(file) {
            let mut h2load = Command::new(tool("h2load"));
            let said = said(h2load.args(["-n", count, "-c", "10", "-m", "10", &url]));
            let all = format!("{count} succeeded, 0 failed, 0 errored, 0 timeout");
            assert!(said.contains(&all), "{url}: {said}");
            assert!(said.contains(&format!("status codes: {count} 2xx")), "{url}: {said}");
        }
    }
}

#[test]
fn pythons_httpx_and_h2_are_answered() {
    const SCRIPT: &str = r#"
import asyncio, httpx, sys
clear, encrypted, large = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read()
async def main():
    for base, both in [(encrypted, True), (clear, False)]:
        async with httpx.AsyncClient(http2=True, http1=both, verify=False, timeout=60) as client:
            answers = await asyncio.gather(*(client.get(base + "large.bin") for _ in range(20)))
            assert all(answer.content == large for answer in answers)
            print({answer.http_version for answer in answers})
            answer = await client.get(base + "large.bin", headers={"Range": "bytes=5-9"})
            print(answer.status_code, answer.content == large[5:10])
            print((await client.get(base + "nowhere")).status_code)
            async def pieces():
                for start in range(0, len(large), 10_000):
                    yield large[start:start + 10_000]
            name = "clear.bin" if base == clear else "encrypted.bin"
            print((await client.put(base + name, content=pieces())).status_code)
            assert (await client.get(base + name)).content == large
            async with client.stream("GET", base + "large.bin") as broken_off:
                await broken_off.aiter_raw().__anext__()
            assert (await client.get(base + "hello.txt")).text == "hello, file\n"
asyncio.run(main())
"#;
    let once = "{'HTTP/2'}\n206 True\n404\n201\n";
    assert_eq!(python(SCRIPT, &Web::start()), format!("{once}{once}"));
}

#[test]
fn node_is_answered() {
    const SCRIPT: &str = r#"
const http2 = require("node:http2"), fs = require("node:fs"), assert = require("node:assert");
const large = fs.readFileSync(process.argv[2]);
const ask = (session, headers, body) => new Promise((resolve, reject) => {
  const stream = session.request(headers, { endStream: body === undefined }), pieces = [];
  let head;
  stream.on("response", fields => { head = fields; });
  stream.on("data", piece => pieces.push(piece)).on("error", reject);
  stream.on("end", () => resolve([head[":status"], Buffer.concat(pieces)]));
  if (body !== undefined) stream.end(body);
});
(async () => {
  for (const base of process.argv.slice(3)) {
    const session = http2.connect(base, { rejectUnauthorized: false });
    session.on("error", error => { throw error; });
    const names = [...Array(20).keys()].map(() => ({ ":path": "/large.bin" }));
    for (const [status, body] of await Promise.all(names.map(name => ask(session, name)))) {
      assert(status === 200 && body.equals(large));
    }
    const put = { ":path": `/node-${base.length}.bin`, ":method": "PUT" };
    const [status] = await ask(session, put, large);
    const broken = session.request({ ":path": "/large.bin" });
    await new Promise(resolve => broken.once("data", resolve));
    broken.close(http2.constants.NGHTTP2_CANCEL);
    const pong = await new Promise((resolve, reject) =>
      session.ping((error, _, payload) => error ? reject(error) : resolve(payload.length)));
    console.log(status, pong, session.remoteSettings.enableConnectProtocol, session.remoteSettings.maxConcurrentStreams);
    await new Promise(resolve => session.close(resolve));
  }
})();
"#;
    let web = Web::start();
    let mut node = Command::new(tool("node"));
    node.args(["-e", SCRIPT, "-"]).arg(web.folder.path().join("large.bin"));
    let said = said(node.args([&web.clear, &web.encrypted]));
    assert_eq!(said, "201 8 true 128\n201 8 true 128\n");
}

#[test]
fn chromium_shows_a_page_that_came_by_http2() {
    let web = Web::start();
    let profile = TempDir::new("chromium").expect("a folder");
    let mut chromium = chromium(&profile);
    chromium.args(["--ignore-certificate-errors", "--virtual-time-budget=60000", "--dump-dom"]);
    let page = said(chromium.arg(&web.encrypted));
    let size = 20 * large().len();
    assert!(page.contains(&format!("<p id=\"by\">h2 {size}</p>")), "{page}");
}

#[test]
fn what_is_agreed_on_is_kept_to() {
    let web = Web::start();
    let place = Web::authority(&web.encrypted);
    let mut openssl = Command::new(tool("openssl"));
    openssl.args(["s_client", "-alpn", "h2", "-quiet", "-connect", place]);
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let output = crate::house::run(&mut openssl, request).expect("it runs");
    let answer = output.stdout.windows(8).any(|bytes| bytes == b"HTTP/1.1");
    assert!(!answer, "who agreed on HTTP/2 is not answered otherwise");
    // The frame that says what is taken, and one that says goodbye for a preface that was none.
    assert_eq!(output.stdout.get(3), Some(&4), "{:?}", output.stdout);
    assert!(output.stdout.windows(4).any(|bytes| bytes == [7, 0, 0, 0]), "{:?}", output.stdout);
}
