//! The client speaks HTTP/2.

mod bodies;
mod broken;
mod endings;
mod places;
mod server;
mod wishes;
