//! What the servers have in common.

use std::rc::Rc;
use std::time::Duration;

use ropewalk_framing::policy::{Limits, Policy, Timeouts};
use ropewalk_protocol::{Address, Conn, Factory, Protocol};

/// How long nothing may move on a connection to one of these servers.
pub const IDLE: Duration = Duration::from_mins(2);

/// Keeps a server's connections to a number, and none that nothing moves on.
pub(crate) fn guard<F: Factory>(factory: F) -> impl Factory {
    Limits::default().wrap(Timeouts { idle: Some(IDLE), ..Timeouts::default() }.wrap(factory))
}

/// A server that says what `words` gives and closes.
pub(crate) fn say(words: impl Fn() -> Vec<u8> + 'static) -> impl Factory {
    let words: Rc<dyn Fn() -> Vec<u8>> = Rc::new(words);
    guard(move |_: &Address| Some(Say(Rc::clone(&words))))
}

struct Say(Rc<dyn Fn() -> Vec<u8>>);

impl Protocol for Say {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&(self.0)());
        conn.close();
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}
