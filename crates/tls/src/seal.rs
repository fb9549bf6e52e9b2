//! Records of TLS 1.3 that are encrypted straight into what the transport sends.
//!
//! rustls wants each record from its encrypter in a vector of its own, which it then copies to where
//! the caller wants it. [`sealing`] spares the vector and both copies: while it lasts, our encrypters write
//! their records behind each other into the caller's output, and give rustls empty ones, which the
//! caller throws away. Everything else about a record, its number, its key and how many are allowed,
//! stays with rustls.

use std::cell::Cell;
use std::sync::LazyLock;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, TlsProtocolId, TlsRecordSealingKey, UnboundKey};
use aws_lc_rs::error::Unspecified;
use rustls::crypto::CryptoProvider;
use rustls::crypto::cipher::{
    AeadKey, Iv, MessageDecrypter, MessageEncrypter, Nonce, OutboundChunks, OutboundOpaqueMessage,
    OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm, UnsupportedOperationError,
    make_tls13_aad,
};
use rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};

use crate::sealed::Sealed;

/// A record's header, in bytes (RFC 8446 5.1), which is also what is authenticated beside its content.
const HEADER: usize = 5;

/// What comes behind the content: its type, and the tag of every AEAD that TLS 1.3 has.
const TRAILER: usize = 1 + 16;

/// An empty record, as rustls gets them while [`sealing`] lasts.
const HUSK: [u8; HEADER] = [23, 3, 3, 0, 0];

/// Room for a record with new keys and for empty ones.
const ROOM: usize = 256;

thread_local! {
    /// Where records go while [`sealing`] lasts.
    static OUTLET: Cell<Option<Sealed>> = const { Cell::new(None) };
}

/// Has what `encrypt` encrypts by a connection of TLS 1.3 appended to `out`. It is given room for what
/// rustls writes: a whole record that was encrypted before and goes first, where the peer asked for new
/// keys, and empty ones; and answers how much of the room was used.
///
/// `None` if something else was written there, which would be lost.
pub(crate) fn sealing<E>(
    out: &mut Sealed,
    encrypt: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Option<Result<(), E>> {
    let mut room = [0; ROOM];
    let start = out.len();
    OUTLET.set(Some(std::mem::take(out)));
    let written = encrypt(&mut room);
    *out = OUTLET.take().unwrap_or_default();
    let written = match written {
        Ok(count) => room.get(..count)?,
        Err(error) => return Some(Err(error)),
    };
    if written != HUSK {
        let first = whole_records(written)?;
        out.append(|out| out.splice(start..start, first.iter().copied()).for_each(drop));
    }
    Some(Ok(()))
}

/// The records that come before the first empty one; `None` if others are behind it.
fn whole_records(records: &[u8]) -> Option<&[u8]> {
    let mut whole = 0;
    let mut at = 0;
    while at < records.len() {
        let [_, _, _, high, low, ..] = records[at..] else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > 0 && at > whole {
            return None;
        }
        at += HEADER + length;
        if length > 0 {
            whole = at;
        }
    }
    records.get(..whole)
}

/// The same cryptography with encrypters that know of [`sealing`].
pub(crate) fn with_outlets(mut provider: CryptoProvider) -> CryptoProvider {
    for suite in &mut provider.cipher_suites {
        let ours = SUITES.iter().find(|ours| ours.common.suite == suite.suite());
        if let Some(ours) = ours {
            *suite = SupportedCipherSuite::Tls13(ours);
        }
    }
    provider
}

static ALGORITHMS: LazyLock<Vec<Sealing>> = LazyLock::new(|| {
    let suites = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES.iter();
    suites.filter_map(Sealing::of).collect()
});

static SUITES: LazyLock<Vec<Tls13CipherSuite>> = LazyLock::new(|| {
    let suites = ALGORITHMS.iter().map(|algorithm| Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: algorithm.theirs.common.suite,
            hash_provider: algorithm.theirs.common.hash_provider,
            confidentiality_limit: algorithm.theirs.common.confidentiality_limit,
        },
        hkdf_provider: algorithm.theirs.hkdf_provider,
        aead_alg: algorithm,
        quic: None,
    });
    suites.collect()
});

/// The encryption of one of rustls's cipher suites, by the same library.
struct Sealing {
    theirs: &'static Tls13CipherSuite,
    algorithm: &'static aead::Algorithm,
}

impl Sealing {
    fn of(suite: &SupportedCipherSuite) -> Option<Self> {
        let SupportedCipherSuite::Tls13(theirs) = suite else { return None };
        let algorithm = match theirs.common.suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => &aead::AES_128_GCM,
            CipherSuite::TLS13_AES_256_GCM_SHA384 => &aead::AES_256_GCM,
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => &aead::CHACHA20_POLY1305,
            _ => return None,
        };
        Some(Self { theirs, algorithm })
    }
}

impl Tls13AeadAlgorithm for Sealing {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        match Key::new(self.algorithm, key.as_ref()) {
            Ok(key) => Box::new(Encrypter { key, iv }),
            Err(Unspecified) => self.theirs.aead_alg.encrypter(key, iv),
        }
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.theirs.aead_alg.decrypter(key, iv)
    }

    fn key_len(&self) -> usize {
        self.theirs.aead_alg.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.theirs.aead_alg.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.theirs.aead_alg.fips()
    }
}

enum Key {
    /// Sees to it that no nonce comes twice.
    Gcm(TlsRecordSealingKey),
    Other(LessSafeKey),
}

impl Key {
    fn new(algorithm: &'static aead::Algorithm, key: &[u8]) -> Result<Self, Unspecified> {
        if *algorithm == aead::CHACHA20_POLY1305 {
            return Ok(Self::Other(LessSafeKey::new(UnboundKey::new(algorithm, key)?)));
        }
        Ok(Self::Gcm(TlsRecordSealingKey::new(algorithm, TlsProtocolId::TLS13, key)?))
    }

    /// Encrypts `content`, and its type behind it, into `body`, which is as long as that and the tag.
    fn seal(
        &mut self,
        nonce: aead::Nonce,
        kind: u8,
        content: &[u8],
        body: &mut [u8],
    ) -> Result<(), Unspecified> {
        let (aad, kind) = (Aad::from(make_tls13_aad(body.len())), [kind]);
        let (sealed, trailer) = body.split_at_mut_checked(content.len()).ok_or(Unspecified)?;
        match self {
            Self::Gcm(key) => {
                key.seal_out_of_place_scatter(nonce, aad, content, sealed, &kind, trailer)
            }
            Self::Other(key) => {
                key.seal_out_of_place_scatter(nonce, aad, content, sealed, &kind, trailer)
            }
        }
    }
}

struct Encrypter {
    key: Key,
    iv: Iv,
}

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let gathered;
        let content = match &message.payload {
            OutboundChunks::Single(content) => content,
            several @ OutboundChunks::Multiple { .. } => {
                gathered = several.to_vec();
                &gathered[..]
            }
        };
        let length = content.len() + TRAILER;
        let nonce = aead::Nonce::assume_unique_for_key(Nonce::new(&self.iv, number).0);
        let (payload, sealed);
        if let Some(mut out) = OUTLET.take() {
            payload = PrefixedPayload::with_capacity(0);
            let record = out.next(HEADER + length);
            let (header, body) = record.split_at_mut(HEADER);
            header.copy_from_slice(&make_tls13_aad(length));
            sealed = self.key.seal(nonce, message.typ.into(), content, body);
            OUTLET.set(Some(out));
        } else {
            let mut record = PrefixedPayload::with_capacity(length);
            record.extend_from_slice(content);
            record.extend_from_slice(&[0; TRAILER]);
            sealed = self.key.seal(nonce, message.typ.into(), content, record.as_mut());
            payload = record;
        }
        sealed.map_err(|Unspecified| Error::EncryptError)?;
        let (kind, version) = (ContentType::ApplicationData, ProtocolVersion::TLSv1_2);
        Ok(OutboundOpaqueMessage::new(kind, version, payload))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        let out = OUTLET.take();
        let is_open = out.is_some();
        OUTLET.set(out);
        if is_open { 0 } else { length + TRAILER }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{
        CipherSuiteCommon, ClientConfig, ClientConnection, RootCertStore, ServerConfig,
        Tls13CipherSuite,
    };

    use super::{SUITES, whole_records};
    use crate::sealed::Sealed;
    use crate::session::{self, Agreed, Hearer, Session};

    #[derive(Default)]
    struct Heard(Vec<u8>);

    impl Hearer for Heard {
        fn established(&mut self, _: &Agreed<'_>) {}

        fn plaintext(&mut self, data: &[u8]) {
            self.0.extend_from_slice(data);
        }
    }

    /// What the server has for the client.
    fn deliver(client: &mut ClientConnection, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).unwrap();
            client.process_new_packets().unwrap();
        }
    }

    /// And the other way.
    fn answer(client: &mut ClientConnection, server: &mut dyn Session) -> Vec<u8> {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut input).unwrap();
        }
        let received = server.receive(&mut input, &mut Heard::default(), &mut out);
        assert!(received.consumed == input.len() && received.failure.is_none());
        out
    }

    #[test]
    fn keys_that_are_used_up_are_changed_ahead_of_what_is_sent() {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        for suite in &*SUITES {
            // So few records under one key as no connection sends otherwise.
            let common = CipherSuiteCommon { confidentiality_limit: 20, ..suite.common };
            let few = Box::leak(Box::new(Tls13CipherSuite { common, ..*suite }));
            let mut provider = rustls::crypto::aws_lc_rs::default_provider();
            provider.cipher_suites = vec![(&*few).into()];
            let server = ServerConfig::builder_with_provider(Arc::new(provider.clone()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.clone()],
                    PrivateKeyDer::Pkcs8(key.serialize_der().into()),
                )
                .unwrap();
            let client = ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let mut server = session::server(Arc::new(server), None).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
            while client.wants_write() {
                let out = answer(&mut client, &mut *server);
                deliver(&mut client, &out);
            }
            let (mut sent, mut heard) = (Vec::new(), Vec::new());
            for number in 0..500_usize {
                let content = vec![number as u8; 1 + number * 40];
                // Behind what is there already.
                let mut out = Sealed::behind(b"before".to_vec());
                server.send(&content, &mut [], &mut out).unwrap();
                let out = out.into_vec();
                assert!(out.starts_with(b"before"));
                deliver(&mut client, &out[6..]);
                sent.extend_from_slice(&content);
                let mut some = vec![0; content.len()];
                client.reader().read_exact(&mut some).unwrap();
                heard.extend_from_slice(&some);
                // Its own keys wear out as well, and ours are renewed on its wish.
                client.writer().write_all(b"x").unwrap();
                let out = answer(&mut client, &mut *server);
                deliver(&mut client, &out);
            }
            assert!(heard == sent, "{:?}", suite.common.suite);
        }
    }

    #[test]
    fn whole_records_come_before_empty_ones() {
        let husk = [23, 3, 3, 0, 0];
        let whole = [23, 3, 3, 0, 2, 7, 7];
        assert_eq!(whole_records(&[]), Some(&[][..]));
        assert_eq!(whole_records(&husk), Some(&[][..]));
        assert_eq!(whole_records(&[&whole[..], &husk].concat()), Some(&whole[..]));
        assert_eq!(whole_records(&[&whole[..], &whole, &husk, &husk].concat()).unwrap().len(), 14);
        assert_eq!(whole_records(&[&husk[..], &whole].concat()), None);
        assert_eq!(whole_records(&whole[..6]), None);
        assert_eq!(whole_records(&husk[..4]), None);
    }
}
