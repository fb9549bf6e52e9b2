//! Our own servers and clients, each on a reactor in a thread of its own or for one call.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Output;

use ropewalk_deferred::{Failure, Promise, deferred};
use ropewalk_endpoint::{ReactorOutlet, client_from_string};
use ropewalk_interop::PATIENCE;
use ropewalk_protocol::{Address, Conn, Disconnect, Protocol, connect, timeout};
use ropewalk_socks::{Destinations, Service};

pub(crate) use crate::base::{House, run};
use crate::support::reactor;

/// What a client says to have a page.
const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

impl House {
    /// A page that says who is seen.
    pub(crate) fn who_are_you(string: &'static str) -> Self {
        Self::start(string, |_| |_: &Address| Some(WhoAreYou))
    }

    /// A SOCKS server that takes its clients to this machine.
    pub(crate) fn socks(change: impl FnOnce(Service) -> Service + Send + 'static) -> Self {
        Self::start("tcp:0:interface=127.0.0.1", |reactor| {
            let here = Destinations::public().allow("127.0.0.0/8".parse().expect("a network"));
            change(Service::new(ReactorOutlet::new(reactor)).destinations(here))
        })
    }
}

/// Answers the first request with who is seen, and closes.
struct WhoAreYou;

impl Protocol for WhoAreYou {
    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        let mut said = vec![conn.identity().to_string()];
        if let Some(info) = conn.proxy() {
            let fields = &info.fields;
            let id = fields.unique_id.as_deref().map(|id| id.escape_ascii().to_string());
            said.push(format!("authority {:?}", fields.authority));
            said.push(format!("id {id:?}"));
            if let Some(tls) = &fields.tls {
                said.push(format!("tls {:?} {:?}", tls.protocol, tls.cipher));
                said.push(format!("client {:?} {}", tls.common_name, tls.is_verified));
            }
        }
        let said = said.join("\n") + "\n";
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", said.len());
        conn.write(head.as_bytes());
        conn.write(said.as_bytes());
        conn.close();
    }
}

/// Asks for a page and hears what comes, to its end.
struct Asking {
    heard: Vec<u8>,
    told: Option<Promise<String>>,
}

impl Protocol for Asking {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(QUESTION);
    }

    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(told) = self.told.take() {
            match why {
                Disconnect::Closed => {
                    let heard = String::from_utf8_lossy(&self.heard);
                    let (_, body) = heard.split_once("\r\n\r\n").unwrap_or(("", &*heard));
                    told.succeed(body.to_owned());
                }
                why => told.fail(why),
            }
        }
    }
}

/// The page at the place that `string` names, fetched by our own client.
pub(crate) fn fetch(string: &str) -> Result<String, Disconnect> {
    let reactor = reactor();
    let place = client_from_string(&reactor, string).expect("a place");
    let (told, page) = deferred();
    connect(&*place, Asking { heard: Vec::new(), told: Some(told) }).on_result(drop);
    let page = reactor.run_until(timeout(&reactor, PATIENCE, page));
    page.map_err(|failure: Failure| *failure.check().expect("the connection's end"))
}

/// A page as a program prints it that knows nothing of HTTP.
#[track_caller]
pub(crate) fn body(output: &Output) -> String {
    let (out, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (_, body) = out.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{out:?} {complaints}"));
    body.to_owned()
}

pub(crate) fn question() -> &'static [u8] {
    QUESTION
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
