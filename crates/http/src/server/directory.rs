//! Folders of static files as resources.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{FileSlice, Threads, defer_to_threads};

use super::body::{Body, BodyPiece, BodyStream};
use super::reply::{Reply, Response};
use super::request::Request;
use super::resource::{Resource, Used};
use super::site::system_time;
use crate::files::{self, Answer, Ask, Folder, Part};

/// How much of a large file is made ready at a time, in bytes.
const WINDOW: u64 = 1024 * 1024;
/// A [`Folder`] as a resource: looked into and read by threads, sent by the kernel.
///
/// Below a [`Tree`](crate::Tree) it serves what is left of the path. Small files are read whole in a
/// thread; of large ones a thread brings one window after another into memory, and the kernel sends
/// them from there, so that no disk holds up the loop.
pub struct Directory {
    folder: Folder,
    threads: Rc<dyn Threads>,
    wall_clock: fn() -> SystemTime,
}

impl Directory {
    /// Serves `folder`, with its blocking work done by `threads`.
    pub fn new(folder: Folder, threads: impl Threads + 'static) -> Self {
        Self { folder, threads: Rc::new(threads), wall_clock: system_time }
    }

    /// Takes the time of day from `wall_clock`; the system's own unless set.
    pub fn wall_clock(self, wall_clock: fn() -> SystemTime) -> Self {
        Self { wall_clock, ..self }
    }
}

impl Resource for Directory {
    fn render(&mut self, request: Request) -> Reply {
        let Used(used) = request.extensions().get().copied().unwrap_or_default();
        let (head, _) = request.into_parts();
        let folder = self.folder.clone();
        let now = (self.wall_clock)();
        let planned = defer_to_threads(&*self.threads, move || {
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            let mut ask = Ask::new(&head.method, target, &head.headers, now);
            if used > 0 {
                ask = ask.below(target.get(..used).unwrap_or_default());
            }
            Ok::<_, Failure>(folder.plan(&ask))
        });
        let threads = Rc::clone(&self.threads);
        Reply::Later(planned.map(move |answer| respond(answer, threads)))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory").field("folder", &self.folder).finish_non_exhaustive()
    }
}

fn respond(answer: Answer, threads: Rc<dyn Threads>) -> Response {
    let length = answer.body.length();
    let body = match answer.body {
        files::Body::Empty => Body::empty(),
        files::Body::Bytes(bytes) => bytes.into(),
        files::Body::File { file, parts } => {
            Body::stream_of(length, windows(Arc::new(file), parts.into(), threads))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response
}

/// The parts of an answer, large ones in windows that a thread has made ready.
fn windows(file: Arc<File>, mut parts: VecDeque<Part>, threads: Rc<dyn Threads>) -> BodyStream {
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
                let touched = slice.clone();
                defer_to_threads(&*threads, move || touch(&touched))
                    .map(move |()| Some(BodyPiece::File(slice)))
            }
        }
    })
}

/// Brings part of a file into memory.
#[cfg(target_os = "linux")]
fn touch(slice: &FileSlice) -> io::Result<()> {
    use rustix::fs::{Advice, fadvise};
    use std::os::unix::fs::FileExt;

    /// How far apart the bytes lie that are touched, in bytes: as far as the system reads ahead.
    const STEP: u64 = 64 * 1024;
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
