//! Endpoints as strings: where a program listens and where it connects, written in its
//! configuration instead of in its code.
//!
//! A [`ServerDescription`] and a [`ClientDescription`] are read from a string, or built, and print
//! themselves as the string that reads back to the same. Put on a reactor they are places to listen
//! and to connect: [`server_from_string`] and [`client_from_string`] do both at once.
//!
//! | string of a server | listens on | unless told otherwise |
//! |---|---|---|
//! | `tcp:PORT[:interface=ADDRESS][:backlog=COUNT]` | IPv4 | each interface, 1024 waiting |
//! | `tcp6:PORT[:backlog=COUNT][:interface=ADDRESS][:dual=yes]` | IPv6, with `dual=yes` IPv4 too | as above |
//! | `unix:PATH[:mode=OCTAL][:backlog=COUNT]` | a Unix socket | mode 600: its owner's alone |
//! | `abstract:NAME[:backlog=COUNT]` | a Unix socket by a name of Linux's abstract namespace | 1024 waiting |
//! | `systemd:INDEX[:domain=FAMILY]`, `systemd:name=NAME…` | what a service manager has handed over | |
//! | `fd:NUMBER` | a descriptor that the process was started with: listening, or one connection | |
//! | `stdio[:raw=yes]` | nobody: one connection, on standard input and output | a terminal works as it did |
//! | `serial:PATH[:BAUD][:data=BITS][:parity=even\|odd][:stop=2][:flow=hardware\|software]` | nobody: one connection, over a serial line | 9600 baud, 8 bits, no parity |
//! | `haproxy[:trust=NETWORKS][:timeout=SECONDS]:SERVER` | any server, behind a proxy that says who its client is (PROXY protocol) | proxies on this machine, 5 seconds |
//! | `websocket[:path=PATH][:protocol=NAME][:origins=any]:SERVER` | any server, for WebSockets with the protocol in them | any path, pages of the same origin |
//! | `tls:PORT[:self-signed][:cert=FILE[:key=FILE]][:certs=DIR][:client-ca=FILE]…` | TLS over TCP, or with `endpoint=` over any of these | see [`TlsServer`] |
//! | `tls:DIR[:port=PORT]…`, `ssl:PORT:privateKey=FILE…` | the same as Twisted writes it | port 443 |
//!
//! | string of a client | connects to | unless told otherwise |
//! |---|---|---|
//! | `tcp:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]` | a host by any of its addresses | 30 seconds |
//! | `tcp6:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]` | a host by IPv6 alone | 30 seconds |
//! | `unix:PATH[:timeout=SECONDS]` | a Unix socket | 30 seconds |
//! | `abstract:NAME[:timeout=SECONDS]` | a Unix socket by a name of Linux's abstract namespace | 30 seconds |
//! | `fd:NUMBER` | a descriptor that the process was started with, which is connected | |
//! | `stdio[:raw=yes]` | standard input and output | a terminal works as it did |
//! | `serial:PATH[:BAUD]…` | a serial line, as above | as above |
//! | `exec:COMMAND[:stderr=log\|drop\|inherit]` | a program, by its standard input and output | its standard error is logged |
//! | `haproxy[:version=1\|2\|2c]:CLIENT` | any client, saying who this side is first (PROXY protocol) | version 2 |
//! | `ws:HOST[:PORT][:path=PATH][:protocol=NAME]` | a host by a WebSocket, with the protocol in it | port 80, path `/` |
//! | `wss:HOST[:PORT][:path=PATH][:protocol=NAME][:trust=PATH]` | the same with TLS | port 443, path `/` |
//! | `websocket[:host=HOST][:path=PATH][:protocol=NAME]:CLIENT` | the same over any client | host `localhost`, path `/` |
//! | `socks5:HOST:PORT[:user=NAME:password=WORD][:timeout=SECONDS]:PROXY` | a host through a SOCKS proxy, itself any client | 30 seconds |
//! | `socks4:HOST:PORT[:user=NAME][:timeout=SECONDS]:PROXY` | the same in version 4, names in 4a | 30 seconds |
//! | `http-connect:HOST:PORT[:user=NAME:password=WORD][:timeout=SECONDS]:PROXY` | a host through an HTTP proxy | 30 seconds |
//! | `tls:HOST:PORT[:trust=PATH][:pin=SHA256][:cert=FILE[:key=FILE]]…` | TLS over TCP, or with `endpoint=` over any of these | the roots of this machine |
//! | `ssl:HOST:PORT[:caCertsDir=PATH]…` | the same as Twisted writes it | the same: a server is always verified |
//!
//! Those in capitals at the end are descriptions themselves, [`NESTING_MAX`] deep at most:
//! `socks5:example.org:80:http-connect:proxy:1080:tcp:gate:3128` goes to `gate`, through it to `proxy`, and
//! through that to `example.org`.
//!
//! What is around something is what the bytes come to last, on servers, and begin with last, on clients:
//! behind `haproxy:tls:443:…` the header comes inside of TLS, behind `tls:443:…:endpoint=haproxy\:tcp\:443`
//! before it.
//!
//! What may stand by its place may have its name as well: `tcp:port=8080` is `tcp:8080`. The kind
//! may be in capitals. How a string is cut into arguments is told at [`Description`], how other
//! crates add kinds at [`Kinds`] and [`Schemes`]; so tests have `memory:NAME`.
//!
//! A service listens in as many places as it likes: whoever makes its factory makes one for each.
//! What those who know Twisted find is told in [`twisted`].
//!
//! ```
//! use ropewalk_endpoint::{ClientDescription, ServerDescription};
//!
//! let ServerDescription::Tcp(web) = "tcp:8080:interface=127.0.0.1".parse()? else { panic!() };
//! assert_eq!(web.port(), 8080);
//! assert!(web.interface().is_loopback());
//!
//! let error = "localhost:8080".parse::<ClientDescription>().unwrap_err();
//! assert!(error.to_string().ends_with("did you mean \"tcp:localhost:8080\"?"));
//! # Ok::<(), ropewalk_endpoint::EndpointError>(())
//! ```

#![forbid(unsafe_code)]

mod abstract_name;
mod bare;
mod client;
mod description;
mod error;
mod exec;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod files_followed;
mod handed;
#[cfg(not(unix))]
#[path = "handed_nowhere.rs"]
mod handed_place;
#[cfg(unix)]
mod handed_place;
mod haproxy;
mod outlet;
mod own;
#[cfg(unix)]
mod pipes;
mod place;
mod scheme;
mod serial;
mod server;
mod standard_io;
mod through;
mod tls_client;
mod tls_place;
mod tls_server;
mod value;
mod websocket;

#[doc = include_str!("twisted.md")]
pub mod twisted {}

pub use abstract_name::{AbstractClient, AbstractServer};
pub use client::{ClientDescription, Tcp6Client, TcpClient, UnixClient};
pub use description::{Argument, Description, Token, quote};
pub use error::{EndpointError, Fault};
pub use exec::ExecClient;
pub use handed::{Activation, Descriptor, Family, Handed, NotHanded, SystemdServer};
pub use handed_place::HandedEndpoint;
#[cfg(unix)]
pub use handed_place::connect_pipes;
pub use haproxy::{HaproxyClient, HaproxyServer};
pub use outlet::ReactorOutlet;
pub use own::{Kinds, OwnPlace};
pub use place::{
    AbstractClientEndpoint, AbstractServerEndpoint, Tcp6ClientEndpoint, Tcp6ServerEndpoint,
    TcpClientEndpoint, TcpServerEndpoint, UnixClientEndpoint, UnixServerEndpoint,
    client_from_string, server_from_string,
};
pub use scheme::{Arguments, NESTING_MAX, Scheme, Schemes};
pub use serial::{BAUD_DEFAULT, SerialLine};
pub use server::{ServerDescription, Tcp6Server, TcpServer, UnixServer};
pub use standard_io::StandardIo;
pub use through::{ProxyKind, ThroughProxy};
pub use tls_client::TlsClient;
pub use tls_place::{TlsClientEndpoint, TlsServerEndpoint};
pub use tls_server::{TlsIdentity, TlsServer};
pub use value::{
    BACKLOG_DEFAULT, BACKLOG_MAX, HOST_MAX, TIMEOUT_DEFAULT, TIMEOUT_MAX, UNIX_MODE_DEFAULT,
    UNIX_PATH_MAX,
};
pub use websocket::{WebSocketClient, WebSocketServer};
