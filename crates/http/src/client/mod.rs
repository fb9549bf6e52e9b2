//! The client's side: requests, and connections that are kept for more of them.

mod agent;
mod auth;
mod connection;
mod cookies;
mod decoding;
mod error;
mod exchange;
mod expand;
mod follow;
mod fresh;
mod http2;
mod link;
mod options;
mod origin;
mod passing;
mod pool;
mod priority;
mod reader;
mod switch;

pub use agent::{Agent, Answer, Dial, RequestBuilder};
pub use auth::Credentials;
pub use cookies::{COOKIE_BYTES_MAX, COOKIES_MAX, COOKIES_PER_DOMAIN_MAX, CookieJar};
pub(crate) use decoding::Decoding;
pub use error::{AgentError, Wait};
pub use options::{ClientPatience, Http2Options, Options, PoolBounds, Redirects};
pub use origin::{Origin, Scheme};
pub(crate) use passing::{OnInterim, Passing, Unanswered, pass};
pub use priority::RequestPriority;
pub(crate) use reader::{Reader, Waker};
pub(crate) use switch::Switch;
pub use switch::Upgrade;
