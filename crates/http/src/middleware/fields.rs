use http::HeaderMap;

use crate::{Reply, Request, Resource};

/// Sets these fields in each answer, in place of those of the same name that the resource set.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::X_CONTENT_TYPE_OPTIONS};
/// use ropewalk_http::{Request, Resource, Site, middleware};
///
/// let mut all = HeaderMap::new();
/// all.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
/// let site = Site::new((|_: Request| "hello").wrap(middleware::fields(all)));
/// # drop(site);
/// ```
pub fn fields(fields: HeaderMap) -> impl FnMut(Request, &mut dyn Resource) -> Reply + 'static {
    move |request, inner| {
        let fields = fields.clone();
        inner.render(request).map(move |mut response| {
            response.headers_mut().extend(fields);
            response
        })
    }
}
