//! The client speaks HTTP/2.

mod bodies;
mod broken;
mod endings;
mod late;
mod places;
mod server;
mod upgrades;
mod wishes;
