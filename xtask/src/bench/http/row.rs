//! The rows of the bench: what is asked, of whom.

use super::subject::{Service, Subject};
use crate::bench::wrk::{Asking, Script};

/// One way of asking, which is measured by itself.
#[derive(Debug)]
pub(crate) struct Row {
    /// By which it is chosen.
    pub(crate) name: &'static str,
    /// What it says at the head of its table.
    pub(crate) text: &'static str,
    pub(crate) service: Service,
    pub(crate) load: Load,
    /// Who is asked, beside ours.
    pub(crate) subjects: &'static [Subject],
}

/// What asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// wrk.
    Requests(Asking),
    /// WebSockets, by our own load in this mode: so many, with messages of so many bytes.
    Sockets { mode: &'static str, connections: u16, bytes: u16 },
    /// The subject itself, so many requests at a time, of the bare loop.
    Client { concurrency: u16 },
}

use Subject::{
    Actix, Awc, Axum, Bare, Fast, Haproxy, Hyper, May, Nginx, Ntex, Reqwest, Tungstenite, Ws,
};

const HELLO: &[Subject] = &[Bare, May, Hyper, Nginx, Actix, Ntex, Axum];
const PAGE: &[Subject] = &[May, Hyper, Nginx, Actix, Ntex, Axum];
const BODY: &[Subject] = &[May, Hyper, Actix, Ntex, Axum];
const FILE: &[Subject] = &[Nginx, Actix, Ntex, Axum];
const ENCRYPTED: &[Subject] = &[Hyper, Nginx, Actix, Ntex];
const CLIENT: &[Subject] = &[Hyper, Reqwest, Awc];
const PROXY: &[Subject] = &[Nginx, Haproxy];
const SOCKET: &[Subject] = &[Tungstenite, Fast, Ws];

const fn asking(connections: u16, path: &'static str, script: Script) -> Load {
    Load::Requests(Asking { connections, path, script })
}

const fn sockets(mode: &'static str, connections: u16, bytes: u16) -> Load {
    Load::Sockets { mode, connections, bytes }
}

/// How long files and large bodies are.
pub(crate) const FILES: [(&str, usize); 2] =
    [("10k.bin", 10 * 1024), ("10m.bin", 10 * 1024 * 1024)];

const PAGE_PATH: &str = "/users/4711/posts/on-ropes?page=2";

/// All of them.
pub(crate) const ROWS: [Row; 19] = [
    Row {
        name: "hello-64",
        text: "hello, 64 connections",
        service: Service::Hello,
        load: asking(64, "/", Script::None),
        subjects: HELLO,
    },
    Row {
        name: "hello-256",
        text: "hello, 256 connections",
        service: Service::Hello,
        load: asking(256, "/", Script::None),
        subjects: HELLO,
    },
    Row {
        name: "hello-pipelined",
        text: "hello, 64 connections, pipelined 16 deep",
        service: Service::Hello,
        load: asking(64, "/", Script::Pipelined(16)),
        subjects: HELLO,
    },
    Row {
        name: "dynamic",
        text: "a routed page, 10 fields in and out, 64 connections",
        service: Service::Site,
        load: asking(64, PAGE_PATH, Script::Page),
        subjects: PAGE,
    },
    Row {
        name: "down-1k",
        text: "1 KiB from memory, 64 connections",
        service: Service::Site,
        load: asking(64, "/bytes/1024", Script::None),
        subjects: PAGE,
    },
    Row {
        name: "up-1k",
        text: "1 KiB uploaded, 64 connections",
        service: Service::Site,
        load: asking(64, "/upload", Script::Upload(1024)),
        subjects: BODY,
    },
    Row {
        name: "down-1m",
        text: "1 MiB from memory, 16 connections",
        service: Service::Site,
        load: asking(16, "/bytes/1048576", Script::None),
        subjects: BODY,
    },
    Row {
        name: "up-1m",
        text: "1 MiB uploaded, 16 connections",
        service: Service::Site,
        load: asking(16, "/upload", Script::Upload(1024 * 1024)),
        subjects: BODY,
    },
    Row {
        name: "static-10k",
        text: "a file of 10 KiB, 64 connections",
        service: Service::Site,
        load: asking(64, "/static/10k.bin", Script::None),
        subjects: FILE,
    },
    Row {
        name: "static-10m",
        text: "a file of 10 MiB, 16 connections",
        service: Service::Site,
        load: asking(16, "/static/10m.bin", Script::None),
        subjects: FILE,
    },
    Row {
        name: "tls-hello",
        text: "hello over TLS 1.3, 64 connections",
        service: Service::Tls,
        load: asking(64, "/", Script::None),
        subjects: ENCRYPTED,
    },
    Row {
        name: "tls-1m",
        text: "1 MiB from memory over TLS 1.3, 16 connections",
        service: Service::Tls,
        load: asking(16, "/bytes/1048576", Script::None),
        subjects: &[Hyper, Actix, Ntex],
    },
    Row {
        name: "client",
        text: "a client's requests, 32 at a time, of the bare loop",
        service: Service::Client,
        load: Load::Client { concurrency: 32 },
        subjects: CLIENT,
    },
    Row {
        name: "proxy",
        text: "hello through a reverse proxy, 64 connections, from nginx",
        service: Service::Proxy,
        load: asking(64, "/", Script::None),
        subjects: PROXY,
    },
    Row {
        name: "proxy-dynamic",
        text: "a page with 10 fields in and out through a reverse proxy, 64 connections, from nginx",
        service: Service::Proxy,
        load: asking(64, PAGE_PATH, Script::Page),
        subjects: PROXY,
    },
    Row {
        name: "proxy-10m",
        text: "10 MiB through a reverse proxy, 16 connections, from nginx",
        service: Service::Proxy,
        load: asking(16, "/static/10m.bin", Script::None),
        subjects: PROXY,
    },
    Row {
        name: "ws-echo",
        text: "WebSocket: 64 bytes echoed, 64 connections",
        service: Service::Sockets,
        load: sockets("ws-echo", 64, 64),
        subjects: SOCKET,
    },
    Row {
        name: "ws-echo-16k",
        text: "WebSocket: 16 KiB echoed, 64 connections",
        service: Service::Sockets,
        load: sockets("ws-echo", 64, 16 * 1024),
        subjects: SOCKET,
    },
    Row {
        name: "ws-broadcast",
        text: "WebSocket: 64 bytes from one to 5,000, a message delivered",
        service: Service::Sockets,
        load: sockets("ws-broadcast", 5000, 64),
        subjects: SOCKET,
    },
];

impl Row {
    /// Ours and those of its subjects that are among these.
    pub(crate) fn wanted(&self, peers: &[Subject]) -> Vec<Subject> {
        let is_wanted = |subject: &Subject| *subject == Bare || peers.contains(subject);
        let theirs = self.subjects.iter().copied().filter(is_wanted);
        std::iter::once(Subject::Ours).chain(theirs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{ROWS, Subject};

    #[test]
    fn names_are_different_and_everybody_is_measured_somewhere() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.name != row.name), "{}", row.name);
        }
        for peer in Subject::PEERS {
            assert!(ROWS.iter().any(|row| row.subjects.contains(&peer)), "{}", peer.name());
        }
    }

    #[test]
    fn ours_and_the_floor_are_always_wanted() {
        assert_eq!(
            ROWS[0].wanted(&[Subject::Nginx]),
            [Subject::Ours, Subject::Bare, Subject::Nginx]
        );
        assert_eq!(ROWS[3].wanted(&[Subject::Awc]), [Subject::Ours]);
    }
}
