//! What every protocol may count on, as checks that anything which carries connections must pass.
//!
//! Each [`Law`] makes connections on a [`Stage`] and says what is [`Broken`]. A stage is any reactor, on
//! any driver, or two hosts of a [`Simulation`](crate::Simulation); what is between the reactor and the
//! protocols can be dressed in whatever is to be tried, a layer say.
//!
//! ```
//! use ropewalk_trial::{Simulation, laws};
//!
//! for law in laws::ALL {
//!     law.check(&laws::Stage::simulated(&Simulation::new(3)))?;
//! }
//! # Ok::<(), laws::Broken>(())
//! ```

mod endings;
mod flow;
mod stage;
mod time;

use std::error::Error;
use std::fmt;

pub use stage::{Joined, Stage};

/// A promise, and how to find out whether it is kept.
#[derive(Clone, Copy)]
pub struct Law {
    number: u8,
    name: &'static str,
    check: fn(&Stage) -> Result<(), String>,
}

/// All laws: at least one for each promise that a carrier of connections makes.
pub const ALL: &[Law] = &[
    Law { number: 1, name: "writing keeps order", check: flow::keeps_order },
    Law { number: 1, name: "both ways at once", check: flow::both_ways },
    Law { number: 3, name: "begins and ends once", check: endings::once },
    Law { number: 3, name: "no connection, one end", check: endings::never_made },
    Law { number: 3, name: "a panic ends its own", check: endings::panic_ends_one },
    Law { number: 3, name: "each direction ends alone", check: endings::half_close },
    Law { number: 4, name: "closing delivers", check: endings::close_delivers },
    Law { number: 4, name: "aborting does not", check: endings::abort_does_not },
    Law { number: 5, name: "a pause is kept", check: flow::pause_is_kept },
    Law { number: 5, name: "a pause reaches the writer", check: flow::pause_reaches_the_writer },
    Law { number: 6, name: "cuts do not matter", check: flow::cuts_do_not_matter },
    Law { number: 7, name: "the busy starve nobody", check: time::busy_starve_nobody },
    Law { number: 8, name: "output is bounded", check: flow::output_is_bounded },
    Law { number: 9, name: "out of descriptors", check: endings::out_of_descriptors },
    Law { number: 10, name: "what is over is free", check: endings::over_is_free },
    Law { number: 11, name: "calls come in time", check: time::calls_come_in_time },
    Law { number: 11, name: "calls keep order", check: time::calls_keep_order },
];

impl Law {
    /// Its number among the laws of the house; timers are the eleventh.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// What it promises, in few words.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Finds out whether it is kept on `stage`.
    ///
    /// # Errors
    ///
    /// What was promised and did not come.
    pub fn check(&self, stage: &Stage) -> Result<(), Broken> {
        (self.check)(stage).map_err(|what| Broken { law: self.name, number: self.number, what })
    }
}

impl fmt::Debug for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Law {} ({})", self.number, self.name)
    }
}

/// A law was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    law: &'static str,
    number: u8,
    what: String,
}

impl Broken {
    /// The name of the law.
    pub fn law(&self) -> &'static str {
        self.law
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "law {} ({}) is broken: {}", self.number, self.law, self.what)
    }
}

impl Error for Broken {}

/// Answers with what is broken unless a condition holds.
macro_rules! hold {
    ($condition:expr, $($what:tt)+) => {
        if !$condition {
            return Err(format!($($what)+));
        }
    };
}
use hold;
