use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Threads, defer_to_threads};

use super::{Directory, Query};
use crate::{ANSWER_MAX, printable};

/// How many users are named to who asks for everyone.
pub const PLANS_MAX: usize = 1000;

/// How much of a plan is told, in bytes: three times as much fits a client's
/// [`ANSWER_MAX`], for that is what bytes that are no text become.
pub const PLAN_MAX: usize = 16 * 1024;

/// A [`Directory`] of files: what the file `alice` in a folder holds is the answer about Alice.
///
/// The answer about everyone is a line a file: its name and its first line. Files whose names begin with
/// a dot are nobody's. No more than [`PLAN_MAX`] of a plan is told, and of no more than [`PLANS_MAX`] users.
pub struct Plans {
    folder: PathBuf,
    threads: Rc<dyn Threads>,
}

impl Plans {
    /// The plans in `folder`, read on one of `threads`: a reactor has some.
    pub fn new(folder: impl Into<PathBuf>, threads: impl Threads + 'static) -> Self {
        Self { folder: folder.into(), threads: Rc::new(threads) }
    }
}

impl Directory for Plans {
    fn look_up(&self, query: &Query) -> Deferred<String> {
        let folder = self.folder.clone();
        let user = query.user_name().map(str::to_owned);
        defer_to_threads(&*self.threads, move || match user {
            Some(user) => one(&folder, &user),
            None => everyone(&folder),
        })
    }
}

fn one(folder: &Path, user: &str) -> io::Result<String> {
    let plan = if is_user(user) { read(&folder.join(user), PLAN_MAX)? } else { None };
    Ok(plan.unwrap_or_else(|| format!("There is no user {user} here\n")))
}

fn everyone(folder: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        // A name that no query can hold belongs to nobody who could be asked about.
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_user(name)));
    }
    names.sort();
    let (mut list, mut count) = (String::new(), 0);
    for name in names {
        let Some(plan) = read(&folder.join(&name), FIRST_LINE_MAX)? else { continue };
        let first = plan.lines().next().unwrap_or_default();
        list.push_str(format!("{name:<16} {first}").trim_end());
        list.push('\n');
        count += 1;
        if count == PLANS_MAX || list.len() > ANSWER_MAX - LIST_LINE_MAX {
            break;
        }
    }
    Ok(if list.is_empty() { "There is nobody here\n".to_owned() } else { list })
}

/// How much of a file is looked at for its first line.
const FIRST_LINE_MAX: usize = 256;
/// The longest line of a list: a name, its plan in which each byte may have become three, an end.
const LIST_LINE_MAX: usize = 2048;

/// Whether a file of this name is somebody's, and in the folder.
fn is_user(name: &str) -> bool {
    !name.starts_with('.') && !name.contains(['/', '\\', ':']) && Query::user(name).is_ok()
}

/// The beginning of a file that is there and is one.
fn read(path: &Path, most: usize) -> io::Result<Option<String>> {
    let missing = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename)
    };
    // Opening anything else may wait, as it does for a pipe that nobody writes to.
    match fs::metadata(path) {
        Ok(found) if found.is_file() => (),
        Ok(_) => return Ok(None),
        Err(error) if missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64).read_to_end(&mut bytes)?;
    Ok(Some(printable(&bytes)))
}
