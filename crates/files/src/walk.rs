//! Everything that is in a folder, and in the folders in it.

use std::collections::VecDeque;

use crate::path::CHILDREN_MAX;
use crate::{FileError, FileKind, FilePath};

/// How deep a walk goes, unless set.
pub const DEPTH_MAX: usize = 128;

/// How a folder is walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkOptions {
    follows_links: bool,
    depth_max: usize,
    children_max: usize,
}

impl Default for WalkOptions {
    fn default() -> Self {
        Self { follows_links: false, depth_max: DEPTH_MAX, children_max: CHILDREN_MAX }
    }
}

impl WalkOptions {
    /// Goes where links to folders lead, as long as that is below the base; it does not unless set.
    pub fn follow_links(self) -> Self {
        Self { follows_links: true, ..self }
    }

    /// How many folders in one another are gone into; [`DEPTH_MAX`] unless set.
    pub fn depth_max(self, depth_max: usize) -> Self {
        Self { depth_max, ..self }
    }

    /// How many names one folder may hold; [`CHILDREN_MAX`] unless set.
    pub fn children_max(self, children_max: usize) -> Self {
        Self { children_max, ..self }
    }
}

/// Something that a walk came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// Where it is.
    pub path: FilePath,
    /// What it is; a link that was followed is what it leads to.
    pub kind: FileKind,
    /// How many folders it is in, the one walked first counting none.
    pub depth: usize,
}

/// Goes through a folder and all that is in it, blocking: each folder before what it holds, and that by name.
///
/// What cannot be gone into is told of in its place, and the walk goes on. What is removed meanwhile is left
/// out.
#[derive(Debug)]
pub struct Walk {
    options: WalkOptions,
    /// What was found and not gone through, the last level being the deepest.
    levels: Vec<Level>,
    first: Option<FilePath>,
}

#[derive(Debug)]
struct Level {
    left: VecDeque<(FilePath, FileKind)>,
    /// Which folder it is, where links are followed.
    identity: (u64, u64),
}

impl FilePath {
    /// Walks this folder; see [`Walk`]. The folder itself is told of first.
    pub fn walk(&self, options: WalkOptions) -> Walk {
        Walk { options, levels: Vec::new(), first: Some(self.clone()) }
    }
}

impl Walk {
    fn look(&mut self, path: FilePath, kind: FileKind) -> Result<Walked, FileError> {
        let depth = self.levels.len();
        let is_followed = kind == FileKind::Link && self.options.follows_links;
        let kind = match is_followed.then(|| path.metadata()) {
            None => kind,
            Some(Ok(metadata)) => metadata.kind(),
            // It leads nowhere.
            Some(Err(error)) if error.is_not_found() => kind,
            Some(Err(error)) => return Err(error),
        };
        if kind == FileKind::Folder {
            self.enter(&path, depth)?;
        }
        Ok(Walked { path, kind, depth })
    }

    fn enter(&mut self, path: &FilePath, depth: usize) -> Result<(), FileError> {
        if depth == self.options.depth_max {
            return Err(FileError::TooMany { path: path.path(), max: depth });
        }
        let mut identity = (0, 0);
        if self.options.follows_links {
            identity = path.metadata()?.identity();
            if self.levels.iter().any(|level| level.identity == identity) {
                return Err(FileError::Cycle { path: path.path() });
            }
        }
        let left = path.entries(self.options.children_max)?.into();
        self.levels.push(Level { left, identity });
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Result<Walked, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(match first.metadata() {
                Ok(metadata) => self.look(first, metadata.kind()),
                Err(error) => Err(error),
            });
        }
        loop {
            let Some((path, kind)) = self.levels.last_mut()?.left.pop_front() else {
                self.levels.pop();
                continue;
            };
            match self.look(path, kind) {
                // It was removed meanwhile.
                Err(error) if error.is_not_found() => (),
                looked => return Some(looked),
            }
        }
    }
}
