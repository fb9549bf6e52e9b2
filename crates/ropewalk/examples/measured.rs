//! What the benches of HTTP measure, with every limit at its default but for how many connections an agent
//! may have.
//!
//! - `measured site PORT FOLDER [tls]`: pages, bodies and files;
//! - `measured proxy PORT UPSTREAM`: a reverse proxy;
//! - `measured sockets PORT`: WebSockets, at `/` an echo, at `/all` what one says goes to all;
//! - `measured client ADDRESS CONCURRENCY SECONDS`: requests, so many at a time; says how many were
//!   answered.

use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use ropewalk::Failure;
use ropewalk::deferred::{Deferred, Rest, gather};
use ropewalk::http::files::Folder;
use ropewalk::http::header::CONTENT_LANGUAGE;
use ropewalk::http::proxy::{ReverseProxy, upstream_options};
use ropewalk::http::{
    self, Agent, Directory, HeaderMap, HeaderName, HeaderValue, Incoming, Options, Params,
    PoolBounds, Request, Response, Router, Site, Tree,
};
use ropewalk::protocol::{Port as _, SeatFactory};
use ropewalk::reactor::{DriverKind, Reactor, TcpListenOptions};
use ropewalk::tls::{Identities, Identity, Policy, TlsServer};
use ropewalk::websocket::{
    Group, Message, Prepared, Slow, WebSocket, WebSocketProtocol, WebSocketResource,
};

/// Fields of the dynamic page, beside its type, its length and the two that the request decides.
const FIELDS: [(&str, &str); 6] = [
    ("cache-control", "private, max-age=60"),
    ("vary", "Accept-Language, Cookie"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "same-origin"),
    ("set-cookie", "seen=1; Path=/; HttpOnly; SameSite=Lax"),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let reactor = Reactor::with_driver(DriverKind::from_environment()?.unwrap_or_default())?;
    match words.as_slice() {
        ["site", port, folder] => {
            let site = Site::new(pages(&reactor, folder.as_ref())?);
            serve(&reactor, port, Box::new(site))
        }
        ["site", port, folder, "tls"] => {
            let folder: &Path = folder.as_ref();
            let identities = Identities::new(Policy::new())?;
            let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
            identities.add(&Identity::from_files(certificate, key)?)?;
            let site = Site::new(pages(&reactor, folder)?);
            serve(&reactor, port, Box::new(TlsServer::new(&identities).wrap(site)))
        }
        ["proxy", port, upstream] => {
            let agent = http::agent(&reactor).options(upstream_options()).build();
            let proxy = ReverseProxy::to(&agent, &format!("http://{upstream}"))?;
            serve(&reactor, port, Box::new(Site::new(proxy)))
        }
        ["sockets", port] => serve(&reactor, port, Box::new(Site::new(sockets()))),
        ["client", address, concurrency, seconds] => {
            let time = Duration::from_secs(seconds.parse()?);
            let count = ask(&reactor, address, concurrency.parse()?, time)?;
            println!("done {count}");
            Ok(())
        }
        _ => Err(Failure::new("usage: measured site|proxy|sockets|client …")),
    }
}

fn serve(reactor: &Reactor, port: &str, factory: Box<dyn SeatFactory>) -> Result<(), Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse()?));
    let port = reactor.listen_tcp(address, TcpListenOptions::default(), factory)?;
    println!("listening {}", port.address());
    reactor.run()?;
    Ok(())
}

fn pages(reactor: &Reactor, folder: &Path) -> Result<Tree, Failure> {
    let bytes = [1024, 1024 * 1024].map(|length| Bytes::from(vec![b'x'; length]));
    let mut fixed = HeaderMap::with_capacity(FIELDS.len() + 2);
    for (name, value) in FIELDS {
        fixed.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    // A copy has no room for more than there is: these two stand for what a request decides.
    for name in [CONTENT_LANGUAGE, REQUEST_ID] {
        fixed.insert(name, HeaderValue::from_static(""));
    }
    let router = Router::new()
        .get("/", |_: Request| "Hello, World!")
        .get("/users/{user}/posts/{post}", move |request: Request| page(&request, &fixed))
        .get("/bytes/{length}", move |request: Request| {
            let length = Params::of(&request).parse::<usize>("length")?;
            let body = bytes.iter().find(|body| body.len() == length).cloned();
            Ok::<_, http::BadParam>(body.unwrap_or_default())
        })
        .post("/upload", |request: Request| count(request.into_body()));
    let files = Directory::new(Folder::new(folder)?, reactor.clone());
    Ok(Tree::new().child("static", files).otherwise(router))
}

/// A page that depends on path, query and fields.
fn page(request: &Request, fixed: &HeaderMap) -> Result<Response, Failure> {
    let params = Params::of(request);
    let (user, post) = (params.get("user"), params.get("post"));
    let query = request.uri().query().unwrap_or_default();
    let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")).unwrap_or("1");
    let language = request.field("accept-language").unwrap_or(b"en");
    let mut text = String::with_capacity(64);
    writeln!(
        text,
        "user {}, post {}, page {page}, in {}",
        user.unwrap_or_default(),
        post.unwrap_or_default(),
        str::from_utf8(language)?
    )?;
    let mut response = Response::new(text.into());
    let mut headers = fixed.clone();
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_bytes(language)?);
    match request.field("x-request-id") {
        Some(id) => headers.insert(REQUEST_ID, HeaderValue::from_bytes(id)?),
        None => headers.remove(REQUEST_ID),
    };
    *response.headers_mut() = headers;
    Ok(response)
}

/// How many bytes come.
fn count(body: Incoming) -> Deferred<String> {
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    body.for_each(move |piece| counted.set(counted.get() + piece.len()))
        .map(move |()| count.get().to_string())
}

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

/// One of a crowd, all of whom hear what one says.
struct Crier(Rc<OnceCell<Group<Crier>>>);

impl WebSocketProtocol for Crier {
    fn message_received(&mut self, _: &WebSocket<Self>, message: Message<'_>) {
        if let Some(crowd) = self.0.get() {
            crowd.send(&Prepared::new(message), Slow::Waits);
        }
    }
}

fn sockets() -> Tree {
    let crowd = Rc::new(OnceCell::new());
    let shared = Rc::clone(&crowd);
    let criers = WebSocketResource::new(move |_: &Request| Crier(Rc::clone(&shared)));
    crowd.get_or_init(|| criers.group());
    Tree::new().index(WebSocketResource::new(|_: &Request| Echo)).child("all", criers)
}

/// Asks until the time is over; how often it was answered.
fn ask(
    reactor: &Reactor,
    address: &str,
    concurrency: usize,
    time: Duration,
) -> Result<u64, Failure> {
    let pool =
        PoolBounds { per_origin_max: concurrency, idle_max: concurrency, ..PoolBounds::default() };
    let options = Options { pool, ..Options::default() };
    let agent = http::agent(reactor).options(options).build();
    let url: Rc<str> = format!("http://{address}/").into();
    let (count, until) = (Rc::new(Cell::new(0)), reactor.precise_now() + time);
    let asked = (0..concurrency).map(|_| {
        let task =
            ask_on(reactor.clone(), agent.clone(), Rc::clone(&url), until, Rc::clone(&count));
        reactor.spawn(task)
    });
    reactor.run_until(gather(asked, Rest::Cancel))?;
    Ok(count.get())
}

async fn ask_on(
    reactor: Reactor,
    agent: Agent,
    url: Rc<str>,
    until: Duration,
    count: Rc<Cell<u64>>,
) -> Result<(), Failure> {
    while reactor.precise_now() < until {
        let body = agent.get(&url).send().await?.bytes().await?;
        if body.len() != "Hello, World!".len() {
            return Err(Failure::new(format!("an answer of {} bytes", body.len())));
        }
        count.set(count.get() + 1);
    }
    Ok(())
}
