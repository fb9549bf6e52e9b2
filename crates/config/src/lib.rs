//! Configuration: one TOML file, read by the very options that commands have.
//!
//! What a section may hold is what a [`clap`] command takes: its keys are the long options, without their dashes, and their
//! values are read, checked and filled in by clap. So an option is described once, for the command line and for the file.
//!
//! | to | look at |
//! |---|---|
//! | read a file | [`Document::read`], [`Document::parse`] |
//! | look into it | [`Table`], [`Entry`], [`Value`] |
//! | read a section by a command's options | [`Table::options`], [`Table::matches`] |
//! | say what is wrong, at its line and column | [`Fault`], [`Faults`] |
//! | know what changed between two readings | [`changes`], [`Change`] |
//!
//! | in the file | on the command line |
//! |---|---|
//! | `gzip = true`; `false` | `--gzip`; nothing |
//! | `path = "site"`, `idle = 60` | `--path=site`, `--idle=60` |
//! | `header = ["A: 1", "B: 2"]` | `--header='A: 1' --header='B: 2'` |
//! | `header = { A = "1", B = "2" }` | the same, where the option's value has two halves |
//! | `body_max = 10`, `body-max = 10` | `--body-max=10` |
//! | a positional argument's name | that argument |
//!
//! | bound | default |
//! |---|---|
//! | bytes of a file | [`FILE_MAX`], 4 MiB |
//! | faults that are told of at once | [`FAULTS_MAX`], 32 |
//!
//! ```
//! use clap::Args;
//! use ropewalk_config::Document;
//!
//! #[derive(Args)]
//! struct Web {
//!     /// The directory to serve
//!     #[arg(long, default_value = ".")]
//!     path: String,
//!     /// Compress
//!     #[arg(long)]
//!     gzip: bool,
//! }
//!
//! let document = Document::parse("app.toml", "[web]\npath = 'site'\ngzip = true\n")?;
//! let web: Web = document.root().table("web")?.unwrap().options()?;
//! assert!(web.gzip && web.path == "site");
//!
//! let document = Document::parse("app.toml", "[web]\npaht = 'site'\n")?;
//! let faults = document.root().table("web")?.unwrap().options::<Web>().err().unwrap();
//! let told = "app.toml:2:1: there is no key \"paht\" in [web]; did you mean \"path\"?";
//! assert_eq!(faults.to_string(), told);
//! # Ok::<(), ropewalk_config::Faults>(())
//! ```

#![forbid(unsafe_code)]

mod change;
mod document;
mod fault;
mod options;

pub use change::{Change, changes};
pub use document::{Document, Entry, FILE_MAX, Item, Table, Value};
pub use fault::{FAULTS_MAX, Fault, Faults, nearest};
