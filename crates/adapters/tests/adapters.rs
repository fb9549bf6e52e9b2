//! Crates that pull, over transports that push.

#[path = "adapters/http.rs"]
mod http;
#[path = "adapters/stream.rs"]
mod stream;
