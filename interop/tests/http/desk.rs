//! A site that has something of everything, for clients that do something of everything.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_http::compress::Compress;
use ropewalk_http::events::{Event, EventOptions, EventSender, last_event_id};
use ropewalk_http::files::Folder;
use ropewalk_http::form::{FormData, FormLimits};
use ropewalk_http::{
    Body, HeaderMap, HeaderName, HeaderValue, IntoReply, Limits, Reply, Representation, Request,
    Resource, Site, StatusCode, Tree, Uploads,
};
use ropewalk_interop::{PATIENCE, TempDir};
use ropewalk_protocol::call_later;
use ropewalk_reactor::Reactor;
use ropewalk_websocket::{Message, WebSocket, WebSocketProtocol, WebSocketResource};

use crate::house::House;

/// Long enough to be compressed, and for ranges.
pub(crate) fn text() -> String {
    let lines: Vec<_> = (0..20_000).map(|number| format!("line {number}\n")).collect();
    lines.concat()
}

/// A running desk; it goes with its owner.
pub(crate) struct Desk {
    house: House,
    /// Where uploads go.
    pub(crate) folder: TempDir,
    reports: Mutex<Receiver<String>>,
}

impl Desk {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new("desk").expect("a folder");
        let root = folder.path().to_owned();
        let (sender, reports) = channel();
        let house = House::start("tcp:0:interface=127.0.0.1", move |reactor| {
            let folder = Folder::new(&root).expect("an absolute path");
            let uploads = Uploads::new(folder, reactor.clone());
            let limits = Limits { body_max: Some(32 << 20), ..Limits::default() };
            Site::new(tree(reactor, sender).child("in", uploads)).limits(limits)
        });
        Self { house, folder, reports: Mutex::new(reports) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.house.port())
    }

    /// What a client has posted to `/report`.
    #[track_caller]
    pub(crate) fn report(&self) -> String {
        let reports = self.reports.lock().expect("nobody fell over it");
        reports.recv_timeout(PATIENCE).expect("a report")
    }
}

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

fn tree(reactor: &Reactor, reports: Sender<String>) -> Tree {
    let (forms, native) = (reactor.clone(), reactor.clone());
    let (clock, told) = (reactor.clone(), reports.clone());
    let text_page = |request: Request| {
        let plain = HeaderValue::from_static("text/plain");
        let page = Representation::bytes(text()).content_type(plain);
        page.etag("desk-1").map(|page| page.answer(&request))
    };
    Tree::new()
        .child("text", text_page.wrap(Compress::new().into_middleware()))
        .child("count", |request: Request| {
            request.into_body().collect(32 << 20).map(|body| format!("{}\n", body.len()))
        })
        .child("unpacked", |mut request: Request| {
            request.decode_body(32 << 20)?;
            let body = request.into_body().collect(32 << 20);
            Ok::<_, ropewalk_deferred::Failure>(body.map(|body| format!("{}\n", body.len())))
        })
        .child("form", move |request: Request| form(request, &forms))
        .child("native", move |request: Request| {
            let told = told.clone();
            form(request, &native).map(move |said| {
                // Nobody listens only if the test is over.
                let _ = told.send(said.clone());
                said
            })
        })
        .child("report", move |request: Request| {
            let reports = reports.clone();
            request.into_body().collect(1 << 20).map(move |body| {
                let _ = reports.send(String::from_utf8_lossy(&body).into_owned());
                "thanks\n"
            })
        })
        .child(
            "events",
            (|request: Request| events(&request)).wrap(Compress::new().into_middleware()),
        )
        .child("hints", move |request: Request| hints(&request, &clock))
        .child("trailers", |_: Request| trailers())
        .child("echo", WebSocketResource::new(|_: &Request| Echo))
        .child("page", |_: Request| html(include_str!("desk.html")))
        .child("formpage", |_: Request| html(include_str!("form.html")))
}

fn html(page: &'static str) -> Reply {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    (HeaderMap::from_iter([(ropewalk_http::header::CONTENT_TYPE, html)]), page).into_reply()
}

/// What was in a form, in words.
fn form(request: Request, reactor: &Reactor) -> Deferred<String> {
    let read =
        FormData::read(request, FormLimits::default(), std::env::temp_dir(), reactor.clone());
    read.map(|form| {
        let fields = form.fields.iter().map(|(name, value)| format!("{name}={value}"));
        let files = form
            .files
            .iter()
            .map(|file| format!("{}:{}:{}", file.name(), file.file_name(), file.len()));
        fields.chain(files).collect::<Vec<_>>().join(" ")
    })
}

/// Two ticks and an end; who comes back is told two more.
fn events(request: &Request) -> Reply {
    let last = last_event_id(request).and_then(|id| id.parse().ok()).unwrap_or(0);
    let (sender, answer) = EventSender::open(request, EventOptions::default());
    for number in last + 1..=last + 2 {
        let event = Event::new(format!("tick {number}\nof many"));
        let event = event.with_id(number.to_string()).and_then(|event| event.named("tick"));
        let event = event.expect("one line").retry(std::time::Duration::from_millis(50));
        sender.send(&event).expect("there is room");
    }
    sender.finish();
    answer.into_reply()
}

fn hints(request: &Request, reactor: &Reactor) -> Reply {
    if let Some(interim) = request.interim() {
        interim.early_hints([HeaderValue::from_static("</style.css>; rel=preload; as=style")]);
    }
    let (promise, page) = deferred::<&'static str>();
    let promise = Cell::new(Some(promise));
    call_later(reactor, std::time::Duration::from_millis(20), move || {
        if let Some(promise) = promise.take() {
            promise.succeed("hinted\n");
        }
    });
    page.into_reply()
}

fn trailers() -> Reply {
    let (mut sender, body) = Body::channel();
    sender.write("content\n").expect("there is room");
    let name = HeaderName::from_static("x-sum");
    sender.finish_with(HeaderMap::from_iter([(name, HeaderValue::from_static("8"))]));
    let declared = HeaderValue::from_static("x-sum");
    let fields = HeaderMap::from_iter([(ropewalk_http::header::TRAILER, declared)]);
    (StatusCode::OK, (fields, body)).into_reply()
}
