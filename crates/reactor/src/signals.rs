//! SIGINT and SIGTERM, as descriptors that become readable.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

/// The signals that stop a reactor.
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// The registrations of one run; dropping them gives the signals back.
pub(crate) struct Signals {
    ids: Vec<SigId>,
    /// The keys of the descriptors that tell of them.
    pub(crate) keys: Vec<usize>,
}

impl Signals {
    /// Has the signals told by descriptors; `watch` takes each in and answers its key.
    pub(crate) fn register(mut watch: impl FnMut(i32, OwnedFd) -> usize) -> io::Result<Self> {
        let mut signals = Self { ids: Vec::new(), keys: Vec::new() };
        for signal in STOPPING {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            signals.ids.push(pipe::register(signal, writer)?);
            signals.keys.push(watch(signal, reader.into()));
        }
        Ok(signals)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            unregister(id);
        }
    }
}
