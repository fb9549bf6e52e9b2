//! WebSockets around any other endpoint.

use std::fmt;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{ClientEndpoint, Port, SeatFactory, ServerEndpoint};
use ropewalk_websocket::{Options, Origins, Request, StreamClient, StreamServer};

use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};
use crate::value::{self, quote_host};
use crate::{ClientDescription, ServerDescription, TcpClient, TlsClient};

/// A server whose connections are WebSockets, with any protocol in them:
/// `websocket[:path=PATH][:protocol=NAME][:origins=same|any]:SERVER`.
///
/// Unless told otherwise they are opened at any path, and from pages of the same origin alone; a client
/// that is no browser names none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebSocketServer {
    server: ServerDescription,
    path: Option<String>,
    protocol: Option<String>,
    is_for_any_page: bool,
}

impl WebSocketServer {
    /// Opens WebSockets where `server` listens.
    pub fn new(server: ServerDescription) -> Self {
        Self { server, path: None, protocol: None, is_for_any_page: false }
    }

    /// Opens those alone that ask for this path.
    ///
    /// # Errors
    ///
    /// [`Fault::WebSocketPath`] if it is none.
    pub fn with_path(self, path: &str) -> Result<Self, Fault> {
        Ok(Self { path: Some(value::web_path(path)?), ..self })
    }

    /// Speaks this subprotocol, where the client does.
    ///
    /// # Errors
    ///
    /// [`Fault::Subprotocol`] if it is no token.
    pub fn with_protocol(self, protocol: &str) -> Result<Self, Fault> {
        Ok(Self { protocol: Some(value::token(protocol)?), ..self })
    }

    /// Lets browsers connect from any page: whoever visits it then speaks with this server.
    pub fn for_any_page(self) -> Self {
        Self { is_for_any_page: true, ..self }
    }

    /// Where it listens.
    pub fn server(&self) -> &ServerDescription {
        &self.server
    }

    /// The path at which they are opened; any, if none.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The subprotocol that it speaks.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Whether browsers may connect from any page.
    pub fn is_for_any_page(&self) -> bool {
        self.is_for_any_page
    }

    /// The place, over that which `server` describes.
    pub(crate) fn over(&self, inner: Box<dyn ServerEndpoint>) -> Box<dyn ServerEndpoint> {
        let mut options = Options::new().protocols(self.protocol.clone());
        if self.is_for_any_page {
            options = options.origins(Origins::Any);
        }
        let place = StreamServer::new(inner, &options);
        let place = self.path.iter().fold(place, |place, path| place.at(path));
        Box::new(Told { place, description: self.to_string() })
    }

    pub(crate) fn scheme() -> Scheme<ServerDescription> {
        let form = "websocket[:path=PATH][:protocol=NAME][:origins=same|any]:SERVER";
        Scheme::wrapping("websocket", form, server).named(&["path", "protocol", "origins"])
    }
}

/// A place whose failure to listen names it.
struct Told {
    place: StreamServer<Box<dyn ServerEndpoint>>,
    description: String,
}

impl ServerEndpoint for Told {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let context = format!("no server at endpoint \"{}\"", self.description);
        let listening = self.place.listen_seats(factory);
        listening.add_errback(move |failure| Err(failure.context(context)))
    }
}

impl From<WebSocketServer> for ServerDescription {
    fn from(server: WebSocketServer) -> Self {
        Self::WebSocket(Box::new(server))
    }
}

impl fmt::Display for WebSocketServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("websocket")?;
        if let Some(path) = &self.path {
            write!(f, ":path={}", quote(path))?;
        }
        if let Some(protocol) = &self.protocol {
            write!(f, ":protocol={protocol}")?;
        }
        if self.is_for_any_page {
            f.write_str(":origins=any")?;
        }
        write!(f, ":{}", self.server)
    }
}

fn server(
    arguments: &Arguments,
    server: ServerDescription,
) -> Result<ServerDescription, EndpointError> {
    let any = arguments.optional("origins", |text| value::word(text, "same", "any"))?;
    let server = WebSocketServer {
        server,
        path: arguments.optional("path", value::web_path)?,
        protocol: arguments.optional("protocol", value::token)?,
        is_for_any_page: any == Some(true),
    };
    Ok(server.into())
}

/// A client with a WebSocket to its server, and any protocol in it: `ws:HOST:PORT[:path=PATH]…`,
/// `wss:HOST:PORT…` with TLS, or `websocket[:host=HOST][:path=PATH]…:CLIENT` over any client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebSocketClient {
    client: ClientDescription,
    host: String,
    path: String,
    protocol: Option<String>,
}

impl WebSocketClient {
    /// Opens a WebSocket with a server that `client` connects to, and that goes by this name.
    ///
    /// # Errors
    ///
    /// [`Fault::Host`] if there can be no such host.
    pub fn new(client: impl Into<ClientDescription>, host: &str) -> Result<Self, Fault> {
        let host = authority(host)?;
        Ok(Self { client: client.into(), host, path: "/".to_owned(), protocol: None })
    }

    /// Asks for this path, query included.
    ///
    /// # Errors
    ///
    /// [`Fault::WebSocketPath`] if it is none.
    pub fn with_path(self, path: &str) -> Result<Self, Fault> {
        Ok(Self { path: value::web_path(path)?, ..self })
    }

    /// Wants to speak this subprotocol.
    ///
    /// # Errors
    ///
    /// [`Fault::Subprotocol`] if it is no token.
    pub fn with_protocol(self, protocol: &str) -> Result<Self, Fault> {
        Ok(Self { protocol: Some(value::token(protocol)?), ..self })
    }

    /// What connects.
    pub fn client(&self) -> &ClientDescription {
        &self.client
    }

    /// The server's name, with its port where one is said to it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path that is asked for.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The subprotocol that it wants to speak.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The place, over that which `client` describes.
    pub(crate) fn over(&self, inner: Box<dyn ClientEndpoint>) -> Box<dyn ClientEndpoint> {
        let scheme = if matches!(self.client, ClientDescription::Tls(_)) { "wss" } else { "ws" };
        let request = Request::new(&format!("{scheme}://{}{}", self.host, self.path));
        let request = request.expect("host and path were checked");
        let options = Options::new().protocols(self.protocol.clone());
        Box::new(StreamClient::new(inner, &request, &options))
    }

    pub(crate) fn schemes() -> [Scheme<ClientDescription>; 3] {
        const WS: &str = "ws:HOST:PORT[:path=PATH][:protocol=NAME][:timeout=SECONDS]";
        const WSS: &str =
            "wss:HOST:PORT[:path=PATH][:protocol=NAME][:trust=PATH][:timeout=SECONDS]";
        const OVER: &str = "websocket[:host=HOST][:path=PATH][:protocol=NAME]:CLIENT";
        [
            Scheme::new("ws", WS, |arguments| direct(arguments, false))
                .positional(&["host", "port"])
                .named(&["path", "protocol", "timeout", "trust"]),
            Scheme::new("wss", WSS, |arguments| direct(arguments, true))
                .positional(&["host", "port"])
                .named(&["path", "protocol", "timeout", "trust"]),
            Scheme::wrapping("websocket", OVER, over).named(&["host", "path", "protocol"]),
        ]
    }
}

impl From<WebSocketClient> for ClientDescription {
    fn from(client: WebSocketClient) -> Self {
        Self::WebSocket(Box::new(client))
    }
}

impl fmt::Display for WebSocketClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "websocket:host={}", quote(&self.host))?;
        if self.path != "/" {
            write!(f, ":path={}", quote(&self.path))?;
        }
        if let Some(protocol) = &self.protocol {
            write!(f, ":protocol={protocol}")?;
        }
        write!(f, ":{}", self.client)
    }
}

fn direct(arguments: &Arguments, is_secure: bool) -> Result<ClientDescription, EndpointError> {
    let host = arguments.required("host", value::host)?;
    let port = arguments.optional("port", value::client_port)?;
    let usual = if is_secure { 443 } else { 80 };
    let at = |name| move |fault| arguments.fault(name, fault);
    let mut tcp = TcpClient::new(&host, port.unwrap_or(usual)).map_err(at("host"))?;
    if let Some(timeout) = arguments.optional("timeout", value::timeout)? {
        tcp = tcp.with_timeout(timeout).map_err(at("timeout"))?;
    }
    let trust = arguments.optional("trust", value::file)?;
    let inner: ClientDescription = match (is_secure, trust) {
        (false, None) => tcp.into(),
        (false, Some(_)) => return Err(arguments.fault("trust", Fault::NotWithout { name: "wss" })),
        (true, trust) => {
            let tls = TlsClient::new(tcp, &host).and_then(|tls| tls.with_alpn(["http/1.1"]));
            let tls = tls.map_err(at("host"))?;
            let tls = trust.iter().try_fold(tls, |tls, trust| tls.with_trust(trust));
            tls.map_err(at("trust"))?.into()
        }
    };
    let name = quote_url_host(&host);
    let name = match port.filter(|port| *port != usual) {
        Some(port) => format!("{name}:{port}"),
        None => name,
    };
    finish(arguments, inner, Some(&name))
}

fn over(
    arguments: &Arguments,
    client: ClientDescription,
) -> Result<ClientDescription, EndpointError> {
    let host = arguments.optional("host", authority)?;
    finish(arguments, client, host.as_deref())
}

fn finish(
    arguments: &Arguments,
    client: ClientDescription,
    host: Option<&str>,
) -> Result<ClientDescription, EndpointError> {
    let made = WebSocketClient::new(client, host.unwrap_or("localhost"));
    let made = made.map_err(|fault| arguments.fault("host", fault))?;
    let path = arguments.optional("path", value::web_path)?.unwrap_or(made.path);
    let protocol = arguments.optional("protocol", value::token)?;
    Ok(WebSocketClient { path, protocol, client: made.client, host: made.host }.into())
}

/// A host as a URI has it, with a port or without.
fn authority(text: &str) -> Result<String, Fault> {
    match Request::new(&format!("ws://{text}/")) {
        Ok(_) if !text.contains(['/', '?']) => Ok(text.to_owned()),
        _ => Err(Fault::Host),
    }
}

fn quote_url_host(host: &str) -> String {
    if host.contains(':') { quote_host(host) } else { host.to_owned() }
}
