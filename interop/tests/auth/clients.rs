//! Clients without a window.

use std::process::Command;

use ropewalk_interop::{python_folder, tool};

use crate::house::House;
use crate::{USERS, house, said, url};

fn curl(words: &[&str]) -> Command {
    let mut command = Command::new(tool("curl"));
    // No proxy of this machine has a say in it.
    command.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60"]).args(words);
    command
}

#[test]
fn curl_says_who_it_is() {
    let house = house();
    for (name, password) in USERS {
        let login = format!("{name}:{password}");
        for (how, path) in [
            ("--basic", "/basic"),
            ("--digest", "/md5"),
            ("--digest", "/sha256"),
            ("--digest", "/digest"),
            ("--digest", "/all"),
            ("--basic", "/all"),
            ("--anyauth", "/all"),
            ("--anyauth", "/basic"),
            ("--anyauth", "/sha256"),
            ("--digest", "/quoted"),
            ("--basic", "/quoted"),
        ] {
            let url = url(&house, path);
            let text = said(&mut curl(&["--user", &login, how, "--data", "12345", &url]));
            assert_eq!(text, format!("{name} sent 5\n"), "{how} {path}");
        }
    }
    for (login, how, path, status) in [
        ("alice:hare", "--basic", "/basic", "401"),
        ("alice:hare", "--digest", "/sha256", "401"),
        ("nobody:rabbit", "--digest", "/md5", "401"),
        ("alice:rabbit", "--basic", "/md5", "401"),
        ("alice:rabbit", "--digest", "/basic", "401"),
        (":", "--basic", "/basic", "401"),
    ] {
        let words = ["--user", login, how, "--output", "/dev/null", "--write-out", "%{http_code}"];
        let url = url(&house, path);
        assert_eq!(
            said(&mut curl(&[&words[..], &[&url]].concat())),
            status,
            "{login} {how} {path}"
        );
    }
}

#[test]
fn curl_uses_a_nonce_more_than_once() {
    let house = house();
    let (one, two) = (url(&house, "/digest?1"), url(&house, "/digest?2"));
    let words =
        ["--user", "alice:rabbit", "--digest", "--write-out", "%{http_code} %{num_headers}\n"];
    let format = ["--write-out", "%{num_connects}\n"];
    let text = said(&mut curl(&[&words[..2], &words[2..3], &format, &[&one, &two, &one]].concat()));
    assert_eq!(text, "alice sent 0\n1\nalice sent 0\n0\nalice sent 0\n0\n");
}

#[test]
fn wget_says_who_it_is() {
    let house = house();
    // It knows MD5 alone, and takes Digest for that wherever it is offered first.
    for path in ["/basic", "/md5", "/all"] {
        let mut wget = Command::new(tool("wget"));
        wget.args(["--quiet", "--no-proxy", "--tries=1", "--output-document=-", "--user=alice"]);
        let text = said(wget.args(["--password=rabbit", &url(&house, path)]));
        assert_eq!(text, "alice sent 0\n", "{path}");
    }
}

/// Python's requests and httpx, each over one connection.
const PYTHON: &str = r#"
import sys
import httpx, requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

base, name, password = sys.argv[1:]
expected = f"{name} sent 3\n"
with requests.Session() as session:
    session.trust_env = False
    # Its Basic speaks Latin-1 unless it is given bytes.
    for path, auth in [("/basic", (name, password)), ("/all", (name.encode(), password.encode()))]:
        session.auth = HTTPBasicAuth(*auth)
        answer = session.post(base + path, data=b"abc")
        assert (answer.status_code, answer.text) == (200, expected), (path, answer.text)
    session.auth = HTTPDigestAuth(name, password)
    for path in ["/md5", "/sha256", "/digest", "/all"]:
        for _ in range(3):
            answer = session.post(base + path, data=b"abc")
            assert (answer.status_code, answer.text) == (200, expected), (path, answer.text)
    session.auth = HTTPDigestAuth(name, password + "x")
    assert session.get(base + "/sha256").status_code == 401
    session.auth = None
    answer = session.get(base + "/all")
    assert answer.status_code == 401 and "Digest" in answer.headers["www-authenticate"]

with httpx.Client(trust_env=False) as client:
    # It sends no name that is not ASCII.
    for path in ["/md5", "/sha256", "/digest"] if name.isascii() else []:
        auth = httpx.DigestAuth(name, password)
        for _ in range(3):
            answer = client.post(base + path, content=b"abc", auth=auth)
            assert (answer.status_code, answer.text) == (200, expected), (path, answer.text)
    answer = client.post(base + "/basic", content=b"abc", auth=(name.encode(), password.encode()))
    assert (answer.status_code, answer.text) == (200, expected)
    # One session, from the first visit to the log-in.
    answer = client.post(base + "/session/set", follow_redirects=True)
    assert "alice" in answer.text and "session" in client.cookies, answer.text
print("done")
"#;

#[test]
fn pythons_clients_say_who_they_are() {
    let house = house();
    for (name, password) in USERS {
        let mut python = Command::new(python_folder().join("bin/python3"));
        let base = base(&house);
        assert_eq!(said(python.args(["-c", PYTHON, &base, name, password])), "done\n");
    }
}

fn base(house: &House) -> String {
    url(house, "")
}

/// Twisted's own guard, for our client.
const TWISTED: &str = r#"
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import reactor
from twisted.web.guard import BasicCredentialFactory, DigestCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from zope.interface import implementer

class Hello(Resource):
    isLeaf = True
    def render_GET(self, request):
        return b"hello"

@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatarId, mind, *interfaces):
        return IResource, Hello(), lambda: None

portal = Portal(Realm(), [InMemoryUsernamePasswordDatabaseDontUse(alice=b"rabbit")])
root = Resource()
for name, factories in [
    (b"basic", [BasicCredentialFactory(b"r")]),
    (b"md5", [DigestCredentialFactory(b"md5", b"r")]),
    (b"both", [BasicCredentialFactory(b"r"), DigestCredentialFactory(b"md5", b"r")]),
]:
    root.putChild(name, HTTPAuthSessionWrapper(portal, factories))
port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
print("listening 127.0.0.1:%d" % port.getHost().port, flush=True)
reactor.run()
"#;

#[test]
fn twisteds_guard_lets_our_client_in() {
    use ropewalk::http::Credentials;
    use ropewalk_interop::Peer;

    let mut python = Command::new(python_folder().join("bin/python3"));
    let mut twisted = Peer::start(python.args(["-c", TWISTED])).expect("Python");
    let address = twisted.listening().expect("an address");
    let reactor = crate::support::reactor();
    let agent = ropewalk::http::agent(&reactor).build();
    let get = |path: &str, login: &Credentials| {
        let answer =
            agent.get(&format!("http://{address}{path}")).credentials(login.clone()).send();
        let text = answer.add_callback(|answer| {
            let status = answer.status().as_u16();
            answer.text().map(move |text| (status, text))
        });
        reactor.run_until(text).expect("an answer")
    };
    let (digest, basic) =
        (Credentials::digest("alice", "rabbit"), Credentials::basic("alice", "rabbit"));
    for (path, login) in [
        ("/md5", &digest),
        ("/md5", &digest),
        ("/both", &digest),
        ("/basic", &basic),
        ("/both", &basic),
    ] {
        assert_eq!(get(path, login), (200, "hello".to_owned()), "{path}");
    }
    assert_eq!(get("/md5", &Credentials::digest("alice", "hare")).0, 401);
}
