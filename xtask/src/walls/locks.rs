//! The lock files of the workspaces beside ours, which no build of ours would find out of date.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::Outcome;
use crate::cargo::cargo;
use crate::walls::metadata::{Kind, Package};

/// What cargo says of a lock file that is out of date.
const STALE: &str = "cannot update the lock file";
/// The folders below which other workspaces are.
const FOLDERS: [&str; 4] = ["bench", "examples", "foreign", "fuzz"];

/// All that is out of date by what our own manifests say, a sentence each: that depends on nothing but the files.
pub(crate) fn faults(root: &Path, packages: &[Package]) -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    for lock in all(root) {
        let shown = lock.strip_prefix(root)?.display();
        let found = compare(&fs::read_to_string(&lock)?, packages);
        faults.extend(found.iter().map(|fault| format!("{shown} is out of date: {fault}")));
    }
    Ok(faults)
}

/// All that is out of date for cargo, as far as it can tell without a network: where it has never heard of a
/// crate, it cannot.
pub(crate) fn faults_by_cargo(root: &Path) -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    for lock in all(root) {
        if is_stale(&lock)? {
            let shown = lock.strip_prefix(root)?.display();
            faults.push(format!("{shown} is out of date: cargo would change it"));
        }
    }
    Ok(faults)
}

fn all(root: &Path) -> impl Iterator<Item = PathBuf> {
    FOLDERS.iter().flat_map(|folder| locks(&root.join(folder)))
}

/// The lock files in a folder and in those right below.
fn locks(folder: &Path) -> Vec<PathBuf> {
    let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut locks: Vec<_> = std::iter::once(folder.to_owned()).chain(below).collect();
    for folder in &mut locks {
        folder.push("Cargo.lock");
    }
    locks.retain(|lock| lock.is_file());
    locks.sort();
    locks
}

/// Whether cargo would change a lock file, as far as it can tell without a network.
fn is_stale(lock: &Path) -> Outcome<bool> {
    let words = ["update", "--workspace", "--locked", "--offline"];
    let folder = lock.parent().ok_or("a file is in a folder")?;
    let output = cargo().current_dir(folder).args(words).output()?;
    Ok(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains(STALE))
}

/// Where a lock file tells of our packages otherwise than their manifests do.
fn compare(lock: &str, packages: &[Package]) -> Vec<String> {
    let locked = locked(lock);
    let mut faults = Vec::new();
    for package in packages {
        let Some(locked) = locked.get(&*package.name) else { continue };
        let of_use = || package.dependencies.iter().filter(|needed| needed.kind != Kind::Dev);
        for needed in of_use().filter(|needed| !needed.is_optional) {
            if !locked.contains(&*needed.name) {
                faults.push(format!("{} depends on {}", package.name, needed.name));
            }
        }
        for name in locked.iter().filter(|name| of_use().all(|needed| needed.name != **name)) {
            faults.push(format!("{} does not depend on {name}", package.name));
        }
    }
    faults
}

/// The packages of a lock file that come from no registry, and the names of what each depends on.
fn locked(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let blocks = lock.split("[[package]]").skip(1);
    let own = blocks.filter(|block| !block.lines().any(|line| line.starts_with("source = ")));
    own.filter_map(|block| {
        let name = block.lines().find_map(|line| line.strip_prefix("name = \""))?;
        let needed = block.lines().filter_map(|line| line.trim().strip_prefix('"'));
        // A version follows where there are several of a name.
        let names = needed.filter_map(|line| line.split(['"', ' ']).next());
        Some((name.trim_end_matches('"'), names.collect()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::{compare, locked};
    use crate::walls::metadata::{Dependency, Kind, Package};

    const LOCK: &str = "version = 4\n\n\
        [[package]]\nname = \"bytes\"\nversion = \"1\"\nsource = \"registry\"\n\n\
        [[package]]\nname = \"room\"\nversion = \"0.1.0\"\ndependencies = [\n \"bytes\",\n \"hyper 1.2.3\",\n]\n";

    fn room(needed: &[(&str, Kind, bool)]) -> Package {
        let dependency = |&(name, kind, is_optional): &(&str, Kind, bool)| Dependency {
            name: name.to_owned(),
            kind,
            is_optional,
        };
        Package {
            name: "room".to_owned(),
            folder: "room".into(),
            roots: Vec::new(),
            dependencies: needed.iter().map(dependency).collect(),
        }
    }

    #[test]
    fn lock_files_are_read() {
        let locked = locked(LOCK);
        assert_eq!(locked.len(), 1);
        assert_eq!(locked["room"].iter().copied().collect::<Vec<_>>(), ["bytes", "hyper"]);
    }

    #[test]
    fn manifests_that_have_changed_are_seen() {
        let (normal, dev) = (Kind::Normal, Kind::Dev);
        let as_locked = [("bytes", normal, false), ("hyper", normal, true), ("slab", normal, true)];
        assert!(compare(LOCK, &[room(&as_locked)]).is_empty());
        let more = [("bytes", normal, false), ("hyper", normal, false), ("slab", normal, false)];
        assert_eq!(compare(LOCK, &[room(&more)]), ["room depends on slab"]);
        let fewer = [("bytes", normal, false), ("hyper", dev, false)];
        assert_eq!(compare(LOCK, &[room(&fewer)]), ["room does not depend on hyper"]);
    }
}
