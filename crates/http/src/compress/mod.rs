//! Content codings (RFC 9110 8.4), put on: what a client takes, and bodies in them.
//!
//! [`Compress`] stands around a resource. A [`Folder`](crate::files::Folder) of static files sends what is
//! compressed beside them: [`Folder::precompressed`](crate::files::Folder::precompressed).

mod coder;
mod codings;
mod middleware;
mod stream;

pub use codings::{Coding, NotAcceptable, negotiate};
pub(crate) use middleware::vary;
pub use middleware::{COMPRESSIONS_MAX, Compress};
