//! Paths whose children stay below them.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use crate::{FileError, FileKind, Metadata, beneath, glob};

/// How many names one folder may hold where it is listed at once.
pub const CHILDREN_MAX: usize = 100_000;

/// A path from which only what lies below it can be reached.
///
/// It is a base, which is trusted, and a way below that, which is not: names from strangers become
/// [children](Self::child), and none of them leads anywhere else, be it by what it is called or by links
/// that somebody has put there. Links may lead from place to place below the base; one that leads out of it
/// is [`FileError::Escapes`], also where it is swapped in at the last moment, as the system itself (or,
/// where it cannot, one name opened after the other) makes sure of it.
///
/// Making paths asks the system nothing. What looks at files does, and may block: do that in threads, or
/// have a [`Disk`](crate::Disk) do it.
///
/// ```
/// use ropewalk_files::{FileError, FilePath};
///
/// let pages = FilePath::new("/srv/www");
/// assert_eq!(pages.child("index.html")?.to_string(), "/srv/www/index.html");
/// assert!(matches!(pages.child("../passwd"), Err(FileError::InsecureName { .. })));
/// assert_eq!(pages.below("a/./b/../c")?.to_string(), "/srv/www/a/c");
/// assert!(pages.below("a/../../c").is_err());
/// # Ok::<(), FileError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath {
    base: PathBuf,
    below: PathBuf,
}

impl FilePath {
    /// A base of one's own: wherever it leads, links included, is where it is meant to.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into(), below: PathBuf::new() }
    }

    /// The whole path.
    pub fn path(&self) -> PathBuf {
        if self.below.as_os_str().is_empty() {
            return self.base.clone();
        }
        self.base.join(&self.below)
    }

    /// What is trusted, and never left.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The child of that name, whether there is one or not.
    ///
    /// # Errors
    ///
    /// [`FileError::InsecureName`] if it is more than one name, or none that a file can have.
    pub fn child(&self, name: impl AsRef<OsStr>) -> Result<Self, FileError> {
        let name = name.as_ref();
        if !is_name(name) {
            return Err(self.insecure(name));
        }
        Ok(Self { base: self.base.clone(), below: self.below.join(name) })
    }

    /// What a relative path leads to; `..` is taken as it is read, and must not lead above this.
    ///
    /// # Errors
    ///
    /// [`FileError::InsecureName`] if it is absolute, leads out, or holds a NUL.
    pub fn below(&self, path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let mut names: Vec<&OsStr> = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) if !name.as_bytes().contains(&0) => names.push(name),
                Component::CurDir => (),
                Component::ParentDir if names.pop().is_some() => (),
                _ => return Err(self.insecure(path.as_os_str())),
            }
        }
        let mut below = self.below.clone();
        below.extend(names);
        Ok(Self { base: self.base.clone(), below })
    }

    /// The child of the child of the child.
    ///
    /// # Errors
    ///
    /// As for [`child`](Self::child).
    pub fn descendant<N: AsRef<OsStr>>(
        &self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, FileError> {
        names.into_iter().try_fold(self.clone(), |path, name| path.child(name))
    }

    fn insecure(&self, name: &OsStr) -> FileError {
        FileError::InsecureName { folder: self.path(), name: name.into() }
    }

    /// The folder that it is in. That of a base is a base itself; the root's is the root.
    pub fn parent(&self) -> Self {
        match self.below.parent() {
            Some(below) => Self { base: self.base.clone(), below: below.to_owned() },
            None => Self::new(around(&self.base)),
        }
    }

    /// Its last name; empty for a base without one, such as the root.
    pub fn name(&self) -> &OsStr {
        let path = if self.below.as_os_str().is_empty() { &self.base } else { &self.below };
        path.file_name().unwrap_or_default()
    }

    /// What stands behind the last dot of its name.
    pub fn extension(&self) -> Option<&OsStr> {
        Path::new(self.name()).extension()
    }

    /// What is beside it under that name.
    ///
    /// # Errors
    ///
    /// As for [`child`](Self::child).
    pub fn sibling(&self, name: impl AsRef<OsStr>) -> Result<Self, FileError> {
        self.parent().child(name)
    }

    /// What is beside it under its own name with `extension` behind.
    ///
    /// # Errors
    ///
    /// As for [`child`](Self::child).
    pub fn sibling_extension(&self, extension: impl AsRef<OsStr>) -> Result<Self, FileError> {
        let mut name = self.name().to_owned();
        name.push(extension);
        self.sibling(name)
    }

    /// The names that lead from `ancestor` here; `None` if none do.
    pub fn names_from(&self, ancestor: &Self) -> Option<Vec<OsString>> {
        let path = self.path();
        let below = path.strip_prefix(ancestor.path()).ok()?;
        Some(below.iter().map(OsStr::to_owned).collect())
    }

    /// The first of some relative paths below this at which there is something.
    ///
    /// # Errors
    ///
    /// As for [`below`](Self::below), or if the system refuses to tell.
    pub fn first_below<P: AsRef<Path>>(
        &self,
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Option<Self>, FileError> {
        for path in paths {
            let path = self.below(path)?;
            if path.exists()? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// The first file that is beside it under its own name with one of some extensions behind, of which an
    /// empty one is itself.
    ///
    /// # Errors
    ///
    /// As for [`child`](Self::child), or if the system refuses to tell.
    pub fn first_sibling_extension<E: AsRef<OsStr>>(
        &self,
        extensions: impl IntoIterator<Item = E>,
    ) -> Result<Option<Self>, FileError> {
        for extension in extensions {
            let path = self.sibling_extension(extension)?;
            if path.exists()? {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// What the system says of it, or of where a link leads.
    ///
    /// # Errors
    ///
    /// If there is nothing, a link leads out, or the system refuses to tell.
    pub fn metadata(&self) -> Result<Metadata, FileError> {
        let doing = "looking at";
        let opened = self.open_raw(beneath::LOOK, 0).map_err(|errno| self.blame(doing, errno))?;
        let stat = fstat(&opened).map_err(|errno| self.blame(doing, errno))?;
        Ok(Metadata::of(&stat))
    }

    /// What the system says of it, links being links.
    ///
    /// # Errors
    ///
    /// If there is nothing, or the system refuses to tell.
    pub fn link_metadata(&self) -> Result<Metadata, FileError> {
        let look = || {
            let (folder, name) = self.place()?;
            statat(&folder, &*name, AtFlags::SYMLINK_NOFOLLOW)
        };
        look().map(|stat| Metadata::of(&stat)).map_err(|errno| self.blame("looking at", errno))
    }

    /// Whether there is something. A link that leads nowhere is nothing.
    ///
    /// # Errors
    ///
    /// If a link leads out, or the system refuses to tell.
    pub fn exists(&self) -> Result<bool, FileError> {
        Ok(self.kind()?.is_some())
    }

    /// Whether it is a regular file, or leads to one.
    ///
    /// # Errors
    ///
    /// If a link leads out, or the system refuses to tell.
    pub fn is_file(&self) -> Result<bool, FileError> {
        Ok(self.kind()? == Some(FileKind::File))
    }

    /// Whether it is a folder, or leads to one.
    ///
    /// # Errors
    ///
    /// If a link leads out, or the system refuses to tell.
    pub fn is_folder(&self) -> Result<bool, FileError> {
        Ok(self.kind()? == Some(FileKind::Folder))
    }

    fn kind(&self) -> Result<Option<FileKind>, FileError> {
        match self.metadata() {
            Ok(metadata) => Ok(Some(metadata.kind())),
            Err(error) if error.is_not_found() => Ok(None),
            // Something on the way is no folder.
            Err(error) if error.kind() == Some(std::io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What it holds, by name, links being links: at most [`CHILDREN_MAX`].
    ///
    /// # Errors
    ///
    /// If it is no folder, holds more, or the system refuses.
    pub fn children(&self) -> Result<Vec<Self>, FileError> {
        Ok(self.entries(CHILDREN_MAX)?.into_iter().map(|entry| entry.0).collect())
    }

    /// What it holds whose name fits a pattern as shells have them, with `*`, `?` and `[a-z]`.
    ///
    /// # Errors
    ///
    /// As for [`children`](Self::children).
    pub fn glob_children(&self, pattern: impl AsRef<OsStr>) -> Result<Vec<Self>, FileError> {
        let pattern = pattern.as_ref().as_bytes();
        let mut children = self.children()?;
        children.retain(|child| glob::fits(pattern, child.name().as_bytes()));
        Ok(children)
    }

    /// What it holds, and what that is.
    pub(crate) fn entries(&self, max: usize) -> Result<Vec<(Self, FileKind)>, FileError> {
        let doing = "listing";
        let blame = |errno| self.blame(doing, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = self.open_raw(flags, 0).map_err(blame)?;
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder).map_err(blame)? {
            let entry = entry.map_err(blame)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if !is_name(name) {
                continue;
            }
            if entries.len() == max {
                return Err(FileError::TooMany { path: self.path(), max });
            }
            let kind = match entry.file_type() {
                rustix::fs::FileType::Unknown => {
                    match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => Metadata::of(&stat).kind(),
                        // It was removed meanwhile.
                        Err(Errno::NOENT) => continue,
                        Err(errno) => return Err(blame(errno)),
                    }
                }
                known => FileKind::of(known),
            };
            entries.push((self.child(name)?, kind));
        }
        entries.sort_unstable();
        Ok(entries)
    }

    /// Opens what is there.
    pub(crate) fn open_raw(&self, flags: OFlags, mode: u32) -> Result<OwnedFd, Errno> {
        let mode = Mode::from_raw_mode(mode as _);
        if self.below.as_os_str().is_empty() {
            return openat(CWD, here(&self.base), flags, mode);
        }
        let base = openat(CWD, here(&self.base), beneath::ENTER, Mode::empty())?;
        beneath::open(base.as_fd(), &self.below, flags, mode)
    }

    /// The folder that it is in, open, and its name in that.
    pub(crate) fn place(&self) -> Result<(OwnedFd, OsString), Errno> {
        let name = self.name();
        if name.is_empty() {
            return Err(Errno::INVAL);
        }
        let folder = match self.below.parent() {
            None => openat(CWD, around(&self.base), beneath::ENTER, Mode::empty())?,
            Some(_) => self.parent().open_raw(beneath::ENTER, 0)?,
        };
        Ok((folder, name.to_owned()))
    }

    pub(crate) fn blame(&self, doing: &'static str, errno: Errno) -> FileError {
        if errno == Errno::XDEV && !self.below.as_os_str().is_empty() {
            return FileError::Escapes { base: self.base.clone(), path: self.below.clone() };
        }
        FileError::system(doing, self.path(), errno)
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilePath").field("base", &self.base).field("below", &self.below).finish()
    }
}

impl From<PathBuf> for FilePath {
    fn from(base: PathBuf) -> Self {
        Self::new(base)
    }
}

impl From<&Path> for FilePath {
    fn from(base: &Path) -> Self {
        Self::new(base)
    }
}

impl From<&str> for FilePath {
    fn from(base: &str) -> Self {
        Self::new(base)
    }
}

impl From<&FilePath> for FilePath {
    fn from(path: &FilePath) -> Self {
        path.clone()
    }
}

/// Whether it is one name that a file can have.
fn is_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !matches!(bytes, b"" | b"." | b"..") && !bytes.iter().any(|&byte| byte == b'/' || byte == 0)
}

/// The folder that a base is in.
fn around(base: &Path) -> PathBuf {
    match base.components().next_back() {
        Some(Component::Normal(_)) => here(base.parent().unwrap_or(Path::new(""))).to_owned(),
        Some(Component::RootDir) => base.to_owned(),
        _ => base.join(".."),
    }
}

/// The empty path is where the process is.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}
