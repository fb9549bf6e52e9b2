use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use crate::Response;

/// An answer that leads to `location` (RFC 9110 10.2.2), with a status such as 303 or 308.
///
/// The location is a reference to a resource: an address, or what is told from the one asked for.
///
/// ```
/// use http::{HeaderValue, StatusCode};
/// use ropewalk_http::{Request, Router, middleware::redirect};
///
/// let moved = HeaderValue::from_static("/new");
/// let router = Router::new()
///     .get("/old", move |_: Request| redirect(StatusCode::PERMANENT_REDIRECT, moved.clone()));
/// # drop(router);
/// ```
pub fn redirect(status: StatusCode, location: HeaderValue) -> Response {
    let mut response = crate::server::plain(status);
    response.headers_mut().insert(LOCATION, location);
    response
}
