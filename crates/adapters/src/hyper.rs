//! The traits of hyper: its connections over any transport, its tasks and its timers on any loop.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ::hyper::rt::{Executor, Read, ReadBufCursor, Sleep, Timer, Write};
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Clock, Spawn, sleep};

use crate::{SameThread, Stream};

/// How much one read brings.
const READ_SIZE: usize = 8 * 1024;

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // Its own room may not be initialized, and only unsafe code could fill it in place.
        let mut room = [0; READ_SIZE];
        let size = buf.remaining().min(READ_SIZE);
        let count = ready!(Stream::poll_read(&self, cx, &mut room[..size]))?;
        buf.put_slice(&room[..count]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Stream::poll_write(&self, cx, buf)
    }

    /// Nothing is kept back here: what was written goes out in this turn.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Stream::poll_shutdown(&self, cx)
    }
}

/// Runs hyper's tasks on a loop: a reactor, or a test's executor. They need not be `Send`.
#[derive(Clone)]
pub struct Tasks(Rc<dyn Spawn>);

impl Tasks {
    /// Runs them on this one.
    pub fn on(spawner: impl Spawn + 'static) -> Self {
        Self(Rc::new(spawner))
    }
}

impl<F: Future + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        self.0.spawn(Box::pin(async move { drop(future.await) }));
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasks").finish_non_exhaustive()
    }
}

/// Has hyper wait by a loop's clock, and on that loop's thread alone.
pub struct Time(SameThread<Rc<dyn Clock>>);

impl Time {
    /// Waits by this one.
    pub fn by(clock: impl Clock + 'static) -> Self {
        Self(SameThread::new(Rc::new(clock)))
    }
}

impl Timer for Time {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting(SameThread::new(sleep(&**self.0, duration))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time").finish_non_exhaustive()
    }
}

/// A wait; dropped, it takes its timer along.
struct Waiting(SameThread<Deferred<()>>);

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A clock that is gone will not wake anybody: its end is the end of the wait.
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
