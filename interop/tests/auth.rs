//! Logins and sessions: files as htpasswd writes them, and the clients that people have.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "auth/browsers.rs"]
mod browsers;
#[path = "auth/clients.rs"]
mod clients;
#[path = "auth/files.rs"]
mod files;
#[path = "support/house.rs"]
mod house;
mod support;

use std::process::Command;

use ropewalk_auth::digest::Algorithm;
use ropewalk_auth::{InMemory, Portal, ProvenPassword, UsernamePassword, Users};
use ropewalk_http::auth::{Digest, Guard, Guarded, user};
use ropewalk_http::session::{MemorySessions, Session, Sessions};
use ropewalk_http::{HeaderMap, HeaderValue, IntoReply, Reply, Request, Site, StatusCode, Tree};
use ropewalk_reactor::Reactor;

use crate::house::House;

/// A user whose name and password are of the world, and one whom every program can tell.
const USERS: [(&str, &str); 2] = [("jürgen", "pass:wörd \"x\""), ("alice", "rabbit")];

fn users() -> InMemory {
    USERS.iter().fold(InMemory::new(), |users, (name, password)| users.with(*name, *password))
}

/// A guard that offers these, and says who asks and how much was sent.
fn guarded(reactor: &Reactor, realm: &str, algorithms: &[Algorithm], has_basic: bool) -> Guarded {
    let portal =
        Portal::new(Users).checker::<UsernamePassword>(users()).checker::<ProvenPassword>(users());
    let mut guard = Guard::new(portal);
    if !algorithms.is_empty() {
        let digest = Digest::new(realm, reactor.clone()).expect("random bytes");
        guard = guard.digest(digest.algorithms(algorithms.iter().copied()));
    }
    if has_basic {
        guard = guard.basic(realm);
    }
    guard.around(|request: Request| {
        let who = user(&request).expect("nobody else comes through").to_string();
        request.into_body().collect(1 << 20).map(move |body| format!("{who} sent {}\n", body.len()))
    })
}

/// What a browser does with a session: a page that shows it, and forms that change it.
#[expect(clippy::needless_pass_by_value, reason = "a resource is given its request")]
fn desk(request: Request) -> Reply {
    let session = Session::of(&request).expect("sessions are around it");
    let html = |text: String| {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        (HeaderMap::from_iter([(ropewalk_http::header::CONTENT_TYPE, kind)]), text).into_reply()
    };
    match request.uri().path() {
        "/session/set" => {
            session.set("user", "alice").expect("room for it");
            session.renew();
            let to = HeaderValue::from_static("/session/show");
            let to = HeaderMap::from_iter([(ropewalk_http::header::LOCATION, to)]);
            (to, StatusCode::SEE_OTHER).into_reply()
        }
        "/session/form" => {
            let action = request.uri().query().unwrap_or("/session/set");
            html(format!(
                "<form method=post action=\"{action}\"></form>\
                 <script>document.forms[0].submit()</script>"
            ))
        }
        _ => html(format!(
            "<p>user {:?}, script sees <script>document.write('[' + document.cookie + ']')</script>",
            session.get("user")
        )),
    }
}

fn house() -> House {
    House::start("tcp:0:interface=127.0.0.1", |reactor| {
        let both = [Algorithm::Sha256, Algorithm::Md5];
        let sessions = Sessions::new(MemorySessions::new(reactor.clone()));
        let tree = Tree::new()
            .child("basic", guarded(reactor, "the house", &[], true))
            .child("sha256", guarded(reactor, "the house", &both[..1], false))
            .child("md5", guarded(reactor, "the house", &both[1..], false))
            .child("digest", guarded(reactor, "the house", &both, false))
            .child("all", guarded(reactor, "the house", &both, true))
            // Not every client has heard of quotes within quotes.
            .child("quoted", guarded(reactor, "the \"house\"", &both, true))
            .child("session", sessions.around(desk));
        Site::new(tree)
    })
}

fn url(house: &House, path: &str) -> String {
    format!("http://{}{path}", house.address)
}

/// What a program says, which has to go well.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = house::run(command, b"").expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
