//! The other side of an echo, on the system's own sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// What takes longer hangs. Each call of a server is told to who traces it, and thousands may be before this
/// one, on a machine that is busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// Bytes that show by themselves where they belong.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n ^ n >> 8 ^ n >> 16) as u8).collect()
}

/// How an exchange ended.
pub(crate) enum End {
    /// All that was sent came back.
    Whole,
    /// The connection broke; what had come until then was right.
    Broken(io::Error),
}

/// Sends so many bytes, in pieces of that size, and has them sent back.
///
/// # Panics
///
/// If something else comes back, or nothing at all for [`PATIENCE`].
pub(crate) fn exchange(address: SocketAddr, bytes: usize, piece: usize) -> End {
    match try_exchange(address, bytes, piece) {
        Ok(()) => End::Whole,
        Err(error) => {
            let kind = error.kind();
            let has_hung = matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            assert!(!has_hung, "it hangs: {error}");
            End::Broken(error)
        }
    }
}

fn try_exchange(address: SocketAddr, bytes: usize, piece: usize) -> io::Result<()> {
    let mut reader = TcpStream::connect_timeout(&address, PATIENCE)?;
    reader.set_read_timeout(Some(PATIENCE))?;
    reader.set_write_timeout(Some(PATIENCE))?;
    let mut writer = reader.try_clone()?;
    let sent = pattern(bytes);
    let copy = sent.clone();
    let write = move || {
        copy.chunks(piece).try_for_each(|piece| writer.write_all(piece))?;
        writer.shutdown(Shutdown::Write)
    };
    let writing = thread::Builder::new().name("writer".to_owned()).spawn(write)?;
    let mut heard = 0;
    let mut buffer = vec![0; 32 * 1024];
    let read = loop {
        match reader.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                assert!(sent[heard..].starts_with(&buffer[..count]), "at byte {heard}");
                heard += count;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => break Err(error),
        }
    };
    // A writer whose peer is gone ends by itself.
    let written = writing.join().expect("no panic");
    read?;
    written?;
    if heard < bytes {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{heard} of {bytes}")));
    }
    Ok(())
}
