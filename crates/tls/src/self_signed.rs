//! An identity that nobody vouches for, for development.

use std::time::Duration;

use rustls::pki_types::UnixTime;

use crate::{Identity, IdentityError};

/// For how many days an identity that nobody vouches for is good.
pub const SELF_SIGNED_DAYS: u32 = 365;

impl Identity {
    /// A new identity for these names and addresses that nobody vouches for: for development, and for
    /// peers who [pin](crate::Trust::pinned) it.
    ///
    /// Its key is on the P-256 curve, made here and kept nowhere else. It is good from yesterday on,
    /// since clocks differ, for [`SELF_SIGNED_DAYS`].
    ///
    /// # Errors
    ///
    /// If one of the names is none that a certificate can have, or the system has no random bytes.
    pub fn self_signed<S: Into<String>>(
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, IdentityError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let failed = |error: rcgen::Error| match error {
            rcgen::Error::InvalidAsn1String(_) => IdentityError::BadName(names.join(", ")),
            other => IdentityError::Other(other.to_string()),
        };
        let mut parameters = rcgen::CertificateParams::new(names.clone()).map_err(failed)?;
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        let common = names.first().map_or("localhost", String::as_str);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, common);
        parameters.extended_key_usages = vec![
            rcgen::ExtendedKeyUsagePurpose::ServerAuth,
            rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let now = Duration::from_secs(UnixTime::now().as_secs());
        let day = Duration::from_hours(24);
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        parameters.not_before = epoch + now.saturating_sub(day);
        parameters.not_after = epoch + now + day * SELF_SIGNED_DAYS;
        let key = rcgen::KeyPair::generate().map_err(failed)?;
        let certificate = parameters.self_signed(&key).map_err(failed)?;
        Self::from_der(vec![certificate.der().to_vec()], key.serialize_der())
    }
}
