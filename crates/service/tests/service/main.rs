//! Services, from outside: on a network in memory and a clock that the tests move, then on sockets.

mod client;
mod datagrams;
mod kit;
mod process;
#[cfg(unix)]
mod programs;
mod server;
mod site;
mod sockets;
mod timer;
mod tree;
