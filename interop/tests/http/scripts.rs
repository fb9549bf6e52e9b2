//! Python's own client, and wrk.

use std::process::Command;

use ropewalk_interop::tool;

use crate::server::{Server, large, sum};

/// What a client of the standard library does in one connection.
const CONVERSATION: &str = r#"
import http.client, sys

host, large = sys.argv[1], open(sys.argv[2], "rb").read()
client = http.client.HTTPConnection(host, timeout=60)

def ask(method, path, *args, **more):
    client.request(method, path, *args, **more)
    if ask.socket is None:
        ask.socket = client.sock
    assert client.sock is ask.socket, "a new connection"
    answer = client.getresponse()
    return answer.status, answer.read(), answer

ask.socket = None
status, body, _ = ask("GET", "/hello")
assert (status, body) == (200, b"hello, world\n"), (status, body)
status, body, answer = ask("HEAD", "/files/large.bin")
assert (status, body, int(answer.headers["content-length"])) == (200, b"", len(large))
status, body, _ = ask("GET", "/files/large.bin")
assert status == 200 and body == large
status, body, _ = ask("POST", "/sum", large)
print(body.decode(), end="")
pieces = (large[at:at + 1000] for at in range(0, len(large), 1000))
status, body, _ = ask("POST", "/sum", pieces, encode_chunked=True,
                      headers={"Transfer-Encoding": "chunked"})
print(body.decode(), end="")
status, body, _ = ask("POST", "/careless", b"x" * 200_000)
assert (status, body) == (200, b"I do not listen\n"), (status, body)
status, body, _ = ask("BREW", "/method")
assert (status, body) == (200, b"BREW\n"), (status, body)
status, body, answer = ask("GET", "/hello", headers={"Connection": "close"})
assert answer.headers["connection"] == "close"
print("done")
"#;

#[test]
fn python_keeps_one_connection_for_all_it_asks() {
    let server = Server::start();
    let mut python = Command::new(tool("python3"));
    python.args(["-c", CONVERSATION, &server.address.to_string()]);
    let output = python.arg(server.folder.path().join("large.bin")).output().expect("python3 runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let line = format!("{} {}\n", large().len(), sum(&large()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{line}{line}done\n"));
}

#[test]
fn wrk_finds_no_fault() {
    let server = Server::start();
    for path in ["/hello", "/files/hello.txt"] {
        let mut wrk = Command::new(tool("wrk"));
        let output = wrk.args(["-t1", "-c64", "-d2s", &server.url(path)]).output();
        let output = output.expect("wrk runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
        let count = said.lines().find_map(|line| line.trim().split_once(" requests in "));
        let count: u64 = count.and_then(|(count, _)| count.parse().ok()).expect("a count");
        assert!(count > 100, "{said}");
    }
}
