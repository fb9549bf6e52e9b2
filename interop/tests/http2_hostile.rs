//! Clients of HTTP/2 that mean harm, on real sockets, against `ropewalk web` in the clear and under TLS: each loses its
//! own connection by the right code, the server's memory stays bounded, and who is beside it notices nothing.
//!
//! `ROPEWALK_REQUESTS` says how many requests are made and taken back over a hundred connections.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "http2_hostile/attacks.rs"]
mod attacks;
#[path = "http2_hostile/crowd.rs"]
mod crowd;
#[path = "support/house.rs"]
#[allow(dead_code, reason = "it is there for other suites, which use all of it")]
mod house;
#[path = "http2_hostile/process.rs"]
mod process;
mod support;
#[path = "http2_server/web.rs"]
#[allow(dead_code, reason = "it is there for other suites, which use all of it")]
mod web;
#[path = "http2_hostile/wire.rs"]
mod wire;
