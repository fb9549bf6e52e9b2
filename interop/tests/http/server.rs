//! The server under test, on a reactor in a thread of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ropewalk_http::files::Folder;
use ropewalk_http::{Directory, IntoReply, Limits, Patience, Request, Site, Tree};
use ropewalk_interop::TempDir;
use ropewalk_protocol::{Address, Port, call_later};
use ropewalk_reactor::{Reactor, ReactorHandle, TcpListenOptions};
use rustix::time::{ClockId, clock_gettime};

use crate::support::reactor;

/// A large file, larger than the windows in which it is sent.
pub(crate) const LARGE: usize = 5 * 1024 * 1024 + 321;

/// A running server; it goes with its owner.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// What it serves below `/files`.
    pub(crate) folder: TempDir,
    handle: ReactorHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// One with patience as usual.
    pub(crate) fn start() -> Self {
        Self::with_patience(Patience::default())
    }

    pub(crate) fn with_patience(patience: Patience) -> Self {
        let folder = TempDir::new("http").expect("a folder");
        folder.write("hello.txt", "hello, file\n").expect("a file");
        folder.write("näme & <b>.txt", "strange\n").expect("a file");
        folder.write("large.bin", large()).expect("a file");
        let root = folder.path().to_owned();
        let (sender, ready) = channel();
        let serve = move || {
            let reactor = reactor();
            let files = Folder::new(&root).expect("an absolute path");
            let site = site(Directory::new(files, reactor.clone())).patience(patience);
            let address = listen(&reactor, site);
            sender.send((address, reactor.handle())).expect("somebody waits");
            reactor.run_without_signals().expect("a loop that runs");
        };
        let thread =
            thread::Builder::new().name("server".to_owned()).spawn(serve).expect("a thread");
        let (address, handle) = ready.recv().expect("a server");
        Self { address, folder, handle, thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How much of `time`, on the reactor's own clock, its thread spends at work, beginning now.
    pub(crate) fn work_during(&self, time: Duration) -> Receiver<Duration> {
        let (sender, receiver) = channel();
        let watch = move |reactor: &Reactor| {
            let before = thread_time();
            call_later(reactor, time, move || {
                // Nobody listens only if the test is over.
                let _ = sender.send(thread_time().saturating_sub(before));
            });
        };
        self.handle.call_from_thread(watch).expect("a reactor");
        receiver
    }

    /// How many connections the reactor has.
    pub(crate) fn connections(&self) -> usize {
        let (sender, receiver) = channel();
        let count = move |reactor: &Reactor| {
            let _ = sender.send(reactor.census().connections);
        };
        self.handle.call_from_thread(count).expect("a reactor");
        receiver.recv().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || (stopped.is_ok() && ended.is_ok()), "the server fell");
        }
    }
}

/// Bytes that tell their place.
pub(crate) fn large() -> Vec<u8> {
    (0..LARGE).map(|index| (index / 256 + index) as u8).collect()
}

/// The site: `/hello`, `/sum` for bodies, and what else there is in `other`, below `/files`.
pub(crate) fn site(other: impl ropewalk_http::Resource) -> Site {
    let tree = Tree::new()
        .child("hello", |_: Request| "hello, world\n")
        .child("method", |request: Request| format!("{}\n", request.method()))
        .child("sum", |request: Request| {
            let (_, body) = request.into_parts();
            body.collect(32 << 20).map(|body| format!("{} {}\n", body.len(), sum(&body)))
        })
        .child("careless", |_: Request| "I do not listen\n".into_reply())
        .child("files", other);
    Site::new(tree).limits(Limits { body_max: Some(32 << 20), ..Limits::default() })
}

/// A sum that knows the order.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(7, |sum, byte| u32::wrapping_mul(sum, 31).wrapping_add((*byte).into()))
}

/// Listens at a port of the system's choice.
pub(crate) fn listen(reactor: &Reactor, site: Site) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let options = TcpListenOptions::default();
    let port = reactor.listen_tcp(address, options, Box::new(site)).expect("a port");
    match port.address() {
        Address::Ip(address) => address,
        other => panic!("an address of another kind: {other}"),
    }
}

/// How long this thread has been at work.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
