//! What rustls says went wrong, in our words, with the alert that the peer was told.

use std::error::Error;

use ropewalk_protocol::TlsAlert;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, OtherError};

use crate::{BadCertificate, Reason};

/// How many certificates may stand between one and its root, the two not counted.
pub(crate) const INTERMEDIATES_MAX: usize = 6;

/// An alert in the clear, whole: type, version, length, level, description.
const ALERT_LEN: usize = 7;

/// Why rustls gave up; `sent` is what it had to say to the peer.
pub(crate) fn reason_of(error: &rustls::Error, sent: &[u8]) -> Reason {
    use rustls::Error as E;
    // Once keys are in use an alert cannot be read back, and the standard says which one it was.
    let told = |usual: TlsAlert| plain_alert(sent).unwrap_or(usual);
    match error {
        E::AlertReceived(alert) => Reason::RefusedByPeer(TlsAlert(u8::from(*alert))),
        E::InvalidCertificate(bad) => {
            let alert = TlsAlert(u8::from(AlertDescription::from(bad.clone())));
            Reason::Certificate(bad_certificate(bad), told(alert))
        }
        E::NoCertificatesPresented => {
            Reason::Certificate(BadCertificate::Missing, told(TlsAlert::CERTIFICATE_REQUIRED))
        }
        E::PeerIncompatible(why) => Reason::NothingInCommon {
            what: words(&format!("{why:?}")),
            alert: told(TlsAlert::HANDSHAKE_FAILURE),
        },
        E::NoApplicationProtocol => Reason::NothingInCommon {
            what: "no application protocol".to_owned(),
            alert: told(TlsAlert::NO_APPLICATION_PROTOCOL),
        },
        E::InappropriateMessage { expect_types, got_type } => Reason::Peer {
            what: format!("expected {expect_types:?}, got {got_type:?}"),
            alert: told(TlsAlert::UNEXPECTED_MESSAGE),
        },
        E::InappropriateHandshakeMessage { expect_types, got_type } => Reason::Peer {
            what: format!("expected {expect_types:?}, got {got_type:?}"),
            alert: told(TlsAlert::UNEXPECTED_MESSAGE),
        },
        E::InvalidMessage(why) => Reason::Peer {
            what: words(&format!("{why:?}")),
            alert: told(TlsAlert(u8::from(AlertDescription::from(*why)))),
        },
        E::PeerMisbehaved(why) => Reason::Peer {
            what: words(&format!("{why:?}")),
            alert: told(TlsAlert::ILLEGAL_PARAMETER),
        },
        E::DecryptError => Reason::Peer {
            what: "a record was altered, or encrypted with other keys".to_owned(),
            alert: told(TlsAlert::BAD_RECORD_MAC),
        },
        E::PeerSentOversizedRecord => Reason::Peer {
            what: "a record is longer than 16 KiB".to_owned(),
            alert: told(TlsAlert::RECORD_OVERFLOW),
        },
        other => match plain_alert(sent) {
            Some(alert) => Reason::Peer { what: other.to_string(), alert },
            None => Reason::Internal(other.to_string()),
        },
    }
}

/// Why a certificate is not accepted.
pub(crate) fn bad_certificate(error: &CertificateError) -> BadCertificate {
    use CertificateError as C;
    let seconds = |time: &UnixTime| time.as_secs();
    match error {
        C::ExpiredContext { time, not_after } => {
            BadCertificate::Expired { not_after: seconds(not_after), now: seconds(time) }
        }
        C::NotValidYetContext { time, not_before } => {
            BadCertificate::NotYet { not_before: seconds(not_before), now: seconds(time) }
        }
        C::NotValidForNameContext { expected, presented } => {
            BadCertificate::WrongName { expected: name(expected), found: presented.clone() }
        }
        C::InvalidPurposeContext { required, presented } => BadCertificate::WrongUsage {
            expected: required.to_string(),
            found: presented.iter().map(ToString::to_string).collect(),
        },
        C::UnknownIssuer => BadCertificate::UnknownIssuer,
        C::BadSignature => BadCertificate::BadSignature,
        C::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. } => {
            BadCertificate::WeakSignature(algorithm(signature_algorithm_id))
        }
        C::Revoked => BadCertificate::Revoked,
        C::BadEncoding => BadCertificate::Unreadable,
        C::Other(OtherError(error)) => other_bad_certificate(&**error),
        other => BadCertificate::Other(words(&format!("{other:?}"))),
    }
}

fn other_bad_certificate(error: &(dyn Error + 'static)) -> BadCertificate {
    if let Some(ours) = error.downcast_ref::<BadCertificate>() {
        return ours.clone();
    }
    match error.downcast_ref::<webpki::Error>() {
        Some(webpki::Error::MaximumPathDepthExceeded) => {
            BadCertificate::ChainTooLong { max: INTERMEDIATES_MAX }
        }
        Some(webpki::Error::PathLenConstraintViolated) => BadCertificate::PathLength,
        Some(webpki::Error::NameConstraintViolation) => BadCertificate::NameConstraint,
        Some(webpki::Error::CaUsedAsEndEntity) => BadCertificate::WrongUsage {
            expected: "a server or a client".to_owned(),
            found: vec!["an issuer of certificates".to_owned()],
        },
        Some(webpki::Error::EndEntityUsedAsCa) => BadCertificate::WrongUsage {
            expected: "an issuer of certificates".to_owned(),
            found: vec!["a server or a client".to_owned()],
        },
        Some(error) => BadCertificate::Other(words(&format!("{error:?}"))),
        None => BadCertificate::Other(error.to_string()),
    }
}

/// The alert that `sent` ends in, if it is one in the clear.
fn plain_alert(sent: &[u8]) -> Option<TlsAlert> {
    match sent.get(sent.len().checked_sub(ALERT_LEN)?..)? {
        [21, 3, _, 0, 2, _, alert] => Some(TlsAlert(*alert)),
        _ => None,
    }
}

fn name(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// The name of a way to sign that nobody should trust any more, else its number.
fn algorithm(id: &[u8]) -> String {
    // What the certificate has is the content of an AlgorithmIdentifier: an object identifier and
    // its parameters.
    const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05];
    const MD5_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04];
    const SHA1_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
    let has = |oid: &[u8]| id.windows(oid.len()).any(|window| window == oid);
    if has(SHA1_RSA) {
        "SHA-1 with RSA".to_owned()
    } else if has(SHA1_ECDSA) {
        "SHA-1 with ECDSA".to_owned()
    } else if has(MD5_RSA) {
        "MD5 with RSA".to_owned()
    } else {
        format!("object identifier {}", hex(id))
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `NoCipherSuitesInCommon` as a person would write it.
fn words(name: &str) -> String {
    let mut text = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
        before = c;
    }
    text
}
