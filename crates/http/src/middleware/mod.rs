//! What often stands around or between resources.
//!
//! Each is a plain function for [`Resource::wrap`](crate::Resource::wrap), made of a value that says how it is
//! to work, or a resource that chooses among others.
//!
//! | what | here |
//! |---|---|
//! | names that share an address (RFC 9110 7.2) | [`Hosts`] |
//! | pages of other origins that may ask (Fetch, CORS) | [`Cors`] |
//! | what is shown for an error | [`ErrorPages`] |
//! | fields that each answer has | [`fields`] |
//! | other addresses (RFC 9110 15.4) | [`redirect`] |
//! | addresses that are served from others | [`Rewrite`] |
//! | what a client would rather have (RFC 9110 12) | [`preferred`] |

mod cors;
mod error_pages;
mod fields;
mod hosts;
mod preferred;
mod redirect;
mod rewrite;

pub use cors::Cors;
pub use error_pages::ErrorPages;
pub use fields::fields;
pub use hosts::{BadHostPattern, Hosts};
pub use preferred::{PREFERENCES_MAX, preferred};
pub use redirect::redirect;
pub use rewrite::{BadRewrite, Rewrite};
