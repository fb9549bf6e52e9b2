//! Our own server on a reactor in a thread of its own, and programs that are run to their end.

use std::io;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use ropewalk_endpoint::server_from_string;
use ropewalk_protocol::{Port, SeatFactory};
use ropewalk_reactor::{Reactor, ReactorHandle};

use crate::support::reactor;

/// A running server of ours; it goes with its owner.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    handle: ReactorHandle,
    thread: Option<JoinHandle<()>>,
}

impl House {
    /// Listens at the place that `string` names, with what `make` makes on the reactor there.
    pub(crate) fn start<F: SeatFactory>(
        string: impl Into<String>,
        make: impl FnOnce(&Reactor) -> F + Send + 'static,
    ) -> Self {
        let (sender, ready) = channel();
        let string = string.into();
        let serve = move || {
            let reactor = reactor();
            let place = server_from_string(&reactor, &string).expect("a place");
            let listening = place.listen_seats(Box::new(make(&reactor)));
            let port: Box<dyn Port> = reactor.run_until(listening).expect("a port");
            let address = port.address().ip().expect("an Internet address");
            sender.send((address, reactor.handle())).expect("somebody waits");
            reactor.run_without_signals().expect("a loop that runs");
        };
        let thread =
            thread::Builder::new().name("house".to_owned()).spawn(serve).expect("a thread");
        let (address, handle) = ready.recv().expect("a server");
        Self { address, handle, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let stopped = self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || (stopped.is_ok() && ended.is_ok()), "a server fell");
        }
    }
}

/// Runs a program to its end with something to read; answers what it printed.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> io::Result<Output> {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not want it may have gone already.
        let _ = io::Write::write_all(&mut stdin, input);
    }
    child.wait_with_output()
}
