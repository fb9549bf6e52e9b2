//! An echo on monoio and its `io_uring`: a task a connection.

use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use peer_common::{announce, listener};

/// The most that one read takes.
const READ_MAX: usize = 16 * 1024;
/// How many operations its queue holds.
const ENTRIES: u32 = 4096;

fn main() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?)?;
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new();
    builder.with_entries(ENTRIES).build()?.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection that fails is over, and that is all.
            monoio::spawn(async move { echo(stream).await.ok() });
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(READ_MAX);
    loop {
        let (read, filled) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, sent) = stream.write_all(filled).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}
