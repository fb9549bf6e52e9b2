//! An event-driven networking engine: one reactor, many protocols.

#![forbid(unsafe_code)]

pub use ropewalk_deferred as deferred;
pub use ropewalk_endpoint as endpoint;
pub use ropewalk_http as http;
pub use ropewalk_protocol as protocol;
pub use ropewalk_reactor as reactor;

pub use ropewalk_deferred::{Deferred, Failure, Promise};
pub use ropewalk_protocol::{Conn, Factory, Protocol};
pub use ropewalk_reactor::Reactor;
