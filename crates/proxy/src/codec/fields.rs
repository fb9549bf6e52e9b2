//! What stands behind the addresses of a binary header: a type, a length and a value each.

use ropewalk_protocol::{ProxyFields, ProxyTls};

use crate::error::{BadHeader, CannotEncode};

/// The longest name that a proxy may have for a connection, in bytes.
pub const UNIQUE_ID_MAX: usize = 128;
/// The longest name of a host.
const AUTHORITY_MAX: usize = 255;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
pub(super) const CHECKSUM: u8 = 0x03;
const NOTHING: u8 = 0x04;
const UNIQUE_ID: u8 = 0x05;
const TLS: u8 = 0x20;

/// Inside of `TLS`.
const TLS_VERSION: u8 = 0x21;
const TLS_COMMON_NAME: u8 = 0x22;
const TLS_CIPHER: u8 = 0x23;
const TLS_SIGNATURE: u8 = 0x24;
const TLS_KEY: u8 = 0x25;

/// What the bits in front of `TLS` say of the client.
const OVER_TLS: u8 = 1;
const CERTIFICATE_NOW: u8 = 1 << 1;
const CERTIFICATE_EVER: u8 = 1 << 2;
/// The result of the verification when there was none to fail.
const VERIFIED: [u8; 4] = [0; 4];
const UNVERIFIED: [u8; 4] = [0xff; 4];

/// A checksum's value, and where among the fields it stands.
type Checksum = (usize, u32);

pub(super) fn read(bytes: &[u8]) -> Result<(ProxyFields, Option<Checksum>), BadHeader> {
    let mut fields = ProxyFields::default();
    let (mut tls, mut checksum) = (None, None);
    let mut rest = bytes;
    while let Some((kind, value)) = next(&mut rest)? {
        let bad = BadHeader::FieldValue { kind };
        let is_first = match kind {
            ALPN => fields.alpn.replace(value.to_vec()).is_none(),
            AUTHORITY if value.len() > AUTHORITY_MAX => return Err(bad),
            AUTHORITY => fields.authority.replace(text(kind, value)?).is_none(),
            UNIQUE_ID if value.len() > UNIQUE_ID_MAX => return Err(bad),
            UNIQUE_ID => fields.unique_id.replace(value.to_vec()).is_none(),
            TLS => tls.replace(read_tls(value)?).is_none(),
            CHECKSUM => {
                let place = bytes.len() - rest.len() - value.len();
                let value = value.try_into().map_err(|_| bad)?;
                checksum.replace((place, u32::from_be_bytes(value))).is_none()
            }
            NOTHING => true,
            _ => {
                fields.other.push((kind, value.to_vec()));
                true
            }
        };
        if !is_first {
            return Err(BadHeader::FieldTwice { kind });
        }
    }
    fields.tls = tls.flatten();
    Ok((fields, checksum))
}

pub(super) fn encode(fields: &ProxyFields, out: &mut Vec<u8>) -> Result<(), CannotEncode> {
    if let Some(alpn) = &fields.alpn {
        push(ALPN, alpn, out)?;
    }
    if let Some(authority) = &fields.authority {
        push(AUTHORITY, authority.as_bytes(), out)?;
    }
    if let Some(id) = &fields.unique_id {
        if id.len() > UNIQUE_ID_MAX {
            return Err(CannotEncode::LongUniqueId { length: id.len() });
        }
        push(UNIQUE_ID, id, out)?;
    }
    if let Some(tls) = &fields.tls {
        push(TLS, &encode_tls(tls)?, out)?;
    }
    fields.other.iter().try_for_each(|(kind, value)| push(*kind, value, out))
}

/// Takes the next field off the front.
fn next<'b>(rest: &mut &'b [u8]) -> Result<Option<(u8, &'b [u8])>, BadHeader> {
    let Some((&kind, after)) = rest.split_first() else { return Ok(None) };
    let long = BadHeader::FieldLength { kind };
    let (length, after) = after.split_first_chunk::<2>().ok_or(long)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let (value, after) = after.split_at_checked(length).ok_or(long)?;
    *rest = after;
    Ok(Some((kind, value)))
}

fn text(kind: u8, value: &[u8]) -> Result<String, BadHeader> {
    str::from_utf8(value).map(str::to_owned).map_err(|_| BadHeader::FieldValue { kind })
}

/// What is said of encryption; `None` if it is said that there was none.
fn read_tls(value: &[u8]) -> Result<Option<ProxyTls>, BadHeader> {
    let bad = BadHeader::FieldValue { kind: TLS };
    let ([client, verified @ ..], mut rest) = value.split_first_chunk::<5>().ok_or(bad)?;
    let mut tls = ProxyTls::default();
    tls.has_certificate = client & CERTIFICATE_NOW != 0;
    tls.had_certificate = client & CERTIFICATE_EVER != 0;
    let has_any = tls.has_certificate || tls.had_certificate;
    tls.is_verified = has_any && *verified == VERIFIED;
    while let Some((kind, value)) = next(&mut rest)? {
        let place = match kind {
            TLS_VERSION => &mut tls.protocol,
            TLS_COMMON_NAME => &mut tls.common_name,
            TLS_CIPHER => &mut tls.cipher,
            TLS_SIGNATURE => &mut tls.signature_algorithm,
            TLS_KEY => &mut tls.key_algorithm,
            // Newer proxies say more.
            _ => continue,
        };
        if place.replace(text(kind, value)?).is_some() {
            return Err(BadHeader::FieldTwice { kind });
        }
    }
    Ok((client & OVER_TLS != 0).then_some(tls))
}

fn encode_tls(tls: &ProxyTls) -> Result<Vec<u8>, CannotEncode> {
    let bit = |is_set, bit| if is_set { bit } else { 0 };
    let now = bit(tls.has_certificate, CERTIFICATE_NOW);
    let ever = bit(tls.had_certificate, CERTIFICATE_EVER);
    let mut out = vec![OVER_TLS | now | ever];
    out.extend_from_slice(if tls.is_verified { &VERIFIED } else { &UNVERIFIED });
    let words = [
        (TLS_VERSION, &tls.protocol),
        (TLS_COMMON_NAME, &tls.common_name),
        (TLS_CIPHER, &tls.cipher),
        (TLS_SIGNATURE, &tls.signature_algorithm),
        (TLS_KEY, &tls.key_algorithm),
    ];
    for (kind, word) in words {
        if let Some(word) = word {
            push(kind, word.as_bytes(), &mut out)?;
        }
    }
    Ok(out)
}

fn push(kind: u8, value: &[u8], out: &mut Vec<u8>) -> Result<(), CannotEncode> {
    let length = value.len();
    let length = u16::try_from(length).map_err(|_| CannotEncode::LongFields { length })?;
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}
