//! Signals that ask the program for something while it runs.

use std::io;
use std::os::unix::net::UnixStream;

use ropewalk::reactor::{Reactor, Watch};

/// Read what was told anew.
pub(crate) const SIGHUP: i32 = 1;
/// Open the log anew.
pub(crate) const SIGUSR1: i32 = 10;
/// Let a successor take over.
pub(crate) const SIGUSR2: i32 = 12;

/// What hears a signal; dropped, it hears no more.
pub(crate) struct Heard {
    _watch: Watch,
    _reader: UnixStream,
}

/// Calls `told` on the loop whenever `signal` comes; several at once may be one.
pub(crate) fn on_signal(
    reactor: &Reactor,
    signal: i32,
    mut told: impl FnMut() + 'static,
) -> io::Result<Heard> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal, writer)?;
    let heard = reader.try_clone()?;
    let watch = reactor.add_reader(&reader, move |ready| {
        let mut bytes = [0; 64];
        if ready.is_ok() && io::Read::read(&mut &heard, &mut bytes).is_ok_and(|count| count > 0) {
            told();
        }
    });
    Ok(Heard { _watch: watch.map_err(io::Error::other)?, _reader: reader })
}
