//! Making, moving and removing, blocking.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, fchmod, fcntl_setfl, fstat,
    futimens, mkdirat, openat, renameat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::{AtomicWrite, FileError, FileKind, FilePath, Metadata, OpenFile};

/// How many folders in one another are removed.
const DEPTH_MAX: usize = 256;

/// How a file is opened; see [`FilePath::open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    flags: OFlags,
    mode: u32,
}

impl OpenOptions {
    /// To be read.
    pub const READ: Self = Self { flags: OFlags::RDONLY, mode: 0 };
    /// To be read and written.
    pub const READ_WRITE: Self = Self { flags: OFlags::RDWR, mode: 0 };
    /// To be written, and made if it is not there; what is in it stays.
    pub const WRITE: Self = Self { flags: OFlags::WRONLY.union(OFlags::CREATE), mode: 0o666 };
    /// To be written from the start, and made if it is not there.
    pub const REPLACE: Self = Self { flags: Self::WRITE.flags.union(OFlags::TRUNC), mode: 0o666 };
    /// To be written, and made anew: fails where there is something, a link included.
    pub const CREATE_NEW: Self =
        Self { flags: OFlags::RDWR.union(OFlags::CREATE).union(OFlags::EXCL), mode: 0o666 };

    /// Makes it with this mode, less the process's umask; 0o666 unless set.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: mode & 0o7777, ..self }
    }

    /// Makes it if it is not there.
    pub fn create(self) -> Self {
        let mode = if self.mode == 0 { 0o666 } else { self.mode };
        Self { flags: self.flags.union(OFlags::CREATE), mode }
    }
}

impl FilePath {
    /// Opens the file. Neither a pipe nor a terminal makes it wait or does anything.
    ///
    /// # Errors
    ///
    /// If it is not there and not to be made, a link leads out, or the system refuses.
    pub fn open(&self, how: OpenOptions) -> Result<OpenFile, FileError> {
        let calm = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let blame = |errno| self.blame("opening", errno);
        let file = self.open_raw(how.flags | calm, how.mode).map_err(blame)?;
        // The kernel would give up on a file where it may as well wait for the disk.
        if Metadata::of(&fstat(&file).map_err(blame)?).is_file() {
            fcntl_setfl(&file, OFlags::empty()).map_err(blame)?;
        }
        Ok(OpenFile::new(File::from(file), self.clone()))
    }

    /// What the file holds, if that is no more than `bytes_max`.
    ///
    /// # Errors
    ///
    /// [`FileError::TooLong`] if it is more; if it is no file or not there, or the system refuses.
    pub fn read(&self, bytes_max: usize) -> Result<Vec<u8>, FileError> {
        let blame = |error| FileError::system("reading", self.path(), error);
        let file = self.open(OpenOptions::READ)?;
        let length = file.file().metadata().map_err(blame)?.len();
        let mut content = Vec::with_capacity((length as usize).min(bytes_max));
        let limit = (bytes_max as u64).saturating_add(1);
        (&**file.file()).take(limit).read_to_end(&mut content).map_err(blame)?;
        if content.len() > bytes_max {
            return Err(FileError::TooLong { path: self.path(), bytes_max });
        }
        Ok(content)
    }

    /// Makes a folder.
    ///
    /// # Errors
    ///
    /// If there is something already, no folder to make it in, or the system refuses.
    pub fn create_folder(&self) -> Result<(), FileError> {
        let make = || {
            let (folder, name) = self.place()?;
            mkdirat(&folder, &*name, Mode::from_raw_mode(0o777))
        };
        make().map_err(|errno| self.blame("making the folder", errno))
    }

    /// Makes a folder and those that it is to be in, where they are not there.
    ///
    /// # Errors
    ///
    /// If one of them is something else, or the system refuses.
    pub fn create_folders(&self) -> Result<(), FileError> {
        match self.create_folder() {
            Err(error) if error.is_not_found() => {
                let parent = self.parent();
                if parent == *self {
                    return Err(error);
                }
                parent.create_folders()?;
                match self.create_folder() {
                    Err(error) => self.is_folder_now(error),
                    made => made,
                }
            }
            Err(error) => self.is_folder_now(error),
            made => made,
        }
    }

    fn is_folder_now(&self, error: FileError) -> Result<(), FileError> {
        match error.kind() {
            // The latter of what has no name of its own, such as the root.
            Some(io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidInput)
                if self.is_folder()? =>
            {
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Makes a link that leads to `target`, a path as it is to be read there.
    ///
    /// # Errors
    ///
    /// If there is something already, or the system refuses.
    pub fn create_link(&self, target: impl AsRef<OsStr>) -> Result<(), FileError> {
        let make = || {
            let (folder, name) = self.place()?;
            symlinkat(target.as_ref(), &folder, &*name)
        };
        make().map_err(|errno| self.blame("making the link", errno))
    }

    /// Removes a file, or a link.
    ///
    /// # Errors
    ///
    /// If it is a folder or not there, or the system refuses.
    pub fn remove_file(&self) -> Result<(), FileError> {
        let remove = || {
            let (folder, name) = self.place()?;
            unlinkat(&folder, &*name, AtFlags::empty())
        };
        remove().map_err(|errno| self.blame("removing", errno))
    }

    /// Removes it with all that it holds. Links are removed, and not where they lead.
    ///
    /// # Errors
    ///
    /// If it is not there, lies deeper than 256 folders, or the system refuses; part of it may be gone then.
    pub fn remove(&self) -> Result<(), FileError> {
        let blame = |errno| self.blame("removing", errno);
        let (folder, name) = self.place().map_err(blame)?;
        match unlinkat(&folder, &*name, AtFlags::empty()) {
            // POSIX says the former of a folder, Linux the latter.
            Err(Errno::PERM | Errno::ISDIR) => {
                remove_tree(folder, name).map_err(|error| match error {
                    Errno::NAMETOOLONG => FileError::TooMany { path: self.path(), max: DEPTH_MAX },
                    errno => blame(errno),
                })
            }
            removed => removed.map_err(blame),
        }
    }

    /// Gives it another name, or place; what is there already, a folder only if it is empty, is replaced at
    /// once. Onto another file system it is copied, and then removed here.
    ///
    /// # Errors
    ///
    /// If it is not there, or the system refuses.
    pub fn move_to(&self, other: &Self) -> Result<(), FileError> {
        let blame = |errno| self.blame("moving", errno);
        let (from, name) = self.place().map_err(blame)?;
        let (to, new_name) = other.place().map_err(|errno| other.blame("moving to", errno))?;
        match renameat(&from, &*name, &to, &*new_name) {
            Err(Errno::XDEV) => {
                self.copy_to(other)?;
                self.remove()
            }
            // Not to be taken for a way that leads out.
            moved => moved.map_err(|errno| FileError::system("moving", self.path(), errno)),
        }
    }

    /// Copies a file, a link, or a folder with all that it holds, modes included. A file appears at once and
    /// whole.
    ///
    /// # Errors
    ///
    /// If it is not there, a folder is copied to where something is, or the system refuses; part of a folder
    /// may be there then.
    pub fn copy_to(&self, other: &Self) -> Result<(), FileError> {
        let metadata = self.link_metadata()?;
        match metadata.kind() {
            FileKind::Folder if other.names_from(self).is_some() => Err(FileError::system(
                "copying into itself",
                self.path(),
                io::Error::from(io::ErrorKind::InvalidInput),
            )),
            FileKind::Folder => {
                other.create_folder()?;
                for child in self.children()? {
                    child.copy_to(&other.child(child.name())?)?;
                }
                other.set_mode(metadata.mode())
            }
            FileKind::Link => other.create_link(self.link_target()?),
            FileKind::File => {
                let how = AtomicWrite::default().sync(false).mode(metadata.mode());
                let from = self.open(OpenOptions::READ)?;
                other.write_atomically_from(&mut &**from.file(), &how)
            }
            FileKind::Other => Err(FileError::system(
                "copying",
                self.path(),
                io::Error::from(io::ErrorKind::Unsupported),
            )),
        }
    }

    /// Where a link leads, as it says.
    ///
    /// # Errors
    ///
    /// If it is no link, or the system refuses.
    pub fn link_target(&self) -> Result<OsString, FileError> {
        use std::os::unix::ffi::OsStringExt as _;
        let read = || {
            let (folder, name) = self.place()?;
            rustix::fs::readlinkat(&folder, &*name, Vec::new())
        };
        let target = read().map_err(|errno| self.blame("reading the link", errno))?;
        Ok(OsString::from_vec(target.into_bytes()))
    }

    /// Says who may read, write and execute it.
    ///
    /// # Errors
    ///
    /// If it is not this user's or not to be read, or the system refuses.
    pub fn set_mode(&self, mode: u32) -> Result<(), FileError> {
        let blame = |errno| self.blame("changing the mode of", errno);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = self.open_raw(flags, 0).map_err(blame)?;
        fchmod(&opened, Mode::from_raw_mode(mode as _)).map_err(blame)
    }

    /// Makes it a file if it is not there, and has it have been changed just now.
    ///
    /// # Errors
    ///
    /// If the system refuses.
    pub fn touch(&self) -> Result<(), FileError> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW as _ };
        let times = Timestamps { last_access: now, last_modification: now };
        let file = self.open(OpenOptions::WRITE)?;
        futimens(&**file.file(), &times).map_err(|errno| self.blame("touching", errno))
    }
}

/// Removes a folder with all that it holds, each name in the folder that it was found in.
fn remove_tree(folder: OwnedFd, name: OsString) -> Result<(), Errno> {
    const LIST: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    /// A folder that is being emptied: in which it is, its name there, and what it held.
    struct Emptied {
        around: OwnedFd,
        name: OsString,
        names: Vec<OsString>,
    }
    let open = |around: OwnedFd, name: OsString| -> Result<(Emptied, OwnedFd), Errno> {
        let folder = openat(&around, &*name, LIST, Mode::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok((Emptied { around, name, names }, folder))
    };
    let (first, mut here) = open(folder, name)?;
    let mut way = vec![first];
    while let Some(emptied) = way.last_mut() {
        let Some(name) = emptied.names.pop() else {
            let Some(empty) = way.pop() else { break };
            unlinkat(&empty.around, &*empty.name, AtFlags::REMOVEDIR)?;
            here = empty.around;
            continue;
        };
        match unlinkat(here.as_fd(), &*name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => (),
            Err(Errno::PERM | Errno::ISDIR) => {
                if way.len() == DEPTH_MAX {
                    return Err(Errno::NAMETOOLONG);
                }
                let (next, folder) = open(here, name)?;
                way.push(next);
                here = folder;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
