//! The server's side of a connection.

mod access;
mod answering;
mod body;
mod connection;
mod directory;
mod exchange;
mod incoming;
mod reading;
mod reply;
mod request;
mod resource;
mod router;
mod sender;
mod site;
mod upgrade;
mod watch;
mod wrap;

pub use access::Access;
pub(crate) use body::Kind as BodyKind;
pub use body::{Body, BodyPiece, BodyStream};
pub use connection::Server;
pub use directory::Directory;
pub use incoming::{BodyError, Incoming};
pub(crate) use incoming::{Inflow, end, give};
pub(crate) use reply::plain;
pub use reply::{IntoReply, Reply, Response};
pub use request::Request;
pub use resource::{Resource, Tree};
pub use router::{Params, Router};
pub use sender::{BodySender, client_gone};
pub(crate) use site::system_time;
pub use site::{Patience, Site};
pub use wrap::Wrapped;
