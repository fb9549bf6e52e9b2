//! Whom this side trusts, and how it looks at certificates.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::Context;
use rustls::RootCertStore;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};

use crate::identity::{Pem, read_file, sha256};
use crate::refusal::{INTERMEDIATES_MAX, bad_certificate};
use crate::x509::Facts;
use crate::{BadCertificate, IdentityError, provider};

/// Whom this side trusts to vouch for its peers: roots, or certain keys, or both at once.
///
/// Whatever is trusted, a server's certificate has to be for the name or the address that was
/// connected to, and its time must have come and not be over.
#[derive(Clone)]
pub struct Trust {
    roots: Option<Arc<RootCertStore>>,
    pins: Arc<[String]>,
    everybody: bool,
}

impl Trust {
    /// Trusts the roots of this machine. Reads them from its files: a program does this before it
    /// serves, or on another thread. `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    ///
    /// # Errors
    ///
    /// If there are none that can be read.
    pub fn platform() -> Result<Self, IdentityError> {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = found.errors.first().map(ToString::to_string);
            return Err(IdentityError::Roots(why.unwrap_or_else(|| "none were found".to_owned())));
        }
        Ok(Self::roots(store))
    }

    /// Trusts the roots in this text, in PEM form.
    ///
    /// # Errors
    ///
    /// If there is none, or one cannot be read.
    pub fn from_pem(roots: &[u8]) -> Result<Self, IdentityError> {
        Self::read(roots, Path::new("the text"))
    }

    /// Trusts the roots in this file, in PEM form; of a folder, those in each file whose name ends
    /// in `.pem` or `.crt`. It blocks.
    ///
    /// # Errors
    ///
    /// If there is none, or one cannot be read.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        if !path.is_dir() {
            return Self::read(&read_file(path)?, path);
        }
        let failed = |error| IdentityError::File(path.to_owned(), error);
        let mut all = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|end| end == "pem" || end == "crt") && file.is_file() {
                all.extend(read_file(&file)?);
                all.push(b'\n');
            }
        }
        Self::read(&all, path)
    }

    /// Trusts the roots with these certificates, in DER form.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or there is none.
    pub fn from_der<'c>(roots: impl IntoIterator<Item = &'c [u8]>) -> Result<Self, IdentityError> {
        let roots = roots.into_iter().map(|der| CertificateDer::from(der.to_vec())).collect();
        Self::of(roots, Path::new("the list"))
    }

    fn read(text: &[u8], path: &Path) -> Result<Self, IdentityError> {
        Self::of(Pem::read(text, path)?.certificates, path)
    }

    fn of(roots: Vec<CertificateDer<'static>>, path: &Path) -> Result<Self, IdentityError> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|error| {
                IdentityError::Pem(path.to_owned(), format!("a root cannot be used: {error}"))
            })?;
        }
        if store.is_empty() {
            return Err(IdentityError::NoCertificate(path.to_owned()));
        }
        Ok(Self::roots(store))
    }

    fn roots(store: RootCertStore) -> Self {
        Self { roots: Some(Arc::new(store)), pins: Arc::default(), everybody: false }
    }

    /// Trusts certificates with these keys and no others, whoever vouches for them: each the SHA-256
    /// of a `SubjectPublicKeyInfo`, in hexadecimal digits, as [`Identity::pin`](crate::Identity::pin)
    /// tells it.
    pub fn pinned<S: Into<String>>(pins: impl IntoIterator<Item = S>) -> Self {
        let pins = pins.into_iter().map(|pin| pin.into().to_ascii_lowercase()).collect();
        Self { roots: None, pins, everybody: false }
    }

    /// Trusts of those that it does only the ones whose own certificate has one of these keys.
    pub fn and_pinned<S: Into<String>>(self, pins: impl IntoIterator<Item = S>) -> Self {
        Self { pins: Self::pinned(pins).pins, ..self }
    }

    pub(crate) fn everybody() -> Self {
        Self { roots: None, pins: Arc::default(), everybody: true }
    }

    /// Adds what tells this trust from every other.
    pub(crate) fn tell_apart(&self, rules: &mut Context) {
        let mut add = |part: &[u8]| {
            rules.update(&(part.len() as u64).to_be_bytes());
            rules.update(part);
        };
        add(&[u8::from(self.everybody), u8::from(self.roots.is_some())]);
        add(&(self.pins.len() as u64).to_be_bytes());
        self.pins.iter().for_each(|pin| add(pin.as_bytes()));
        for root in self.roots.iter().flat_map(|roots| &roots.roots) {
            add(&root.subject);
            add(&root.subject_public_key_info);
            add(root.name_constraints.as_deref().unwrap_or_default());
        }
        // No part is as long.
        rules.update(&u64::MAX.to_be_bytes());
    }

    /// What looks at the certificates of servers.
    pub(crate) fn server_verifier(&self) -> Result<Arc<dyn ServerCertVerifier>, IdentityError> {
        let chain = match &self.roots {
            None => None,
            Some(roots) => Some(
                WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
                    .build()
                    .map_err(|error| IdentityError::Roots(error.to_string()))?,
            ),
        };
        Ok(Arc::new(Verifier { trust: self.clone(), chain, names: Arc::default() }))
    }

    /// What looks at the certificates of clients, of whom only those with one of `names` may come,
    /// if there are any.
    pub(crate) fn client_verifier(
        &self,
        names: &[String],
        is_optional: bool,
    ) -> Result<Arc<dyn ClientCertVerifier>, IdentityError> {
        let failed = |error: &dyn fmt::Display| IdentityError::Roots(error.to_string());
        let (chain, subjects) = match &self.roots {
            None => (None, Vec::new()),
            Some(roots) => {
                let builder =
                    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider());
                let chain = builder.build().map_err(|error| failed(&error))?;
                (Some(chain), roots.subjects())
            }
        };
        let verifier = Verifier { trust: self.clone(), chain, names: names.into() };
        Ok(Arc::new(ClientVerifier { verifier, subjects, is_optional }))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("roots", &self.roots.as_ref().map(|roots| roots.len()))
            .field("pins", &self.pins)
            .field("everybody", &self.everybody)
            .finish()
    }
}

/// Looks at certificates: what the library looks at, and what it does not.
#[derive(Debug)]
struct Verifier<C: ?Sized> {
    trust: Trust,
    chain: Option<Arc<C>>,
    /// The clients who may come; all, if empty.
    names: Arc<[String]>,
}

impl<C: ?Sized> Verifier<C> {
    /// What is looked at when the chain is good.
    fn check_after(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let facts = Facts::of(own).map_err(refused)?;
        facts.check_strength().map_err(refused)?;
        for other in others {
            Facts::of(other).and_then(|facts| facts.check_strength()).map_err(refused)?;
        }
        if !self.trust.pins.is_empty() {
            let found = sha256(&facts.key);
            if !self.trust.pins.contains(&found) {
                return Err(refused(BadCertificate::NotPinned { found }));
            }
        }
        if self.chain.is_none() {
            facts.check_dates(now.as_secs()).map_err(|bad| match bad {
                BadCertificate::Expired { .. } => CertificateError::ExpiredContext {
                    time: now,
                    not_after: since(facts.not_after),
                }
                .into(),
                _ => rustls::Error::from(CertificateError::NotValidYetContext {
                    time: now,
                    not_before: since(facts.not_before),
                }),
            })?;
        }
        if !self.names.is_empty() {
            let found: Vec<_> = facts.names.into_iter().chain(facts.other_names).collect();
            if !found.iter().any(|name| self.names.contains(name)) {
                let expected = self.names.join(" or ");
                return Err(refused(BadCertificate::WrongName { expected, found }));
            }
        }
        Ok(())
    }
}

/// What is looked at before the chain, so that its error is the one that helps.
fn check_length(others: usize) -> Result<(), rustls::Error> {
    // The root need not be sent, and may be.
    if others > INTERMEDIATES_MAX + 1 {
        return Err(refused(BadCertificate::ChainTooLong { max: INTERMEDIATES_MAX }));
    }
    Ok(())
}

fn since(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

fn refused(bad: BadCertificate) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(bad))).into()
}

/// Says of a key that is too weak what a signature that failed for it does not.
fn or_weak(error: rustls::Error, certificates: impl IntoIterator<Item = Facts>) -> rustls::Error {
    let rustls::Error::InvalidCertificate(bad) = &error else { return error };
    if !matches!(bad_certificate(bad), BadCertificate::BadSignature | BadCertificate::UnknownIssuer)
    {
        return error;
    }
    let weak = certificates.into_iter().find_map(|facts| facts.check_strength().err());
    weak.map_or(error, refused)
}

fn all_facts(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Vec<Facts> {
    let all = std::iter::once(own).chain(others);
    all.filter_map(|certificate| Facts::of(certificate).ok()).collect()
}

impl ServerCertVerifier for Verifier<WebPkiServerVerifier> {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.trust.everybody {
            return Ok(ServerCertVerified::assertion());
        }
        check_length(others.len())?;
        match &self.chain {
            Some(chain) => {
                chain
                    .verify_server_cert(own, others, name, ocsp, now)
                    .map_err(|error| or_weak(error, all_facts(own, others)))?;
            }
            None => {
                let parsed = rustls::server::ParsedCertificate::try_from(own)?;
                verify_server_name(&parsed, name)?;
            }
        }
        // A certificate that is its own issuer has to be weighed alone.
        self.check_after(own, others, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signed_12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signed_13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
struct ClientVerifier {
    verifier: Verifier<dyn ClientCertVerifier>,
    subjects: Vec<DistinguishedName>,
    is_optional: bool,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.is_optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        if self.verifier.trust.everybody {
            return Ok(ClientCertVerified::assertion());
        }
        check_length(others.len())?;
        if let Some(chain) = &self.verifier.chain {
            chain
                .verify_client_cert(own, others, now)
                .map_err(|error| or_weak(error, all_facts(own, others)))?;
        }
        self.verifier.check_after(own, others, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signed_12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        signed_13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn signed_12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider().signature_verification_algorithms;
    verify_tls12_signature(message, certificate, signature, algorithms)
}

fn signed_13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = &provider().signature_verification_algorithms;
    verify_tls13_signature(message, certificate, signature, algorithms)
}
