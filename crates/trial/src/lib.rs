//! The test kit: protocols without a network, time without waiting.
//!
//! [`Clock`] is a clock that a test moves, [`Executor`] polls tasks when a test says so. [`Memory`] seats one protocol in memory and lets the test
//! play the other side, byte by byte if it wants; [`Wire`] joins two protocols to one another.
//! [`MemoryDatagrams`] does for datagrams what [`Memory`] does for streams.
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
mod memory;
mod threads;
mod wire;

pub use clock::Clock;
pub use datagrams::MemoryDatagrams;
pub use executor::Executor;
pub use memory::Memory;
pub use threads::LaterThreads;
pub use wire::{Side, Wire};
