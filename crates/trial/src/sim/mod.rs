//! A network that is none: real reactors on simulated hosts, in a time of their own.
//!
//! Everything from a host's [`Reactor`](ropewalk_reactor::Reactor) upwards is the code that runs in
//! production; what is below is made up here, from one seed. The same seed makes the same things happen
//! in the same order, as [`Simulation::hash`] attests.

mod datagrams;
mod driver;
mod groups;
mod link;
mod log;
mod places;
mod random;
mod simulation;
mod stream;
mod world;

pub use link::{Link, Machine};
pub use log::Happening;
pub use places::HostEndpoint;
pub use random::Random;
use simulation::Inner;
pub use simulation::{Simulation, Standstill};
