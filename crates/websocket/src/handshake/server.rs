//! The server's side of the opening.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{Method, StatusCode, Version};
use ropewalk_http::{Body, IntoReply, Reply, Request, Response};

use super::{Agreed, VERSION, accept_key, extension, has_member, members};
use crate::session::Session;
use crate::{Options, Origins, Role, WebSocketProtocol};

/// Why a request opens no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not a GET.
    Method,
    /// It does not ask for an upgrade to WebSocket, or not in HTTP/1.1 or HTTP/2.
    NoUpgrade,
    /// It asks for another version of WebSocket.
    Version,
    /// Its key is not 16 bytes in base64.
    Key,
    /// It has a body.
    Body,
    /// It comes from a page that may not connect.
    Origin,
}

impl Refusal {
    /// What it is answered with.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Body => StatusCode::BAD_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "a WebSocket is opened with GET",
            Self::NoUpgrade => "here is a WebSocket, and the request does not ask for one",
            Self::Version => "the version of WebSocket spoken here is 13",
            Self::Key => "the request has no key of 16 bytes in base64",
            Self::Body => "a request that opens a WebSocket has no body",
            Self::Origin => "this page may not connect here",
        })
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// What the client is answered.
    pub fn response(&self) -> Response {
        let mut response = Response::new(Body::from(format!("{self}\n")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NoUpgrade | Self::Version => {
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            Self::Key | Self::Body | Self::Origin => (),
        }
        response
    }
}

impl IntoReply for Refusal {
    fn into_reply(self) -> Reply {
        Reply::Now(self.response())
    }
}

/// Opens a WebSocket for `protocol`, if that is what the request asks for: the response to give.
///
/// For resources that decide for themselves; [`WebSocketResource`](crate::WebSocketResource) is one
/// that does this alone.
///
/// # Errors
///
/// If the request opens none, or may not.
pub fn accept<P: WebSocketProtocol>(
    request: &Request,
    options: &Options,
    protocol: P,
) -> Result<Response, Refusal> {
    let (response, agreed) = answer(request, options)?;
    let session = Session::new(Role::Server, protocol, options, agreed);
    Ok(response.map(|()| Body::switch_to(session)))
}

pub(crate) fn answer(
    request: &Request,
    options: &Options,
) -> Result<(http::Response<()>, Agreed), Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    let asks = has_member(headers, &UPGRADE, "websocket")
        && has_member(headers, &CONNECTION, "upgrade")
        // In HTTP/2 these fields are there only where a stream was asked for (RFC 8441).
        && matches!(request.version(), Version::HTTP_11 | Version::HTTP_2);
    if !asks {
        return Err(Refusal::NoUpgrade);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != VERSION) {
        return Err(Refusal::Version);
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else { return Err(Refusal::Key) };
    if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
        return Err(Refusal::Key);
    }
    if !request.body().is_none() {
        return Err(Refusal::Body);
    }
    if !may_come_from(request, &options.origins) {
        return Err(Refusal::Origin);
    }
    let mut response = http::Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let out = response.headers_mut();
    out.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    out.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let mut put = |name, text: &str| {
        // Base64, tokens and numbers are always values.
        if let Ok(value) = HeaderValue::from_str(text) {
            out.insert(name, value);
        }
    };
    put(SEC_WEBSOCKET_ACCEPT, &accept_key(key.as_bytes()));
    let mut agreed = Agreed::default();
    let offered = |ours: &&String| {
        members(headers, &SEC_WEBSOCKET_PROTOCOL).any(|theirs| theirs == ours.as_str())
    };
    if let Some(protocol) = options.protocols.iter().find(offered) {
        put(SEC_WEBSOCKET_PROTOCOL, protocol);
        agreed.protocol = Some(protocol.clone());
    }
    let compression = options.compression.as_ref();
    if let Some((deflate, text)) = compression.and_then(|ours| extension::accept(headers, ours)) {
        put(SEC_WEBSOCKET_EXTENSIONS, &text);
        agreed.deflate = Some(deflate);
    }
    Ok((response, agreed))
}

fn may_come_from(request: &Request, origins: &Origins) -> bool {
    let headers = request.headers();
    let mut named = headers.get_all(ORIGIN).iter();
    let Some(origin) = named.next() else { return true };
    let Ok(origin) = origin.to_str() else { return false };
    let is_same = || {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let page = origin.split_once("://").map(|(_, authority)| authority);
        page.is_some() && page.map(str::to_ascii_lowercase) == host.map(str::to_ascii_lowercase)
    };
    named.next().is_none()
        && match origins {
            Origins::Any => true,
            Origins::Same => is_same(),
            Origins::Listed(listed) => {
                listed.iter().any(|one| one.eq_ignore_ascii_case(origin)) || is_same()
            }
        }
}
