//! HTTP/2 through its public face: blocks, frames, and two ends that speak with each other.

mod blocks;
mod corpus;
mod ends;
mod frames;
mod late;
mod nuisances;
mod parts;
mod preferred;
