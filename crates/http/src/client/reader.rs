//! An answer's body, seen from the one who reads it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_http2::frame::StreamId;
use ropewalk_protocol::{Address, Conn, TlsInfo};

use super::Decoding;
use super::connection::Connection;
use super::http2::Http2;
use crate::codec::PassedFields;

/// An answer's body, seen from the one who reads it.
pub(crate) struct Reader {
    bell: Waker,
    /// There is a body, and its connection hears when nobody wants the rest.
    has_body: bool,
    decoding: Option<Rc<RefCell<Decoding>>>,
    /// Fields of the answer that are not in its head, as they are only passed on.
    passed: Option<Box<PassedFields>>,
}

/// Tells a connection that more of a body is wanted.
#[derive(Clone)]
pub(crate) enum Waker {
    /// The connection, and which of its requests it is.
    Http1(Conn<Connection>, u64),
    Http2(Conn<Http2>, StreamId),
}

impl Waker {
    pub(crate) fn want(&self) {
        match self {
            Self::Http1(conn, _) => {
                conn.call_later(Duration::ZERO, Connection::body_wanted);
            }
            Self::Http2(conn, stream) => {
                let stream = *stream;
                conn.call_later(Duration::ZERO, move |this, conn| {
                    this.body_wanted(conn, stream);
                });
            }
        }
    }

    /// Nobody takes the rest.
    fn drop_body(&self) {
        match self {
            Self::Http1(conn, serial) => {
                let serial = *serial;
                conn.call_later(Duration::ZERO, move |this, conn| this.body_dropped(conn, serial));
            }
            Self::Http2(conn, stream) => {
                let stream = *stream;
                conn.call_later(Duration::ZERO, move |this, conn| this.body_dropped(conn, stream));
            }
        }
    }
}

impl Reader {
    /// Of the request with this number, where it has a body.
    pub(super) fn of_connection(conn: Conn<Connection>, serial: Option<u64>) -> Self {
        let bell = Waker::Http1(conn, serial.unwrap_or_default());
        Self { bell, has_body: serial.is_some(), decoding: None, passed: None }
    }

    /// Of the request on this stream, where it has a body.
    pub(super) fn of_stream(conn: Conn<Http2>, stream: Option<StreamId>) -> Self {
        let bell = Waker::Http2(conn, stream.unwrap_or_default());
        Self { bell, has_body: stream.is_some(), decoding: None, passed: None }
    }

    /// The same, with fields that are passed on.
    pub(super) fn and_passed(mut self, passed: Option<PassedFields>) -> Self {
        self.passed = passed.map(Box::new);
        self
    }

    pub(crate) fn take_passed(&mut self) -> Option<Box<PassedFields>> {
        self.passed.take()
    }

    pub(crate) fn want(&self) {
        self.bell.want();
    }

    pub(crate) fn waker(&self) -> Waker {
        self.bell.clone()
    }

    pub(crate) fn peer(&self) -> Address {
        match &self.bell {
            Waker::Http1(conn, _) => conn.peer(),
            Waker::Http2(conn, _) => conn.peer(),
        }
    }

    pub(crate) fn local(&self) -> Address {
        match &self.bell {
            Waker::Http1(conn, _) => conn.local(),
            Waker::Http2(conn, _) => conn.local(),
        }
    }

    pub(crate) fn tls(&self) -> Option<TlsInfo> {
        match &self.bell {
            Waker::Http1(conn, _) => conn.tls(),
            Waker::Http2(conn, _) => conn.tls(),
        }
    }

    pub(crate) fn decoding(&self) -> Option<Rc<RefCell<Decoding>>> {
        self.decoding.clone()
    }

    /// All of it was taken: its connection need not be told.
    pub(crate) fn is_read(&mut self) {
        self.has_body = false;
    }

    pub(crate) fn decode(&mut self, decoding: Decoding) {
        self.decoding = Some(Rc::new(RefCell::new(decoding)));
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.has_body {
            self.bell.drop_body();
        }
    }
}
