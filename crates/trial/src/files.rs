//! Files that are none, and what happens to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ropewalk_deferred::Deferred;
use ropewalk_files::{
    AtomicWrite, FileError, FileEvent, FileKind, FilePath, FileSystem, FileWatch, FileWatcher,
    Metadata, Told, WatchEnding, WatchOptions,
};

/// Files and folders in memory, and whoever watches them. Clones are the same.
///
/// They are a [`FileSystem`] and a [`FileWatcher`] as those of a machine are: operations have their results at
/// once, and watches are told of what an operation changes before it has returned.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use ropewalk_files::{AtomicWrite, FilePath, FileSystem, FileWatcher, WatchOptions};
/// use ropewalk_trial::MemoryFiles;
///
/// let files = MemoryFiles::new();
/// files.put("/etc/service/config", "old");
/// let config = FilePath::new("/etc/service").child("config")?;
/// let changes = Rc::new(Cell::new(0));
/// let counts = Rc::clone(&changes);
/// let told = Box::new(move |_| counts.set(counts.get() + 1));
/// let watch = files.watch(&config, WatchOptions::default(), told);
/// let _watch = watch.now_or_never().unwrap()?;
/// let written = files.write_atomically(&config, "new".into(), &AtomicWrite::default());
/// written.now_or_never().unwrap()?;
/// assert_eq!(files.content("/etc/service/config").unwrap(), b"new");
/// assert_eq!(changes.get(), 1);
///
/// files.fail_next(std::io::ErrorKind::StorageFull);
/// let written = files.write_atomically(&config, "more".into(), &AtomicWrite::default());
/// assert!(written.now_or_never().unwrap().is_err());
/// assert_eq!(files.content("/etc/service/config").unwrap(), b"new");
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryFiles(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    nodes: BTreeMap<PathBuf, Node>,
    watches: BTreeMap<u64, Watched>,
    /// What the next operations fail with.
    failures: Vec<io::ErrorKind>,
    /// How often anything changed: a clock that is different each time.
    changes: u64,
}

/// What is at a path.
#[derive(Clone)]
struct Node {
    /// None of a folder.
    content: Option<Vec<u8>>,
    mode: u32,
    changed: u64,
}

struct Watched {
    root: FilePath,
    /// The name in the root that is all that is of interest.
    only: Option<PathBuf>,
    is_recursive: bool,
    /// Out while it is called.
    told: Option<Told>,
}

/// Something that happened, for everybody.
enum Happened {
    Created(PathBuf, bool),
    Changed(PathBuf),
    Written(PathBuf),
    Removed(PathBuf, bool),
    Moved(PathBuf, PathBuf, bool),
    /// It is in a folder that was moved from the first to the second place.
    Came(PathBuf, PathBuf, PathBuf, bool),
}

impl MemoryFiles {
    /// No file, and no folder but the root.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a file, and the folders that it is in, without a word to anybody.
    pub fn put(&self, path: impl AsRef<Path>, content: impl Into<Vec<u8>>) {
        let path = path.as_ref();
        let mut state = self.0.borrow_mut();
        for folder in path.ancestors().skip(1) {
            if !state.nodes.contains_key(folder) {
                state.insert(folder.to_owned(), None, 0o755);
            }
        }
        state.insert(path.to_owned(), Some(content.into()), 0o644);
    }

    /// What a file holds, if there is one.
    pub fn content(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        self.0.borrow().nodes.get(path.as_ref())?.content.clone()
    }

    /// All files and folders, by name.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.0.borrow().nodes.keys().cloned().collect()
    }

    /// Has the next operation fail so; several are for as many operations, in order.
    pub fn fail_next(&self, kind: io::ErrorKind) {
        self.0.borrow_mut().failures.push(kind);
    }

    /// Tells all watches that events were lost.
    pub fn overflow(&self) {
        self.tell_all(|_| Some(FileEvent::Overflow));
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.0.borrow().watches.len()
    }

    fn act<T: 'static>(
        &self,
        doing: &'static str,
        path: &FilePath,
        act: impl FnOnce(&mut State, &mut Vec<Happened>) -> Result<T, io::ErrorKind>,
    ) -> Deferred<T> {
        let mut happened = Vec::new();
        let mut state = self.0.borrow_mut();
        let failure = (!state.failures.is_empty()).then(|| state.failures.remove(0));
        let acted = failure.map_or_else(|| act(&mut state, &mut happened), Err);
        drop(state);
        for event in &happened {
            self.tell(event);
        }
        Deferred::ready(acted.map_err(|kind| {
            FileError::System { doing, path: path.path(), error: kind.into() }.into()
        }))
    }

    fn tell(&self, event: &Happened) {
        self.tell_all(|watched| watched.event(event));
        // What is watched itself may be gone.
        let ending = |root: &Path| match event {
            Happened::Removed(path, _) => (path == root).then_some(WatchEnding::Removed),
            Happened::Moved(from, ..) => root.starts_with(from).then_some(WatchEnding::Moved),
            _ => None,
        };
        let state = self.0.borrow();
        let roots = state.watches.iter().map(|(id, watched)| (*id, watched.root.path()));
        let ended: Vec<_> = roots.filter_map(|(id, root)| Some((id, ending(&root)?))).collect();
        drop(state);
        for (id, why) in ended {
            let watched = self.0.borrow_mut().watches.remove(&id);
            if let Some(mut told) = watched.and_then(|watched| watched.told) {
                told(FileEvent::Ended(why));
            }
        }
    }

    fn tell_all(&self, event: impl Fn(&Watched) -> Option<FileEvent>) {
        let ids: Vec<u64> = self.0.borrow().watches.keys().copied().collect();
        for id in ids {
            let mut state = self.0.borrow_mut();
            let Some(watched) = state.watches.get_mut(&id) else { continue };
            let Some(event) = event(watched) else { continue };
            let Some(mut told) = watched.told.take() else { continue };
            drop(state);
            told(event);
            // Unless it has ended its watch meanwhile.
            if let Some(watched) = self.0.borrow_mut().watches.get_mut(&id) {
                watched.told = Some(told);
            }
        }
    }
}

impl State {
    fn insert(&mut self, path: PathBuf, content: Option<Vec<u8>>, mode: u32) {
        self.changes += 1;
        let changed = self.changes;
        self.nodes.insert(path, Node { content, mode, changed });
    }

    fn is_folder(&self, path: &Path) -> bool {
        path.parent().is_none() || self.nodes.get(path).is_some_and(|node| node.content.is_none())
    }

    fn folder_around(&self, path: &Path) -> Result<(), io::ErrorKind> {
        match path.parent() {
            Some(parent) if self.is_folder(parent) => Ok(()),
            Some(parent) if self.nodes.contains_key(parent) => Err(io::ErrorKind::NotADirectory),
            _ => Err(io::ErrorKind::NotFound),
        }
    }

    fn file(&self, path: &Path) -> Result<&Vec<u8>, io::ErrorKind> {
        let node = self.nodes.get(path).ok_or(io::ErrorKind::NotFound)?;
        node.content.as_ref().ok_or(io::ErrorKind::IsADirectory)
    }

    /// A path and all that is in it.
    fn within(&self, path: &Path) -> Vec<PathBuf> {
        let from = self.nodes.range(path.to_owned()..).map(|(found, _)| found);
        from.take_while(|found| found.starts_with(path)).cloned().collect()
    }
}

impl Watched {
    fn is_of_interest(&self, path: &Path) -> bool {
        let root = self.root.path();
        let Ok(below) = path.strip_prefix(&root) else { return false };
        match &self.only {
            Some(only) => below == only,
            None if self.is_recursive => !below.as_os_str().is_empty(),
            None => below.components().count() == 1,
        }
    }

    fn at(&self, path: &Path) -> FilePath {
        let below = path.strip_prefix(self.root.path()).unwrap_or(Path::new(""));
        self.root.below(below).unwrap_or_else(|_| self.root.clone())
    }

    fn event(&self, happened: &Happened) -> Option<FileEvent> {
        let found = |path: &Path| self.is_of_interest(path).then(|| self.at(path));
        Some(match happened {
            Happened::Created(path, is_folder) => {
                FileEvent::Created { path: found(path)?, is_folder: *is_folder }
            }
            Happened::Changed(path) => FileEvent::Changed { path: found(path)? },
            Happened::Written(path) => FileEvent::Written { path: found(path)? },
            Happened::Removed(path, is_folder) => {
                FileEvent::Removed { path: found(path)?, is_folder: *is_folder }
            }
            // To who knows where it was, it is no news.
            Happened::Came(from, to, path, is_folder) => {
                let is_news = self.is_recursive && found(from).is_none() && found(to).is_some();
                let path = found(path).filter(|_| is_news)?;
                FileEvent::Created { path, is_folder: *is_folder }
            }
            Happened::Moved(from, to, is_folder) => {
                let is_folder = *is_folder;
                match (found(from), found(to)) {
                    (Some(from), Some(to)) => FileEvent::Moved { from, to, is_folder },
                    // Of one file, also what it was called before.
                    (None, Some(to))
                        if self.only.is_some() && from.parent() == to.path().parent() =>
                    {
                        FileEvent::Moved { from: self.at(from), to, is_folder }
                    }
                    (None, Some(path)) => FileEvent::Created { path, is_folder },
                    (Some(path), None) => FileEvent::Removed { path, is_folder },
                    (None, None) => return None,
                }
            }
        })
    }
}

impl FileSystem for MemoryFiles {
    fn read(&self, path: &FilePath, bytes_max: usize) -> Deferred<Vec<u8>> {
        let place = path.path();
        let too_long = place.clone();
        let read = self.act("reading", path, move |state, _| state.file(&place).cloned());
        read.add_callback(move |content| {
            if content.len() > bytes_max {
                return Err(FileError::TooLong { path: too_long, bytes_max });
            }
            Ok(content)
        })
    }

    fn write_atomically(&self, path: &FilePath, content: Bytes, how: &AtomicWrite) -> Deferred<()> {
        let (place, asked) = (path.path(), how.mode_asked());
        self.act("replacing", path, move |state, happened| {
            state.folder_around(&place)?;
            if state.is_folder(&place) {
                return Err(io::ErrorKind::IsADirectory);
            }
            let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let beside = place.with_file_name(format!(".{name}.{:016x}.new", state.changes));
            let kept = state.nodes.get(&place).map_or(0o644, |node| node.mode);
            happened.push(Happened::Created(beside.clone(), false));
            if !content.is_empty() {
                happened.push(Happened::Changed(beside.clone()));
            }
            happened.push(Happened::Written(beside.clone()));
            happened.push(Happened::Moved(beside, place.clone(), false));
            state.insert(place, Some(content.to_vec()), asked.unwrap_or(kept));
            Ok(())
        })
    }

    fn metadata(&self, path: &FilePath) -> Deferred<Metadata> {
        let place = path.path();
        self.act("looking at", path, move |state, _| {
            if place.parent().is_none() {
                return Ok(Metadata::new(FileKind::Folder, 0, 0o755, SystemTime::UNIX_EPOCH));
            }
            let node = state.nodes.get(&place).ok_or(io::ErrorKind::NotFound)?;
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(node.changed);
            let (kind, length) = match &node.content {
                Some(content) => (FileKind::File, content.len() as u64),
                None => (FileKind::Folder, 0),
            };
            Ok(Metadata::new(kind, length, node.mode, modified))
        })
    }

    fn children(&self, folder: &FilePath) -> Deferred<Vec<FilePath>> {
        let (place, parent) = (folder.path(), folder.clone());
        self.act("listing", folder, move |state, _| {
            if !state.is_folder(&place) {
                state.file(&place)?;
                return Err(io::ErrorKind::NotADirectory);
            }
            let found = state.nodes.keys().filter(|path| path.parent() == Some(&place));
            Ok(found.filter_map(|path| parent.child(path.file_name()?).ok()).collect())
        })
    }

    fn create_folders(&self, folder: &FilePath) -> Deferred<()> {
        let place = folder.path();
        self.act("making the folder", folder, move |state, happened| {
            let mut missing = Vec::new();
            for path in place.ancestors() {
                if state.is_folder(path) {
                    break;
                }
                if state.nodes.contains_key(path) {
                    return Err(io::ErrorKind::NotADirectory);
                }
                missing.push(path.to_owned());
            }
            for path in missing.into_iter().rev() {
                state.insert(path.clone(), None, 0o755);
                happened.push(Happened::Created(path, true));
            }
            Ok(())
        })
    }

    fn move_to(&self, from: &FilePath, to: &FilePath) -> Deferred<()> {
        let (old, new) = (from.path(), to.path());
        self.act("moving", from, move |state, happened| {
            let node = state.nodes.get(&old).ok_or(io::ErrorKind::NotFound)?;
            let is_folder = node.content.is_none();
            state.folder_around(&new)?;
            if new.starts_with(&old) && new != old {
                return Err(io::ErrorKind::InvalidInput);
            }
            match state.nodes.get(&new) {
                Some(target) if target.content.is_none() != is_folder => {
                    let kinds = [io::ErrorKind::IsADirectory, io::ErrorKind::NotADirectory];
                    return Err(kinds[usize::from(is_folder)]);
                }
                Some(_) if is_folder && state.within(&new).len() > 1 => {
                    return Err(io::ErrorKind::DirectoryNotEmpty);
                }
                _ => (),
            }
            happened.push(Happened::Moved(old.clone(), new.clone(), is_folder));
            for path in state.within(&old) {
                let Ok(below) = path.strip_prefix(&old) else { continue };
                let place = if path == old { new.clone() } else { new.join(below) };
                if let Some(node) = state.nodes.remove(&path) {
                    if place != new {
                        let is_folder = node.content.is_none();
                        let (from, to) = (old.clone(), new.clone());
                        happened.push(Happened::Came(from, to, place.clone(), is_folder));
                    }
                    state.nodes.insert(place, node);
                }
            }
            Ok(())
        })
    }

    fn remove(&self, path: &FilePath) -> Deferred<()> {
        let place = path.path();
        self.act("removing", path, move |state, happened| {
            if !state.nodes.contains_key(&place) {
                return Err(io::ErrorKind::NotFound);
            }
            // What is deepest goes first.
            for path in state.within(&place).into_iter().rev() {
                let node = state.nodes.remove(&path);
                let is_folder = node.is_some_and(|node| node.content.is_none());
                happened.push(Happened::Removed(path, is_folder));
            }
            Ok(())
        })
    }
}

impl FileWatcher for MemoryFiles {
    fn watch(&self, path: &FilePath, options: WatchOptions, told: Told) -> Deferred<FileWatch> {
        let (place, asked) = (path.path(), path.clone());
        let files = Rc::downgrade(&self.0);
        self.act("watching", path, move |state, _| {
            let (root, only) = if state.is_folder(&place) {
                (asked, None)
            } else {
                state.folder_around(&place)?;
                (asked.parent(), Some(PathBuf::from(asked.name())))
            };
            state.changes += 1;
            let id = state.changes;
            let is_recursive = options.is_recursive();
            let watched = Watched { root, only, is_recursive, told: Some(told) };
            state.watches.insert(id, watched);
            Ok(FileWatch::new(move || {
                let ended =
                    files.upgrade().and_then(|files| files.borrow_mut().watches.remove(&id));
                drop(ended);
            }))
        })
    }
}

impl fmt::Debug for MemoryFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFiles").field("paths", &self.paths()).finish_non_exhaustive()
    }
}
