//! Services, from outside: on a network in memory and a clock that the tests move, then on sockets.

mod client;
mod kit;
mod process;
mod server;
mod sockets;
mod timer;
mod tree;
