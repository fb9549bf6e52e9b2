//! The reactor on real sockets.
//!
//! Nothing here waits for time to pass where an event tells, and no port is fixed. What has to be alone
//! in its process, as it counts descriptors or is sent signals, runs in a child: see [`kit::alone`].

mod chance;
mod connecting;
mod first;
mod flow;
mod kit;
mod laws;
mod locks;
mod loops;
mod names;
mod places;
mod react;
mod running;
mod scarcity;
mod signals;
mod statistics;
mod threads;
mod timers;
mod unix;
