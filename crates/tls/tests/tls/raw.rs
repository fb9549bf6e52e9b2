//! The library's own connections as protocols: peers that do what ours never would.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use ropewalk_protocol::{Conn, Protocol};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, Connection, DigitallySignedStruct, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme,
};

/// A connection of the library, driven by hand.
pub(crate) struct Raw {
    connection: Connection,
    /// Said once it can be.
    says: Vec<u8>,
    /// Ends the stream after that without a word in TLS.
    cuts: bool,
}

impl Raw {
    pub(crate) fn server(config: ServerConfig) -> Self {
        let connection = ServerConnection::new(Arc::new(config)).unwrap().into();
        Self { connection, says: Vec::new(), cuts: false }
    }

    pub(crate) fn client(config: ClientConfig) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap().into();
        Self { connection, says: Vec::new(), cuts: false }
    }

    pub(crate) fn saying(self, says: &[u8]) -> Self {
        Self { says: says.to_vec(), ..self }
    }

    pub(crate) fn cutting(self) -> Self {
        Self { cuts: true, ..self }
    }

    fn flush(&mut self, conn: &Conn<Self>) {
        if !self.connection.is_handshaking() && !self.says.is_empty() {
            self.connection.writer().write_all(&self.says).unwrap();
            self.says.clear();
        }
        while self.connection.wants_write() {
            conn.write_with(|out| {
                self.connection.write_tls(out).unwrap();
            });
        }
        if self.cuts && !self.connection.is_handshaking() && self.says.is_empty() {
            conn.close();
        }
    }
}

impl Protocol for Raw {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.flush(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        while !data.is_empty() {
            self.connection.read_tls(&mut data).unwrap();
            if self.connection.process_new_packets().is_err() {
                self.flush(conn);
                return conn.close();
            }
            let mut heard = Vec::new();
            let _ = self.connection.reader().read_to_end(&mut heard);
        }
        self.flush(conn);
    }
}

/// A server with this chain and key, of whatever quality.
pub(crate) fn server_config(chain: Vec<Vec<u8>>, key: Vec<u8>) -> ServerConfig {
    let chain = chain.into_iter().map(CertificateDer::from).collect();
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = PrivateKeyDer::Pkcs8(key.into());
    builder.with_no_client_auth().with_single_cert(chain, key).unwrap()
}

/// A client who trusts this root, and says it is this one, of whatever quality.
pub(crate) fn client_config(
    root: &[u8],
    identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root.to_vec().into()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = chain.into_iter().map(CertificateDer::from).collect();
            builder.with_client_auth_cert(chain, PrivateKeyDer::Pkcs8(key.into())).unwrap()
        }
    }
}

/// Has a client keep what it is shown of an OCSP responder.
pub(crate) fn hear_ocsp(config: &mut ClientConfig) -> Arc<Mutex<Vec<u8>>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    config.dangerous().set_certificate_verifier(Arc::new(Ocsp(Arc::clone(&heard))));
    heard
}

#[derive(Debug)]
struct Ocsp(Arc<Mutex<Vec<u8>>>);

impl ServerCertVerifier for Ocsp {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = ocsp.to_vec();
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
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
