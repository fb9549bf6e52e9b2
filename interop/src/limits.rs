//! What a machine may not permit.

use std::io::{self, Write};

/// The beginning of the lines that [`leave_out`] prints; `cargo xtask test` counts them.
pub const LEFT_OUT: &str = "left out: ";

/// Says that something was not tried, and why: not even a test that passes hides it.
pub fn leave_out(what: &str, why: impl std::fmt::Display) {
    // The harness keeps what the macros print. Nobody listens only if nobody is to be told.
    let _ = writeln!(io::stderr(), "\n{LEFT_OUT}{what}: {why}");
}
