//! Opening and listing where files cannot be opened relative to a folder.
//!
//! The path is resolved first and then compared with the root. So a link may leave the root on its
//! way if it ends inside, and between the two steps somebody who may write in the tree could
//! exchange a name for a link.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::kept::{Seen, Source};
use super::open::{Entry, Found, Links, Miss, Way};
use super::path::{is_hidden, is_openable, join};

/// Opens the file or folder at `path` below the root.
pub(super) fn open(way: Way<'_>, path: &[u8]) -> Result<Found, Miss> {
    let path = locate(way, path)?;
    let file = open_any(&path).map_err(|error| blame(&error))?;
    let metadata = file.metadata().map_err(|error| blame(&error))?;
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(Miss::Absent);
    }
    Ok(Found { file, metadata, unreadable: false, path })
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
    for item in fs::read_dir(&folder.path).map_err(|error| blame(&error))? {
        let item = item.map_err(|error| blame(&error))?;
        let Ok(name) = item.file_name().into_string() else { continue };
        let name = name.into_bytes();
        if !is_openable(&name) || (is_hidden(&name) && !hidden) {
            continue;
        }
        let Ok(found) = open(way, &join(path, &name)) else { continue };
        if entries.len() == most {
            return Ok((entries, true));
        }
        let modified = found.metadata.modified().ok();
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        entries.push(Entry {
            name,
            is_folder: found.metadata.is_dir(),
            size: if found.metadata.is_dir() { 0 } else { found.metadata.len() },
            modified: modified.map_or(0, |age| age.as_secs() as i64),
        });
    }
    Ok((entries, false))
}

/// A file that changes does not always show it here, so nothing is told of how it was.
pub(super) fn source(_: Way<'_>, _: &[u8], _: &Found) -> Option<Source> {
    None
}

/// How the file at a path is.
pub(super) fn look_at(_: &Path) -> Option<Seen> {
    None
}

/// Fills `buffer` from `offset` on.
pub(crate) fn read_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

/// Nothing beyond size and time tells a file from another in its place.
pub(super) fn identity(_: &Found) -> [u64; 3] {
    [0; 3]
}

/// Nothing was set on the file.
#[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
pub(super) fn settle(_: &File) -> io::Result<()> {
    Ok(())
}

/// Whether there is anything of this name in a folder, a link included.
pub(super) fn look(folder: &Found, name: &[u8]) -> io::Result<bool> {
    match inside(folder, name)?.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens or makes the file in which an upload waits, for this one alone: `WouldBlock` where another has it.
pub(super) fn open_part(folder: &Found, part: &[u8]) -> io::Result<File> {
    let path = inside(folder, part)?;
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}

/// How long the file is in which an upload waits, if there is one.
pub(super) fn part_length(folder: &Found, part: &[u8]) -> Option<u64> {
    let metadata = inside(folder, part).ok()?.symlink_metadata().ok()?;
    metadata.is_file().then(|| metadata.len())
}

pub(super) fn write_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Gives a file in a folder another name there; one that is taken only to `overwrite` it.
pub(super) fn publish(folder: &Found, part: &[u8], name: &[u8], overwrite: bool) -> io::Result<()> {
    let (part, place) = (inside(folder, part)?, inside(folder, name)?);
    if !overwrite {
        // Refused where there is one already.
        fs::hard_link(&part, &place)?;
        return fs::remove_file(&part);
    }
    fs::rename(part, place)
}

fn inside(folder: &Found, name: &[u8]) -> io::Result<PathBuf> {
    let name = str::from_utf8(name).map_err(|_| io::ErrorKind::InvalidFilename)?;
    Ok(folder.path.join(name))
}

fn locate(way: Way<'_>, path: &[u8]) -> Result<PathBuf, Miss> {
    let path = str::from_utf8(path).map_err(|_| Miss::Absent)?;
    let names = path.split('/').filter(|name| !name.is_empty());
    let root = way.root.canonicalize().map_err(|error| blame(&error))?;
    let plain = names.fold(root.clone(), |folder, name| folder.join(name));
    let real = plain.canonicalize().map_err(|error| blame(&error))?;
    let allowed = match way.links {
        Links::All => true,
        Links::Inside => real.starts_with(&root),
        Links::None => real.starts_with(&root) && !has_link(&root, path),
    };
    if allowed { Ok(real) } else { Err(Miss::Absent) }
}

fn has_link(root: &Path, path: &str) -> bool {
    let mut folder = root.to_path_buf();
    path.split('/').filter(|name| !name.is_empty()).any(|name| {
        folder.push(name);
        folder.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
    })
}

#[cfg(windows)]
fn open_any(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt as _;

    // Without it a folder cannot be opened: FILE_FLAG_BACKUP_SEMANTICS.
    const BACKUP_SEMANTICS: u32 = 0x0200_0000;
    fs::OpenOptions::new().read(true).custom_flags(BACKUP_SEMANTICS).open(path)
}

#[cfg(not(windows))]
fn open_any(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn blame(error: &io::Error) -> Miss {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => Miss::Absent,
        io::ErrorKind::PermissionDenied => Miss::Forbidden,
        io::ErrorKind::OutOfMemory | io::ErrorKind::ResourceBusy => Miss::Busy,
        // Too many links, on Windows.
        _ if error.raw_os_error() == Some(1921) => Miss::Absent,
        _ => {
            tracing::warn!(%error, "the system failed to open or list a file");
            Miss::Broken
        }
    }
}
