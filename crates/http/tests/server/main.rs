//! The server on connections in memory, on a clock that the tests move.

#[path = "../corpus/mod.rs"]
mod corpus;

mod client;

mod access;
mod alike;
mod bodies;
mod compress;
mod cookies;
mod cuts;
mod digests;
mod directory;
mod draining;
mod enemies;
mod events;
mod forms;
mod guards;
mod interim;
mod keep_alive;
mod leaks;
mod middleware;
mod musts;
mod pages;
mod patience;
mod properties;
mod replies;
mod representation;
mod routes;
mod sessions;
mod simulated;
mod streams;
mod upgrade;
mod uploads;
