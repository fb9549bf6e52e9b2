//! Sites as services.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use ropewalk_http::{Body, Incoming, Site};
use ropewalk_protocol::Spawn;
use tower_service::Service;

use crate::ResponseBody;
use crate::resource::pieces;

/// A service that a site answers: its resources, without connections and their limits.
///
/// It never fails; what fails in a resource is its answer, as elsewhere. What a resource hears of the
/// connection is that there is none. An answer that would change the protocol is one without a body.
///
/// ```
/// use http::Request;
/// use http_body::Body;
/// use ropewalk_http::Site;
/// use ropewalk_tower::SiteService;
/// use ropewalk_trial::Executor;
/// use tower_service::Service;
///
/// let executor = Executor::new();
/// let site = Site::new(|request: ropewalk_http::Request| format!("this is {}", request.uri()));
/// let mut service = SiteService::new(site, executor.clone());
/// let answer = service.call(Request::get("/a").body(String::new()).unwrap());
/// let (answer, driver) = ropewalk_deferred::from_future(answer);
/// ropewalk_protocol::Spawn::spawn(&executor, Box::pin(driver));
/// executor.run();
/// assert_eq!(answer.now_or_never().unwrap().unwrap().status(), 200);
/// ```
#[derive(Clone)]
pub struct SiteService {
    site: Site,
    spawner: Rc<dyn Spawn>,
}

impl SiteService {
    /// Has `site` answer; bodies of requests are polled on `spawner`.
    pub fn new(site: Site, spawner: impl Spawn + 'static) -> Self {
        Self { site, spawner: Rc::new(spawner) }
    }
}

impl<B> Service<Request<B>> for SiteService
where
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let spawner = Rc::clone(&self.spawner);
        let request = request.map(|body| {
            if body.is_end_stream() {
                Incoming::empty()
            } else {
                Incoming::from_stream(pieces(body, spawner))
            }
        });
        let answer = self.site.call(request);
        Box::pin(async move {
            let response = answer.await.unwrap_or_else(|failure| {
                tracing::error!(target: "ropewalk::http", "no answer: {failure:?}");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            });
            Ok(response.map(ResponseBody::of))
        })
    }
}

impl fmt::Debug for SiteService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteService").field("site", &self.site).finish_non_exhaustive()
    }
}
