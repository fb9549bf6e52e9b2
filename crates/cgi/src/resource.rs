//! A program that answers, as a resource.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, StatusCode};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{
    Body, Incoming, IntoReply as _, LocalRedirect, Reply, Request, Resource, Response,
};
use ropewalk_protocol::process::{Command, Grouping, STDERR, STDIN, STDOUT, Spawner};

use crate::CgiError;
use crate::environment::{self, Place, Surroundings};
use crate::gateway::{self, Answered, Input};
use crate::setup::{REDIRECTS_MAX, Setup, Slot, settings};

/// Runs one program for each request that comes to it or below it.
///
/// The part of the path that trees above have used up, or that [`at`](Self::at) names, is its `SCRIPT_NAME`;
/// what is below is `PATH_INFO`. The request's fields are there as `HTTP_…`, and the user whom a
/// [`Guard`](ropewalk_http::auth::Guard) has let in as `REMOTE_USER`. Bodies stream both ways, as fast as the slower side takes them.
///
/// When the client goes, so does the program. What a program writes to its standard error is logged, target
/// `ropewalk::cgi`. What fails is answered 502, 503, 504 or 500, and the [`CgiError`] lies among the answer's extensions.
///
/// ```
/// use ropewalk_cgi::Cgi;
/// use ropewalk_http::Tree;
/// use ropewalk_protocol::process::{Command, Spawner};
///
/// /// Git's repositories, to be cloned and pushed to.
/// fn repositories(reactor: impl Spawner + 'static) -> Tree {
///     let git = Cgi::new(Command::new("/usr/lib/git-core/git-http-backend"), reactor)
///         .variable("GIT_PROJECT_ROOT", "/srv/git")
///         .variable("GIT_HTTP_EXPORT_ALL", "1")
///         .document_root("/srv/git")
///         .read_to_end();
///     Tree::new().child("git", git)
/// }
/// ```
#[derive(Clone)]
pub struct Cgi {
    command: Command,
    prefix: String,
    setup: Setup,
}

impl Cgi {
    /// Runs `command`, whose environment is that of the command and the request's own: of this process's
    /// there is `PATH` alone, unless the command [sets](Command::env) it. Its descriptors 0, 1 and 2 are the gateway's.
    pub fn new(command: Command, spawner: impl Spawner + 'static) -> Self {
        Self { command, prefix: String::new(), setup: Setup::new(spawner) }
    }

    /// Answers at this path and below it, and 404 elsewhere.
    #[must_use]
    pub fn at(self, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Self { prefix, ..self }
    }

    settings!();
}

impl Resource for Cgi {
    fn render(&mut self, request: Request) -> Reply {
        let program = self.command.program().to_string_lossy().into_owned();
        let (above, below) = request.place();
        let rest = below.strip_prefix(self.prefix.as_str());
        let place = match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(rest) => Place::new(&format!("{above}{}", self.prefix), rest),
            None => Err(CgiError::NotHere(StatusCode::NOT_FOUND)),
        };
        match place.and_then(|place| slot(&self.setup).map(|slot| (place, slot))) {
            Ok((place, slot)) => {
                Reply::Later(answer(&self.setup, slot, &self.command, &place, request))
            }
            Err(error) => refusal(&program, error).into_reply(),
        }
    }
}

impl fmt::Debug for Cgi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cgi")
            .field("command", &self.command)
            .field("running", &self.setup.running.get())
            .finish_non_exhaustive()
    }
}

/// How often in a row the site was asked for another place instead.
#[derive(Clone, Copy, Default)]
struct Redirected(u8);

/// A place among the programs that may run.
pub(crate) fn slot(setup: &Setup) -> Result<Slot, CgiError> {
    setup.slot().ok_or(CgiError::Busy { programs_max: setup.programs_max })
}

/// Has `command` answer `request`.
pub(crate) fn answer(
    setup: &Setup,
    slot: Slot,
    command: &Command,
    place: &Place,
    request: Request,
) -> Deferred<Response> {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|digits| digits.to_str().ok()?.parse::<u64>().ok());
    if request.body().is_none() || length.is_some() || setup.reads_to_end {
        let has_body = !request.body().is_none();
        let command = furnished(setup, command, place, &request, length);
        let asked = Asked::new(request);
        let input = if has_body { Input::Stream(asked.1) } else { Input::Nothing };
        return asked.0.run(setup, slot, &command, input);
    }
    // RFC 3875 4.1.2: a program has to be told how long the body is.
    let (parts, incoming) = request.into_parts();
    let (setup, command) = (setup.clone(), command.clone());
    let (script_name, path_info) = (place.script_name.clone(), place.path_info.clone());
    let place = Place { script_name, path_info };
    let bare = incoming.without_body();
    let collected = incoming.collect(setup.collected_max);
    collected.add_callback(move |whole: Bytes| {
        let request = Request::from_parts(parts, bare);
        let length = Some(whole.len() as u64);
        let command = furnished(&setup, &command, &place, &request, length);
        Asked::new(request).0.run(&setup, slot, &command, Input::Whole(whole))
    })
}

/// The command with all that its program is to find around it.
fn furnished(
    setup: &Setup,
    command: &Command,
    place: &Place,
    request: &Request,
    length: Option<u64>,
) -> Command {
    use ropewalk_protocol::process::ChildDescriptor as Child;
    let program = Path::new(command.program());
    let around =
        Surroundings { place, program, document_root: setup.document_root.as_deref(), length };
    let path = command.variable("PATH".as_ref(), std::env::var_os("PATH"));
    let own = command.environment(std::iter::empty());
    let mut furnished = command.clone().env_clear();
    if let Some(path) = path {
        furnished = furnished.env("PATH", path);
    }
    furnished = furnished.envs(own).envs(setup.variables.iter().cloned());
    furnished = furnished.envs(environment::of(request, &around));
    if command.directory().is_none()
        && let Some(folder) = program.parent().filter(|folder| folder.is_absolute())
    {
        furnished = furnished.current_dir(folder);
    }
    furnished
        .descriptor(STDIN, Child::Input)
        .descriptor(STDOUT, Child::Output)
        .descriptor(STDERR, Child::Output)
        .process_group(Grouping::Own)
        .kill_on_drop(true)
}

/// A request whose program runs.
struct Asked {
    parts: Parts,
    site: Option<LocalRedirect>,
}

impl Asked {
    fn new(request: Request) -> (Self, Incoming) {
        let site = request.local_redirect();
        let (parts, incoming) = request.into_parts();
        (Self { parts, site }, incoming)
    }

    fn run(self, setup: &Setup, slot: Slot, command: &Command, input: Input) -> Deferred<Response> {
        let program = command.program().to_string_lossy().into_owned();
        let is_head = self.parts.method == Method::HEAD;
        let answered = gateway::run(setup, slot, command, input, is_head);
        answered.add_both(move |answered| match answered {
            Ok(Answered::Document { status, headers, body }) => {
                let mut response = Response::new(body);
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                Deferred::succeed(response)
            }
            Ok(Answered::Local(path)) => self.redirect(&program, path),
            Err(failure) => match failure.downcast::<CgiError>() {
                Ok(error) => Deferred::succeed(refusal(&program, error)),
                Err(failure) => Deferred::ready(Err(failure)),
            },
        })
    }

    /// RFC 3875 6.2.2: what the site would answer for that path.
    fn redirect(self, program: &str, path: http::uri::PathAndQuery) -> Deferred<Response> {
        let Self { mut parts, site } = self;
        let Redirected(times) = parts.extensions.get().copied().unwrap_or_default();
        if times >= REDIRECTS_MAX {
            return Deferred::succeed(refusal(program, CgiError::TooManyRedirects));
        }
        let Some(site) = site else {
            // There is no site to ask; the client can.
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            if let Ok(location) = HeaderValue::from_str(path.as_str()) {
                response.headers_mut().insert(http::header::LOCATION, location);
            }
            return Deferred::succeed(response);
        };
        parts.extensions.insert(Redirected(times + 1));
        parts.uri = path.into();
        if parts.method != Method::HEAD {
            parts.method = Method::GET;
        }
        // The body went to the program that has led elsewhere.
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
        site.to(parts)
    }
}

/// What is answered in a program's place.
pub(crate) fn refusal(program: &str, error: CgiError) -> Response {
    gateway::log_failure(program, &error);
    let status = error.status();
    let text = format!("{} {}\n", status.as_str(), status.canonical_reason().unwrap_or_default());
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response.extensions_mut().insert(error);
    response
}

/// A failure that is answered as its own kind says.
pub(crate) fn refused(program: &str, failure: Failure) -> Result<Response, Failure> {
    failure.downcast::<CgiError>().map(|error| refusal(program, error))
}
