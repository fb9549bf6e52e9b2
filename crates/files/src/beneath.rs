//! Opening what lies beneath a folder, whatever links lie on the way.
//!
//! On Linux one system call resolves a path beneath a folder. Where it is missing or refused (old kernels,
//! sandboxes, other systems) the path is gone through name by name, each opened without following links
//! from the folder opened before it, and links are read and followed here.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;

/// How many links are followed on one way.
const LINKS_MAX: usize = 40;
/// How many folders in one another are gone through.
const DEPTH_MAX: usize = 256;
/// How often a way is tried that others change meanwhile.
#[cfg(any(target_os = "linux", target_os = "android"))]
const TRIES_MAX: usize = 8;

/// A folder to go through, which need not be readable.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const ENTER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A folder to go through.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const ENTER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Something to be looked at, whatever it is.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);
/// Something to be looked at; nothing blocks or has effects on the way.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) const LOOK: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens `path` beneath `base`. [`Errno::XDEV`] says that the way leads out of it.
pub(crate) fn open(
    base: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{ResolveFlags, openat2};
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        // A mode may only be given where something may be made.
        let mode = if flags.contains(OFlags::CREATE) { mode } else { Mode::empty() };
        for _ in 0..TRIES_MAX {
            match openat2(base, path, flags, mode, resolve) {
                // Something was moved while the way was gone.
                Err(Errno::AGAIN) => (),
                // An old kernel, or a sandbox that knows no better answer.
                Err(Errno::NOSYS | Errno::PERM) => break,
                opened => return opened,
            }
        }
    }
    open_by_names(base, path, flags, mode)
}

/// The same, one name after the other.
pub(crate) fn open_by_names(
    base: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd, Errno> {
    // The last comes first.
    let mut names = Vec::new();
    push_names(&mut names, path)?;
    let mut folders: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    while let Some(name) = names.pop() {
        if name == "." {
            continue;
        }
        if name == ".." {
            folders.pop().ok_or(Errno::XDEV)?;
            continue;
        }
        let here = folders.last().map_or(base, OwnedFd::as_fd);
        let is_last = names.is_empty();
        if !(is_last && flags.contains(OFlags::NOFOLLOW))
            && let Some(target) = link(here, &name)?
        {
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::LOOP);
            }
            push_names(&mut names, &target)?;
            continue;
        }
        let wanted = if is_last { flags } else { ENTER } | OFlags::NOFOLLOW;
        let opened = openat(here, &name, wanted, mode)?;
        if is_last {
            return settled(opened, flags);
        }
        if folders.len() == DEPTH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        folders.push(opened);
    }
    let here = folders.last().map_or(base, OwnedFd::as_fd);
    openat(here, ".", flags.difference(OFlags::CREATE), mode)
}

/// What became a link after it was looked at is not to be had for what it was.
fn settled(opened: OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    if !flags.contains(OFlags::NOFOLLOW)
        && FileType::from_raw_mode(fstat(&opened)?.st_mode) == FileType::Symlink
    {
        return Err(Errno::LOOP);
    }
    Ok(opened)
}

/// Where a link leads; `None` if it is none, or there is nothing.
fn link(folder: BorrowedFd<'_>, name: &OsStr) -> Result<Option<std::path::PathBuf>, Errno> {
    match readlinkat(folder, name, Vec::new()) {
        Ok(target) => Ok(Some(OsString::from_vec(target.into_bytes()).into())),
        Err(Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Puts the names of a path on top of those that are still to be gone through.
fn push_names(names: &mut Vec<OsString>, path: &Path) -> Result<(), Errno> {
    let at = names.len();
    for component in path.components() {
        match component {
            Component::Normal(name) if name.as_bytes().contains(&0) => return Err(Errno::INVAL),
            Component::Normal(_) | Component::ParentDir => {
                names.push(component.as_os_str().to_owned());
            }
            Component::CurDir => (),
            Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
        }
    }
    // It says that what is before is a folder, and a link to one is followed.
    if path.as_os_str().as_bytes().ends_with(b"/") || path.as_os_str().as_bytes().ends_with(b"/.") {
        names.push(".".into());
    }
    names[at..].reverse();
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, ResolveFlags, openat2};

    use super::*;

    /// What the kernel finds beneath a folder, or why not.
    fn by_kernel(base: &OwnedFd, path: &str, flags: OFlags) -> Result<(u64, u64), Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = openat2(base, path, flags, Mode::empty(), resolve)?;
        Ok(crate::metadata::identity(&fstat(opened)?))
    }

    #[test]
    fn names_one_by_one_lead_where_the_kernel_goes() {
        let root = std::env::temp_dir().join(format!("ropewalk-beneath-{}", std::process::id()));
        let base_path = root.join("base");
        fs::create_dir_all(base_path.join("a/b")).unwrap();
        fs::write(root.join("secret"), "").unwrap();
        fs::write(base_path.join("a/b/file"), "").unwrap();
        for (link, target) in [
            ("to_a", "a"),
            ("a/up", ".."),
            ("a/b/far", "../../to_a/b/file"),
            ("out", "../secret"),
            ("out_and_in", "../base/a"),
            ("absolute", "/"),
            ("loop", "loop"),
            ("one", "two"),
            ("two", "one"),
            ("nowhere", "nothing"),
            ("dot", "."),
        ] {
            symlink(target, base_path.join(link)).unwrap();
        }
        let base = openat(CWD, &base_path, ENTER, Mode::empty()).unwrap();
        let names =
            ["a", "b", "file", "to_a", "up", "far", "out", "out_and_in", "absolute", "loop"];
        let others = ["one", "nowhere", "dot", "..", "."];
        let names: Vec<&str> = names.into_iter().chain(others).collect();
        let mut tried = 0;
        let mut check = |path: &str| {
            for flags in [LOOK, LOOK | OFlags::NOFOLLOW, OFlags::RDONLY | OFlags::CLOEXEC] {
                let expected = by_kernel(&base, path, flags);
                let found = open_by_names(base.as_fd(), Path::new(path), flags, Mode::empty())
                    .and_then(|opened| Ok(crate::metadata::identity(&fstat(opened)?)));
                assert_eq!(found, expected, "{path} {flags:?}");
                tried += 1;
            }
        };
        for first in &names {
            check(first);
            for second in &names {
                check(&format!("{first}/{second}"));
                for third in &names {
                    check(&format!("{first}/{second}/{third}"));
                }
            }
        }
        assert!(tried > 10_000);
        fs::remove_dir_all(root).unwrap();
    }
}
