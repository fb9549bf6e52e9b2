//! Files that are replaced at once, or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, Mode, OFlags, fchmod, fchown, fstat, fsync, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

use crate::{FileError, FilePath};

/// How many names are tried for what is written beside a file.
const NAMES_MAX: usize = 16;

/// How a file is replaced; see [`FilePath::write_atomically`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtomicWrite {
    sync: bool,
    mode: Option<u32>,
}

impl Default for AtomicWrite {
    fn default() -> Self {
        Self { sync: true, mode: None }
    }
}

impl AtomicWrite {
    /// Whether it waits until the new file and its name are on the disk, so that a machine which loses power
    /// has the old file or the new one; it does unless set.
    pub fn sync(self, sync: bool) -> Self {
        Self { sync, ..self }
    }

    /// Who may read, write and execute it. Unless set, it is as the file was that is replaced; a new file has
    /// what the process's umask leaves of 0o666.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: Some(mode & 0o7777), ..self }
    }

    /// The mode that was set, if one was.
    pub fn mode_asked(&self) -> Option<u32> {
        self.mode
    }
}

impl FilePath {
    /// Replaces the file by one that holds `content`: whoever opens it sees all of the old one or all of the
    /// new one, and after a failure it is the old one.
    ///
    /// The new file is written under another name in the same folder, which begins with a dot and ends in
    /// `.new`; it is removed if anything fails, a panic included, and left only by a process that is killed.
    /// Mode and, where this process may give it, owner are those of the old file. A link is itself replaced.
    ///
    /// # Errors
    ///
    /// If the folder is not there or cannot be written to, the disk is full, or the system refuses anything
    /// else.
    pub fn write_atomically(&self, content: &[u8], how: &AtomicWrite) -> Result<(), FileError> {
        self.write_atomically_from(&mut &*content, how)
    }

    /// The same with all that `content` gives.
    ///
    /// # Errors
    ///
    /// The same, and if `content` fails.
    pub fn write_atomically_from(
        &self,
        content: &mut impl Read,
        how: &AtomicWrite,
    ) -> Result<(), FileError> {
        let doing = "replacing";
        let blame = |errno| self.blame(doing, errno);
        let (folder, name) = self.place().map_err(blame)?;
        let old = match statat(&folder, &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(old) => Some(old),
            Err(Errno::NOENT) => None,
            Err(errno) => return Err(blame(errno)),
        };
        let is_file = |old: &rustix::fs::Stat| crate::Metadata::of(old).is_file();
        let kept = old.filter(is_file);
        let first_mode = how.mode.unwrap_or(0o666) & if kept.is_some() { 0o600 } else { 0o7777 };
        let (mut file, beside) = Beside::create(folder, &name, first_mode).map_err(blame)?;
        io::copy(content, &mut file)
            .map_err(|error| FileError::system(doing, self.path(), error))?;
        if let Some(old) = kept {
            keep_owner(&file, &old).map_err(blame)?;
        }
        let mode = how.mode.or(kept.map(|old| crate::Metadata::of(&old).mode()));
        if let Some(mode) = mode {
            fchmod(&file, Mode::from_raw_mode(mode as _)).map_err(blame)?;
        }
        if how.sync {
            fsync(&file).map_err(blame)?;
        }
        // Who watches is told that it was written before it is told that it has moved.
        drop(file);
        beside.take_place(&name, how.sync).map_err(blame)
    }
}

/// Gives a file the owner of another, as far as this process may.
fn keep_owner(file: &File, old: &rustix::fs::Stat) -> Result<(), Errno> {
    let new = fstat(file)?;
    if (new.st_uid, new.st_gid) == (old.st_uid, old.st_gid) {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
    match fchown(file, Some(user), Some(group)) {
        // Only root gives files away: then it is this process's.
        Err(Errno::PERM) => Ok(()),
        given => given,
    }
}

/// A file beside another, under a name that is removed again unless it takes that other's place.
pub(crate) struct Beside {
    folder: OwnedFd,
    name: OsString,
    is_placed: bool,
}

impl Beside {
    fn create(folder: OwnedFd, name: &OsStr, mode: u32) -> Result<(File, Self), Errno> {
        const NEW: OFlags = OFlags::WRONLY
            .union(OFlags::CREATE)
            .union(OFlags::EXCL)
            .union(OFlags::NOFOLLOW)
            .union(OFlags::CLOEXEC);
        let mut taken = Errno::EXIST;
        for _ in 0..NAMES_MAX {
            let beside = unused_name(name)?;
            match openat(&folder, &*beside, NEW, Mode::from_raw_mode(mode as _)) {
                Ok(file) => {
                    return Ok((file.into(), Self { folder, name: beside, is_placed: false }));
                }
                Err(Errno::EXIST) => taken = Errno::EXIST,
                Err(errno) => return Err(errno),
            }
        }
        Err(taken)
    }

    fn take_place(mut self, name: &OsStr, sync: bool) -> Result<(), Errno> {
        renameat(&self.folder, &*self.name, &self.folder, name)?;
        self.is_placed = true;
        if sync {
            // What is only there to be gone through cannot be synced.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match openat(self.folder.as_fd(), ".", flags, Mode::empty()) {
                Ok(folder) => match fsync(folder) {
                    // A file system that knows no such thing keeps its names in its own way.
                    Err(Errno::INVAL) => (),
                    synced => synced?,
                },
                // It may be written to, and not be read: the system keeps its names in its own time.
                Err(Errno::ACCESS) => (),
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if self.is_placed {
            return;
        }
        if let Err(error) = unlinkat(&self.folder, &*self.name, AtFlags::empty()) {
            tracing::warn!(
                target: "ropewalk::files",
                "{} is left behind, as it cannot be removed: {error}", self.name.display(),
            );
        }
    }
}

/// A name that nobody else has, short enough wherever `name` is.
fn unused_name(name: &OsStr) -> Result<OsString, Errno> {
    use std::os::unix::ffi::OsStrExt as _;
    /// How long a name may be on the file systems that there are, in bytes.
    const NAME_MAX: usize = 255;
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|_| Errno::IO)?;
    let tail = format!(".{:016x}.new", u64::from_ne_bytes(number));
    let front = &name.as_bytes()[..name.len().min(NAME_MAX - tail.len() - 1)];
    let mut unused = OsString::from(".");
    unused.push(OsStr::from_bytes(front));
    unused.push(tail);
    Ok(unused)
}
