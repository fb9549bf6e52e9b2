//! An echo on one tokio thread: a task a connection, as its own tutorial has it.

use std::io;

use peer_common::{announce, listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The most that one read takes.
const READ_MAX: usize = 16 * 1024;

fn main() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    announce(listener.local_addr()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            // A connection that fails is over, and that is all.
            tokio::spawn(async move { echo(stream).await.ok() });
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; READ_MAX];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..read]).await?;
    }
}
