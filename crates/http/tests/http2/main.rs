//! Sites that speak HTTP/2, in memory, on a clock that the tests move.

mod answers;
mod bodies;
mod client;
mod endings;
mod frames;
mod hostile;
mod laws;
mod priorities;
mod simulated;
mod tunneler;
mod tunnels;
mod versions;
mod windows;
