//! What the loops of a program are at: counted always, shown on request.
//!
//! A reactor counts as it goes ([`Reactor::statistics`](ropewalk_reactor::Reactor::statistics)). Here is what
//! makes something of that, for one loop or several: text for [Prometheus](https://prometheus.io), and a page
//! with charts that move.
//!
//! | to | look at |
//! |---|---|
//! | know all loops of a program | [`Loops`] |
//! | count requests and how long they take | [`Requests`] |
//! | answer Prometheus | [`prometheus()`], [`encode`] |
//! | show a page | [`StatusPage`] |
//! | ask from another thread, also while a loop is stuck | [`Loops::ask`], [`Report`] |
//!
//! | bound | default |
//! |---|---|
//! | loops of one [`Loops`] | 1,024 |
//! | how long [`Loops::ask`] waits for a loop | as its caller says; then it tells what is known, and where the loop is stuck |
//! | what a page remembers | five minutes, a point a second: [`HISTORY_MAX`] |
//! | who may watch a page at once | 64: [`WATCHERS_MAX`] |
//!
//! ```
//! use ropewalk_http::{Site, Tree};
//! use ropewalk_metrics::{Loops, prometheus};
//! use ropewalk_reactor::Reactor;
//!
//! let reactor = Reactor::new()?;
//! let loops = Loops::new();
//! let requests = loops.add(&reactor);
//! let tree = Tree::new().child("metrics", prometheus(&loops, &reactor));
//! let site = Site::new(tree).on_access(move |access| {
//!     requests.record(access.status.as_u16(), access.took);
//! });
//! # let _ = site;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod loops;
mod page;
mod process;
mod requests;
mod text;

pub use loops::{Loops, Report};
pub use page::{HISTORY_MAX, StatusPage, WATCHERS_MAX};
pub use process::Process;
pub use requests::{Counted, Requests};
pub use text::{NAMES, encode, prometheus};
