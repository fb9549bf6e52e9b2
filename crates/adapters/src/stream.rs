//! A connection as something that is read from and written to.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{
    Address, ClientEndpoint, Conn, Disconnect, Port, Protocol, ServerEndpoint, TlsInfo,
};

/// How many bytes that nobody has read are enough to pause the connection: 64 KiB.
pub const READ_MAX: usize = 64 * 1024;
/// How much one write takes.
const WRITE_MAX: usize = 64 * 1024;

/// A connection that is read from and written to by futures. Dropped, it closes the connection once what was
/// written is sent.
///
/// It stays on its thread; [`SameThread`](crate::SameThread) carries it where more is asked for.
pub struct Stream {
    shared: Rc<Shared>,
}

/// The protocol under a [`Stream`].
pub struct Feeder {
    shared: Rc<Shared>,
}

#[derive(Default)]
struct Shared(RefCell<State>);

#[derive(Default)]
struct State {
    conn: Option<Conn<Feeder>>,
    /// What has come and is not read.
    unread: VecDeque<u8>,
    is_at_end: bool,
    lost: Option<Disconnect>,
    /// The stream is gone: nobody reads any more.
    is_dropped: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn wake_all(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// Connects to `endpoint`; the deferred gives the stream.
#[track_caller]
pub fn connect_stream(endpoint: &(impl ClientEndpoint + ?Sized)) -> Deferred<Stream> {
    let (feeder, stream) = Stream::new();
    ropewalk_protocol::connect(endpoint, feeder).map(move |_| stream)
}

/// Listens at `endpoint`, and hands `accepted` a stream for each connection, once it is made, with its peer's
/// address.
#[track_caller]
pub fn listen_streams(
    endpoint: &(impl ServerEndpoint + ?Sized),
    accepted: impl FnMut(Stream, Address) + 'static,
) -> Deferred<Box<dyn Port>> {
    let accepted = Rc::new(RefCell::new(accepted));
    ropewalk_protocol::listen(endpoint, move |_: &Address| {
        let (feeder, stream) = Stream::new();
        Some(Greeter { feeder: Some(feeder), stream: Some(stream), accepted: Rc::clone(&accepted) })
    })
}

/// Hands a stream out as soon as its connection is made.
struct Greeter<A> {
    feeder: Option<Feeder>,
    stream: Option<Stream>,
    accepted: Rc<RefCell<A>>,
}

impl<A: FnMut(Stream, Address) + 'static> Protocol for Greeter<A> {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let peer = conn.peer();
        if let (Some(feeder), Some(stream)) = (self.feeder.take(), self.stream.take()) {
            let next = conn.switch_protocol(feeder, &[]);
            stream.shared.0.borrow_mut().conn = Some(next);
            (self.accepted.borrow_mut())(stream, peer);
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        // It has handed the connection over by then.
        conn.hand_back(data);
    }
}

impl Stream {
    /// A protocol for one connection, and the stream above it. What is written before the connection is made
    /// waits.
    pub fn new() -> (Feeder, Self) {
        let shared = Rc::new(Shared::default());
        (Feeder { shared: Rc::clone(&shared) }, Self { shared })
    }

    /// Fills `buf`, or as much of it as is there; nothing at the stream's end.
    ///
    /// # Errors
    ///
    /// If the connection was lost.
    pub fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.0.borrow_mut();
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if !state.unread.is_empty() {
            // From memory it cannot fail.
            let count = state.unread.read(buf)?;
            if state.unread.is_empty() {
                state.unread = VecDeque::new();
            }
            if state.unread.len() < READ_MAX
                && let Some(conn) = &state.conn
            {
                conn.resume_reading();
            }
            return Poll::Ready(Ok(count));
        }
        match state.lost {
            _ if state.is_at_end => Poll::Ready(Ok(0)),
            Some(Disconnect::Closed) => Poll::Ready(Ok(0)),
            Some(why) => Poll::Ready(Err(lost(why))),
            None => {
                keep(&mut state.reader, cx);
                Poll::Pending
            }
        }
    }

    /// Writes `buf`, or as much of it as there is room for.
    ///
    /// # Errors
    ///
    /// If the connection is over, or this side has ended its stream.
    pub fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.shared.0.borrow_mut();
        if let Some(why) = state.lost {
            return Poll::Ready(Err(lost(why)));
        }
        match &state.conn {
            Some(conn) if conn.is_closing() => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(conn) if !conn.is_writing_paused() => {
                let count = buf.len().min(WRITE_MAX);
                conn.write(&buf[..count]);
                Poll::Ready(Ok(count))
            }
            _ => {
                keep(&mut state.writer, cx);
                Poll::Pending
            }
        }
    }

    /// Ends this side's stream once everything written is sent; the peer may go on sending.
    ///
    /// # Errors
    ///
    /// None: whether it was sent, only the peer can tell.
    pub fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(conn) = &self.shared.0.borrow().conn {
            conn.close_write();
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until everything written was handed to the system.
    ///
    /// # Errors
    ///
    /// If the connection was lost before that.
    pub fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.shared.0.borrow_mut();
        match (&state.conn, state.lost) {
            (_, Some(Disconnect::Closed)) => Poll::Ready(Ok(())),
            (_, Some(why)) => Poll::Ready(Err(lost(why))),
            (Some(conn), None) if conn.waiting() == 0 => Poll::Ready(Ok(())),
            (conn, None) => {
                if let Some(conn) = conn {
                    conn.tell_when_sent();
                }
                keep(&mut state.writer, cx);
                Poll::Pending
            }
        }
    }

    /// This end's address.
    pub fn local(&self) -> Address {
        self.shared.0.borrow().conn.as_ref().map_or(Address::Unnamed, Conn::local)
    }

    /// The other end's address.
    pub fn peer(&self) -> Address {
        self.shared.0.borrow().conn.as_ref().map_or(Address::Unnamed, Conn::peer)
    }

    /// What was agreed on with the peer; `None` where nothing is encrypted.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.shared.0.borrow().conn.as_ref()?.tls()
    }

    /// The connection, for all that is not here.
    pub fn conn(&self) -> Option<Conn<Feeder>> {
        self.shared.0.borrow().conn.clone()
    }

    /// Gives up the connection now; what is unsent is forgotten.
    pub fn abort(&self) {
        if let Some(conn) = &self.shared.0.borrow().conn {
            conn.abort();
        }
    }
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn lost(why: Disconnect) -> io::Error {
    let kind = match why {
        Disconnect::Closed => io::ErrorKind::BrokenPipe,
        Disconnect::Aborted | Disconnect::Stopped => io::ErrorKind::ConnectionAborted,
        Disconnect::Reset => io::ErrorKind::ConnectionReset,
        Disconnect::Refused => io::ErrorKind::ConnectionRefused,
        Disconnect::TimedOut => io::ErrorKind::TimedOut,
        Disconnect::Failed(kind) => kind,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, why.to_string())
}

impl Protocol for Feeder {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let mut state = self.shared.0.borrow_mut();
        if state.is_dropped {
            return conn.close();
        }
        state.conn = Some(conn.clone());
        let wakers = state.wake_all();
        drop(state);
        wake(wakers);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let mut state = self.shared.0.borrow_mut();
        if state.is_dropped {
            return;
        }
        state.unread.extend(data);
        if state.unread.len() >= READ_MAX {
            conn.pause_reading();
        }
        let reader = state.reader.take();
        drop(state);
        wake([reader]);
    }

    fn eof_received(&mut self, _: &Conn<Self>) {
        let mut state = self.shared.0.borrow_mut();
        state.is_at_end = true;
        let reader = state.reader.take();
        drop(state);
        wake([reader]);
    }

    fn writing_resumed(&mut self, _: &Conn<Self>) {
        let writer = self.shared.0.borrow_mut().writer.take();
        wake([writer]);
    }

    fn output_sent(&mut self, _: &Conn<Self>) {
        let writer = self.shared.0.borrow_mut().writer.take();
        wake([writer]);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.shared.0.borrow_mut().lost.get_or_insert(why);
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        let mut state = self.shared.0.borrow_mut();
        // Whoever was never connected has no `connection_lost` either.
        state.lost.get_or_insert(Disconnect::Stopped);
        state.conn = None;
        let wakers = state.wake_all();
        drop(state);
        wake(wakers);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.shared.0.borrow_mut();
        state.is_dropped = true;
        state.unread = VecDeque::new();
        if let Some(conn) = state.conn.take() {
            conn.close();
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.0.borrow();
        f.debug_struct("Stream")
            .field("unread", &state.unread.len())
            .field("lost", &state.lost)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Feeder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeder").finish_non_exhaustive()
    }
}
