//! Sessions around a resource.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use http::{HeaderValue, StatusCode};
use ropewalk_deferred::Deferred;

use super::cookie::{BadCookie, SameSite, SetCookie, cookie};
use super::origin::SameOrigin;
use super::state::{Fate, Session, State};
use super::store::{Loaded, SessionStore};
use crate::auth::inner::Inner;
use crate::{IntoReply as _, Reply, Request, Resource, Response};

/// What the cookie is called on connections in the clear.
const NAME: &str = "session";
/// And on encrypted ones, where the name itself keeps it from being set by others (RFC 6265bis 4.1.3.2).
const HOST_PREFIX: &str = "__Host-";

/// Gives each client of a resource a [`Session`].
///
/// The client keeps a token in a cookie: for this host alone, not for scripts, not sent along with other sites'
/// requests (`SameSite=Lax`), and on encrypted connections never in the clear, under a name that begins with `__Host-`. What
/// pages of other origins ask to be changed is refused, by [`SameOrigin`]. A token that the store does not know is as none:
/// no client chooses one.
///
/// ```
/// use ropewalk_http::session::{MemorySessions, Session, Sessions};
/// use ropewalk_http::{Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let clock = Clock::new();
/// let sessions = Sessions::new(MemorySessions::new(clock.clone()));
/// let site = Site::new(sessions.around(|request: Request| {
///     let session = Session::of(&request).expect("sessions are around it");
///     let count = session.get("count").and_then(|count| count.parse().ok()).unwrap_or(0) + 1;
///     session.set("count", count.to_string()).map(|()| format!("visit {count}"))
/// }));
/// let mut client = Memory::seat(site.server(), &clock);
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
/// let answer = String::from_utf8(client.take_sent()).unwrap();
/// let cookie = answer.split("set-cookie: ").nth(1).and_then(|rest| rest.split(';').next()).unwrap();
/// client.push(format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n").as_bytes());
/// assert!(client.take_sent().ends_with(b"visit 2"));
/// ```
pub struct Sessions {
    shared: Shared,
}

struct Shared {
    store: Box<dyn SessionStore>,
    name: String,
    /// Whether the cookie is for encrypted connections alone; absent where that follows the connection.
    secure: Option<bool>,
    same_site: SameSite,
    max_age: Option<Duration>,
    /// Absent where nobody is refused.
    origins: Option<SameOrigin>,
    /// Sessions of requests that are being answered, by their tokens.
    active: RefCell<HashMap<String, Weak<Mutex<State>>>>,
}

impl Sessions {
    /// Sessions that are kept in this store.
    pub fn new(store: impl SessionStore) -> Self {
        let shared = Shared {
            store: Box::new(store),
            name: NAME.to_owned(),
            secure: None,
            same_site: SameSite::Lax,
            max_age: None,
            origins: Some(SameOrigin::new()),
            active: RefCell::default(),
        };
        Self { shared }
    }

    /// What the cookie is called, without the prefix `__Host-` that it has on encrypted connections; `session`
    /// unless set.
    ///
    /// # Errors
    ///
    /// If no cookie can be called so.
    pub fn name(mut self, name: &str) -> Result<Self, BadCookie> {
        SetCookie::new(name, "")?.to_value()?;
        name.clone_into(&mut self.shared.name);
        Ok(self)
    }

    /// Whether the cookie is for encrypted connections alone. Unless set, it is where the connection is encrypted;
    /// behind a proxy that does the encryption this is to be set.
    pub fn secure(mut self, secure: bool) -> Self {
        self.shared.secure = Some(secure);
        self
    }

    /// With which requests of other sites' pages the cookie goes; [`SameSite::Lax`] unless set. Where it is
    /// [`SameSite::None`], the cookie is for encrypted connections alone.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.shared.same_site = same_site;
        self
    }

    /// Has browsers keep the cookie for so long; until they are closed unless set.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.shared.max_age = Some(max_age);
        self
    }

    /// Whose pages may have something changed; those of this host's own origin alone unless set.
    pub fn origins(mut self, origins: SameOrigin) -> Self {
        self.shared.origins = Some(origins);
        self
    }

    /// Stands around this resource.
    pub fn around(self, resource: impl Resource) -> WithSessions {
        WithSessions { shared: Rc::new(self.shared), inner: Inner::new(resource) }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Session {
    /// The session of whoever asks; `None` where no [`Sessions`] stand around the resource.
    pub fn of(request: &Request) -> Option<Self> {
        request.extensions().get().cloned()
    }
}

/// A resource with [`Sessions`] around it.
pub struct WithSessions {
    shared: Rc<Shared>,
    inner: Inner,
}

impl Resource for WithSessions {
    fn render(&mut self, request: Request) -> Reply {
        let shared = Rc::clone(&self.shared);
        if shared.origins.as_ref().is_some_and(|origins| !origins.allows(&request)) {
            return StatusCode::FORBIDDEN.into_reply();
        }
        let kind = shared.kind(&request);
        let shown = cookie(request.headers(), &kind.name).map(str::to_owned);
        let inner = self.inner.clone();
        let Some(shown) = shown else {
            let session = Session::new(super::SessionData::new(), None, shared.store.bytes_max());
            return answer(&shared, &inner, kind, session, false, request);
        };
        match shared.store.load(&shown).try_take() {
            Ok(loaded) => match loaded {
                Ok(loaded) => {
                    let (session, again) = shared.session(shown, loaded);
                    answer(&shared, &inner, kind, session, again, request)
                }
                Err(failure) => Reply::Later(Deferred::ready(Err(failure))),
            },
            Err(later) => Reply::Later(later.add_callback(move |loaded| {
                let (session, again) = shared.session(shown, loaded);
                Deferred::from(answer(&shared, &inner, kind, session, again, request))
            })),
        }
    }
}

impl fmt::Debug for WithSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithSessions").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What a cookie is called and for whom it is, on one connection.
struct CookieKind {
    name: String,
    secure: bool,
}

impl Shared {
    fn kind(&self, request: &Request) -> CookieKind {
        let secure = self.secure.unwrap_or_else(|| request.body().tls().is_some());
        let secure = secure || self.same_site == SameSite::None;
        let prefix = if secure { HOST_PREFIX } else { "" };
        CookieKind { name: format!("{prefix}{}", self.name), secure }
    }

    /// The session that was loaded, or the one that others hold already, and whether it is to be saved again.
    fn session(&self, shown: String, loaded: Option<Loaded>) -> (Session, bool) {
        let bytes_max = self.store.bytes_max();
        let Some(Loaded { data, save_again }) = loaded else {
            return (Session::new(super::SessionData::new(), None, bytes_max), false);
        };
        let mut active = self.active.borrow_mut();
        if let Some(shared) = active.get(&shown).and_then(Weak::upgrade) {
            return (Session::of_shared(shared), save_again);
        }
        let session = Session::new(data, Some(shown.clone()), bytes_max);
        active.retain(|_, other| other.strong_count() > 0);
        active.insert(shown, Arc::downgrade(session.shared()));
        (session, save_again)
    }

    fn cookie(&self, kind: &CookieKind, token: Option<&str>) -> Result<HeaderValue, BadCookie> {
        let mut cookie = match token {
            Some(token) => SetCookie::new(&kind.name, token)?,
            None => SetCookie::removal(&kind.name)?,
        };
        if !kind.secure {
            cookie = cookie.in_clear();
        }
        if let Some(max_age) = self.max_age.filter(|_| token.is_some()) {
            cookie = cookie.max_age(max_age);
        }
        cookie.same_site(self.same_site).to_value()
    }
}

/// Has the resource answer, then saves what has changed.
fn answer(
    shared: &Rc<Shared>,
    inner: &Inner,
    kind: CookieKind,
    session: Session,
    save_again: bool,
    mut request: Request,
) -> Reply {
    request.extensions_mut().insert(session.clone());
    let shared = Rc::clone(shared);
    let finish = move |response| finish(&shared, kind, &session, save_again, response);
    match Deferred::from(inner.render(request)).try_take() {
        Ok(Ok(response)) => match finish(response).try_take() {
            Ok(Ok(response)) => Reply::Now(response),
            Ok(Err(failure)) => Reply::Later(Deferred::ready(Err(failure))),
            Err(later) => Reply::Later(later),
        },
        Ok(Err(failure)) => Reply::Later(Deferred::ready(Err(failure))),
        Err(later) => Reply::Later(later.add_callback(finish)),
    }
}

/// What is to be done with a session behind an answer.
enum Change {
    Nothing,
    Save { before: Option<String>, forget: Option<String> },
    Forget(Option<String>),
}

fn change(state: &mut State, save_again: bool) -> Change {
    match std::mem::take(&mut state.fate) {
        Fate::Ended => Change::Forget(state.token.take()),
        Fate::Renewed if state.token.is_none() && state.data.is_empty() => Change::Nothing,
        Fate::Renewed => Change::Save { before: None, forget: state.token.take() },
        Fate::Kept if !save_again || state.token.is_none() => Change::Nothing,
        Fate::Kept | Fate::Changed => Change::Save { before: state.token.clone(), forget: None },
    }
}

fn finish(
    shared: &Rc<Shared>,
    kind: CookieKind,
    session: &Session,
    save_again: bool,
    mut response: Response,
) -> Deferred<Response> {
    let mut state = session.lock();
    let change = change(&mut state, save_again);
    if state.was_looked_at {
        response.headers_mut().append(VARY, HeaderValue::from_static("Cookie"));
    }
    let data = state.data.clone();
    drop(state);
    match change {
        Change::Nothing => Deferred::succeed(response),
        Change::Forget(token) => {
            let forgotten = token.as_deref().map(|token| shared.store.remove(token));
            match (token.is_some(), shared.cookie(&kind, None)) {
                (false, _) => (),
                (true, Ok(value)) => set_cookie(&mut response, value),
                (true, Err(error)) => return Deferred::fail(error),
            }
            let forgotten = forgotten.unwrap_or_else(|| Deferred::succeed(()));
            forgotten.map(move |()| response)
        }
        Change::Save { before, forget } => {
            let forgotten = forget.map(|token| shared.store.remove(&token));
            let saved = shared.store.save(before.as_deref(), &data);
            let saved = match forgotten {
                Some(forgotten) => forgotten.add_callback(move |()| saved),
                None => saved,
            };
            let (shared, session) = (Rc::clone(shared), session.clone());
            saved.add_callback(move |token| {
                if before.as_ref() != Some(&token) || shared.max_age.is_some() {
                    set_cookie(&mut response, shared.cookie(&kind, Some(&token))?);
                }
                session.lock().token = Some(token);
                Ok::<_, BadCookie>(response)
            })
        }
    }
}

fn set_cookie(response: &mut Response, value: HeaderValue) {
    response.headers_mut().append(SET_COOKIE, value);
    let private = HeaderValue::from_static("private");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(private);
}
