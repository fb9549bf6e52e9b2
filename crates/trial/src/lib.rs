//! The test kit: protocols without a network, time without waiting.
//!
//! | to test | use |
//! |---|---|
//! | one protocol, byte by byte | [`Memory`], in which the test plays the other side |
//! | a protocol of datagrams | [`MemoryDatagrams`] |
//! | two protocols with one another | [`Wire`] |
//! | whatever waits | [`Clock`], which a test moves |
//! | tasks and threads | [`Executor`], [`LaterThreads`], which do as the test says |
//! | whatever carries connections | [`laws`] |
//! | a service among hosts, in all weathers | [`Simulation`]: real reactors on a network that is made up |
//!
//! ```
//! use ropewalk_protocol::{Conn, Protocol};
//! use ropewalk_trial::{Clock, Memory};
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
//!         conn.write(data);
//!     }
//! }
//!
//! let mut echo = Memory::seat(Echo, &Clock::new());
//! echo.push(b"hello");
//! assert_eq!(echo.take_sent(), b"hello");
//! ```

#![forbid(unsafe_code)]

mod clock;
mod datagrams;
mod executor;
pub mod laws;
mod memory;
mod resolver;
mod sim;
mod threads;
mod wire;
mod witness;

pub use clock::Clock;
pub use datagrams::MemoryDatagrams;
pub use executor::Executor;
pub use memory::Memory;
pub use resolver::FakeResolver;
pub use sim::{Happening, Link, Machine, Random, Simulation, Standstill};
pub use threads::LaterThreads;
pub use wire::{Side, Wire};
pub use witness::{Note, Notes, Witness};
