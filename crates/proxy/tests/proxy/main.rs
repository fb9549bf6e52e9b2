//! Headers as bytes, and connections that begin with one.

mod chunks;
mod connections;
mod headers;
mod kit;
