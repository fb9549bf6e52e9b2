//! Files of certificates, followed by way of the system's own events.

use std::cell::Cell;
use std::rc::Rc;

use ropewalk_deferred::{Deferred, Failure, Rest, gather};
use ropewalk_files::{FileEvent, FilePath, FileWatcher, Notifier, WatchOptions};
use ropewalk_protocol::{Clock, Readiness, Threads};
use ropewalk_tls::{FollowFiles, Followed, FollowedFolder, Following};

/// Tells of changes to files as the system does.
pub(crate) struct Notified(Notifier);

impl Notified {
    /// What tells of changes on this loop; nothing, where the system has no more of it.
    pub(crate) fn on<L>(event_loop: L) -> Option<Rc<dyn FollowFiles>>
    where
        L: Readiness + Clock + Threads + 'static,
    {
        match Notifier::new(event_loop) {
            Ok(notifier) => Some(Rc::new(Self(notifier))),
            Err(failure) => {
                tracing::debug!(
                    target: "ropewalk::endpoint",
                    "changes of files are looked for, as they are not told of: {failure}",
                );
                None
            }
        }
    }
}

impl FollowFiles for Notified {
    fn follow(
        &self,
        folders: &[FollowedFolder],
        told: Rc<dyn Fn(Followed)>,
    ) -> Deferred<Following> {
        let is_lost = Rc::new(Cell::new(false));
        let watches = folders.iter().map(|folder| {
            let (told, is_lost) = (Rc::clone(&told), Rc::clone(&is_lost));
            let names = folder.names.clone();
            let hears = move |event| {
                let of_interest = |path: &FilePath| {
                    names.as_ref().is_none_or(|names| names.contains(path.name()))
                };
                match event {
                    FileEvent::Created { path, .. }
                    | FileEvent::Changed { path }
                    | FileEvent::Written { path }
                    | FileEvent::Attributes { path }
                    | FileEvent::Removed { path, .. } => {
                        if of_interest(&path) {
                            told(Followed::Changed);
                        }
                    }
                    FileEvent::Moved { from, to, .. } => {
                        if of_interest(&from) || of_interest(&to) {
                            told(Followed::Changed);
                        }
                    }
                    FileEvent::Ended(_) => {
                        is_lost.set(true);
                        told(Followed::Lost);
                    }
                    // Events were lost, or there is something new to be told: looking tells.
                    _ => told(Followed::Changed),
                }
            };
            let path = FilePath::new(&folder.path);
            self.0.watch(&path, WatchOptions::default(), Box::new(hears))
        });
        gather(watches.collect::<Vec<_>>(), Rest::Cancel).add_callback(move |watches| {
            if is_lost.get() {
                return Err(Failure::new("a folder went away as it was to be followed"));
            }
            Ok(Following::new(move || drop(watches)))
        })
    }
}
