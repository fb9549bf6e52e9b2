//! How a server takes its leave of those who have asked for nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Conn, Drain};

use super::connection::Server;

/// How long a client has to say what it wants when the server ends.
pub const GOODBYE_PATIENCE: Duration = Duration::from_secs(1);

/// Clients that have yet to say what they want. Clones are the same.
#[derive(Clone, Default)]
pub struct Silent(Rc<Clients>);

#[derive(Default)]
struct Clients {
    conns: RefCell<BTreeMap<u64, Conn<Server>>>,
    last: Cell<u64>,
    is_leaving: Cell<bool>,
}

impl Silent {
    /// Somebody has come; its number.
    pub(super) fn enter(&self, conn: &Conn<Server>) -> u64 {
        let number = self.0.last.get() + 1;
        self.0.last.set(number);
        self.0.conns.borrow_mut().insert(number, conn.clone());
        number
    }

    /// It has said what it wants, or is gone.
    pub(super) fn leave(&self, number: u64) {
        let conn = self.0.conns.borrow_mut().remove(&number);
        drop(conn);
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.0.is_leaving.get()
    }
}

impl Drain for Silent {
    /// None: whoever drains the server counts them.
    fn connections(&self) -> usize {
        0
    }

    fn drain(&self) -> Deferred<()> {
        if !self.0.is_leaving.replace(true) {
            for conn in self.0.conns.borrow().values() {
                conn.call_later(Duration::ZERO, Server::hurry);
            }
        }
        Deferred::succeed(())
    }

    fn cut(&self) -> usize {
        0
    }

    fn resume(&self) {
        self.0.is_leaving.set(false);
    }
}

impl fmt::Debug for Silent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Silent").field("clients", &self.0.conns.borrow().len()).finish()
    }
}
