//! Opening and listing on Unix, relative to an open root.
//!
//! On Linux one system call resolves a path beneath a folder. Where it is missing or refused (old
//! kernels, sandboxes, other systems) the path is walked name by name, each opened without
//! following links from the folder opened before it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::kept::{Seen, Source};
use super::open::{Entry, Found, LINKS_MAX, Links, Miss, Way};
use super::path::{is_hidden, is_openable, join};

/// How many names are opened on the way to one file, links and their targets included.
const STEPS_MAX: usize = 4096;

/// Nothing may block or have effects before we know what it is: not a FIFO, not a terminal.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A folder to go through, which need not be readable.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ENTER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ENTER: OFlags = READ.union(OFlags::DIRECTORY);

/// Opens the file or folder at `path` below the root.
pub(super) fn open(way: Way<'_>, path: &[u8]) -> Result<Found, Miss> {
    let (fd, unreadable) = match open_fd(way, path, READ) {
        Ok(fd) => (fd, false),
        // A folder that may be entered and not listed still has an index page.
        Err(Errno::ACCESS) => (open_fd(way, path, ENTER).map_err(|_| Miss::Forbidden)?, true),
        Err(errno) => return Err(blame(errno)),
    };
    let file = File::from(fd);
    let metadata = file.metadata().map_err(|error| blame_io(&error))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Miss::Absent);
    }
    Ok(Found { file, metadata, unreadable })
}

/// Reads what is in `folder`, which is at `path`: at most `most` entries that would be served, and
/// whether there are more.
pub(super) fn list(
    way: Way<'_>,
    path: &[u8],
    folder: &Found,
    hidden: bool,
    most: usize,
) -> Result<(Vec<Entry>, bool), Miss> {
    let mut entries = Vec::new();
    for name in Dir::read_from(&folder.file).map_err(blame)? {
        let name = name.map_err(blame)?;
        let name = name.file_name().to_bytes();
        if !is_openable(name) || (is_hidden(name) && !hidden) {
            continue;
        }
        let Some(entry) = entry(way, path, folder, name) else { continue };
        if entries.len() == most {
            return Ok((entries, true));
        }
        entries.push(entry);
    }
    Ok((entries, false))
}

/// Fills `buffer` from `offset` on.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// What tells a file from another in its place, beyond size and time: which one it is, and when
/// anything about it last changed, also where somebody set the time back.
pub(super) fn identity(found: &Found) -> [u64; 3] {
    let metadata = &found.metadata;
    [metadata.ino(), metadata.ctime() as u64, metadata.ctime_nsec() as u64]
}

/// By which name a file was found, and how it was.
#[allow(clippy::unnecessary_wraps, reason = "elsewhere nothing is told")]
pub(super) fn source(way: Way<'_>, path: &[u8], found: &Found) -> Option<Source> {
    let metadata = &found.metadata;
    let seen = Seen {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    };
    Some(Source { path: way.root.join(OsStr::from_bytes(path)), seen })
}

/// How the file at `path` is.
pub(super) fn look_at(path: &Path) -> Option<Seen> {
    let stat = rustix::fs::stat(path).ok()?;
    // The system's structure has these in one type or another.
    #[allow(clippy::unnecessary_cast, reason = "elsewhere they are shorter")]
    Some(Seen {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        length: stat.st_size as u64,
        changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
    })
}

/// Makes a regular file behave as one on every kind of kernel interface again.
pub(super) fn settle(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fcntl_setfl(file, OFlags::RDONLY)?)
}

/// Whether there is anything of this name in a folder, a link included.
pub(super) fn look(folder: &Found, name: &[u8]) -> io::Result<bool> {
    match rustix::fs::statat(&folder.file, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Opens or makes the file in which an upload waits, for this one alone: `WouldBlock` where another has it.
pub(super) fn open_part(folder: &Found, part: &[u8]) -> io::Result<File> {
    use rustix::fs::FlockOperation;

    const WRITE: OFlags = OFlags::RDWR
        .union(OFlags::CREATE)
        .union(OFlags::NOFOLLOW)
        .union(OFlags::NONBLOCK)
        .union(OFlags::CLOEXEC);
    let mode = Mode::from_raw_mode(0o666);
    let file = File::from(rustix::fs::openat(&folder.file, part, WRITE, mode)?);
    let metadata = file.metadata()?;
    // Another name for it may lie anywhere.
    if !metadata.is_file() || metadata.nlink() != 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    // Who had it before may have put it in its place between the opening and the locking.
    let now = rustix::fs::statat(&folder.file, part, AtFlags::SYMLINK_NOFOLLOW);
    if !now.is_ok_and(|now| now.st_ino == metadata.ino()) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(file)
}

/// How long the file is in which an upload waits, if there is one.
pub(super) fn part_length(folder: &Found, part: &[u8]) -> Option<u64> {
    let stat = rustix::fs::statat(&folder.file, part, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then_some(stat.st_size as u64)
}

pub(super) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Gives a file in a folder another name there, at once; one that is taken only to `overwrite` it.
pub(super) fn publish(folder: &Found, part: &[u8], name: &[u8], overwrite: bool) -> io::Result<()> {
    if overwrite {
        return Ok(rustix::fs::renameat(&folder.file, part, &folder.file, name)?);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::RenameFlags;
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&folder.file, part, &folder.file, name, flags) {
            Err(Errno::INVAL | Errno::NOSYS) => (),
            done => return Ok(done?),
        }
    }
    // A file system that cannot do that still refuses a second file of one name.
    rustix::fs::linkat(&folder.file, part, &folder.file, name, AtFlags::empty())?;
    Ok(rustix::fs::unlinkat(&folder.file, part, AtFlags::empty())?)
}

fn open_fd(way: Way<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path: &[u8] = if path.is_empty() { b"." } else { path };
    let root = rustix::fs::openat(CWD, way.root, ENTER, Mode::empty())?;
    match way.links {
        Links::All => rustix::fs::openat(&root, path, flags, Mode::empty()),
        Links::Inside | Links::None => match open_beneath(way, &root, path, flags) {
            // It leads out of the root, by a link whose target is absolute perhaps; renames kept
            // coming in between; or the kernel cannot or may not do this.
            Err(Errno::XDEV | Errno::AGAIN | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                Walk { way, steps_left: STEPS_MAX, links_left: LINKS_MAX }.open(&root, path, flags)
            }
            done => done,
        },
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn open_beneath(
    way: Way<'_>,
    root: &OwnedFd,
    path: &[u8],
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;

    if way.step_by_step {
        return Err(Errno::NOSYS);
    }
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if way.links == Links::None {
        resolve |= ResolveFlags::NO_SYMLINKS;
    }
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn open_beneath(_: Way<'_>, _: &OwnedFd, _: &[u8], _: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// One walk from the root to a file.
///
/// Only plain names are ever opened, and none of them as a link, so no step can leave the folder
/// it starts from, whatever is renamed meanwhile. The target of a link takes the link's place
/// among the names, and the walk begins anew.
struct Walk<'a> {
    way: Way<'a>,
    steps_left: usize,
    links_left: usize,
}

/// What became of one attempt.
enum Step {
    Arrived(OwnedFd),
    Again,
}

impl Walk<'_> {
    fn open(mut self, root: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut names = split(path);
        loop {
            if let Step::Arrived(fd) = self.attempt(root, &mut names, flags)? {
                return Ok(fd);
            }
        }
    }

    fn attempt(
        &mut self,
        root: &OwnedFd,
        names: &mut Vec<Vec<u8>>,
        flags: OFlags,
    ) -> Result<Step, Errno> {
        let mut folder = None;
        for index in 0..names.len() {
            if names[index] == b".." {
                // Everything before it is by now known to be folders and no links.
                let parent = index.checked_sub(1).ok_or(Errno::XDEV)?;
                names.drain(parent..=index);
                return Ok(Step::Again);
            }
            self.steps_left = self.steps_left.checked_sub(1).ok_or(Errno::LOOP)?;
            let flags = if index + 1 == names.len() { flags } else { ENTER };
            let at = folder.as_ref().unwrap_or(root);
            let name = names[index].as_slice();
            match rustix::fs::openat(at, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
                Ok(fd) => folder = Some(fd),
                Err(errno) => {
                    let link = rustix::fs::readlinkat(at, name, Vec::new());
                    let target = link.map_err(|_| errno)?;
                    self.follow(names, index, target.to_bytes())?;
                    return Ok(Step::Again);
                }
            }
        }
        match folder {
            Some(fd) => Ok(Step::Arrived(fd)),
            None => rustix::fs::openat(root, ".", flags, Mode::empty()).map(Step::Arrived),
        }
    }

    /// Puts the `target` of the link at `index` in its place.
    fn follow(
        &mut self,
        names: &mut Vec<Vec<u8>>,
        index: usize,
        target: &[u8],
    ) -> Result<(), Errno> {
        if self.way.links == Links::None {
            return Err(Errno::LOOP);
        }
        self.links_left = self.links_left.checked_sub(1).ok_or(Errno::LOOP)?;
        if target.starts_with(b"/") {
            let target = self.below_root(Path::new(OsStr::from_bytes(target)))?;
            names.splice(..=index, target);
        } else {
            names.splice(index..=index, split(target));
        }
        if names.len() > STEPS_MAX { Err(Errno::LOOP) } else { Ok(()) }
    }

    /// What remains of an absolute `target` below the root, by either of the root's names.
    fn below_root(&self, target: &Path) -> Result<Vec<Vec<u8>>, Errno> {
        let root = self.way.root;
        let rest = target.strip_prefix(root).map(Path::to_path_buf).or_else(|_| {
            let root = root.canonicalize().map_err(|_| Errno::XDEV)?;
            target.strip_prefix(root).map(Path::to_path_buf).map_err(|_| Errno::XDEV)
        })?;
        Ok(split(rest.as_os_str().as_bytes()))
    }
}

fn split(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/');
    names.filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec).collect()
}

/// What would be served under `name`, if anything.
fn entry(way: Way<'_>, path: &[u8], folder: &Found, name: &[u8]) -> Option<Entry> {
    let stat = rustix::fs::statat(folder.file.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let name = name.to_vec();
    match kind {
        FileType::RegularFile | FileType::Directory => Some(Entry {
            name,
            is_folder: kind == FileType::Directory,
            size: if kind == FileType::Directory { 0 } else { stat.st_size as u64 },
            modified: stat.st_mtime,
        }),
        FileType::Symlink if way.links != Links::None => {
            let found = open(way, &join(path, &name)).ok()?;
            Some(Entry {
                name,
                is_folder: found.metadata.is_dir(),
                size: if found.metadata.is_dir() { 0 } else { found.metadata.len() },
                modified: found.metadata.mtime(),
            })
        }
        _ => None,
    }
}

fn blame_io(error: &io::Error) -> Miss {
    Errno::from_io_error(error).map_or(Miss::Broken, blame)
}

fn blame(errno: Errno) -> Miss {
    match errno {
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::LOOP
        | Errno::NAMETOOLONG
        | Errno::XDEV
        | Errno::INVAL
        | Errno::ILSEQ
        // A socket, or a device without a driver.
        | Errno::NXIO
        | Errno::NODEV
        | Errno::OPNOTSUPP => Miss::Absent,
        Errno::ACCESS | Errno::PERM => Miss::Forbidden,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN | Errno::INTR => Miss::Busy,
        _ => {
            tracing::warn!(%errno, "the system failed to open or list a file");
            Miss::Broken
        }
    }
}
