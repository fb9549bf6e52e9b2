//! The event loop.
//!
//! A [`Reactor`] carries connections for protocols that know nothing of it: it accepts, connects,
//! receives and sends, makes calls at their time, does blocking work in threads, and runs futures.
//!
//! | to | look at |
//! |---|---|
//! | choose what is below | [`Reactor::with_driver`], [`DriverKind`] |
//! | run and stop | [`Reactor::run`], [`Reactor::run_until`], [`Reactor::stop`] |
//! | listen | [`Reactor::listen_tcp`], [`Reactor::listen_unix`], [`Reactor::listen_abstract`] |
//! | connect | [`Reactor::connect_tcp`], [`Reactor::connect_name`], [`Reactor::connect_addresses`], [`Reactor::connect_unix`], [`Reactor::connect_abstract`] |
//! | go on with sockets that others made | [`inherited`], [`Reactor::adopt_listener`], [`Reactor::adopt_stream`], [`Reactor::adopt_accepted`] |
//! | set what a socket can be set to | [`TcpOptions`], [`ConnectOptions`], [`TcpListenOptions`] |
//! | watch a descriptor of one's own | [`Reactor::add_reader`], [`Reactor::add_writer`] |
//! | look names up | [`Reactor::set_resolver`], [`SystemResolver`], [`HostsFile`] |
//! | exchange datagrams | [`Reactor::listen_udp`], [`Reactor::connect_udp`], [`UdpEndpoint`] |
//! | exchange them on this machine | [`Reactor::listen_unix_datagrams`], [`Reactor::connect_unix_datagrams`], [`UnixDatagramEndpoint`] |
//! | speak over a serial line | `Reactor::open_serial`, `SerialEndpoint` (on Unix) |
//! | have keys come at once | `RawTerminal` (on Unix) |
//! | have the packets of a tunnel, or Ethernet frames | `Reactor::open_tunnel`, `Reactor::open_frames` (on Linux) |
//! | tell the time, call later | [`ropewalk_protocol::Clock`], which a reactor is; [`Reactor::precise_now`] |
//! | have files read and written | [`Reactor`] as a [`FileIo`](ropewalk_protocol::FileIo), by way of the room `files` |
//! | do blocking work | [`Reactor::defer_to_thread`], [`Reactor::set_thread_pool`] |
//! | start programs and speak with them | [`Reactor`] as a [`Spawner`](ropewalk_protocol::process::Spawner) |
//! | run a future | [`Reactor::spawn`] |
//! | come in from another thread | [`Reactor::handle`] |
//! | be hosted by another loop | [`Reactor::turn`], [`Reactor::next_deadline`] |
//! | serve the same places with several reactors | [`Reactor::set_siblings`], [`Reactor::accept_for`] |
//! | stand on something else than a system | [`platform`] |
//!
//! | driver | is | made of |
//! |---|---|---|
//! | [`Epoll`](DriverKind::Epoll) | the default | `epoll`, told once of what comes over TCP, else level-triggered |
//! | [`IoUring`](DriverKind::IoUring) | for kernels that have it | multishot operations and a ring of buffers |
//! | [`Poll`](DriverKind::Poll) | for comparison, and where there is no other | `poll` |
//! | [`Select`](DriverKind::Select) | the same | `select`, with sets of any size |
//! | [`Portable`](DriverKind::Portable) | for other systems | the `polling` crate |
//!
//! All keep the same promises. With `io_uring` the kernel receives before it is asked to, into 1 MiB of
//! buffers that all connections share: a connection may have all of them once, and gets its share of a
//! turn from then on until it is content with less. Ports for datagrams share 64 buffers of
//! their own.
//!
//! | bound | default |
//! |---|---|
//! | bytes received from one connection in one turn | 64 KiB, in two parts |
//! | buffers of 32 KiB that connections are received into: one, and others while what came is on its way out without a copy | 4 |
//! | connections accepted from one listener in one turn | 64 |
//! | system calls spent on one connection's output in one turn | 4 |
//! | closed connections that wait for their peers | 1,024, for 2 seconds without progress each |
//! | bytes received at once from a connection that accepts descriptors | 32 KiB, with the descriptors that it said |
//! | messages received from one port for datagrams in one turn | 32; 64 with `io_uring` |
//! | system calls spent on one port's datagrams in one turn | 8, of 64 messages each |
//! | bytes read of one pipe of a process in one turn | 64 KiB |
//! | system calls spent on one pipe's input in one turn | 4 |
//! | bytes read of one serial line in one turn | 64 KiB |
//! | packets received from one tunnel in one turn; sent | 32; 256 |
//! | addresses tried for one name | 64 |
//! | names being looked up or waiting for it | 1,024, by 8 threads |
//! | bytes read of a file of hosts | 4 MiB |
//! | operations on files that `io_uring` has at once; threads do others | 1,024 |
//! | threads in the pool | 16, each going after 10 idle seconds; [`ThreadPoolOptions`] has others |
//! | how long a thread looks for a job before it sleeps, and the loop for results | some 60 µs, where that is worth while |
//! | jobs waiting for a thread | 16,384 |
//! | calls from other threads waiting for the loop | 65,536 |

#![deny(unsafe_code)]

mod adopt;
mod attempt;
mod calls;
mod carrier;
mod connector;
mod datagrams;
#[cfg(unix)]
mod devices;
mod driver;
mod error;
mod file_io;
mod histogram;
mod inner;
mod linger;
mod listener;
mod lowest;
pub mod platform;
mod pool;
#[cfg(unix)]
mod process;
#[cfg(not(unix))]
#[path = "process_nowhere.rs"]
mod process;
mod reactor;
mod remote;
mod resolver;
mod siblings;
mod spin;
mod statistics;
mod streams;
mod sys;
mod tally;
mod tasks;
mod tcp;
#[cfg(unix)]
mod terminal;
mod turn;
mod under_way;
mod watch;
mod wheel;

#[doc = include_str!("twisted.md")]
pub mod twisted {}

pub use adopt::{CannotAdopt, NotInherited, inherited};
pub use connector::ConnectOptions;
pub use datagrams::{UdpEndpoint, UdpOptions, UnixDatagramEndpoint, UnixDatagramOptions};
#[cfg(unix)]
pub use devices::{
    CannotOpen, FlowControl, ModemLines, Parity, SerialControl, SerialEndpoint, SerialOptions,
};
#[cfg(target_os = "linux")]
pub use devices::{FrameEndpoint, FrameOptions, Tunnel, TunnelEndpoint, TunnelKind, TunnelOptions};
pub use driver::{DriverKind, DriverUnavailable, UnknownDriver};
pub use error::{CallRefused, CannotListen, PoolRefused, ReactorError, ReactorGone};
pub use histogram::Histogram;
pub use listener::{ListeningPort, TcpListenOptions, UnixListenOptions};
pub use pool::ThreadPoolOptions;
pub use reactor::{Census, Exit, Reactor};
pub use remote::ReactorHandle;
pub use resolver::{HostsFile, SystemResolver};
pub use siblings::{Bind, Siblings, listening_at};
pub use statistics::{Connection, Gauge, Probe, SourceStatistics, Statistics};
pub use tally::{Observer, Turn};
pub use tcp::{KeepAlive, TcpOptions};
#[cfg(unix)]
pub use terminal::RawTerminal;
pub use under_way::UnderWay;
pub use watch::{CannotWatch, Watch, WatchEnd};
