//! Where a change of files is to be seen: their folders, and those of the links on the way to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use ropewalk_deferred::Deferred;

/// How many folders are followed for one source of identities; where there are more, files are looked at by
/// the clock alone.
pub const FOLLOWED_FOLDERS_MAX: usize = 1024;

/// How many links lead to one file, as the system has it.
const LINKS_MAX: usize = 40;

/// A folder in which something may happen that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowedFolder {
    /// Where it is: absolute, and through no link.
    pub path: PathBuf,
    /// What in it matters, by name; everything, if absent.
    pub names: Option<BTreeSet<OsString>>,
}

/// What is told of files that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Something happened to them.
    Changed,
    /// Something may have happened, and nothing more will be told: it has to be begun anew.
    Lost,
}

/// Keeps files followed until it is dropped.
pub struct Following(Option<Box<dyn FnOnce()>>);

/// Whoever tells of what happens to files: the system, by way of the room that knows it, or a test.
pub trait FollowFiles {
    /// Has `told` called after something has happened in one of these folders, from the time on at which the
    /// deferred comes until what it gives is dropped. It fails where not all of them can be followed.
    fn follow(&self, folders: &[FollowedFolder], told: Rc<dyn Fn(Followed)>)
    -> Deferred<Following>;
}

impl Following {
    /// What `end` ends.
    pub fn new(end: impl FnOnce() + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Following").finish_non_exhaustive()
    }
}

/// Folders, and the names in them.
#[derive(Default)]
pub(crate) struct Places(BTreeMap<PathBuf, Option<BTreeSet<OsString>>>);

impl Places {
    /// A file, and all links on the way to it. It need not be there.
    pub(crate) fn add_file(&mut self, path: &Path) {
        let Ok(path) = std::path::absolute(path) else { return };
        let mut left: VecDeque<OsString> = parts(&path);
        let mut folder = PathBuf::from("/");
        if let Some(prefix) = prefix(&path) {
            folder = prefix;
        }
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                folder.pop();
                continue;
            }
            let next = folder.join(&part);
            let link = fs::read_link(&next).ok();
            if link.is_some() || left.is_empty() {
                self.add_name(&folder, part);
            }
            let Some(link) = link else {
                folder = next;
                continue;
            };
            links += 1;
            if links == LINKS_MAX {
                return;
            }
            for part in parts(&link).into_iter().rev() {
                left.push_front(part);
            }
            if let Some(prefix) = prefix(&link) {
                folder = prefix;
            }
        }
    }

    /// All that is in a folder, but not in folders in it.
    pub(crate) fn add_folder(&mut self, path: &Path) {
        self.0.insert(path.to_owned(), None);
    }

    fn add_name(&mut self, folder: &Path, name: OsString) {
        let names = self.0.entry(folder.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
        if let Some(names) = names {
            names.insert(name);
        }
    }

    /// In the order of their paths; nothing, if there are too many.
    pub(crate) fn folders(self) -> Option<Vec<FollowedFolder>> {
        if self.0.len() > FOLLOWED_FOLDERS_MAX {
            return None;
        }
        let folders = self.0.into_iter();
        Some(folders.map(|(path, names)| FollowedFolder { path, names }).collect())
    }
}

/// The names that a path is made of, and the steps up.
fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

/// Where an absolute path begins.
fn prefix(path: &Path) -> Option<PathBuf> {
    let is_first = |part: &Component<'_>| matches!(part, Component::Prefix(_) | Component::RootDir);
    path.has_root().then(|| path.components().take_while(is_first).collect())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What is followed below `root`, a line each.
    fn told(places: Places, root: &Path) -> Vec<String> {
        let folders = places.folders().unwrap().into_iter();
        let below = folders.filter(|folder| folder.path.starts_with(root));
        below
            .map(|folder| {
                let path = folder.path.strip_prefix(root).unwrap().display().to_string();
                let names = folder.names.map(|names| {
                    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
                    names.join(" ")
                });
                format!("{path}: {}", names.as_deref().unwrap_or("*"))
            })
            .collect()
    }

    #[test]
    fn links_on_the_way_are_followed_too() {
        let name = format!("ropewalk-tls-{}-places", std::process::id());
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        fs::create_dir_all(root.join("real/..1")).unwrap();
        fs::write(root.join("real/..1/tls.pem"), "x").unwrap();
        symlink("..1", root.join("real/..data")).unwrap();
        symlink("..data/tls.pem", root.join("real/tls.pem")).unwrap();
        symlink(root.join("real"), root.join("certs")).unwrap();
        symlink("../loop/a", root.join("real/a")).unwrap();
        symlink("real", root.join("loop")).unwrap();
        let check = |path: &str, expected: &[&str]| {
            let mut places = Places::default();
            places.add_file(&root.join(path));
            assert_eq!(told(places, &root), expected, "{path}");
        };
        check("real/..1/tls.pem", &["real/..1: tls.pem"]);
        check("certs/tls.pem", &[": certs", "real: ..data tls.pem", "real/..1: tls.pem"]);
        check("real/missing", &["real: missing"]);
        check("missing/missing", &["missing: missing"]);
        check("real/../real/missing", &["real: missing"]);
        // It leads nowhere, and comes to an end.
        check("loop/a", &[": loop", "real: a"]);
        let mut places = Places::default();
        places.add_folder(&root.join("real"));
        places.add_file(&root.join("real/tls.pem"));
        assert_eq!(told(places, &root), ["real: *", "real/..1: tls.pem"]);
        let mut places = Places::default();
        for at in 0..=FOLLOWED_FOLDERS_MAX {
            places.add_folder(&root.join(at.to_string()));
        }
        assert_eq!(places.folders(), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
