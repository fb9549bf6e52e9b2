//! What is asked of a certificate beyond what the verifier of the library says.

use std::net::IpAddr;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::BadCertificate;

/// The shortest RSA key that is still worth something, in bits.
pub(crate) const RSA_BITS_MIN: usize = 2048;

/// What a certificate says.
pub(crate) struct Facts {
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// The names that it is for, as text.
    pub(crate) names: Vec<String>,
    /// Mail addresses and URIs, which are names of clients.
    pub(crate) other_names: Vec<String>,
    /// Its key, as it stands in it: the DER form of a `SubjectPublicKeyInfo`.
    pub(crate) key: Vec<u8>,
    rsa_bits: Option<usize>,
    /// Its issuer bears its own name: it is a root, or nobody vouches for it.
    pub(crate) is_self_issued: bool,
    der: Vec<u8>,
}

impl Facts {
    pub(crate) fn of(der: &[u8]) -> Result<Self, BadCertificate> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| BadCertificate::Unreadable)?;
        if !rest.is_empty() {
            return Err(BadCertificate::Unreadable);
        }
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let validity = certificate.validity();
        let rsa_bits = match certificate.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()),
            _ => None,
        };
        let (mut names, mut other_names) = (Vec::new(), Vec::new());
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) => names.push(name.to_ascii_lowercase()),
                    GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                    GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                        other_names.push((*name).to_owned());
                    }
                    _ => (),
                }
            }
        }
        Ok(Self {
            not_before: seconds(validity.not_before.timestamp()),
            not_after: seconds(validity.not_after.timestamp()),
            names,
            other_names,
            key: certificate.public_key().raw.to_vec(),
            rsa_bits,
            is_self_issued: certificate.issuer().as_raw() == certificate.subject().as_raw(),
            der: der.to_vec(),
        })
    }

    pub(crate) fn check_dates(&self, now: u64) -> Result<(), BadCertificate> {
        if now > self.not_after {
            return Err(BadCertificate::Expired { not_after: self.not_after, now });
        }
        if now < self.not_before {
            return Err(BadCertificate::NotYet { not_before: self.not_before, now });
        }
        Ok(())
    }

    pub(crate) fn check_strength(&self) -> Result<(), BadCertificate> {
        match self.rsa_bits {
            Some(bits) if bits < RSA_BITS_MIN => {
                Err(BadCertificate::WeakKey { bits, bits_min: RSA_BITS_MIN })
            }
            _ => Ok(()),
        }
    }

    /// Whether `issuer` vouches for this one.
    pub(crate) fn check_issuer(&self, issuer: &[u8]) -> Result<(), BadCertificate> {
        let read = |der| X509Certificate::from_der(der).map_err(|_| BadCertificate::Unreadable);
        let ((_, own), (_, issuer)) = (read(&self.der)?, read(issuer)?);
        if own.issuer().as_raw() != issuer.subject().as_raw() || !issuer.is_ca() {
            return Err(BadCertificate::UnknownIssuer);
        }
        own.verify_signature(Some(issuer.public_key())).map_err(|_| BadCertificate::BadSignature)
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_string())
}
