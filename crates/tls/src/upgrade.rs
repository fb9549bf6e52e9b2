//! TLS on a connection that is at work already.

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_protocol::{Conn, TlsInfo};

use crate::{Reason, Tls, TlsError};

/// Encrypts a live connection from here on, in either role: STARTTLS and its like.
///
/// What the protocol wrote before goes out in the clear, what it writes after waits for the
/// handshake. Protocol, handle, calls and results stay what they were. The deferred tells what was
/// agreed on; where nothing is, it fails, and the connection ends.
///
/// `rest` is what came behind the bytes that made the protocol ask for this. There must be nothing: a
/// peer who keeps to the rules waits for the answer before it begins, and bytes that came ahead would
/// be read as if they had been encrypted, by whoever put them there. Where there are any, and be it
/// one that the protocol held back, the connection ends with [`Reason::EarlyBytes`].
///
/// ```
/// use ropewalk_protocol::{Conn, Protocol};
/// use ropewalk_tls::{TlsServer, start_tls};
///
/// struct Server(TlsServer);
///
/// impl Protocol for Server {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         if let Some(rest) = data.strip_prefix(b"STARTTLS\r\n") {
///             conn.write(b"220 go ahead\r\n");
///             let agreed = start_tls(conn, self.0.layer(), rest);
///             conn.then(agreed, |_, conn, _| conn.write(b"250 nobody else hears this\r\n"));
///         }
///     }
/// }
/// ```
#[track_caller]
pub fn start_tls<P: 'static>(conn: &Conn<P>, mut tls: Tls, rest: &[u8]) -> Deferred<TlsInfo> {
    let early = rest.len() + usize::from(conn.is_holding());
    if early > 0 {
        tls.refuse_early(early);
    }
    insert(conn, tls, &[])
}

/// The same for the side that asked for it and has the peer's consent.
///
/// The peer may have begun the handshake right behind its answer, where it is the one to begin:
/// a server's layer takes `rest` for that, and it can be nothing else. For a client's layer there
/// must be nothing, as in [`start_tls`].
#[track_caller]
pub fn start_tls_agreed<P: 'static>(conn: &Conn<P>, tls: Tls, rest: &[u8]) -> Deferred<TlsInfo> {
    if tls.begins() { start_tls(conn, tls, rest) } else { insert(conn, tls, rest) }
}

#[track_caller]
fn insert<P: 'static>(conn: &Conn<P>, mut tls: Tls, rest: &[u8]) -> Deferred<TlsInfo> {
    let (promise, agreed) = deferred();
    let giving_up = conn.clone();
    promise.on_cancel(move || giving_up.abort());
    tls.tell(promise);
    // Where it is not inserted it is dropped, and says so.
    if !conn.insert_layer(tls, rest) {
        tracing::debug!(target: "ropewalk::tls", "{}", TlsError::from(Reason::NotNow));
    }
    agreed
}
