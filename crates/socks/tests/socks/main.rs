//! SOCKS in memory: messages, the server, the client, and the two together.

mod associate;
mod bind;
mod client;
mod destinations;
mod hostile;
mod joined;
mod kit;
mod messages;
mod server;
