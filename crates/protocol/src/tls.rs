//! What every room may know of encrypted connections.

use std::fmt;

/// How TLS broke off. What exactly was expected is told by
/// [`Conn::cause`](crate::Conn::cause).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// This side refused the peer, and told it so by this alert.
    Refused(TlsAlert),
    /// The peer refused this side, by this alert.
    RefusedByPeer(TlsAlert),
    /// The peer ended its stream without saying in TLS that it would: what came may not be all.
    Truncated,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(alert) => write!(f, "this side refused the peer: {alert}"),
            Self::RefusedByPeer(alert) => write!(f, "the peer refused this side: {alert}"),
            Self::Truncated => f.write_str("the peer cut its stream short"),
        }
    }
}

/// The connection is not encrypted, where that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotEncrypted;

impl fmt::Display for NotEncrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection is not encrypted")
    }
}

impl std::error::Error for NotEncrypted {}

/// The number of a TLS alert (RFC 8446 6); it prints as its name.
///
/// ```
/// use ropewalk_protocol::TlsAlert;
/// assert_eq!(TlsAlert(45).to_string(), "certificate_expired");
/// assert_eq!(TlsAlert(200).to_string(), "alert 200");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsAlert(pub u8);

impl TlsAlert {
    /// The peer has closed in order.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// Something came that does not belong here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record was altered on its way.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// A record or a handshake is too long.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// Nothing that both sides can do.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// The certificate is for another name, or cannot be read.
    pub const BAD_CERTIFICATE: Self = Self(42);
    /// The certificate is for another use.
    pub const UNSUPPORTED_CERTIFICATE: Self = Self(43);
    /// The certificate was taken back.
    pub const CERTIFICATE_REVOKED: Self = Self(44);
    /// The certificate's time is over, or has not come.
    pub const CERTIFICATE_EXPIRED: Self = Self(45);
    /// The certificate is not acceptable for some other reason.
    pub const CERTIFICATE_UNKNOWN: Self = Self(46);
    /// A value is out of bounds.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// Nobody that is trusted vouches for the certificate.
    pub const UNKNOWN_CA: Self = Self(48);
    /// The certificate is good, and its owner not welcome.
    pub const ACCESS_DENIED: Self = Self(49);
    /// A message cannot be read.
    pub const DECODE_ERROR: Self = Self(50);
    /// A signature is wrong.
    pub const DECRYPT_ERROR: Self = Self(51);
    /// No version that both sides speak.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// This side failed by itself.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// Nobody by that name is here.
    pub const UNRECOGNIZED_NAME: Self = Self(112);
    /// The client has to show a certificate.
    pub const CERTIFICATE_REQUIRED: Self = Self(116);
    /// No application protocol that both sides speak.
    pub const NO_APPLICATION_PROTOCOL: Self = Self(120);

    /// Its name in the registry of TLS parameters, if it has one.
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => return None,
        })
    }
}

impl fmt::Display for TlsAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "alert {}", self.0),
        }
    }
}
