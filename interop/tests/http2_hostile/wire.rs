//! Connections that are spoken to by hand, frame by frame, in the clear and under TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use ropewalk_http2::frame::{ErrorCode, PREFACE};
use ropewalk_http2::hpack::{Decoder, Field, Name, Pseudo};
use ropewalk_interop::PATIENCE;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

/// A frame, whatever it is.
pub(crate) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The block of a request; its first octet is the method's.
pub(crate) fn block(method: u8, is_secure: bool, path: &str) -> Vec<u8> {
    let scheme = if is_secure { 0x87 } else { 0x86 };
    let len = u8::try_from(path.len()).expect("a short path");
    [&[method, scheme, 0x04, len], path.as_bytes(), b"\x01\x09localhost"].concat()
}

pub(crate) const GET: u8 = 0x82;
pub(crate) const POST: u8 = 0x83;

enum Link {
    Clear(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A client that says what it likes.
pub(crate) struct Wire {
    link: Link,
    rest: Vec<u8>,
    decoder: Decoder,
    pings: u64,
    /// The last of its own pings that was answered.
    pong: u64,
    /// Statuses, by streams.
    pub(crate) statuses: Vec<(u32, String)>,
    pub(crate) resets: Vec<(u32, ErrorCode)>,
    /// How much of bodies has come.
    pub(crate) body: usize,
    /// Streams that the server has ended.
    pub(crate) ended: usize,
    pub(crate) farewell: Option<ErrorCode>,
    pub(crate) is_over: bool,
}

impl Wire {
    /// A connection to `authority`, which is greeted with `settings`.
    pub(crate) fn connect(authority: &str, is_secure: bool, settings: &[u8]) -> Self {
        let stream = TcpStream::connect(authority).expect("a connection");
        stream.set_nodelay(true).expect("a connection");
        // Longer than a server's patience.
        stream.set_read_timeout(Some(6 * PATIENCE)).expect("a time");
        stream.set_write_timeout(Some(6 * PATIENCE)).expect("a time");
        let link = if is_secure { secure(stream) } else { Link::Clear(stream) };
        let mut wire = Self {
            link,
            rest: Vec::new(),
            decoder: Decoder::new(),
            pings: 0,
            pong: 0,
            statuses: Vec::new(),
            resets: Vec::new(),
            body: 0,
            ended: 0,
            farewell: None,
            is_over: false,
        };
        wire.tell(&[&PREFACE[..], &raw(4, 0, 0, settings), &raw(4, 1, 0, b"")].concat());
        wire
    }

    /// Sends something, and hears all that is said to it.
    pub(crate) fn tell(&mut self, octets: &[u8]) {
        self.pings += 1;
        let ping = raw(6, 0, 0, &self.pings.to_be_bytes());
        self.send(&[octets, &ping].concat());
        let until = self.pings;
        self.hear_until(|wire| wire.pong == until);
    }

    /// Sends something, whatever becomes of it.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        let link: &mut dyn Write = match &mut self.link {
            Link::Clear(stream) => stream,
            Link::Secure(stream) => stream,
        };
        // Who was given up may find that out here; why, is there to read.
        let _ = link.write_all(octets).and_then(|()| link.flush());
    }

    /// Hears what is said, until something is true or the connection is over.
    pub(crate) fn hear_until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        let mut buffer = vec![0; 1 << 16];
        while !is_enough(self) && !self.is_over {
            match self.receive(&mut buffer) {
                Ok(0) => self.is_over = true,
                Ok(len) => self.hear(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(error) => {
                    let ends = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
                    assert!(ends.contains(&error.kind()), "the server says nothing more: {error}");
                    self.is_over = true;
                }
            }
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.link {
            Link::Clear(stream) => stream.read(buffer),
            Link::Secure(stream) => stream.read(buffer),
        }
    }

    fn hear(&mut self, octets: &[u8]) {
        self.rest.extend_from_slice(octets);
        let all = std::mem::take(&mut self.rest);
        let mut rest = &all[..];
        while let [a, b, c, kind, flags, s0, s1, s2, s3, behind @ ..] = rest {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = behind.get(..len) else { break };
            self.take(*kind, *flags, u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload);
            rest = &behind[len..];
        }
        self.rest = rest.to_vec();
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let code = |at: usize| {
            let number = u32::from_be_bytes(payload[at..at + 4].try_into().expect("four octets"));
            ErrorCode::from(number)
        };
        self.ended += usize::from(kind < 2 && flags & 1 != 0);
        match kind {
            0 => self.body += payload.len(),
            1 => {
                let statuses = &mut self.statuses;
                let take = |field: Field| {
                    if field.name == Name::Pseudo(Pseudo::Status) {
                        let status = String::from_utf8_lossy(&field.value).into_owned();
                        statuses.push((stream, status));
                    }
                };
                self.decoder.decode(payload, take).expect("a block");
            }
            3 => self.resets.push((stream, code(0))),
            6 if flags & 1 != 0 => {
                let mark = u64::from_be_bytes(payload.try_into().expect("eight octets"));
                self.pong = self.pong.max(mark);
            }
            7 => self.farewell = Some(code(4)),
            _ => (),
        }
    }
}

fn secure(stream: TcpStream) -> Link {
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    Link::Secure(Box::new(StreamOwned::new(session, stream)))
}

/// Takes a server for whoever it says it is.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}
