//! Folders that take files in.

use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use http::header::{ALLOW, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{Threads, defer_to_threads};

use super::directory::Directory;
use super::incoming::Incoming;
use super::reply::{Reply, Response, plain};
use super::request::Request;
use super::resource::Resource;
use super::site::system_time;
use crate::files::{Ask, Folder, Taken, Upload, UploadError};

/// How long an uploaded file may be unless told otherwise, in bytes.
pub const UPLOAD_MAX: u64 = 1024 * 1024 * 1024;

static OFFSET: HeaderName = HeaderName::from_static("upload-offset");

/// A [`Folder`] that files are put into, too, by PUT, and sent on with where they broke off.
///
/// A file is written under a hidden name beside its place (`.NAME.part`) and put there in one step when it is
/// whole. What is there already stays unless [`overwrite`](Self::overwrite) is said; folders are not made;
/// nothing is written outside of the folder, nor under a hidden name that a client chose. All that writes is
/// done by threads, and the client waits for them.
///
/// An upload that broke off is resumed with a PUT that has a `Content-Range` (RFC 9110 14.5), as `curl -C OFFSET
/// -T FILE URL` sends it. How much has come is in the `Upload-Offset` of the answer to HEAD, and of 409 where a
/// part does not follow what came.
///
/// | answered with | when |
/// |---|---|
/// | 201, 204 | the file is there, and is new, or took another's place |
/// | 202 | the part is there, and more is to follow |
/// | 400 | a malformed `Content-Range`, a body longer or shorter than it says, a content coding |
/// | 409 | there is a file of this name, or somebody is sending one, or no such folder; or the part does not follow |
/// | 412 | a precondition of the request does not hold |
/// | 413 | the file is longer than [`max`](Self::max) |
/// | 507 | the disk, or a quota, is full |
///
/// The site's [`Limits::body_max`](crate::Limits) has to be as large as the files that are to come.
pub struct Uploads {
    folder: Folder,
    shown: Directory,
    threads: Rc<dyn Threads>,
    max: u64,
    overwrite: bool,
    wall_clock: fn() -> SystemTime,
}

impl Uploads {
    /// Serves `folder`, and takes files in, with the blocking work done by `threads`.
    pub fn new(folder: Folder, threads: impl Threads + Clone + 'static) -> Self {
        Self {
            shown: Directory::new(folder.clone(), threads.clone()),
            folder,
            threads: Rc::new(threads),
            max: UPLOAD_MAX,
            overwrite: false,
            wall_clock: system_time,
        }
    }

    /// Takes files of up to `max` bytes; 1 GiB unless set.
    pub fn max(self, max: u64) -> Self {
        Self { max, ..self }
    }

    /// Lets files take the place of those that have their name.
    pub fn overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// Takes the time of day from `wall_clock`; the system's own unless set.
    pub fn wall_clock(self, wall_clock: fn() -> SystemTime) -> Self {
        Self { wall_clock, shown: self.shown.wall_clock(wall_clock), ..self }
    }

    fn put(&self, request: Request) -> Reply {
        let used = request.used();
        let (head, body) = request.into_parts();
        let (folder, now) = (self.folder.clone(), (self.wall_clock)());
        let (max, overwrite) = (self.max, self.overwrite);
        let begun = defer_to_threads(&*self.threads, move || {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let mut ask = Ask::new(&head.method, target, &head.headers, now);
            if used > 0 {
                ask = ask.below(target.get(..used).unwrap_or_default());
            }
            Ok::<_, Failure>(folder.begin_upload(&ask, max, overwrite))
        });
        let threads = Rc::clone(&self.threads);
        let taken = begun.add_callback(move |upload| match upload {
            Ok(upload) => take(upload, body, threads),
            Err(error) => Deferred::succeed(Err(error)),
        });
        Reply::Later(taken.map(|taken| match taken {
            Ok(Taken::Created) => plain(StatusCode::CREATED),
            Ok(Taken::Replaced) => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            Ok(Taken::More(offset)) => told(plain(StatusCode::ACCEPTED), offset),
            Err(error) => refused(&error),
        }))
    }

    /// What GET would get, and how much has come of what is not there.
    fn head(&mut self, request: Request) -> Reply {
        let used = request.used();
        let (uri, headers) = (request.uri().clone(), request.headers().clone());
        let (folder, now) = (self.folder.clone(), (self.wall_clock)());
        let threads = Rc::clone(&self.threads);
        let shown = self.shown.render(request);
        let shown = match shown {
            now @ (Reply::Now(_) | Reply::Body(_)) => return now,
            later => Deferred::from(later),
        };
        Reply::Later(shown.add_callback(move |response| {
            if response.status() != StatusCode::NOT_FOUND {
                return Deferred::succeed(response);
            }
            let offset = defer_to_threads(&*threads, move || {
                let target = uri.path_and_query().map_or("/", |target| target.as_str());
                let mut ask = Ask::new(&Method::HEAD, target, &headers, now);
                if used > 0 {
                    ask = ask.below(target.get(..used).unwrap_or_default());
                }
                Ok::<_, Failure>(folder.upload_offset(&ask))
            });
            offset.map(|offset| match offset {
                Some(offset) => told(response, offset),
                None => response,
            })
        }))
    }
}

fn told(mut response: Response, offset: u64) -> Response {
    response.headers_mut().insert(&OFFSET, offset.into());
    response
}

fn refused(error: &UploadError) -> Response {
    if let UploadError::Failed(error) = error {
        tracing::error!(target: "ropewalk::http", "an upload failed: {error}");
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    tracing::debug!(target: "ropewalk::http", "an upload was refused: {error}");
    let response = http::Response::builder().status(error.status());
    let response = response.header(http::header::CONTENT_TYPE, "text/plain; charset=utf-8");
    let response = response.body(format!("{}: {error}\n", error.status()).into());
    let response = response.unwrap_or_else(|_| plain(error.status()));
    match error {
        UploadError::Gap { offset } => told(response, *offset),
        _ => response,
    }
}

type Outcome = Deferred<Result<Taken, UploadError>>;

/// Writes a body, one piece after another, each when the one before it is written.
fn take(upload: Upload, mut body: Incoming, threads: Rc<dyn Threads>) -> Outcome {
    body.next_piece().add_callback(move |piece| {
        let Some(piece) = piece else {
            return defer_to_threads(&*threads, move || Ok::<_, Failure>(upload.finish()));
        };
        let written = defer_to_threads(&*threads, move || {
            let mut upload = upload;
            Ok::<_, Failure>(upload.write(&piece).map(|()| upload))
        });
        written.add_callback(move |written| match written {
            Ok(upload) => take(upload, body, threads),
            Err(error) => Deferred::succeed(Err(error)),
        })
    })
}

impl Resource for Uploads {
    fn render(&mut self, request: Request) -> Reply {
        match *request.method() {
            Method::PUT => self.put(request),
            Method::HEAD => self.head(request),
            _ => self.shown.render(request).map(|mut response| {
                if let Some(allow) = response.headers().get(ALLOW) {
                    let allow = [allow.as_bytes(), b", PUT"].concat();
                    if let Ok(allow) = HeaderValue::from_bytes(&allow) {
                        response.headers_mut().insert(ALLOW, allow);
                    }
                }
                response
            }),
        }
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uploads").field("folder", &self.folder).finish_non_exhaustive()
    }
}
