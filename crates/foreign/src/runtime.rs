//! The reactor inside tokio's runtime.

use std::os::fd::AsFd;

use ropewalk_reactor::{Reactor, ReactorError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::{Hosted, Next};

/// Runs `reactor` as a future of tokio's, until the reactor is [stopped](Reactor::stop).
///
/// Wants a runtime with I/O and time. As a reactor stays on its thread, so does the future: it goes into
/// `block_on`, a `LocalSet` or `spawn_local`. Everything that the reactor calls is inside the runtime, so
/// tasks of the reactor can use tokio's sockets and timers, and tasks of tokio's can hold its connections.
/// Dropped before its end, it leaves the reactor as it is, and it can be hosted anew.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_foreign::host_in_tokio;
/// use ropewalk_protocol::call_later;
/// use ropewalk_reactor::Reactor;
///
/// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// let reactor = Reactor::new()?;
/// let stopper = reactor.clone();
/// call_later(&reactor, Duration::from_millis(5), move || stopper.stop());
/// runtime.block_on(host_in_tokio(&reactor))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If the system refuses what the reactor or its host cannot do without, or a turn of the same reactor is
/// under way around this one.
///
/// # Panics
///
/// Outside such a runtime, as everything of tokio's does.
pub async fn host_in_tokio(reactor: &Reactor) -> Result<(), ReactorError> {
    let hosted = Hosted::new(reactor);
    let refused = |error| ReactorError::System { doing: "watching the reactor", error };
    let descriptor = hosted.as_fd().try_clone_to_owned().map_err(refused)?;
    #[expect(deprecated, reason = "an `OwnedFd` is the same open file for as long as it lives")]
    let watched = AsyncFd::with_interest(descriptor, Interest::READABLE).map_err(refused)?;
    loop {
        let next = hosted.turn()?;
        match next {
            Next::Ended => return Ok(()),
            Next::Busy => return Err(ReactorError::AlreadyRunning),
            Next::AtOnce | Next::Within(_) | Next::WhenReadable => (),
        }
        // tokio tells of changes alone, so what is left is to be asked for.
        if next == Next::AtOnce || hosted.is_readable()? {
            yield_now().await;
            continue;
        }
        let readable = async { watched.readable().await.map(|mut ready| ready.clear_ready()) };
        match next.wait() {
            // Time is as good a reason to turn as any.
            Some(wait) => timeout(wait, readable).await.unwrap_or(Ok(())).map_err(refused)?,
            None => readable.await.map_err(refused)?,
        }
    }
}
