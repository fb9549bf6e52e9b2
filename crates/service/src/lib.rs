//! Services: what a program starts, drains and stops.
//!
//! | to | look at |
//! |---|---|
//! | be started and stopped | [`Service`] |
//! | start many in order, stop them in reverse, and know which failed | [`Tree`], [`ServiceFailed`], [`StopFailed`] |
//! | serve at a place | [`StreamServer`], [`DatagramServer`] |
//! | let connections finish, and cut those that do not | [`Service::drain`], [`Drained`], [`ropewalk_protocol::Drain`] |
//! | stay connected to a place | [`ClientService`], [`Backoff`] |
//! | do something again and again | [`TimerService`] |
//! | keep a program running | [`ProcessService`], [`Supervision`] |
//! | start a program for who comes | `Inetd`, on Unix |
//! | have services of any type in one place | [`AnyServing`] |
//!
//! Nothing here knows an operating system: places, clocks and processes are handed in, so a test has its own.
//!
//! | bound | default |
//! |---|---|
//! | the wait before a client connects again | anything up to 1 s, doubled each time up to 60 s |
//! | how long a connection has to last for that to begin anew | [`HEALTHY_AFTER`], 10 s |
//! | the wait before a process that ended is started again | anything up to 1 s, doubled each time up to 60 s |
//! | how long a process has to run for that to begin anew; may take to stop | 1 s; 5 s, then it is killed |
//! | how many may wait for a client's connection | [`WAITERS_MAX`], 16,384 |
//! | programs that a super-server runs at a time; for one address; starts of one that waits | 64; 16; 256 a minute |

#![forbid(unsafe_code)]

mod backoff;
mod client;
#[cfg(unix)]
mod inetd;
mod process;
mod server;
mod service;
mod timer;
mod tree;

pub use backoff::Backoff;
pub use client::{ClientService, ClientState, HEALTHY_AFTER, NoConnection, WAITERS_MAX};
#[cfg(unix)]
pub use inetd::{Inetd, InetdLimits, Waiting};
pub use process::{ProcessService, ProcessState, Supervision};
pub use server::{AnyServing, DatagramServer, StreamServer};
pub use service::{Doing, Drained, Service, ServiceFailed, StopFailed};
pub use timer::TimerService;
pub use tree::{State, Tree, TreeError};
