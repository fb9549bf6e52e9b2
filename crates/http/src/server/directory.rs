//! Folders of static files as resources.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use http::Method;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{FileSlice, Threads, defer_to_threads};

use super::body::{Body, BodyPiece, BodyStream};
use super::reply::{Reply, Response};
use super::request::Request;
use super::resource::Resource;
use super::site::system_time;
use crate::files::{self, Answer, Ask, Folder, Kept, Part};

/// How much of a large file is made ready at a time, in bytes.
const WINDOW: u64 = 1024 * 1024;
/// A [`Folder`] as a resource: looked into and read by threads, sent by the kernel.
///
/// Below a [`Tree`](crate::Tree) it serves what is left of the path. Small files are read whole in a
/// thread, and kept; of large ones a thread brings one window after another into memory where it is not
/// there already, and the kernel sends them from there, so that no disk holds up the loop.
///
/// A file that is kept is looked at by its name before it is sent again: one call of the system, which
/// waits for nobody where the file is on this machine. For folders on other machines there is
/// [`threads_only`](Self::threads_only).
pub struct Directory {
    folder: Folder,
    threads: Rc<dyn Threads>,
    wall_clock: fn() -> SystemTime,
    /// Absent where nothing is to be kept.
    kept: Option<Rc<RefCell<Kept>>>,
}

impl Directory {
    /// Serves `folder`, with its blocking work done by `threads`.
    pub fn new(folder: Folder, threads: impl Threads + 'static) -> Self {
        Self {
            folder,
            threads: Rc::new(threads),
            wall_clock: system_time,
            kept: Some(Rc::default()),
        }
    }

    /// Takes the time of day from `wall_clock`; the system's own unless set.
    pub fn wall_clock(self, wall_clock: fn() -> SystemTime) -> Self {
        Self { wall_clock, ..self }
    }

    /// Keeps nothing, and has a thread do all that is done with files: what is on another machine, or on a
    /// disk that sleeps, is never waited for.
    pub fn threads_only(self) -> Self {
        Self { kept: None, ..self }
    }

    /// What was sent before, if the whole of it is asked for and it is still the same.
    fn kept(&self, request: &Request, used: usize) -> Option<Reply> {
        if *request.method() != Method::GET || request.is_conditional() {
            return None;
        }
        let path = request.uri().path().get(used..)?;
        let (headers, body) = self.kept.as_ref()?.borrow_mut().get(path)?;
        let mut response = Response::new(body.into());
        *response.headers_mut() = headers;
        Some(Reply::Now(response))
    }
}

impl Resource for Directory {
    fn render(&mut self, request: Request) -> Reply {
        let used = request.used();
        if let Some(reply) = self.kept(&request, used) {
            return reply;
        }
        let is_whole = *request.method() == Method::GET && !request.is_conditional();
        let kept = self.kept.clone().filter(|_| is_whole);
        let (head, _) = request.into_parts();
        let folder = self.folder.clone();
        let now = (self.wall_clock)();
        let planned = defer_to_threads(&*self.threads, move || {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let mut ask = Ask::new(&head.method, target, &head.headers, now);
            if used > 0 {
                ask = ask.below(target.get(..used).unwrap_or_default());
            }
            let mut source = None;
            let answer = folder.plan_from(&ask, &mut source);
            let path = head.uri.path().get(used..).unwrap_or_default().to_owned();
            Ok::<_, Failure>((answer, source.map(|source| (path, source))))
        });
        let threads = Rc::clone(&self.threads);
        let looks = self.kept.is_some();
        Reply::Later(planned.map(move |(answer, source)| {
            if let (Some(kept), Some((path, source))) = (kept, source) {
                kept.borrow_mut().put(&path, source, &answer, now);
            }
            respond(answer, threads, looks)
        }))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn respond(answer: Answer, threads: Rc<dyn Threads>, looks: bool) -> Response {
    let length = answer.body.length();
    let body = match answer.body {
        files::Body::Empty => Body::empty(),
        files::Body::Bytes(bytes) => bytes.into(),
        files::Body::File { file, parts } => {
            Body::stream_of(length, windows(Arc::new(file), parts.into(), threads, looks))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// The parts of an answer, large ones in windows that a thread has made ready, or that are found to be.
fn windows(
    file: Arc<File>,
    mut parts: VecDeque<Part>,
    threads: Rc<dyn Threads>,
    looks: bool,
) -> BodyStream {
    BodyStream::new(move || {
        let Some(part) = parts.pop_front() else { return Deferred::succeed(None) };
        match part {
            Part::Bytes(bytes) => Deferred::succeed(Some(bytes.into())),
            Part::File { offset, length } => {
                let window = length.min(WINDOW);
                if length > window {
                    let rest = Part::File { offset: offset + window, length: length - window };
                    parts.push_front(rest);
                }
                let slice = FileSlice { file: Arc::clone(&file), offset, len: window };
                if looks && is_in_memory(&slice) {
                    return Deferred::succeed(Some(BodyPiece::File(slice)));
                }
                let touched = slice.clone();
                defer_to_threads(&*threads, move || touch(&touched))
                    .map(move |()| Some(BodyPiece::File(slice)))
            }
        }
    })
}

/// How far apart the bytes lie that are touched, in bytes: as far as the system reads ahead.
#[cfg(target_os = "linux")]
const STEP: u64 = 64 * 1024;

/// Whether part of a file is in memory, as far as that can be told without waiting for a disk.
#[cfg(target_os = "linux")]
fn is_in_memory(slice: &FileSlice) -> bool {
    use rustix::io::{IoSliceMut, ReadWriteFlags, preadv2};

    let is_there = |at| {
        let mut byte = [0];
        let mut slices = [IoSliceMut::new(&mut byte)];
        matches!(preadv2(&*slice.file, &mut slices, at, ReadWriteFlags::NOWAIT), Ok(1))
    };
    let end = slice.offset + slice.len;
    let steps = (slice.offset..end).step_by(STEP as usize);
    steps.chain(end.checked_sub(1)).all(is_there)
}

/// Elsewhere nobody says.
#[cfg(not(target_os = "linux"))]
fn is_in_memory(_: &FileSlice) -> bool {
    false
}

/// Brings part of a file into memory.
#[cfg(target_os = "linux")]
fn touch(slice: &FileSlice) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    use std::os::unix::fs::FileExt;

    // Advice may be refused; what follows does the reading all the same.
    let length = std::num::NonZeroU64::new(slice.len);
    let _ = fadvise(&*slice.file, slice.offset, length, Advice::WillNeed);
    let end = slice.offset + slice.len;
    let mut at = slice.offset;
    while at < end {
        slice.file.read_at(&mut [0], at)?;
        at += STEP;
    }
    slice.file.read_at(&mut [0], end.saturating_sub(1))?;
    Ok(())
}

/// Elsewhere a file is read when it is sent.
#[cfg(not(target_os = "linux"))]
fn touch(_: &FileSlice) -> io::Result<()> {
    Ok(())
}
