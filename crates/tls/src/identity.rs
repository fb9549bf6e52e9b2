//! Who this side is: a chain of certificates, and the key of the first one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use crate::refusal::hex;
use crate::x509::Facts;
use crate::{BadCertificate, IdentityError, provider};

/// The longest file of certificates or keys, in bytes.
pub const PEM_MAX: usize = 1024 * 1024;

/// How many certificates a chain may have, this side's own included.
pub const CHAIN_MAX: usize = 10;

/// Who this side is: a chain of certificates, its own first, and the key of that one.
///
/// Making one checks all that can be known before a peer sees it: that the key is the certificate's,
/// that each certificate vouches for the one before it, and that their time has come and is not over.
///
/// ```
/// use ropewalk_tls::Identity;
///
/// let identity = Identity::self_signed(["localhost"])?;
/// assert_eq!(identity.names(), ["localhost"]);
/// assert_eq!(identity.fingerprint().len(), 64);
/// # Ok::<(), ropewalk_tls::IdentityError>(())
/// ```
#[derive(Clone)]
pub struct Identity {
    pub(crate) certified: Arc<CertifiedKey>,
    names: Arc<[String]>,
    not_after: u64,
}

/// What a PEM file holds of what belongs here.
#[derive(Default)]
pub(crate) struct Pem {
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) keys: Vec<PrivateKeyDer<'static>>,
}

impl Pem {
    /// Reads certificates and keys; `path` is for the error.
    pub(crate) fn read(text: &[u8], path: &Path) -> Result<Self, IdentityError> {
        let mut pem = Self::default();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
            let (kind, der) =
                section.map_err(|error| IdentityError::Pem(path.to_owned(), error.to_string()))?;
            match kind {
                SectionKind::Certificate => pem.certificates.push(CertificateDer::from(der)),
                SectionKind::PrivateKey => pem.keys.push(PrivateKeyDer::Pkcs8(der.into())),
                SectionKind::RsaPrivateKey => pem.keys.push(PrivateKeyDer::Pkcs1(der.into())),
                SectionKind::EcPrivateKey => pem.keys.push(PrivateKeyDer::Sec1(der.into())),
                // Parameters, requests and lists of what was revoked often stand beside them.
                _ => (),
            }
        }
        Ok(pem)
    }

    pub(crate) fn open(path: &Path) -> Result<Self, IdentityError> {
        Self::read(&read_file(path)?, path)
    }
}

/// Reads a file that is to be small.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, IdentityError> {
    use std::io::Read as _;
    let failed = |error| IdentityError::File(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PEM_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > PEM_MAX {
        return Err(IdentityError::TooLarge(path.to_owned(), PEM_MAX));
    }
    Ok(bytes)
}

impl Identity {
    /// Reads a chain and a key in PEM form; the two may be the same text. Further keys are not looked
    /// at.
    ///
    /// # Errors
    ///
    /// If there is no certificate or no key, or they cannot be used together and now.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let path = PathBuf::from("the text");
        let chain = Pem::read(chain, &path)?;
        let key = Pem::read(key, &path)?;
        Self::from_parts(chain, key, &path, &path)
    }

    /// Reads a chain and a key from files; the two may be the same. It blocks: a program does this
    /// before it serves, or on another thread.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem), and if a file cannot be read or is longer than [`PEM_MAX`].
    pub fn from_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, IdentityError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        Self::from_parts(Pem::open(chain)?, Pem::open(key)?, chain, key)
    }

    fn from_parts(
        chain: Pem,
        key: Pem,
        chain_path: &Path,
        key_path: &Path,
    ) -> Result<Self, IdentityError> {
        if chain.certificates.is_empty() {
            return Err(IdentityError::NoCertificate(chain_path.to_owned()));
        }
        let no_key = || IdentityError::NoKey(key_path.to_owned());
        let key = key.keys.into_iter().next().ok_or_else(no_key)?;
        Self::new(chain.certificates, key)
    }

    /// An identity of these parts, in DER form: the chain, its own certificate first, and the key in
    /// PKCS #8.
    ///
    /// # Errors
    ///
    /// If they cannot be used together and now.
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, IdentityError> {
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Self::new(chain, PrivateKeyDer::Pkcs8(key.into()))
    }

    pub(crate) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, IdentityError> {
        let provider = provider();
        let now = UnixTime::now().as_secs();
        let own = chain.first().ok_or(IdentityError::Nothing)?;
        let facts = Facts::of(own).map_err(IdentityError::Chain)?;
        check_chain(&chain, now)?;
        let certified = certify(chain, key, &provider)?;
        let not_after = facts.not_after;
        let names = facts.names.into();
        Ok(Self { certified: Arc::new(certified), names, not_after })
    }

    /// The same, which also shows this answer of an OCSP responder, in DER form (RFC 6066 8), to
    /// clients who ask for one.
    pub fn with_ocsp(&self, response: Vec<u8>) -> Self {
        let mut certified = (*self.certified).clone();
        certified.ocsp = Some(response);
        Self { certified: Arc::new(certified), ..self.clone() }
    }

    /// The names that the certificate is for: host names, wildcards too, and addresses.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The chain in DER form, this side's own certificate first.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.certified.cert.iter().map(|certificate| &**certificate)
    }

    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        sha256(&self.certified.cert[0])
    }

    /// The SHA-256 of the certificate's key: what a client [pins](crate::Trust::pinned).
    pub fn pin(&self) -> String {
        Facts::of(&self.certified.cert[0]).map(|facts| sha256(&facts.key)).unwrap_or_default()
    }

    /// Until when the certificate is good, as the time since 1970.
    pub fn not_after(&self) -> Duration {
        Duration::from_secs(self.not_after)
    }

    /// How many whole days the certificate is still good for.
    pub fn days_left(&self) -> u64 {
        self.not_after.saturating_sub(UnixTime::now().as_secs()) / (24 * 60 * 60)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The SHA-256 of these bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}

fn certify(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, IdentityError> {
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| IdentityError::BadKey(error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(IdentityError::KeyMismatch),
        Err(error) => Err(IdentityError::Other(error.to_string())),
    }
}

/// Whether each certificate's time has come, and each vouches for the one before it.
fn check_chain(chain: &[CertificateDer<'static>], now: u64) -> Result<(), IdentityError> {
    if chain.len() > CHAIN_MAX {
        return Err(IdentityError::Chain(BadCertificate::ChainTooLong { max: CHAIN_MAX }));
    }
    let mut before: Option<Facts> = None;
    for certificate in chain {
        let facts = Facts::of(certificate).map_err(IdentityError::Chain)?;
        facts.check_dates(now).map_err(IdentityError::Chain)?;
        facts.check_strength().map_err(IdentityError::Chain)?;
        if let Some(before) = before {
            before.check_issuer(certificate).map_err(IdentityError::Chain)?;
        }
        before = Some(facts);
    }
    Ok(())
}
