//! The HTTP server on real sockets, asked by the programs that people use and by those that nobody
//! wants as a guest.

#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

#[path = "http/browsers.rs"]
mod browsers;
#[path = "http/crowds.rs"]
mod crowds;
#[path = "http/curl.rs"]
mod curl;
#[path = "http/desk.rs"]
mod desk;
#[path = "support/house.rs"]
mod house;
#[path = "http/scripts.rs"]
mod scripts;
#[path = "http/server.rs"]
mod server;
#[path = "http/strangers.rs"]
mod strangers;
mod support;
#[path = "http/visitors.rs"]
mod visitors;
