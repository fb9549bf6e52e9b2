//! HTTP/2 as the programs that people run speak it with `ropewalk web`, over TLS and in the clear.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "support/house.rs"]
#[allow(dead_code, reason = "it is there for other suites, which use all of it")]
mod house;
#[path = "http2_server/priorities.rs"]
mod priorities;
#[path = "http2_server/programs.rs"]
mod programs;
#[path = "http2_server/sockets.rs"]
mod sockets;
mod support;
#[path = "http2_server/web.rs"]
#[allow(dead_code, reason = "it is there for other suites, which use all of it")]
mod web;
