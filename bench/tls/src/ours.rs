//! Ours, on the driver that `ROPEWALK_REACTOR` names.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;

use bytes::Bytes;
use ropewalk_protocol::{Address, Conn, Port as _, Protocol};
use ropewalk_reactor::{DriverKind, Reactor, TcpListenOptions};
use ropewalk_tls::{Identities, Identity, Policy, TlsServer};

use crate::papers::{CERTIFICATE, KEY};
use crate::request::{HEAD, KEPT, Manner, Request, announce};

pub(crate) fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let reactor = Reactor::with_driver(DriverKind::from_environment()?.unwrap_or_default())?;
    let identities = Identities::new(Policy::new())?;
    identities.add(&Identity::from_files(folder.join(CERTIFICATE), folder.join(KEY))?)?;
    let factory = TlsServer::new(&identities).wrap(|_: &Address| Some(Server::default()));
    let place = (Ipv4Addr::LOCALHOST, 0).into();
    let port = reactor.listen_tcp(
        place,
        TcpListenOptions::default().defer_accept(true),
        Box::new(factory),
    )?;
    announce(port.address().ip().ok_or("no address")?)?;
    reactor.run()?;
    Ok(())
}

#[derive(Default)]
struct Server {
    heard: Vec<u8>,
    piece: Bytes,
    manner: Option<Manner>,
    /// How many bytes are to be written.
    left: u64,
}

impl Server {
    /// Writes as much as there is room for, and the end behind it.
    fn go_on(&mut self, conn: &Conn<Self>) {
        while self.left > 0 && !conn.is_writing_paused() {
            self.left = self.left.saturating_sub(self.piece.len() as u64);
            match self.manner {
                Some(Manner::Shared) => conn.write_bytes(self.piece.clone()),
                Some(Manner::Each) => {
                    conn.write(&self.piece);
                    if self.left > 0 {
                        return conn.tell_when_sent();
                    }
                }
                _ => conn.write(&self.piece),
            }
        }
        if self.left == 0 && !self.piece.is_empty() {
            conn.close();
        }
    }
}

impl Protocol for Server {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
        let Some(request) = Request::read(&self.heard) else { return };
        self.heard = Vec::new();
        match request {
            Ok(Request::Keep) => conn.write(KEPT),
            Ok(Request::Bulk { size, total, manner }) => {
                conn.write(HEAD);
                self.manner = Some(manner);
                self.piece = vec![b'x'; size].into();
                self.left = total;
                self.go_on(conn);
            }
            Err(_) => conn.abort(),
        }
    }

    fn output_sent(&mut self, conn: &Conn<Self>) {
        if self.manner == Some(Manner::Each) && conn.waiting() == 0 {
            self.go_on(conn);
        }
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.go_on(conn);
    }
}
