//! What a protocol's author writes.

use std::cell::RefCell;
use std::rc::Rc;

use crate::{Address, Conn, Descriptor, Disconnect};

/// One side of one connection.
///
/// A protocol may count on this, whatever carries its bytes:
///
/// 1. [`connection_made`](Self::connection_made) comes first, unless no connection was made.
/// 2. [`connection_lost`](Self::connection_lost) comes last and exactly once, connection or not,
///    and also after a panic. No call, timer or result comes after it.
/// 3. Bytes come in order, cut anywhere.
/// 4. No call comes while another runs.
/// 5. While reading is paused, no [`data_received`](Self::data_received) and no
///    [`descriptor_received`](Self::descriptor_received) comes.
///
/// ```
/// use ropewalk_protocol::{Conn, Protocol};
///
/// /// Says back what it hears.
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
/// ```
pub trait Protocol: Sized + 'static {
    /// The connection is up: the place for a greeting.
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let _ = conn;
    }

    /// Bytes arrived: part of a message, or several.
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]);

    /// A descriptor came, on a connection that [accepts](Conn::accept_descriptors) them. It is told
    /// before the byte that it was sent with, and perhaps before others that came together with that;
    /// with its bytes, it waits while reading is paused. Closes it, unless told otherwise.
    fn descriptor_received(&mut self, conn: &Conn<Self>, descriptor: Descriptor) {
        let _ = conn;
        drop(descriptor);
    }

    /// The peer will send no more, but may still listen. Closes, unless told otherwise.
    fn eof_received(&mut self, conn: &Conn<Self>) {
        conn.close();
    }

    /// More output waits than [`Marks::high`](crate::Marks): time to stop producing.
    fn writing_paused(&mut self, conn: &Conn<Self>) {
        let _ = conn;
    }

    /// Output has drained to [`Marks::low`](crate::Marks): time to go on producing.
    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        let _ = conn;
    }

    /// Output was sent, and [`Conn::waiting`] says how much is still here: comes whenever some stays
    /// behind, and after [`Conn::tell_when_sent`].
    fn output_sent(&mut self, conn: &Conn<Self>) {
        let _ = conn;
    }

    /// The connection is over, or was never made.
    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let _ = (conn, why);
    }

    /// Tells whoever looks on what this is: the path of its type, unless told otherwise. What carries
    /// another protocol tells its own name first, then those above it.
    fn tell_names(&self, tell: &mut dyn FnMut(&'static str)) {
        tell(std::any::type_name::<Self>());
    }
}

/// Makes the protocol for each connection that a server accepts.
///
/// A closure `FnMut(&Address) -> Option<P>` is one. In an `Rc<RefCell<…>>`, one factory serves several
/// listeners, and counts and remembers for all of them.
pub trait Factory: 'static {
    /// What it makes.
    type Protocol: Protocol;

    /// The protocol for a new connection from `peer`, or `None` to turn it away.
    fn build(&mut self, peer: &Address) -> Option<Self::Protocol>;

    /// What its protocols speak, for a place with TLS to offer where nothing else was said of it (ALPN,
    /// RFC 7301): the names, the preferred one first. As it stands it says nothing.
    fn alpn(&self) -> &'static [&'static str] {
        &[]
    }
}

impl<P: Protocol, F: FnMut(&Address) -> Option<P> + 'static> Factory for F {
    type Protocol = P;

    fn build(&mut self, peer: &Address) -> Option<P> {
        self(peer)
    }
}

impl<F: Factory> Factory for Rc<RefCell<F>> {
    type Protocol = F::Protocol;

    fn build(&mut self, peer: &Address) -> Option<F::Protocol> {
        self.borrow_mut().build(peer)
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.borrow().alpn()
    }
}
