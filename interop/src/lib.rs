//! Ropewalk against the programs that people run: curl, nginx and their like.
//!
//! Each file in `tests/` is a suite, listed in [`SUITES`] with the outside programs that it needs;
//! `cargo xtask test` sees to it that they are there and says where. A suite asks for a program with
//! [`tool`], starts it as a [`Peer`], which dies with its owner, and keeps files in a [`TempDir`].

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "outside programs keep the time of the world")]

mod browser;
mod limits;
mod peer;
#[cfg(unix)]
mod postgres;
mod suites;
mod temp;
mod tools;

pub use browser::chromium;
pub use limits::{LEFT_OUT, leave_out};
pub use peer::{PATIENCE, Peer, free_port, wait_for_port};
#[cfg(unix)]
pub use postgres::PostgresServer;
pub use suites::{REACTORLESS, SUITES, Suite};
pub use temp::TempDir;
pub use tools::{Source, TOOLS, Tool, node_folder, python_folder, tool};
