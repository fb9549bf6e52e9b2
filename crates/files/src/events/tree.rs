//! Which folders are watched for whom, and what an event means to each. It asks the system nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::ReadFlags;

use super::scan::Scanned;
use super::{FileEvent, WatchEnding, WatchOptions};
use crate::FilePath;

/// An event as the system tells it.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) number: i32,
    pub(super) what: ReadFlags,
    /// The same for both halves of a move.
    pub(super) cookie: u32,
    pub(super) name: Option<OsString>,
}

/// What is to be done about an event.
pub(super) enum Step {
    Tell(u64, FileEvent),
    End(u64, WatchEnding),
    /// A folder has come, and is to be watched.
    Scan(u64, PathBuf),
    /// Anything may have come and gone.
    ScanAgain(u64),
    /// The system need not tell of this folder any more.
    Forget(i32),
}

/// What a scan was for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A watch begins.
    First,
    /// A folder has come: what is in it is news.
    News,
    /// Events were lost.
    Again,
}

/// A watch.
struct Owner {
    root: FilePath,
    /// The name in the root that is all that is of interest.
    only: Option<PathBuf>,
    options: WatchOptions,
    /// The numbers of its folders, by their ways from the root.
    folders: BTreeMap<PathBuf, i32>,
    /// What was told of as a folder was found to hold it, and of which an event may still come.
    seen: BTreeSet<PathBuf>,
    /// What was moved away, and perhaps only to elsewhere in here.
    moving: Vec<Moving>,
}

struct Moving {
    cookie: u32,
    path: PathBuf,
    is_folder: bool,
}

impl Owner {
    fn at(&self, below: &Path) -> FilePath {
        // The system's names are names.
        self.root.below(below).unwrap_or_else(|_| self.root.clone())
    }

    fn is_of_interest(&self, path: &Path) -> bool {
        self.only.as_deref().is_none_or(|only| only == path)
    }
}

#[derive(Default)]
pub(super) struct Tree {
    owners: BTreeMap<u64, Owner>,
    /// Whose folders the system's numbers stand for, and where they are in each watch.
    places: BTreeMap<i32, Vec<(u64, PathBuf)>>,
}

impl Tree {
    pub(super) fn add(
        &mut self,
        id: u64,
        root: FilePath,
        only: Option<PathBuf>,
        options: WatchOptions,
    ) {
        let folders = BTreeMap::new();
        let owner =
            Owner { root, only, options, folders, seen: BTreeSet::new(), moving: Vec::new() };
        self.owners.insert(id, owner);
    }

    /// Takes a watch away; answers the numbers that nobody needs any more.
    pub(super) fn remove(&mut self, id: u64) -> Vec<i32> {
        let Some(owner) = self.owners.remove(&id) else { return Vec::new() };
        let numbers = owner.folders.into_iter();
        numbers
            .filter(|(below, number)| self.displace(id, below, *number))
            .map(|(_, n)| n)
            .collect()
    }

    /// What is to be scanned of a watch, and how many folders it may still have.
    pub(super) fn scan_of(
        &self,
        id: u64,
        is_again: bool,
    ) -> Option<(FilePath, WatchOptions, usize)> {
        let owner = self.owners.get(&id)?;
        let had = if is_again { 0 } else { owner.folders.len() };
        let room = owner.options.folders_max.saturating_sub(had);
        Some((owner.root.clone(), owner.options.clone(), room))
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.owners.keys().copied().collect()
    }

    pub(super) fn is_moving(&self) -> bool {
        self.owners.values().any(|owner| !owner.moving.is_empty())
    }

    /// All events have been looked at: what is told of from now on is new.
    pub(super) fn caught_up(&mut self) {
        for owner in self.owners.values_mut() {
            owner.seen.clear();
        }
    }

    /// Ends that a number stands for a folder of a watch; true if it stands for none any more.
    fn displace(&mut self, id: u64, below: &Path, number: i32) -> bool {
        let Some(places) = self.places.get_mut(&number) else { return false };
        places.retain(|(owner, path)| *owner != id || path != below);
        if places.is_empty() {
            self.places.remove(&number);
            return true;
        }
        false
    }

    /// Takes in what a scan found.
    pub(super) fn take_in(&mut self, id: u64, scanned: Scanned, purpose: Purpose) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut found = BTreeSet::new();
        for watched in scanned.watched {
            let number = watched.number;
            let Some(owner) = self.owners.get_mut(&id) else {
                if !self.places.contains_key(&number) {
                    steps.push(Step::Forget(number));
                }
                continue;
            };
            found.insert(watched.below.clone());
            if purpose == Purpose::News {
                for (path, is_folder) in watched.held {
                    if owner.is_of_interest(&path) {
                        let path = owner.at(&path);
                        steps.push(Step::Tell(id, FileEvent::Created { path, is_folder }));
                    }
                    owner.seen.insert(path);
                }
            }
            let before = owner.folders.insert(watched.below.clone(), number);
            let places = self.places.entry(number).or_default();
            // It may have been somewhere else when last heard of.
            let moved = places.iter().position(|(of, path)| *of == id && *path != watched.below);
            if let Some((_, path)) = moved.map(|place| places.swap_remove(place))
                && owner.folders.get(&path) == Some(&number)
            {
                owner.folders.remove(&path);
            }
            if !places.iter().any(|(of, _)| *of == id) {
                places.push((id, watched.below.clone()));
            }
            if let Some(before) = before.filter(|before| *before != number)
                && self.displace(id, &watched.below, before)
            {
                steps.push(Step::Forget(before));
            }
        }
        let Some(owner) = self.owners.get(&id) else { return steps };
        for (below, why) in scanned.blind {
            let is_gone = why.is_not_found();
            if purpose == Purpose::Again && below.as_os_str().is_empty() && is_gone {
                steps.push(Step::End(id, WatchEnding::Removed));
                return steps;
            }
            let path = owner.at(&below);
            steps.push(Step::Tell(id, FileEvent::Unwatched { path, why }));
        }
        if purpose == Purpose::Again {
            let gone = |below: &&PathBuf| !found.contains(*below);
            let gone: Vec<_> = owner.folders.keys().filter(gone).cloned().collect();
            for below in gone {
                self.forget_folder(id, &below, &mut steps);
            }
        }
        steps
    }

    /// Whether it is the second half of a move of which the first has come.
    fn ends_move(&self, raw: &Raw) -> bool {
        let moving = self.owners.values().flat_map(|owner| &owner.moving);
        raw.what.contains(ReadFlags::MOVED_TO) && moving.into_iter().any(|m| m.cookie == raw.cookie)
    }

    /// What an event means. The other half of a move is taken first, out of those that follow; if it is not
    /// there either, what was moved away has left before this happened.
    pub(super) fn handle(&mut self, raw: &Raw, rest: &mut VecDeque<Raw>) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.is_moving() && !self.ends_move(raw) {
            let other = rest.iter().position(|other| self.ends_move(other));
            if let Some(other) = other.and_then(|at| rest.remove(at)) {
                steps = self.meaning(&other);
            }
            steps.extend(self.end_moves());
        }
        steps.extend(self.meaning(raw));
        steps
    }

    fn meaning(&mut self, raw: &Raw) -> Vec<Step> {
        let mut steps = Vec::new();
        if raw.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            steps = self.end_moves();
            for id in self.ids() {
                steps.push(Step::Tell(id, FileEvent::Overflow));
                steps.push(Step::ScanAgain(id));
            }
            return steps;
        }
        let Some(places) = self.places.get(&raw.number).cloned() else { return steps };
        if raw.what.contains(ReadFlags::IGNORED) {
            self.places.remove(&raw.number);
        }
        for (id, folder) in places {
            let is_root = folder.as_os_str().is_empty();
            let Some(owner) = self.owners.get_mut(&id) else { continue };
            let is = |flags: ReadFlags| raw.what.intersects(flags);
            if is(ReadFlags::IGNORED) && owner.folders.get(&folder) == Some(&raw.number) {
                owner.folders.remove(&folder);
            }
            if is_root && is(ReadFlags::UNMOUNT) {
                steps.push(Step::End(id, WatchEnding::Unmounted));
            } else if is_root && is(ReadFlags::DELETE_SELF | ReadFlags::IGNORED) {
                steps.push(Step::End(id, WatchEnding::Removed));
            } else if is_root && is(ReadFlags::MOVE_SELF) {
                steps.push(Step::End(id, WatchEnding::Moved));
            } else if let Some(name) = &raw.name {
                self.named(id, folder.join(name), raw, &mut steps);
            } else if is_root && is(ReadFlags::ATTRIB) && owner.only.is_none() {
                let path = owner.root.clone();
                steps.push(Step::Tell(id, FileEvent::Attributes { path }));
            }
        }
        steps
    }

    /// Something happened to what a folder holds.
    fn named(&mut self, id: u64, below: PathBuf, raw: &Raw, steps: &mut Vec<Step>) {
        let Some(owner) = self.owners.get_mut(&id) else { return };
        let is = |flags: ReadFlags| raw.what.intersects(flags);
        let is_folder = is(ReadFlags::ISDIR);
        let path = owner.at(&below);
        let was_seen = owner.seen.contains(&below);
        if is(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            owner.seen.remove(&below);
        }
        if is(ReadFlags::MOVED_FROM) {
            owner.moving.push(Moving { cookie: raw.cookie, path: below, is_folder });
            return;
        }
        let from = owner.moving.iter().position(|moving| moving.cookie == raw.cookie);
        if let Some(from) = from.filter(|_| is(ReadFlags::MOVED_TO)) {
            let from = owner.moving.swap_remove(from);
            if owner.is_of_interest(&from.path) || owner.is_of_interest(&below) {
                let from = owner.at(&from.path);
                steps.push(Step::Tell(id, FileEvent::Moved { from, to: path, is_folder }));
            }
            return self.move_folders(id, &from.path, &below);
        }
        let is_of_interest = owner.is_of_interest(&below);
        let event = if is(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            if was_seen {
                // It was told of when its folder was found to hold it.
                owner.seen.remove(&below);
                return;
            }
            if is_folder && owner.options.is_recursive {
                if is_of_interest {
                    steps.push(Step::Tell(id, FileEvent::Created { path, is_folder }));
                }
                steps.push(Step::Scan(id, below));
                return;
            }
            FileEvent::Created { path, is_folder }
        } else if is(ReadFlags::DELETE) {
            FileEvent::Removed { path, is_folder }
        } else if is(ReadFlags::MODIFY) {
            FileEvent::Changed { path }
        } else if is(ReadFlags::CLOSE_WRITE) {
            FileEvent::Written { path }
        } else if is(ReadFlags::ATTRIB) {
            FileEvent::Attributes { path }
        } else {
            return;
        };
        if is_of_interest {
            steps.push(Step::Tell(id, event));
        }
    }

    /// What was moved away and did not come back has left.
    pub(super) fn end_moves(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for id in self.ids() {
            let Some(owner) = self.owners.get_mut(&id) else { continue };
            for moving in std::mem::take(&mut owner.moving) {
                let Some(owner) = self.owners.get(&id) else { continue };
                if owner.is_of_interest(&moving.path) {
                    let (path, is_folder) = (owner.at(&moving.path), moving.is_folder);
                    steps.push(Step::Tell(id, FileEvent::Removed { path, is_folder }));
                }
                for below in owner.folders_in(&moving.path) {
                    self.forget_folder(id, &below, &mut steps);
                }
            }
        }
        steps
    }

    fn forget_folder(&mut self, id: u64, below: &Path, steps: &mut Vec<Step>) {
        let Some(owner) = self.owners.get_mut(&id) else { return };
        let Some(number) = owner.folders.remove(below) else { return };
        if self.displace(id, below, number) {
            steps.push(Step::Forget(number));
        }
    }

    /// A folder, and with it all in it, is somewhere else.
    fn move_folders(&mut self, id: u64, from: &Path, to: &Path) {
        let Some(owner) = self.owners.get_mut(&id) else { return };
        for old in owner.folders_in(from) {
            let (Some(number), Ok(below)) = (owner.folders.remove(&old), old.strip_prefix(from))
            else {
                continue;
            };
            let new = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            for place in self.places.get_mut(&number).into_iter().flatten() {
                if place.0 == id && place.1 == old {
                    place.1.clone_from(&new);
                }
            }
            owner.folders.insert(new, number);
        }
    }
}

impl Owner {
    /// The ways of a folder and of those in it that are watched.
    fn folders_in(&self, folder: &Path) -> Vec<PathBuf> {
        let from = self.folders.range(folder.to_owned()..).map(|(below, _)| below);
        from.take_while(|below| below.starts_with(folder)).cloned().collect()
    }
}
