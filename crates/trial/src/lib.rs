//! The test kit: protocols without a network, time without waiting.
//!
//! | to test | use |
//! |---|---|
//! | one protocol, byte by byte | [`Memory`], in which the test plays the other side |
//! | a codec or a protocol under every way of cutting its input | [`chunked`] |
//! | a dialogue that a person can read | [`Transcript`] |
//! | what hostile clients can do | [`Hostile`] |
//! | bytes that were right once | [`golden`] |
//! | services and their clients by name, without a reactor | [`MemoryNetwork`] |
//! | with a reactor, and leave nothing behind | [`#[ropewalk_trial::test]`](macro@test) |
//! | descriptors beside bytes | [`Memory::push_passing`], [`Memory::take_descriptors`]; a [`Wire`] carries them |
//! | a protocol of datagrams | [`MemoryDatagrams`] |
//! | a protocol of processes, or what starts programs | [`FakeProcess`], [`FakeProcesses`] |
//! | what reads, writes or watches files | `MemoryFiles` (on Unix) |
//! | two protocols with one another | [`Wire`] |
//! | what came of a deferred that is over | [`value_of`], [`error_of`] |
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

mod belongings;
mod chunked;
mod clock;
mod datagrams;
mod difference;
mod executor;
#[cfg(unix)]
mod files;
mod golden;
pub mod harness;
mod hostile;
pub mod laws;
mod memory;
mod network;
mod outcome;
mod overheard;
mod processes;
mod resolver;
mod sim;
mod threads;
mod transcript;
mod wire;
mod witness;

pub use chunked::{Answer, Cut, chunked, chunked_seats};
pub use clock::Clock;
pub use datagrams::MemoryDatagrams;
pub use difference::Difference;
pub use executor::Executor;
#[cfg(unix)]
pub use files::MemoryFiles;
pub use golden::golden;
pub use hostile::{Attack, Harm, Hostile};
pub use memory::Memory;
pub use network::{MemoryEndpoint, MemoryNetwork};
pub use outcome::{error_of, value_of};
pub use processes::{FakeProcess, FakeProcesses};
pub use resolver::FakeResolver;
pub use sim::{Happening, HostEndpoint, Link, Machine, Random, Simulation, Standstill};
pub use threads::{ClockThreads, LaterThreads};
pub use transcript::{BadTranscript, Departure, Transcript};
pub use wire::{Side, Wire};
pub use witness::{Note, Notes, Witness};

/// Makes a test of a function that is given a fresh reactor.
///
/// The function is `async`, or gives a deferred, a result or nothing. It takes nothing, a
/// [`Reactor`](ropewalk_reactor::Reactor), the [`Simulation`], or both.
///
/// | setting | means |
/// |---|---|
/// | `driver = "poll"` | on this driver; unless set, on the one that `ROPEWALK_REACTOR` names, or else the best |
/// | `simulated` | on a host of a [`Simulation`] with the seed 0 |
/// | `seeds = 200` | the same, once for each seed; `ROPEWALK_TRIAL_SEED` names a single one |
/// | `deadline = 5` | it may take so many seconds, 30 unless set; simulated ones in a simulation |
///
/// A test fails with what its body fails of; if it takes too long, with everything that is under way
/// then, tasks with the `await` they wait in; and if it leaves anything behind: connections, listeners, ports, watches, calls, tasks, work in
/// threads, or failures that nobody handled. Each is named, with the place where it was asked for.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_deferred::Failure;
/// use ropewalk_protocol::sleep;
/// use ropewalk_reactor::Reactor;
///
/// #[ropewalk_trial::test]
/// async fn work_is_done_elsewhere(reactor: Reactor) -> Result<(), Failure> {
///     let answer = reactor.defer_to_thread(|| Ok::<_, Failure>(6 * 7)).await?;
///     assert_eq!(answer, 42);
///     Ok(())
/// }
///
/// #[ropewalk_trial::test(seeds = 20, deadline = 7200)]
/// async fn an_hour_is_a_moment(reactor: Reactor) -> Result<(), Failure> {
///     sleep(&reactor, Duration::from_secs(3600)).await
/// }
/// ```
pub use ropewalk_trial_macros::test;
