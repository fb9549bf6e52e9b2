//! An answer's body on its way from the connection to whoever reads it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::Conn;

use super::Decoding;
use super::connection::Connection;

/// An answer's body, seen from the one who reads it.
pub(crate) struct Reader {
    conn: Conn<Connection>,
    /// There is a body, of this request; its connection hears when nobody wants the rest.
    serial: Option<u64>,
    decoding: Option<Rc<RefCell<Decoding>>>,
}

/// Tells a connection that more of a body is wanted.
pub(crate) struct Waker(Conn<Connection>);

impl Waker {
    pub(crate) fn want(&self) {
        self.0.call_later(Duration::ZERO, Connection::body_wanted);
    }
}

impl Reader {
    pub(super) fn new(conn: &Conn<Connection>, serial: Option<u64>) -> Self {
        Self { conn: conn.clone(), serial, decoding: None }
    }

    pub(crate) fn want(&self) {
        self.conn.call_later(Duration::ZERO, Connection::body_wanted);
    }

    pub(crate) fn waker(&self) -> Waker {
        Waker(self.conn.clone())
    }

    pub(crate) fn conn(&self) -> &Conn<Connection> {
        &self.conn
    }

    pub(crate) fn decoding(&self) -> Option<Rc<RefCell<Decoding>>> {
        self.decoding.clone()
    }

    /// All of it was taken: its connection need not be told.
    pub(crate) fn is_read(&mut self) {
        self.serial = None;
    }

    pub(crate) fn decode(&mut self, decoding: Decoding) {
        self.decoding = Some(Rc::new(RefCell::new(decoding)));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(serial) = self.serial {
            let told = move |this: &mut Connection, conn: &Conn<Connection>| {
                this.body_dropped(conn, serial);
            };
            self.conn.call_later(Duration::ZERO, told);
        }
    }
}
