//! The opening handshake (RFC 6455 4).

pub(crate) mod client;
mod extension;
mod server;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::HeaderName;
use sha1::{Digest, Sha1};

use crate::codec::Deflate;

pub(crate) use server::answer;
pub use server::{Refusal, accept};

/// What every server adds to the key (RFC 6455 1.3).
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one version there is.
const VERSION: &str = "13";

/// What two ends have agreed on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agreed {
    pub(crate) protocol: Option<String>,
    pub(crate) deflate: Option<Deflate>,
}

/// What proves that a key was read.
fn accept_key(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(SUFFIX).finalize())
}

/// The members of a list that may stand in several fields (RFC 9110 5.6.1).
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|member| !member.is_empty())
}

fn has_member(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    members(headers, name).any(|member| member.eq_ignore_ascii_case(wanted))
}
