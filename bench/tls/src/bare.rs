//! The floor: rustls on a loop that blocks, one connection after the other.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use rustls::{ServerConnection, StreamOwned};

use crate::papers;
use crate::request::{HEAD, KEPT, REQUEST_MAX, Request, announce};

type Tls = StreamOwned<ServerConnection, TcpStream>;

pub(crate) fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let config = papers::server_config(folder)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(listener.local_addr()?)?;
    // Those that asked for no end: the library's own object each, and nobody who looks at it.
    let mut kept = Vec::new();
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut tls = Tls::new(ServerConnection::new(config.clone())?, stream);
        // A connection that fails is over, and that is all.
        if let Ok(true) = talk(&mut tls) {
            kept.push(tls);
        }
    }
}

/// Answers one request; whether the connection stays.
fn talk(tls: &mut Tls) -> io::Result<bool> {
    let (mut heard, mut length) = ([0; REQUEST_MAX], 0);
    let request = loop {
        let read = tls.read(&mut heard[length..])?;
        if read == 0 {
            return finish(tls);
        }
        length += read;
        if let Some(request) = Request::read(&heard[..length]) {
            break request?;
        }
    };
    match request {
        Request::Keep => tls.write_all(KEPT).map(|()| true),
        Request::Bulk { size, total, .. } => {
            tls.write_all(HEAD)?;
            let piece = vec![b'x'; size];
            for _ in 0..total / size as u64 {
                // Each record leaves before the next, however they are asked for.
                tls.write_all(&piece)?;
            }
            finish(tls)
        }
    }
}

fn finish(tls: &mut Tls) -> io::Result<bool> {
    tls.conn.send_close_notify();
    tls.flush()?;
    Ok(false)
}
