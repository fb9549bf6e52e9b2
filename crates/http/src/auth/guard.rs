//! A guard before a resource.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, HeaderValue, StatusCode};
use ropewalk_auth::{
    Anonymous, Avatar, AvatarId, FailureDelay, LoginError, Portal, ProvenPassword, Realm,
};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::Address;

use super::authorization::Authorization;
use super::digest::{Digest, Looked, Ticket};
use super::inner::{Inner, keeping};
use super::params::quoted;
use crate::server::plain;
use crate::{Reply, Request, Resource, Response};

/// Lets those through to a resource whom a [`Portal`] lets in.
///
/// It offers Basic, Digest or both, and takes what a client answers to the portal: a name and a password as
/// [`UsernamePassword`](ropewalk_auth::UsernamePassword), a proof as [`ProvenPassword`]. Who says nothing is [`Anonymous`] where the portal takes that. Others
/// get 401 with all challenges; those whom the [delay](Self::delay) refuses 429, and 503 where too many are looked at.
///
/// A resource behind it finds who asks among the [extensions](Request::extensions) of its request, as an
/// [`AvatarId`], beside the realm's avatar. The avatar logs out when the answer has gone or, where another protocol
/// has taken the connection over, when that is over.
///
/// ```
/// use ropewalk_auth::{AvatarId, InMemory, Portal, UsernamePassword, Users};
/// use ropewalk_http::auth::Guard;
/// use ropewalk_http::{Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let portal = Portal::new(Users).checker::<UsernamePassword>(InMemory::new().with("Aladdin", "open sesame"));
/// let guard = Guard::new(portal).basic("cave");
/// let site = Site::new(guard.around(|request: Request| {
///     let who = request.extensions().get::<AvatarId>().expect("nobody else comes here");
///     format!("hello, {who}")
/// }));
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n");
/// assert!(client.take_sent().ends_with(b"hello, Aladdin"));
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
/// let answer = String::from_utf8(client.take_sent()).unwrap();
/// assert!(answer.contains("www-authenticate: Basic realm=\"cave\", charset=\"UTF-8\"\r\n"));
/// ```
pub struct Guard<R> {
    portal: Portal<R>,
    offers: Offers,
}

/// What a guard asks of those who come.
struct Offers {
    basic: Option<Arc<str>>,
    digest: Option<Digest>,
    delay: Option<(FailureDelay, Box<PeerOf>)>,
    is_proxy: bool,
}

/// Against whom a failure counts.
type PeerOf = dyn Fn(&Request) -> Address;

/// Somebody who was let in.
type LoggedIn<A> = (AvatarId, Avatar<A>);

impl<R: 'static> Guard<R> {
    /// A guard that asks this portal, and offers nothing yet.
    pub fn new(portal: Portal<R>) -> Self {
        let offers = Offers { basic: None, digest: None, delay: None, is_proxy: false };
        Self { portal, offers }
    }

    /// Offers Basic (RFC 7617): passwords as they are, for encrypted connections.
    pub fn basic(mut self, realm: impl Into<Arc<str>>) -> Self {
        self.offers.basic = Some(realm.into());
        self
    }

    /// Offers Digest (RFC 7616).
    pub fn digest(mut self, digest: Digest) -> Self {
        self.offers.digest = Some(digest);
        self
    }

    /// Keeps back the news of failures; they count against the address that a request comes from.
    pub fn delay(self, delay: FailureDelay) -> Self {
        self.delay_by(delay, |request| request.body().peer())
    }

    /// Keeps back the news of failures, which count against whom `peer` names: where a reverse proxy stands in
    /// front, all requests come from its address, and a field that it sets says from whom.
    pub fn delay_by(
        mut self,
        delay: FailureDelay,
        peer: impl Fn(&Request) -> Address + 'static,
    ) -> Self {
        self.offers.delay = Some((delay, Box::new(peer)));
        self
    }

    /// Guards a proxy: asks with 407 and `Proxy-Authenticate`, and takes `Proxy-Authorization` out of the
    /// requests that it lets through (RFC 9110 11.7).
    pub fn proxy(mut self) -> Self {
        self.offers.is_proxy = true;
        self
    }

    /// Stands before this resource. The realm's avatars are laid beside the requests.
    pub fn around<A>(self, resource: impl Resource) -> Guarded
    where
        R: Realm<A, Mind = ()>,
        A: Clone + Send + Sync + 'static,
    {
        let inner = Inner::new(resource);
        self.before(move |(id, avatar): LoggedIn<A>, mut request| {
            request.extensions_mut().insert(A::clone(&avatar));
            request.extensions_mut().insert(id);
            keep(inner.render(request), avatar)
        })
    }

    /// Hands each request to the avatar of whoever asks: a resource of its own.
    pub fn avatars(self) -> Guarded
    where
        R: Realm<Box<dyn Resource>, Mind = ()>,
    {
        self.before(|(id, mut avatar): LoggedIn<Box<dyn Resource>>, mut request| {
            request.extensions_mut().insert(id);
            let reply = avatar.render(request);
            keep(reply, avatar)
        })
    }

    fn before<A: 'static>(self, enter: impl Fn(LoggedIn<A>, Request) -> Reply + 'static) -> Guarded
    where
        R: Realm<A, Mind = ()>,
    {
        let Self { portal, offers } = self;
        let offers = Rc::new(offers);
        let enter = Rc::new(enter);
        let render = move |request: Request| offers.render(&portal, &enter, request);
        Guarded { render: Box::new(render) }
    }
}

impl<R> fmt::Debug for Guard<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("basic", &self.offers.basic)
            .field("digest", &self.offers.digest)
            .finish_non_exhaustive()
    }
}

/// A resource with a [`Guard`] before it.
pub struct Guarded {
    render: Box<dyn Fn(Request) -> Reply>,
}

impl Resource for Guarded {
    fn render(&mut self, request: Request) -> Reply {
        (self.render)(request)
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

/// A body that was collected for a proof that covers it.
#[derive(Clone)]
struct Covered(Bytes);

/// Why somebody does not come through.
enum Stop {
    /// It is to say who it is.
    Challenge { is_stale: bool },
    /// What it said is malformed.
    Bad(String),
}

impl Offers {
    fn render<A: 'static, R>(
        self: &Rc<Self>,
        portal: &Portal<R>,
        enter: &Rc<impl Fn(LoggedIn<A>, Request) -> Reply + 'static>,
        request: Request,
    ) -> Reply
    where
        R: Realm<A, Mind = ()>,
    {
        let Some(body_max) = self.covered_body_max(&request) else {
            return self.decide(portal, enter, request);
        };
        // RFC 7616 3.4.3: the proof covers the body, so that comes first.
        let (parts, incoming) = request.into_parts();
        let bare = incoming.without_body();
        let (offers, portal, enter) = (Rc::clone(self), portal.clone(), Rc::clone(enter));
        Reply::Later(incoming.collect(body_max).add_callback(move |whole| {
            let mut request = Request::from_parts(parts, bare.holding(&whole));
            request.extensions_mut().insert(Covered(whole));
            Deferred::from(offers.decide(&portal, &enter, request))
        }))
    }

    /// How long the body may be that has to be there before the request can be judged.
    fn covered_body_max(&self, request: &Request) -> Option<usize> {
        let body_max = self.digest.as_ref()?.body_max().filter(|_| !request.body().is_none())?;
        let field = request.headers().get(self.field())?;
        match Authorization::read(field.as_bytes()) {
            Ok(Authorization::Digest(said)) => said.covers_body.then_some(body_max),
            _ => None,
        }
    }

    fn decide<A: 'static, R>(
        self: &Rc<Self>,
        portal: &Portal<R>,
        enter: &Rc<impl Fn(LoggedIn<A>, Request) -> Reply + 'static>,
        mut request: Request,
    ) -> Reply
    where
        R: Realm<A, Mind = ()>,
    {
        let (login, ticket) = match self.login(portal, &request) {
            Ok(login) => login,
            Err(stop) => return Reply::Now(self.stop(&stop)),
        };
        if self.is_proxy {
            request.headers_mut().remove(PROXY_AUTHORIZATION);
        }
        let offers = Rc::clone(self);
        let enter = Rc::clone(enter);
        let decide = move |result: Result<LoggedIn<A>, Failure>| match result {
            Ok(logged_in) if ticket.is_none_or(|ticket| offers.take(&ticket)) => {
                enter(logged_in, request)
            }
            Ok(_) => Reply::Now(offers.stop(&Stop::Challenge { is_stale: true })),
            Err(failure) => offers.refuse(failure),
        };
        match login.try_take() {
            Ok(result) => decide(result),
            Err(login) => {
                let later = login.add_both(move |result| Deferred::from(decide(result)));
                Reply::Later(later)
            }
        }
    }

    /// Begins to find out who asks.
    fn login<A: 'static, R>(
        &self,
        portal: &Portal<R>,
        request: &Request,
    ) -> Result<(Deferred<LoggedIn<A>>, Option<Ticket>), Stop>
    where
        R: Realm<A, Mind = ()>,
    {
        let challenge = Stop::Challenge { is_stale: false };
        let mut fields = request.headers().get_all(self.field()).iter();
        let Some(field) = fields.next() else {
            if !portal.takes::<Anonymous>() {
                return Err(challenge);
            }
            let nobody = portal.identify(Anonymous);
            return Ok((entered(portal, nobody), None));
        };
        if fields.next().is_some() {
            return Err(Stop::Bad(format!("{} is there twice", self.field())));
        }
        let said =
            Authorization::read(field.as_bytes()).map_err(|bad| Stop::Bad(bad.to_string()))?;
        match said {
            Authorization::Basic(login) if self.basic.is_some() => {
                Ok((self.attempt(request, || entered(portal, portal.identify(login))), None))
            }
            Authorization::Digest(said) => {
                let Some(digest) = &self.digest else { return Err(challenge) };
                let covered = request.extensions().get::<Covered>();
                let body = covered.map_or(&[][..], |Covered(body)| body);
                match digest.look(*said, request.method().as_str(), request.uri(), body) {
                    Looked::Fresh(proof, ticket) => {
                        let proof = ProvenPassword::new(*proof);
                        let login =
                            self.attempt(request, || entered(portal, portal.identify(proof)));
                        Ok((login, Some(ticket)))
                    }
                    Looked::Stale => Err(Stop::Challenge { is_stale: true }),
                    Looked::Foreign => Err(challenge),
                }
            }
            _ => Err(challenge),
        }
    }

    fn attempt<T: 'static>(
        &self,
        request: &Request,
        login: impl FnOnce() -> Deferred<T>,
    ) -> Deferred<T> {
        match &self.delay {
            Some((delay, peer)) => delay.attempt(&peer(request), login),
            None => login(),
        }
    }

    fn take(&self, ticket: &Ticket) -> bool {
        self.digest.as_ref().is_some_and(|digest| digest.take(ticket))
    }

    fn field(&self) -> HeaderName {
        if self.is_proxy { PROXY_AUTHORIZATION } else { AUTHORIZATION }
    }

    fn refuse(&self, failure: Failure) -> Reply {
        match failure.check::<LoginError>() {
            Some(LoginError::TooManyAttempts { retry_after }) => {
                later(StatusCode::TOO_MANY_REQUESTS, *retry_after)
            }
            Some(LoginError::Busy) => {
                later(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(1))
            }
            Some(error) => {
                if matches!(error, LoginError::Unhandled { .. }) {
                    tracing::error!(target: "ropewalk::http", "a scheme is offered in vain: {error}");
                }
                Reply::Now(self.stop(&Stop::Challenge { is_stale: false }))
            }
            None => Reply::Later(Deferred::ready(Err(failure))),
        }
    }

    fn stop(&self, stop: &Stop) -> Response {
        let is_stale = match stop {
            Stop::Bad(why) => {
                tracing::debug!(target: "ropewalk::http", "credentials could not be read: {why}");
                return plain(StatusCode::BAD_REQUEST);
            }
            Stop::Challenge { is_stale } => *is_stale,
        };
        let (status, name) = if self.is_proxy {
            (StatusCode::PROXY_AUTHENTICATION_REQUIRED, PROXY_AUTHENTICATE)
        } else {
            (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE)
        };
        let mut response = plain(status);
        let digests = self.digest.as_ref().map(|digest| digest.challenges(is_stale)).transpose();
        let Ok(digests) = digests else {
            tracing::error!(target: "ropewalk::http", "the system has no random bytes for a nonce");
            return plain(StatusCode::INTERNAL_SERVER_ERROR);
        };
        for value in digests.into_iter().flatten().chain(self.basic_challenge()) {
            response.headers_mut().append(&name, value);
        }
        response
    }

    fn basic_challenge(&self) -> Option<HeaderValue> {
        let realm = self.basic.as_ref()?;
        // RFC 7617 2.1: clients that know of it then speak UTF-8.
        HeaderValue::try_from(format!("Basic realm={}, charset=\"UTF-8\"", quoted(realm))).ok()
    }
}

/// The avatar of whoever it turns out to be.
fn entered<A: 'static, R: Realm<A, Mind = ()>>(
    portal: &Portal<R>,
    id: Deferred<AvatarId>,
) -> Deferred<LoggedIn<A>> {
    let portal = portal.clone();
    id.add_callback(move |id| portal.enter(&id, ()).map(move |avatar| (id, avatar)))
}

fn later(status: StatusCode, retry_after: Duration) -> Reply {
    let mut response = plain(status);
    let seconds = retry_after.as_millis().div_ceil(1000) as u64;
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    Reply::Now(response)
}

/// Has an avatar last until the answer has gone.
fn keep<A: 'static>(reply: Reply, avatar: Avatar<A>) -> Reply {
    match reply {
        Reply::Body(body) => Reply::Body(keeping(body, avatar)),
        reply => reply.map(move |response| response.map(|body| keeping(body, avatar))),
    }
}

/// The user among a request's extensions, where a [`Guard`] has let it through.
pub fn user(request: &Request) -> Option<&AvatarId> {
    request.extensions().get()
}
