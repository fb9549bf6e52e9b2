//! A folder of programs.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{IntoReply as _, Reply, Request, Resource};
use ropewalk_protocol::process::{Command, Spawner};
use ropewalk_protocol::{Threads, defer_to_threads};

use crate::CgiError;
use crate::environment::{Place, decoded, os};
use crate::resource::{answer, refusal, refused, slot};
use crate::setup::{Setup, settings};

/// How many names of a path are looked at for a program's.
const DEPTH_MAX: usize = 32;

/// Runs the programs of a folder, each for the path that names it.
///
/// The first name on the path that is a file is the program; what is behind is its `PATH_INFO`. A file has to
/// be executable, else it is 403; what is hidden, leads out of the folder, or is a folder itself is 404. Files
/// are never sent as they are. Who can write there can run programs as this user.
///
/// Whatever else is true of a [`Cgi`](crate::Cgi) is of these programs too; together they count as one.
///
/// ```
/// use ropewalk_cgi::CgiFolder;
/// use ropewalk_http::Tree;
/// use ropewalk_protocol::Threads;
/// use ropewalk_protocol::process::Spawner;
///
/// fn site(reactor: impl Spawner + Threads + Clone + 'static) -> std::io::Result<Tree> {
///     let programs = CgiFolder::new("/usr/lib/cgi-bin", reactor.clone(), reactor)?;
///     Ok(Tree::new().child("cgi-bin", programs))
/// }
/// ```
#[derive(Clone)]
pub struct CgiFolder {
    root: PathBuf,
    prefix: String,
    ending: Option<Rc<str>>,
    threads: Rc<dyn Threads>,
    setup: Setup,
}

/// A program, and where its name ends on the path.
struct Found {
    program: PathBuf,
    end: usize,
}

impl CgiFolder {
    /// Runs what is in `root`, looked for by `threads` and started by `spawner`.
    ///
    /// # Errors
    ///
    /// If there is no such folder.
    pub fn new(
        root: impl AsRef<Path>,
        spawner: impl Spawner + 'static,
        threads: impl Threads + 'static,
    ) -> io::Result<Self> {
        let root = fs::canonicalize(root)?;
        if !root.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let threads = Rc::new(threads);
        let (prefix, ending) = (String::new(), None);
        Ok(Self { root, prefix, ending, threads, setup: Setup::new(spawner) })
    }

    /// Answers below this path, and 404 elsewhere.
    #[must_use]
    pub fn at(self, prefix: &str) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        Self { prefix, ..self }
    }

    /// Runs only those whose names end so, as `.cgi`: for a folder that has other files, too, which are not
    /// this resource's affair. Upper and lower case are the same.
    #[must_use]
    pub fn ending(self, ending: &str) -> Self {
        Self { ending: Some(ending.into()), ..self }
    }

    /// Whether a path, as it stands in a request, has a name on it that [ends](Self::ending) as the
    /// programs' do. What this claims is to come here alone: elsewhere a program might be sent as it lies there.
    pub fn claims(&self, path: &str) -> bool {
        let Some(ending) = &self.ending else { return true };
        path.split('/').any(|name| {
            let name: Vec<u8> = percent_decode_str(name).collect();
            // A name may be one for a file system that is not one in a path.
            name.split(|byte| matches!(byte, b'/' | b'\\')).any(|name| ends_with(name, ending))
        })
    }

    settings!();
}

fn ends_with(name: &[u8], ending: &str) -> bool {
    let from = name.len().saturating_sub(ending.len());
    name[from..].eq_ignore_ascii_case(ending.as_bytes())
}

impl Resource for CgiFolder {
    fn render(&mut self, request: Request) -> Reply {
        let (above, below) = request.place();
        let Some(below) = below.strip_prefix(self.prefix.as_str()) else {
            let error = CgiError::NotHere(StatusCode::NOT_FOUND);
            return refusal(&self.root.to_string_lossy(), error).into_reply();
        };
        let (script, below) = (format!("{above}{}", self.prefix), below.to_owned());
        let (root, looked) = (self.root.clone(), below.clone());
        let ending = self.ending.as_deref().map(str::to_owned);
        let found = defer_to_threads(&*self.threads, move || {
            let found = find(&root, &looked).and_then(|found| match &ending {
                Some(ending)
                    if !ends_with(found.program.as_os_str().as_encoded_bytes(), ending) =>
                {
                    Err(StatusCode::NOT_FOUND)
                }
                _ => Ok(found),
            });
            found.map_err(|status| Failure::new(CgiError::NotHere(status)))
        });
        let (setup, root) = (self.setup.clone(), self.root.to_string_lossy().into_owned());
        let answered = found.add_callback(move |Found { program, end }| {
            let place = Place::new(&format!("{script}{}", &below[..end]), &below[end..]);
            let ready = place.and_then(|place| slot(&setup).map(|slot| (place, slot)));
            match ready {
                Ok((place, slot)) => answer(&setup, slot, &Command::new(program), &place, request),
                Err(error) => Deferred::fail(error),
            }
        });
        Reply::Later(answered.add_errback(move |failure| refused(&root, failure)))
    }
}

impl fmt::Debug for CgiFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CgiFolder")
            .field("root", &self.root)
            .field("running", &self.setup.running.get())
            .finish_non_exhaustive()
    }
}

/// Follows `path` from `root` to the first file. **Blocks.**
fn find(root: &Path, path: &str) -> Result<Found, StatusCode> {
    let absent = StatusCode::NOT_FOUND;
    let mut place = root.to_owned();
    let mut end = 0;
    for segment in path.strip_prefix('/').ok_or(absent)?.split('/').take(DEPTH_MAX) {
        end += 1 + segment.len();
        let name = decoded(segment).map(|name| os(&name)).ok_or(absent)?;
        if !is_name(&name) {
            return Err(absent);
        }
        place.push(name);
        let metadata = fs::metadata(&place).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
            _ => absent,
        })?;
        if metadata.is_dir() {
            continue;
        }
        let program = fs::canonicalize(&place).map_err(|_| absent)?;
        if !metadata.is_file() || !program.starts_with(root) {
            return Err(absent);
        }
        // It runs under the name by which it was asked for: some do other things under other names.
        return if is_executable(&metadata) {
            Ok(Found { program: place, end })
        } else {
            Err(StatusCode::FORBIDDEN)
        };
    }
    Err(absent)
}

/// Whether that is one name, and not a hidden one.
fn is_name(name: &OsStr) -> bool {
    let mut parts = Path::new(name).components();
    let is_one = matches!(parts.next(), Some(std::path::Component::Normal(part)) if part == name);
    is_one && parts.next().is_none() && !name.as_encoded_bytes().starts_with(b".")
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

/// The system says when it is started.
#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    true
}
