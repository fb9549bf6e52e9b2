//! Proxies of all kinds against the programs that people run: SOCKS both ways round, HTTP's `CONNECT`,
//! and the PROXY protocol.

#[path = "support/house.rs"]
mod base;
mod support;

#[path = "proxies/connect.rs"]
mod connect;
#[path = "proxies/haproxy.rs"]
mod haproxy;
#[path = "proxies/house.rs"]
mod house;
#[path = "proxies/socks_client.rs"]
mod socks_client;
#[path = "proxies/socks_datagrams.rs"]
mod socks_datagrams;
#[path = "proxies/socks_server.rs"]
mod socks_server;
