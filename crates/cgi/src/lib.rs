//! CGI 1.1 ([RFC 3875]): programs as resources of a site.
//!
//! A [`Cgi`] runs one program for each request, a [`CgiFolder`] the one that the request's path names. What
//! a program is told stands in its environment, it reads the request's body and writes the answer's. Who
//! starts programs is handed in as a [`Spawner`](ropewalk_protocol::process::Spawner): a reactor.
//!
//! ```
//! use std::time::Duration;
//! use ropewalk_cgi::Cgi;
//! use ropewalk_http::{Site, Tree};
//! use ropewalk_protocol::process::{Command, ExitStatus};
//! use ropewalk_trial::{Clock, FakeProcesses, Memory};
//!
//! let clock = Clock::new();
//! let programs = FakeProcesses::new(&clock);
//! programs.program("/usr/lib/cgi-bin/hello", |program| {
//!     program.push_out(b"Content-Type: text/plain\n\nhello");
//!     program.exit(ExitStatus::SUCCESS);
//! });
//! let hello = Cgi::new(Command::new("/usr/lib/cgi-bin/hello"), programs);
//! let site = Site::new(Tree::new().child("hello", hello));
//!
//! let mut client = Memory::seat(site.server(), &clock);
//! client.push(b"GET /hello HTTP/1.0\r\n\r\n");
//! clock.advance(Duration::ZERO);
//! client.run();
//! assert!(client.take_sent().ends_with(b"\r\n\r\nhello"));
//! ```
//!
//! | RFC 3875 | here |
//! |---|---|
//! | 4.1 meta-variables | [`Cgi`]: all but `REMOTE_IDENT`; beside them `REQUEST_URI`, `REQUEST_SCHEME`, `HTTPS`, `SCRIPT_FILENAME`, `DOCUMENT_ROOT`, `SERVER_ADDR`, `REMOTE_PORT`, `REDIRECT_STATUS` |
//! | 4.1.18 fields of the request | each but those that say who asks or how the body came; no `Proxy`, and none of which two could become one variable |
//! | 4.2 the request's body | streams in; what has no length is collected first, or read to its end: [`Cgi::read_to_end`] |
//! | 4.4 a query as arguments | never: a query is not to choose a program's options |
//! | 5 NPH | programs speak through a server that frames what they write; their status line is read as `Status` |
//! | 6 answers, redirects by client or site | [`ResponseDecoder`], [`Answer`] |
//! | 7.2 the working directory | the program's own folder, unless the command says otherwise |
//! | what went wrong | [`CgiError`], among the answer's extensions, [`BadResponse`] |
//!
//! No shell is involved, and nothing of this process's environment is handed on but `PATH`. Each program leads a process
//! group of its own, and is ended with all that is in it.
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | programs at the same time | [`PROGRAMS_MAX`], 32 | 503 |
//! | a program that neither reads nor writes | [`Patience::silence`], 60 s | 504, or the connection ends |
//! | a program's whole run | [`Patience::total`], 1 h | the same |
//! | a program that runs on when its answer is over or nobody waits for it | [`Patience::exit`], 5 s | `SIGTERM`, and after as long again `SIGKILL` |
//! | the head of its answer; fields in it | [`HEAD_MAX`], 16 KiB; [`FIELDS_MAX`], 100 | 502 |
//! | what waits for the program; for the client | 64 KiB each | the other side has to wait |
//! | a body without a length, collected | [`COLLECTED_MAX`], 1 MiB | 413 |
//! | what a run may log | [`LOGGED_MAX`], 64 KiB | it is dropped, which is logged once |
//! | redirects by the site, in a row | [`REDIRECTS_MAX`], 10 | 502 |
//! | all variables together | the system's | 431 |
//!
//! [RFC 3875]: https://www.rfc-editor.org/rfc/rfc3875

#![forbid(unsafe_code)]

mod codec;
mod environment;
mod error;
mod folder;
mod gateway;
mod outlet;
mod resource;
mod setup;

pub use codec::{Answer, BadResponse, FIELDS_MAX, HEAD_MAX, ResponseDecoder};
pub use error::CgiError;
pub use folder::CgiFolder;
pub use resource::Cgi;
pub use setup::{COLLECTED_MAX, LOGGED_MAX, PROGRAMS_MAX, Patience, REDIRECTS_MAX};
