//! `ropewalk demo`: a little of everything, to be tried out.

use std::process::ExitCode;

use clap::Args;
use ropewalk::amp::{Amp, Responders, command};
use ropewalk::http::{HeaderName, HeaderValue, Request, Response, Router, Site};
use ropewalk::protocol::{Address, Leaving};
use ropewalk::reactor::Reactor;
use ropewalk::service::AnyServing;
use ropewalk::websocket::{Message, WebSocket, WebSocketProtocol, WebSocketResource};

use crate::application::Planned;
use crate::offer::{House, Offer};
use crate::program::{self, Plan};
use crate::serving::{self, Shared};

/// Where it serves: on ports that are free, reachable from this machine only.
const PLACE: &str = "tcp:0:interface=127.0.0.1";

command! {
    /// Adds two numbers.
    Sum { a: i64, b: i64 } -> Total { total: i64 };
}

/// Serve a page, a WebSocket, AMP and a status page, and say what to try
#[derive(Args)]
#[command(
    long_about = "Serve a page, a WebSocket echo, AMP and a status page on ports that are free, and say what to \
        try with them.\n\n\
        All of it is reachable from this machine only, and all of it is gone after Ctrl-C.",
    after_long_help = "Examples:\n  \
        ropewalk demo\n      \
        prints commands for another terminal\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Demo {
    #[command(flatten)]
    shared: Shared,
}

impl Demo {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let planned = |name: &str, make: fn(&House) -> Offer| {
            let places = serving::places(&[PLACE.to_owned()])?;
            let blame = std::rc::Rc::new(str::to_owned);
            let make = std::rc::Rc::new(move |house: &House| Ok(make(house)));
            Ok(Planned { name: name.to_owned(), places, meaning: String::new(), make, blame })
        };
        let services = [planned("web", web), planned("amp", amp)];
        let services = services.into_iter().collect::<Result<Vec<_>, String>>()?;
        let plan = std::rc::Rc::new(move || Ok(Plan::of(services.clone())));
        program::serve(
            self.shared.reactor.as_deref(),
            &self.shared.daemon,
            plan,
            program::Extras::default(),
        )
    }
}

struct Echo;

impl WebSocketProtocol for Echo {
    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        socket.send(message);
    }
}

fn web(house: &House) -> Offer {
    let reactor = house.reactor.clone();
    let echo = WebSocketResource::new(|_: &Request| Echo);
    let router = Router::new()
        .get("/", |_: Request| html(PAGE.to_owned()))
        .get("/status", move |_: Request| html(status(&reactor)))
        .get("/echo", echo);
    let serving = AnyServing::new(Site::new(router));
    Offer { shown: said_of_web, ..Offer::of(serving) }
}

fn said_of_web(address: &Address, _: bool) -> String {
    let at = address.to_string();
    format!(
        "A page:             curl http://{at}/\n\
         A status page:      curl http://{at}/status\n\
         A WebSocket echo:   curl -N --http1.1 ws://{at}/echo    (or open the page in a browser)"
    )
}

fn amp(_: &House) -> Offer {
    let responders = Responders::new().on(|sum: Sum| {
        sum.a
            .checked_add(sum.b)
            .map(|total| Total { total })
            .ok_or_else(|| ropewalk::Failure::new("that is more than a number of 64 bits holds"))
    });
    let serving = Leaving::new(move |_: &Address| Some(Amp::new(responders.clone())));
    let shown = |address: &Address, _| {
        let port = address.ip().map_or(0, |address| address.port());
        format!(
            "AMP, 2 and 3 added:  printf '\\0\\4_ask\\0\\0011\\0\\10_command\\0\\3Sum\\0\\1a\\0\\0012\\0\\1b\\0\\0013\\0\\0' \
             | timeout 1 nc 127.0.0.1 {port} | strings -n 1"
        )
    };
    Offer { shown, ..Offer::of(AnyServing::new(serving)) }
}

fn html(page: String) -> Response {
    let mut response = Response::new(page.into());
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(HeaderName::from_static("content-type"), kind);
    response
}

/// What the loop has, as a page that looks again every second.
fn status(reactor: &Reactor) -> String {
    let census = reactor.census();
    let rows = [
        ("connections", census.connections),
        ("places", census.listeners),
        ("calls to be made later", census.calls),
        ("tasks", census.tasks),
        ("processes", census.processes),
    ];
    let rows: Vec<_> =
        rows.iter().map(|(name, count)| format!("<tr><th>{name}<td>{count}\n")).collect();
    let rows = rows.concat();
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\n\
         <meta name=viewport content='width=device-width'><meta http-equiv=refresh content=1>\n\
         <meta name=color-scheme content='light dark'>\n\
         <title>Status</title><h1>Status</h1><table>\n{rows}</table>\n"
    )
}

/// What the page says.
const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8>
<meta name=viewport content='width=device-width'><meta name=color-scheme content='light dark'>
<title>Ropewalk</title>
<style>body { font: 1rem/1.5 system-ui; margin: 2rem auto; max-width: 40rem; padding: 0 1rem }</style>
<h1>Ropewalk</h1>
<p>This page, the echo below and the <a href=status>status page</a> come from one event loop.
<form><label>Say something: <input autofocus></label> <button>Send</button></form>
<ul></ul>
<script>
const socket = new WebSocket(location.href.replace('http', 'ws') + 'echo');
const input = document.querySelector('input');
socket.onmessage = event => {
  const line = document.createElement('li');
  line.textContent = event.data;
  document.querySelector('ul').append(line);
};
document.querySelector('form').onsubmit = event => {
  event.preventDefault();
  socket.send(input.value);
  input.value = '';
};
</script>
";
