//! Descriptors of others, watched for them.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::error::Error;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Descriptor, Readable, Readiness, Watching};

use crate::Reactor;
use crate::inner::{Entry, Inner, Request};
use crate::reactor::guard;
use crate::sys::os::{self, Fingerprint};
use crate::sys::{Closing, Driver, Role};

type Told = Box<dyn FnMut(Result<(), WatchEnd>)>;

/// A descriptor that a reactor watches; dropping this ends it.
///
/// It comes from [`Reactor::add_reader`] and [`Reactor::add_writer`].
#[must_use = "a watch ends when it is dropped"]
pub struct Watch {
    inner: Weak<Inner>,
    key: usize,
    id: u64,
}

/// Why a descriptor is watched no more.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEnd {
    /// Its owner has closed it, and perhaps the number is another's by now.
    Closed,
    /// The reactor stopped.
    Stopped,
    /// The system will not watch it.
    Failed(io::Error),
}

impl fmt::Display for WatchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the descriptor that was watched has been closed",
            Self::Stopped => "the reactor stopped",
            Self::Failed(_) => "the descriptor cannot be watched",
        })
    }
}

impl Error for WatchEnd {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Closed | Self::Stopped => None,
            Self::Failed(error) => Some(error),
        }
    }
}

/// A descriptor could not be taken in to be watched.
#[derive(Debug)]
pub struct CannotWatch {
    /// Its number.
    pub descriptor: RawFd,
    /// What the system said: that it is no descriptor, or that no other is left.
    pub error: io::Error,
}

impl fmt::Display for CannotWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot watch descriptor {}", self.descriptor)
    }
}

impl Error for CannotWatch {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// What is known of a watched descriptor.
pub(crate) struct Foreign {
    /// Tells this watch from others that used its key.
    id: u64,
    /// Out while it is being called.
    told: Option<Told>,
    /// The owner's own descriptor, if it is somebody's.
    original: Option<Fingerprint>,
    /// The driver has it: there is something to wait for.
    is_watched: bool,
    is_paused: bool,
}

impl Reactor {
    /// Calls `told` whenever `descriptor` has something to read: a pipe, a terminal, an event counter,
    /// a socket of another library.
    ///
    /// It is told with `Ok` once in each turn for as long as there is something to read, the end of
    /// what can be read and a failure included: reading shows which. What the system never lets one
    /// wait for, such as a file on a disk, is ready in every turn. With `Err` it is told last, and once:
    /// the descriptor is watched no more. A panic ends the watch as well.
    ///
    /// The reactor watches a duplicate, so nobody is harmed when the owner closes the descriptor first;
    /// but its other end does not hear of that before the watch ends, which is at the next event or when
    /// it is dropped.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::io::{Read, Write};
    /// use std::rc::Rc;
    /// use std::time::Duration;
    /// use ropewalk_reactor::Reactor;
    ///
    /// let reactor = Reactor::new()?;
    /// let (mut reader, mut writer) = std::io::pipe()?;
    /// let (heard, copy) = (Rc::new(Cell::new(0)), reader.try_clone()?);
    /// let hears = Rc::clone(&heard);
    /// let watch = reactor.add_reader(&copy, move |ready| {
    ///     if ready.is_ok() {
    ///         let mut byte = [0];
    ///         reader.read_exact(&mut byte).unwrap();
    ///         hears.set(byte[0]);
    ///     }
    /// })?;
    /// writer.write_all(&[7])?;
    /// while heard.get() == 0 {
    ///     reactor.turn(Duration::from_secs(1))?;
    /// }
    /// drop(watch);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is no open descriptor, or no other is left.
    pub fn add_reader(
        &self,
        descriptor: &impl AsFd,
        told: impl FnMut(Result<(), WatchEnd>) + 'static,
    ) -> Result<Watch, CannotWatch> {
        self.add_watch(descriptor.as_fd(), Role::Watch, Box::new(told))
    }

    /// Calls `told` whenever something can be written to `descriptor`; everything else is as with
    /// [`add_reader`](Self::add_reader).
    ///
    /// # Errors
    ///
    /// If it is no open descriptor, or no other is left.
    pub fn add_writer(
        &self,
        descriptor: &impl AsFd,
        told: impl FnMut(Result<(), WatchEnd>) + 'static,
    ) -> Result<Watch, CannotWatch> {
        self.add_watch(descriptor.as_fd(), Role::WatchOutput, Box::new(told))
    }

    fn add_watch(
        &self,
        descriptor: BorrowedFd<'_>,
        role: Role,
        told: Told,
    ) -> Result<Watch, CannotWatch> {
        let own = || {
            let own = descriptor.try_clone_to_owned()?;
            Ok((Fingerprint::of(descriptor)?, own))
        };
        let (original, own) =
            own().map_err(|error| CannotWatch { descriptor: descriptor.as_raw_fd(), error })?;
        let inner = self.inner();
        let id = inner.next_id();
        let told = Some(told);
        let foreign =
            Foreign { id, told, original: Some(original), is_watched: false, is_paused: false };
        let key = inner.entries.borrow_mut().insert(Entry::Foreign(Box::new(foreign)));
        inner.request(Request::Watch { key, id, own, role });
        Ok(Watch { inner: Rc::downgrade(inner), key, id })
    }
}

impl Readiness for Reactor {
    #[cfg(unix)]
    fn tell_readable(
        &self,
        descriptor: Descriptor,
        mut told: Box<dyn FnMut(Result<(), Failure>)>,
    ) -> Result<Readable, Failure> {
        let inner = self.inner();
        if inner.carrier.platform().is_some() {
            return Err(io::Error::from(io::ErrorKind::Unsupported).into());
        }
        let id = inner.next_id();
        let told: Told = Box::new(move |ready| told(ready.map_err(Failure::from)));
        let foreign =
            Foreign { id, told: Some(told), original: None, is_watched: false, is_paused: false };
        let key = inner.entries.borrow_mut().insert(Entry::Foreign(Box::new(foreign)));
        inner.request(Request::Watch { key, id, own: descriptor.into(), role: Role::Watch });
        Ok(Readable::new(Watch { inner: Rc::downgrade(inner), key, id }))
    }

    #[cfg(not(unix))]
    fn tell_readable(
        &self,
        _: Descriptor,
        _: Box<dyn FnMut(Result<(), Failure>)>,
    ) -> Result<Readable, Failure> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }
}

impl Watching for Watch {
    fn set_paused(&self, paused: bool) {
        self.change_paused(paused);
    }
}

impl Watch {
    /// Asks the descriptor that is watched, while the driver has it.
    #[cfg(unix)]
    pub(crate) fn with_descriptor<T>(&self, ask: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let inner = self.inner.upgrade()?;
        let is_watched = inner.with_foreign(self.key, self.id, |foreign| foreign.is_watched);
        if is_watched == Some(true) { inner.sockets.with(self.key, ask) } else { None }
    }

    /// Stops telling, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.change_paused(true);
    }

    /// Goes on telling.
    pub fn resume(&self) {
        self.change_paused(false);
    }

    /// Whether the descriptor is watched, be it paused or not; false once an end was told.
    pub fn is_active(&self) -> bool {
        self.inner
            .upgrade()
            .is_some_and(|inner| inner.with_foreign(self.key, self.id, |_| ()).is_some())
    }

    fn change_paused(&self, paused: bool) {
        let Some(inner) = self.inner.upgrade() else { return };
        let (key, id) = (self.key, self.id);
        let changed = inner.with_foreign(key, id, |foreign| {
            std::mem::replace(&mut foreign.is_paused, paused) != paused
        });
        if changed == Some(true) {
            inner.request(Request::ChangeWatch { key, id });
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let (key, id) = (self.key, self.id);
        // It is not told any more from here on, whenever the driver lets go of the descriptor.
        let Some(told) = inner.with_foreign(key, id, |foreign| {
            foreign.is_paused = true;
            foreign.told.take()
        }) else {
            return;
        };
        if let Ok(mut driver) = inner.driver.try_borrow_mut() {
            inner.end_watch(&mut **driver, key, id);
        } else {
            inner.request(Request::EndWatch { key, id });
        }
        drop(told);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("active", &self.is_active()).finish_non_exhaustive()
    }
}

impl Inner {
    fn with_foreign<T>(
        &self,
        key: usize,
        id: u64,
        look: impl FnOnce(&mut Foreign) -> T,
    ) -> Option<T> {
        match self.entries.borrow_mut().get_mut(key) {
            Some(Entry::Foreign(foreign)) if foreign.id == id => Some(look(foreign)),
            _ => None,
        }
    }

    /// Which watch has this key.
    pub(crate) fn watch_of(&self, key: usize) -> Option<u64> {
        match self.entries.borrow().get(key) {
            Some(Entry::Foreign(foreign)) => Some(foreign.id),
            _ => None,
        }
    }

    /// Watches a descriptor that nobody else has, and which is closed with the watch.
    #[cfg(unix)]
    pub(crate) fn watch_own(
        self: &Rc<Self>,
        driver: &mut dyn Driver,
        own: OwnedFd,
        told: impl FnMut(Result<(), WatchEnd>) + 'static,
    ) -> io::Result<Watch> {
        let id = self.next_id();
        let told: Told = Box::new(told);
        let foreign =
            Foreign { id, told: Some(told), original: None, is_watched: true, is_paused: false };
        let key = self.entries.borrow_mut().insert(Entry::Foreign(Box::new(foreign)));
        // From here on dropping it takes everything back.
        let watch = Watch { inner: Rc::downgrade(self), key, id };
        if let Err(error) = driver.open(key, own.into(), Role::Watch) {
            self.end_watch(driver, key, id);
            return Err(error);
        }
        Ok(watch)
    }

    /// The same for room to write to it, as soon as the driver is free.
    #[cfg(unix)]
    pub(crate) fn watch_own_output(
        self: &Rc<Self>,
        own: OwnedFd,
        told: impl FnMut(Result<(), WatchEnd>) + 'static,
    ) -> Watch {
        let id = self.next_id();
        let told: Told = Box::new(told);
        let foreign =
            Foreign { id, told: Some(told), original: None, is_watched: false, is_paused: false };
        let key = self.entries.borrow_mut().insert(Entry::Foreign(Box::new(foreign)));
        self.request(Request::Watch { key, id, own, role: Role::WatchOutput });
        Watch { inner: Rc::downgrade(self), key, id }
    }

    /// Has the driver watch a descriptor.
    pub(crate) fn start_watch(
        &self,
        driver: &mut dyn Driver,
        key: usize,
        id: u64,
        own: OwnedFd,
        role: Role,
    ) {
        let Some(is_paused) = self.with_foreign(key, id, |foreign| foreign.is_paused) else {
            return;
        };
        let opened = driver.open(key, own.into(), role).and_then(|()| {
            // The owner has it as well: closing this one will not end it.
            driver.share(key);
            if is_paused { driver.set_reading(key, false) } else { Ok(()) }
        });
        match opened {
            Ok(()) => {
                self.with_foreign(key, id, |foreign| foreign.is_watched = true);
            }
            // There is no waiting for it, as it is always ready.
            Err(error) if os::is_always_ready(&error) => {
                driver.close(key, Closing::InOrder);
                if !is_paused {
                    self.always_ready.borrow_mut().push((key, id));
                    self.carrier.set_stirred(true);
                }
            }
            Err(error) => self.lose_watch(driver, key, id, WatchEnd::Failed(error)),
        }
    }

    /// Goes on watching, or stops, as was asked for meanwhile.
    pub(crate) fn change_watch(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        let state = |foreign: &mut Foreign| (foreign.is_watched, foreign.is_paused);
        let Some((is_watched, is_paused)) = self.with_foreign(key, id, state) else { return };
        if is_watched {
            if let Err(error) = driver.set_reading(key, !is_paused) {
                self.lose_watch(driver, key, id, WatchEnd::Failed(error));
            }
            return;
        }
        let mut always = self.always_ready.borrow_mut();
        always.retain(|other| *other != (key, id));
        if !is_paused {
            always.push((key, id));
            self.carrier.set_stirred(true);
        }
    }

    /// Tells those that are ready in every turn.
    pub(crate) fn tell_always_ready(&self, driver: &mut dyn Driver) {
        if self.always_ready.borrow().is_empty() {
            return;
        }
        let always = self.always_ready.borrow().clone();
        for (key, id) in always {
            self.tell_watch(driver, key, id);
        }
    }

    /// A watched descriptor is ready.
    pub(crate) fn tell_watch(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        let taken = self.with_foreign(key, id, |foreign| {
            if foreign.is_paused { None } else { Some((foreign.told.take()?, foreign.original)) }
        });
        let Some((mut told, original)) = taken.flatten() else { return };
        if original.is_some_and(|original| !original.is_still_open()) {
            self.with_foreign(key, id, |foreign| foreign.told = Some(told));
            return self.lose_watch(driver, key, id, WatchEnd::Closed);
        }
        let survived = guard("who watches a descriptor", || told(Ok(())));
        // Dropped meanwhile, its handle has asked for the rest.
        if survived {
            self.with_foreign(key, id, |foreign| foreign.told = Some(told));
        } else {
            self.end_watch(driver, key, id);
        }
    }

    /// Ends a watch and says why.
    pub(crate) fn lose_watch(&self, driver: &mut dyn Driver, key: usize, id: u64, why: WatchEnd) {
        let told = self.with_foreign(key, id, |foreign| foreign.told.take()).flatten();
        self.end_watch(driver, key, id);
        if let Some(mut told) = told {
            guard("who watches a descriptor", || told(Err(why)));
        }
    }

    /// A driver can make nothing of what it has under a key any more.
    pub(crate) fn failed(&self, driver: &mut dyn Driver, key: usize, error: io::Error) {
        match self.watch_of(key) {
            Some(id) => self.lose_watch(driver, key, id, WatchEnd::Failed(error)),
            None if self.is_lingering(key) => self.end_lingering(driver, key),
            None => self.lose_failed(driver, key, &error),
        }
    }

    /// Ends a watch, if it is still the one that was meant.
    pub(crate) fn end_watch(&self, driver: &mut dyn Driver, key: usize, id: u64) {
        if self.watch_of(key) != Some(id) {
            return;
        }
        driver.close(key, Closing::InOrder);
        self.always_ready.borrow_mut().retain(|other| *other != (key, id));
        drop(self.take_entry(key));
        self.feed_the_starving(driver);
    }
}
