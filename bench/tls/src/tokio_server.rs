//! tokio-rustls on one thread of tokio: a task a connection.

use std::error::Error;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::papers;
use crate::request::{HEAD, KEPT, Manner, REQUEST_MAX, Request, announce};

pub(crate) fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let acceptor = TlsAcceptor::from(papers::server_config(folder)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(listener.local_addr()?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            // A connection that fails is over, and that is all.
            tokio::spawn(async move { talk(acceptor, stream).await.ok() });
        }
    })
}

async fn talk(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut tls = acceptor.accept(stream).await?;
    let (mut heard, mut length) = ([0; REQUEST_MAX], 0);
    loop {
        let read = tls.read(&mut heard[length..]).await?;
        if read == 0 {
            return tls.shutdown().await;
        }
        length += read;
        let Some(request) = Request::read(&heard[..length]) else { continue };
        length = 0;
        match request? {
            Request::Keep => {
                tls.write_all(KEPT).await?;
                tls.flush().await?;
            }
            Request::Bulk { size, total, manner } => {
                tls.write_all(HEAD).await?;
                let piece = vec![b'x'; size];
                for _ in 0..total / size as u64 {
                    tls.write_all(&piece).await?;
                    if manner == Manner::Each {
                        tls.flush().await?;
                    }
                }
                tls.flush().await?;
                return tls.shutdown().await;
            }
        }
    }
}
