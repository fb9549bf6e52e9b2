use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use ropewalk_http::{Request, Site, Tree};
use ropewalk_interop::{python_folder, tool};
use ropewalk_protocol::Port as _;
use ropewalk_reactor::{ReactorHandle, TcpListenOptions};

use crate::servers::local;
use crate::support::reactor;

struct Server {
    address: SocketAddr,
    handle: ReactorHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start() -> Self {
        let (sender, ready) = channel();
        let thread = thread::spawn(move || {
            let reactor = reactor();
            let tree = Tree::new().child("hello", |_: Request| "hello, world\n").child(
                "length",
                |request: Request| {
                    request.into_parts().1.collect(8 << 20).map(|body| format!("{}\n", body.len()))
                },
            );
            let (options, site) = (TcpListenOptions::default(), Box::new(Site::new(tree)));
            let port = reactor.listen_tcp(local(0), options, site).expect("a port");
            let address = port.address().ip().expect("an Internet address");
            sender.send((address, reactor.handle())).expect("somebody waits");
            reactor.run_without_signals().expect("a loop that runs");
        });
        let (address, handle) = ready.recv().expect("a server");
        Self { address, handle, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || (stopped.is_ok() && ended.is_some_and(|end| end.is_ok())));
    }
}

#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn wget_is_answered() {
    let server = Server::start();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let mut wget = Command::new(tool("wget"));
    let text = said(wget.args(["-q", "-O", "-", &url("/hello"), &url("/hello")]));
    assert_eq!(text, "hello, world\n".repeat(2));
    let mut wget = Command::new(tool("wget"));
    let text = said(wget.args(["-q", "-O", "-", "--post-data=12345", &url("/length")]));
    assert_eq!(text, "5\n");
}

#[test]
fn nodes_fetch_is_answered() {
    const SCRIPT: &str = r#"
    (async () => {
      const base = process.argv[1];
      for (let at = 0; at < 3; at++) console.log((await (await fetch(base + "/hello")).text()).trim());
      const body = new ReadableStream({
        start(to) { for (let at = 0; at < 100; at++) to.enqueue(new Uint8Array(1000)); to.close(); },
      });
      const answer = await fetch(base + "/length", { method: "POST", body, duplex: "half" });
      console.log((await answer.text()).trim());
    })();
    "#;
    let server = Server::start();
    let base = format!("http://{}", server.address);
    let text = said(Command::new(tool("node")).args(["-e", SCRIPT, &base]));
    assert_eq!(text, "hello, world\nhello, world\nhello, world\n100000\n");
}

#[test]
fn twisteds_agent_is_answered() {
    const SCRIPT: &str = r#"
import sys
from io import BytesIO
from twisted.internet import task
from twisted.internet.defer import inlineCallbacks
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody

@inlineCallbacks
def main(reactor, base):
    agent = Agent(reactor, pool=HTTPConnectionPool(reactor))
    for _ in range(3):
        answer = yield agent.request(b"GET", base.encode() + b"/hello")
        print((yield readBody(answer)).decode(), end="")
    body = FileBodyProducer(BytesIO(bytes(1_000_000)))
    answer = yield agent.request(b"POST", base.encode() + b"/length", bodyProducer=body)
    print((yield readBody(answer)).decode(), end="")

task.react(main, sys.argv[1:])
"#;
    let server = Server::start();
    let mut python = Command::new(python_folder().join("bin/python3"));
    let text = said(python.args(["-c", SCRIPT, &format!("http://{}", server.address)]));
    assert_eq!(text, format!("{}1000000\n", "hello, world\n".repeat(3)));
}
