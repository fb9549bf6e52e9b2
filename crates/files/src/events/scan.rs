//! Finding the folders that are to be watched, in a thread.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::inotify::{WatchFlags, add_watch};
use rustix::fs::{AtFlags, OFlags, statat};
use rustix::io::Errno;

use super::WatchOptions;
use crate::path::CHILDREN_MAX;
use crate::{FileError, FileKind, FilePath, Metadata};

/// What is asked of the system for each folder.
const WANTED: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// A folder that is watched from now on.
pub(super) struct Watched {
    /// By which the system knows it.
    pub(super) number: i32,
    /// Its way from the watch's root.
    pub(super) below: PathBuf,
    /// What it held once it was watched, and whether that is a folder.
    pub(super) held: Vec<(PathBuf, bool)>,
}

/// What came of a scan.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) watched: Vec<Watched>,
    /// What could not be watched.
    pub(super) blind: Vec<(PathBuf, FileError)>,
}

/// The folder to be watched for a path, and the name in it, if that is all that is of interest.
pub(super) fn root(path: &FilePath) -> Result<(FilePath, Option<PathBuf>), FileError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_folder() => Ok((path.clone(), None)),
        Ok(_) => Ok((path.parent(), Some(path.name().into()))),
        Err(error) if error.is_not_found() && !path.name().is_empty() => {
            // Where there is no folder to wait in, the first failure tells more.
            match path.parent().is_folder() {
                Ok(true) => Ok((path.parent(), Some(path.name().into()))),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Watches a folder below `root`, and those in it if that is asked for. `room` is how many that may be.
pub(super) fn scan(
    inotify: &OwnedFd,
    root: &FilePath,
    from: PathBuf,
    options: &WatchOptions,
    room: usize,
) -> Scanned {
    let mut scanned = Scanned::default();
    let mut left = vec![from];
    while let Some(below) = left.pop() {
        if scanned.watched.len() >= room {
            let path = root.path().join(&below);
            let max = options.folders_max;
            scanned.blind.push((below, FileError::TooMany { path, max }));
            break;
        }
        let is_root = below.as_os_str().is_empty();
        match look(inotify, root, below.clone()) {
            Ok(watched) => {
                if options.is_recursive {
                    let folders = watched.held.iter().filter(|(_, is_folder)| *is_folder);
                    left.extend(folders.map(|(path, _)| path.clone()));
                }
                scanned.watched.push(watched);
            }
            // It is gone, or something else by now, of which an event tells.
            Err(error) if !is_root && is_gone(&error) => (),
            Err(error) => scanned.blind.push((below, error)),
        }
    }
    scanned
}

fn is_gone(error: &FileError) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), Some(ErrorKind::NotFound | ErrorKind::NotADirectory))
}

fn look(inotify: &OwnedFd, root: &FilePath, below: PathBuf) -> Result<Watched, FileError> {
    let is_root = below.as_os_str().is_empty();
    let folder = root.below(&below)?;
    let doing = "watching";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let flags = if is_root { flags } else { flags | OFlags::NOFOLLOW };
    let opened = folder.open_raw(flags, 0).map_err(|errno| folder.blame(doing, errno))?;
    // By way of what is open, so that nothing can be put in its place meanwhile.
    let way = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let number = match add_watch(inotify, way, WANTED) {
        // There is no such folder in a bare root.
        Err(Errno::NOENT) => add_watch(inotify, folder.path(), WANTED),
        added => added,
    };
    let number = number.map_err(|errno| match errno {
        Errno::NOSPC => FileError::NoWatchLeft { path: folder.path() },
        errno => folder.blame(doing, errno),
    })?;
    // Only now: what comes after is told of by an event.
    let mut held = Vec::new();
    let blame = |errno| folder.blame(doing, errno);
    for entry in rustix::fs::Dir::read_from(&opened).map_err(blame)? {
        use std::os::unix::ffi::OsStrExt as _;
        let entry = entry.map_err(blame)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if held.len() == CHILDREN_MAX {
            return Err(FileError::TooMany { path: folder.path(), max: CHILDREN_MAX });
        }
        let kind = match entry.file_type() {
            rustix::fs::FileType::Unknown => {
                match statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => Metadata::of(&stat).kind(),
                    Err(_) => continue,
                }
            }
            known => FileKind::of(known),
        };
        let name = std::ffi::OsStr::from_bytes(name.to_bytes());
        held.push((below.join(name), kind == FileKind::Folder));
    }
    // What is only to be gone through needs no order; what is told of does.
    held.sort_unstable();
    Ok(Watched { number, below, held })
}
