//! A bridge to [`tower_service`], in both directions.
//!
//! A [`ServiceResource`] makes a resource of a service of HTTP requests: an axum `Router` is served by a
//! [`Site`](ropewalk_http::Site), on a reactor and without any other runtime. A [`SiteService`] makes a
//! service of a site.
//!
//! ```
//! use axum::Router;
//! use axum::routing::get;
//! use ropewalk_http::Site;
//! use ropewalk_tower::ServiceResource;
//! use ropewalk_trial::{Clock, Executor, Memory};
//!
//! let router = Router::new().route("/hello/{name}", get(
//!     async |axum::extract::Path(name): axum::extract::Path<String>| format!("hello, {name}"),
//! ));
//! // Tasks run on whatever polls futures: a `Reactor`, or in a test an `Executor`.
//! let executor = Executor::new();
//! let site = Site::new(ServiceResource::new(router, executor.clone()));
//!
//! let mut client = Memory::seat(site.server(), &Clock::new());
//! client.push(b"GET /hello/alice HTTP/1.1\r\nHost: a\r\n\r\n");
//! executor.run();
//! client.run();
//! assert!(client.take_sent().ends_with(b"\r\n\r\nhello, alice"));
//! ```
//!
//! | what | here |
//! |---|---|
//! | a service as a resource: bodies stream both ways, with their trailers | [`ServiceResource`], [`RequestBody`], [`Peer`] |
//! | what has to be made on the loop, such as a WebSocket's end | [`OnLoop`] |
//! | a site as a service | [`SiteService`], [`ResponseBody`] |
//!
//! A request's body is asked for when the service polls it, piece by piece, and a response's when the client
//! has taken what came before: nothing is kept here but the one piece that is on its way. A service that
//! needs a runtime's own timers or sockets does not find them here.

#![forbid(unsafe_code)]

mod body;
mod on_loop;
mod resource;
mod service;

pub use body::{BodyFailed, RequestBody, ResponseBody};
pub use on_loop::OnLoop;
pub use resource::{Peer, ServiceResource};
pub use service::SiteService;
