//! The load: clients on rustls that block, TLS 1.3 with X25519 and AES-128-GCM whoever they speak to.

#![expect(
    clippy::disallowed_methods,
    reason = "a load has threads, and a clock that is the world's"
)]

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, RootCertStore, StreamOwned,
};

use crate::papers::{CERTIFICATE, NAME};

type Tls = StreamOwned<ClientConnection, TcpStream>;
type Sent = Box<dyn Error + Send + Sync>;

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many tickets are kept; each is used once, and most bring two new ones.
const TICKETS_MAX: usize = 256;

/// Keeps tickets, whoever they are of.
#[derive(Debug, Default)]
struct Tickets {
    kept: Mutex<Vec<Tls13ClientSessionValue>>,
    /// Whether they are used, too.
    lends: AtomicBool,
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut tickets = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() < TICKETS_MAX {
            tickets.push(value);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut tickets = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lends.load(Ordering::Relaxed) { tickets.pop() } else { None }
    }
}

/// A server, and how it is spoken to.
#[derive(Clone)]
struct Target {
    address: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Target {
    fn new(address: &str, folder: &Path, resumption: Resumption) -> Result<Self, Box<dyn Error>> {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519];
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join(CERTIFICATE))?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = resumption;
        Ok(Self { address: address.parse()?, config: Arc::new(config) })
    }

    /// Connects, and shakes hands as far as this side goes.
    fn connect(&self) -> Result<Tls, Sent> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let client = ClientConnection::new(Arc::clone(&self.config), ServerName::try_from(NAME)?)?;
        let mut tls = Tls::new(client, stream);
        while tls.conn.is_handshaking() || tls.conn.wants_write() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// A whole handshake, and the end on both sides.
    fn shake(&self, kind: HandshakeKind) -> Result<(), Sent> {
        let mut tls = self.connect()?;
        if tls.conn.handshake_kind() != Some(kind) {
            return Err(format!("{:?} instead of {kind:?}", tls.conn.handshake_kind()).into());
        }
        tls.conn.send_close_notify();
        tls.flush()?;
        // The server's tickets and its end; it may leave its own word out.
        match io::copy(&mut tls, &mut io::sink()) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Shakes hands over and over, so many at a time; prints how often.
pub(crate) fn shake(
    address: &str,
    folder: &Path,
    resumes: bool,
    clients: usize,
    seconds: f64,
) -> Result<(), Box<dyn Error>> {
    let tickets = Arc::new(Tickets::default());
    let (resumption, kind) = if resumes {
        (Resumption::store(Arc::<Tickets>::clone(&tickets)), HandshakeKind::Resumed)
    } else {
        (Resumption::disabled(), HandshakeKind::Full)
    };
    let target = Target::new(address, folder, resumption)?;
    if resumes {
        for _ in 0..clients {
            target.shake(HandshakeKind::Full).map_err(|error| error.to_string())?;
        }
        tickets.lends.store(true, Ordering::Relaxed);
    }
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let shaking: Vec<_> = (0..clients)
        .map(|_| {
            let target = target.clone();
            thread::spawn(move || {
                let mut count = 0_u64;
                while Instant::now() < until {
                    target.shake(kind)?;
                    count += 1;
                }
                Ok::<_, Sent>(count)
            })
        })
        .collect();
    let mut count = 0;
    for thread in shaking {
        count += thread.join().map_err(|_| "a client fell")?.map_err(|error| error.to_string())?;
    }
    println!("done {count}");
    Ok(())
}

/// Has a server send over and over; prints how many bytes came.
pub(crate) fn bulk(
    address: &str,
    folder: &Path,
    size: usize,
    total: u64,
    manner: &str,
    seconds: f64,
) -> Result<(), Box<dyn Error>> {
    let target = Target::new(address, folder, Resumption::disabled())?;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut count = 0;
    let mut buffer = vec![0; 64 * 1024];
    let manner = if manner == "slices" { String::new() } else { format!("/{manner}") };
    while Instant::now() < until {
        let mut tls = target.connect().map_err(|error| error.to_string())?;
        write!(tls, "GET /{size}/{total}{manner} HTTP/1.0\r\n\r\n")?;
        let mut came = 0;
        loop {
            match tls.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => came += read as u64,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error.into()),
            }
        }
        if came < total {
            return Err(format!("{came} bytes of {total}").into());
        }
        count += total;
    }
    println!("done {count}");
    Ok(())
}

/// Keeps so many connections, each of which has had an answer, until the input ends.
pub(crate) fn hold(address: &str, folder: &Path, count: usize) -> Result<(), Box<dyn Error>> {
    let target = Target::new(address, folder, Resumption::disabled())?;
    let mut kept = Vec::with_capacity(count);
    for _ in 0..count {
        let mut tls = target.connect().map_err(|error| error.to_string())?;
        tls.write_all(b"GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let (mut heard, mut piece) = (Vec::new(), [0; 1024]);
        // The head of nginx is longer; the body is the same.
        while !heard.ends_with(b"89abcdef") {
            let read = tls.read(&mut piece)?;
            heard.extend_from_slice(&piece[..read]);
        }
        kept.push(tls);
    }
    println!("ready");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
