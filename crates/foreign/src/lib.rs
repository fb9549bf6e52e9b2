//! Other loops around the reactor, and other runtimes beside it.
//!
//! A window, a page of another framework and our protocols can live on one thread: whoever has a loop that
//! watches one descriptor and keeps one timer can host a [`Reactor`](ropewalk_reactor::Reactor). A [`Hosted`]
//! reactor says after each turn what its host is to wait for; the rest is a few lines in any toolkit.
//!
//! | loop | what hosts the reactor there |
//! |---|---|
//! | any | [`Hosted`]: [`turn`](Hosted::turn) and what is [`Next`]; `Watched` has a descriptor of its own as well |
//! | tokio's | `host_in_tokio`, with the feature `tokio`, which is on unless turned off |
//! | glib's, and with it GTK's | the crate `ropewalk-glib` in `foreign/glib` |
//! | Qt's | the crate `ropewalk-qt` in `foreign/qt` |
//! | Python's asyncio | the module `ropewalk_asyncio` in `foreign/python` |
//! | Cocoa's | `attach_to_run_loop`, on macOS |
//! | `GNUstep`'s | the crate `ropewalk-gnustep` in `foreign/gnustep` |
//!
//! Those in `foreign/` stand outside the workspace, as they need what only some machines have.
//!
//! The other way round, a crate that cannot do without tokio's runtime has it on an `Island`: a thread of
//! its own to which futures are sent, and from which results come home as deferreds.
//!
//! A loop in Rust, by hand, that hosts a reactor with `poll`:
//!
//! ```
//! # #[cfg(unix)] {
//! use std::time::Duration;
//!
//! use ropewalk_foreign::{Hosted, Next};
//! use ropewalk_protocol::call_later;
//! use ropewalk_reactor::Reactor;
//! use rustix::event::{PollFd, PollFlags, Timespec, poll};
//!
//! let reactor = Reactor::new()?;
//! let stopper = reactor.clone();
//! call_later(&reactor, Duration::from_millis(5), move || stopper.stop());
//!
//! let hosted = Hosted::new(&reactor);
//! loop {
//!     let next = hosted.turn()?;
//!     if next == Next::Ended {
//!         break;
//!     }
//!     // Here stands whatever else this loop does.
//!     let wait = next.wait().map(|wait| Timespec::try_from(wait).expect("not for ages"));
//!     poll(&mut [PollFd::new(&hosted, PollFlags::IN)], wait.as_ref())?;
//! }
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The limits:
//!
//! | what | how much | beyond it |
//! |---|---|---|
//! | jobs on an island, in all | 1,024, or as told | `IslandRefused::Full` |

#![forbid(unsafe_code)]

mod hosted;
#[cfg(feature = "tokio")]
mod island;
#[cfg(target_os = "macos")]
mod run_loop;
#[cfg(all(feature = "tokio", unix))]
mod runtime;
#[cfg(unix)]
mod watched;

pub use hosted::{Hosted, Next};
#[cfg(feature = "tokio")]
pub use island::{Island, IslandGone, IslandOptions, IslandRefused};
#[cfg(target_os = "macos")]
pub use run_loop::{Attachment, attach_to_run_loop};
#[cfg(all(feature = "tokio", unix))]
pub use runtime::host_in_tokio;
#[cfg(unix)]
pub use watched::Watched;
