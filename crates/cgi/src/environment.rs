//! What a program is told of its request (RFC 3875 4.1).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{StatusCode, Version};
use percent_encoding::percent_decode_str;
use ropewalk_http::{Request, auth};
use ropewalk_protocol::Address;

use crate::CgiError;

/// What names this server to its programs.
const SOFTWARE: &str = concat!("ropewalk/", env!("CARGO_PKG_VERSION"));

/// Variables, each under a name of its own.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// A program's place in a request's path, escapes undone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) script_name: Vec<u8>,
    pub(crate) path_info: Vec<u8>,
}

impl Place {
    /// Splits a path in two where the program's own ends; neither part is decoded.
    pub(crate) fn new(script: &str, info: &str) -> Result<Self, CgiError> {
        let path_info = decoded(info).ok_or(CgiError::NotHere(StatusCode::NOT_FOUND))?;
        // What leads elsewhere when it is put behind a folder's path is no place below it.
        let is_dots = |name: &[u8]| matches!(name, b"." | b"..");
        if path_info.split(|byte| matches!(byte, b'/' | b'\\')).any(is_dots) {
            return Err(CgiError::NotHere(StatusCode::NOT_FOUND));
        }
        let script_name = decoded(script).ok_or(CgiError::NotHere(StatusCode::NOT_FOUND))?;
        Ok(Self { script_name, path_info })
    }
}

/// Undoes a path's escapes; nothing where that would make another path of it, or cannot be told.
pub(crate) fn decoded(path: &str) -> Option<Vec<u8>> {
    let slashes = |bytes: &[u8]| bytes.split(|byte| *byte == b'/').count();
    let bytes: Vec<u8> = percent_decode_str(path).collect();
    let is_same = slashes(&bytes) == slashes(path.as_bytes()) && !bytes.contains(&0);
    is_same.then_some(bytes)
}

/// Bytes as names and values of this system are.
#[cfg(unix)]
pub(crate) fn os(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).to_owned()
}

/// The same where they are text.
#[cfg(not(unix))]
pub(crate) fn os(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// What surrounds a request that a program is told of.
pub(crate) struct Surroundings<'s> {
    pub(crate) place: &'s Place,
    pub(crate) program: &'s Path,
    pub(crate) document_root: Option<&'s Path>,
    /// How many bytes of body the program can read, where there are any and that is known.
    pub(crate) length: Option<u64>,
}

/// The variables that tell of `request`, the fields first, so that no field takes the place of what the server says.
pub(crate) fn of(request: &Request, around: &Surroundings<'_>) -> Variables {
    let Surroundings { place, program, document_root, length } = around;
    let headers = request.headers();
    let (uri, body) = (request.uri(), request.body());
    let (peer, local, is_encrypted) = (body.peer(), body.local(), body.tls().is_some());
    let authority = uri.authority().map(|authority| authority.as_str().to_owned());
    let host = authority.or_else(|| headers.get(HOST)?.to_str().ok().map(str::to_owned));
    let (name, named_port) = host.as_deref().map_or(("", None), name_and_port);
    let usual_port = if is_encrypted { "443" } else { "80" };
    let own_port = local.ip().map(|ip| ip.port().to_string());
    let own_name = || local.ip().map_or_else(|| "localhost".to_owned(), |ip| host_of(&ip));
    let (remote_name, remote_port) = told(&peer);
    let target = uri.path_and_query().map_or("/", |target| target.as_str());

    let mut all = fields(headers);
    let mut set = |name: &str, value: OsString| all.push((name.into(), value));
    set("GATEWAY_INTERFACE", "CGI/1.1".into());
    set("SERVER_SOFTWARE", SOFTWARE.into());
    set("SERVER_NAME", if name.is_empty() { own_name() } else { name.to_owned() }.into());
    let port = own_port.unwrap_or_else(|| named_port.unwrap_or(usual_port).to_owned());
    set("SERVER_PORT", port.into());
    set("SERVER_ADDR", told(&local).0.into());
    let protocol = if request.version() == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
    set("SERVER_PROTOCOL", protocol.into());
    set("REQUEST_METHOD", request.method().as_str().into());
    set("REQUEST_URI", target.into());
    set("REQUEST_SCHEME", if is_encrypted { "https" } else { "http" }.into());
    if is_encrypted {
        set("HTTPS", "on".into());
    }
    set("QUERY_STRING", uri.query().unwrap_or_default().into());
    set("SCRIPT_NAME", os(&place.script_name));
    set("SCRIPT_FILENAME", program.into());
    // PHP's program takes its word for it only from a server that has set this.
    set("REDIRECT_STATUS", "200".into());
    set("REMOTE_ADDR", remote_name.clone().into());
    set("REMOTE_HOST", remote_name.into());
    if let Some(port) = remote_port {
        set("REMOTE_PORT", port.into());
    }
    if let Some(user) = auth::user(request) {
        set("REMOTE_USER", user.to_string().into());
        let scheme = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let scheme = scheme.and_then(|value| value.split(|byte| *byte == b' ').next());
        set("AUTH_TYPE", os(scheme.unwrap_or_default()));
    }
    if let Some(length) = length {
        set("CONTENT_LENGTH", length.to_string().into());
    }
    if let Some(value) = headers.get(CONTENT_TYPE) {
        set("CONTENT_TYPE", os(value.as_bytes()));
    }
    if !place.path_info.is_empty() {
        set("PATH_INFO", os(&place.path_info));
    }
    if let Some(root) = document_root {
        set("DOCUMENT_ROOT", (*root).into());
        if !place.path_info.is_empty() {
            let below = place.path_info.strip_prefix(b"/").unwrap_or(&place.path_info);
            set("PATH_TRANSLATED", root.join(PathBuf::from(os(below))).into());
        }
    }
    all
}

/// The request's fields as variables: RFC 3875 4.1.18.
fn fields(headers: &HeaderMap) -> Variables {
    let mut all = Variables::new();
    for name in headers.keys().filter(|name| is_told(name)) {
        let between: &[u8] = if name == COOKIE { b"; " } else { b", " };
        let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        let variable = format!("HTTP_{}", name.as_str().to_ascii_uppercase().replace('-', "_"));
        all.push((variable.into(), os(&values.join(between))));
    }
    all
}

fn is_told(name: &HeaderName) -> bool {
    // An underscore would become what a hyphen does: two fields, one variable, and whose it is unknown.
    let is_plain = name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    // Programs take HTTP_PROXY for the proxy that they are to use themselves.
    let is_misread = name.as_str() == "proxy";
    let elsewhere = [CONTENT_LENGTH, CONTENT_TYPE, AUTHORIZATION, PROXY_AUTHORIZATION];
    let of_connection = [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    let is_own = matches!(name.as_str(), "keep-alive" | "proxy-connection");
    is_plain && !is_misread && !is_own && !elsewhere.contains(name) && !of_connection.contains(name)
}

/// The host of an authority, an IPv6 address in its brackets, and the port.
fn name_and_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            (name, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (authority, None),
    }
}

fn host_of(address: &std::net::SocketAddr) -> String {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// An end of a connection: its address, and its port where it has one.
fn told(address: &Address) -> (String, Option<String>) {
    match address.ip() {
        Some(ip) => (ip.ip().to_canonical().to_string(), Some(ip.port().to_string())),
        None => ("unix:".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, decoded, name_and_port};

    #[test]
    fn hosts_are_split_from_their_ports() {
        for (authority, expected) in [
            ("a.example", ("a.example", None)),
            ("a.example:80", ("a.example", Some("80"))),
            ("a.example:", ("a.example", None)),
            ("[::1]", ("[::1]", None)),
            ("[::1]:8080", ("[::1]", Some("8080"))),
        ] {
            assert_eq!(name_and_port(authority), expected, "{authority}");
        }
    }

    #[test]
    fn paths_that_would_become_others_are_none() {
        assert_eq!(decoded("/a%20b/%C3%A9"), Some("/a b/\u{e9}".into()));
        assert_eq!(decoded("/a%2Fb"), None);
        assert_eq!(decoded("/a%00"), None);
        for info in ["/..", "/a/../b", "/%2e%2E/x", "/.", "/a/%2e", "/..%5cx"] {
            assert!(Place::new("/cgi", info).is_err(), "{info}");
        }
        let place = Place::new("/cgi%2dbin", "/a..b/...").expect("a place");
        assert_eq!(
            (&place.script_name[..], &place.path_info[..]),
            (&b"/cgi-bin"[..], &b"/a..b/..."[..])
        );
    }
}
