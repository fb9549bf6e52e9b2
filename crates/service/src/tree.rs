//! Several services as one.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::Clock;

use crate::{Doing, Drained, Service, ServiceFailed, StopFailed};

/// Services by name, started in the order in which they were added and stopped in reverse. Clones are the
/// same tree, and a tree may be in another.
///
/// ```
/// use std::cell::RefCell;
/// use std::rc::Rc;
/// use ropewalk_deferred::Deferred;
/// use ropewalk_service::{Service, Tree};
/// use ropewalk_trial::Clock;
///
/// struct Part(&'static str, Rc<RefCell<Vec<String>>>);
/// impl Service for Part {
///     fn start(&self) -> Deferred<()> {
///         self.1.borrow_mut().push(format!("{} starts", self.0));
///         Deferred::succeed(())
///     }
///     fn stop(&self) -> Deferred<()> {
///         self.1.borrow_mut().push(format!("{} stops", self.0));
///         Deferred::succeed(())
///     }
/// }
///
/// let told = Rc::<RefCell<Vec<_>>>::default();
/// let tree = Tree::new(Clock::new());
/// tree.add("database", Part("database", told.clone()))?;
/// tree.add("web", Part("web", told.clone()))?;
/// tree.start().now_or_never().unwrap()?;
/// tree.stop().now_or_never().unwrap()?;
/// let expected = ["database starts", "web starts", "web stops", "database stops"];
/// assert_eq!(*told.borrow(), expected);
/// # Ok::<(), ropewalk_deferred::Failure>(())
/// ```
#[derive(Clone)]
pub struct Tree(Rc<Inner>);

struct Inner {
    clock: Box<dyn Clock>,
    members: RefCell<Vec<Rc<Member>>>,
    state: Cell<State>,
}

struct Member {
    name: String,
    service: Box<dyn Service>,
    state: Cell<State>,
}

/// How far a service is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It does not run, and is not on its way to.
    #[default]
    Stopped,
    /// It has done what wants privileges.
    Prepared,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It takes on nothing new.
    Draining,
    /// It is being stopped.
    Stopping,
    /// It could not be started.
    Failed,
}

/// A service cannot be added, or taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TreeError {
    /// There is one of that name.
    NameTaken(String),
    /// There is none of that name.
    Unknown(String),
    /// The tree is on its way from one state to another.
    Busy(State),
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken(name) => write!(f, "there is a service {name:?} already"),
            Self::Unknown(name) => write!(f, "there is no service {name:?}"),
            Self::Busy(state) => write!(f, "the services are {state:?} just now"),
        }
    }
}

impl Error for TreeError {}

impl Tree {
    /// A tree without services, whose deadlines are on that clock.
    pub fn new(clock: impl Clock + 'static) -> Self {
        let (members, state) = (RefCell::default(), Cell::default());
        Self(Rc::new(Inner { clock: Box::new(clock), members, state }))
    }

    /// Adds a service behind those that are there. In a tree that runs it is started; the deferred tells
    /// when, and if it fails the service is not in the tree.
    ///
    /// # Errors
    ///
    /// If there is one of that name, or the tree is being started or stopped.
    pub fn add(
        &self,
        name: impl Into<String>,
        service: impl Service + 'static,
    ) -> Result<Deferred<()>, TreeError> {
        let name = name.into();
        let inner = &self.0;
        if inner.find(&name).is_some() {
            return Err(TreeError::NameTaken(name));
        }
        let state = inner.state.get();
        if !is_settled(state) {
            return Err(TreeError::Busy(state));
        }
        let member = Rc::new(Member { name, service: Box::new(service), state: Cell::default() });
        inner.members.borrow_mut().push(Rc::clone(&member));
        if state != State::Running {
            return Ok(Deferred::succeed(()));
        }
        let starting = Rc::clone(&member);
        let tree = Rc::clone(inner);
        let prepared = member.prepare();
        let started = prepared.add_callback(move |()| starting.start());
        Ok(started.add_both(move |started| {
            if started.is_err() {
                tree.members.borrow_mut().retain(|other| !Rc::ptr_eq(other, &member));
            }
            started
        }))
    }

    /// Takes a service out; one that runs is stopped, and the deferred tells when it is over.
    ///
    /// # Errors
    ///
    /// If there is none of that name, or the tree is being started or stopped.
    pub fn remove(&self, name: &str) -> Result<Deferred<()>, TreeError> {
        let inner = &self.0;
        let Some(member) = inner.find(name) else {
            return Err(TreeError::Unknown(name.to_owned()));
        };
        let state = inner.state.get();
        if !is_settled(state) {
            return Err(TreeError::Busy(state));
        }
        inner.members.borrow_mut().retain(|other| !Rc::ptr_eq(other, &member));
        if member.state.get() != State::Running {
            return Ok(Deferred::succeed(()));
        }
        Ok(member.stop())
    }

    /// How far the tree is.
    pub fn state(&self) -> State {
        self.0.state.get()
    }

    /// The services and how far each is, in order.
    pub fn states(&self) -> Vec<(String, State)> {
        let members = self.0.members.borrow();
        members.iter().map(|member| (member.name.clone(), member.state.get())).collect()
    }
}

impl Service for Tree {
    /// Prepares all in order, up to the first that fails, whose failure is a [`ServiceFailed`]; those before it
    /// are stopped again.
    fn prepare(&self) -> Deferred<()> {
        if self.0.state.get() == State::Running {
            return Deferred::succeed(());
        }
        let (promise, done) = deferred();
        let members = self.0.members.borrow().clone();
        Rc::clone(&self.0).prepare_from(members, 0, promise);
        done
    }

    /// Starts all in order, what was not prepared first. If one fails, those before it are stopped in
    /// reverse, and the deferred fails with its [`ServiceFailed`]. A tree that runs already stays as it is.
    fn start(&self) -> Deferred<()> {
        let state = self.0.state.get();
        match state {
            State::Running => return Deferred::succeed(()),
            State::Stopped | State::Prepared | State::Failed => (),
            busy => return Deferred::fail(TreeError::Busy(busy)),
        }
        self.0.state.set(State::Starting);
        let (promise, done) = deferred();
        let members = self.0.members.borrow().clone();
        Rc::clone(&self.0).start_from(members, 0, promise);
        done
    }

    /// Drains one after the other, in reverse, all by the one deadline.
    fn drain(&self, deadline: Duration) -> Deferred<Drained> {
        if self.0.state.get() != State::Running {
            return Deferred::succeed(Drained::default());
        }
        self.0.state.set(State::Draining);
        let (promise, done) = deferred();
        let members = self.0.members.borrow().clone();
        let until = self.0.clock.now() + deadline;
        Rc::clone(&self.0).drain_from(members, until, Drained::default(), promise);
        done
    }

    /// Stops all in reverse, each once the one before has ended. One that fails does not keep the
    /// others; the deferred then fails with a [`StopFailed`] that names each.
    fn stop(&self) -> Deferred<()> {
        match self.0.state.get() {
            State::Stopped | State::Failed => return Deferred::succeed(()),
            busy @ (State::Starting | State::Stopping) => {
                return Deferred::fail(TreeError::Busy(busy));
            }
            State::Prepared | State::Running | State::Draining => (),
        }
        self.0.state.set(State::Stopping);
        let (promise, done) = deferred();
        let members = self.0.members.borrow().clone();
        let inner = Rc::clone(&self.0);
        let after = move |failed: Vec<ServiceFailed>| {
            inner.state.set(State::Stopped);
            if failed.is_empty() {
                promise.succeed(());
            } else {
                promise.fail(StopFailed { failed });
            }
        };
        stop_in_reverse(members, Vec::new(), Box::new(after));
        done
    }
}

/// Whether services may be added and taken out.
fn is_settled(state: State) -> bool {
    matches!(state, State::Stopped | State::Failed | State::Running)
}

type Members = Vec<Rc<Member>>;

impl Inner {
    fn find(&self, name: &str) -> Option<Rc<Member>> {
        self.members.borrow().iter().find(|member| member.name == name).cloned()
    }

    fn prepare_from(self: Rc<Self>, members: Members, index: usize, promise: Promise<()>) {
        let Some(member) = members.get(index).cloned() else {
            self.state.set(State::Prepared);
            return promise.succeed(());
        };
        member.prepare().on_result(move |prepared| match prepared {
            Ok(()) => self.prepare_from(members, index + 1, promise),
            Err(failure) => self.give_up(members, failure, promise),
        });
    }

    fn start_from(self: Rc<Self>, members: Members, index: usize, promise: Promise<()>) {
        let Some(member) = members.get(index).cloned() else {
            self.state.set(State::Running);
            return promise.succeed(());
        };
        let starting = Rc::clone(&member);
        let started = member.prepare().add_callback(move |()| starting.start());
        started.on_result(move |started| match started {
            Ok(()) => self.start_from(members, index + 1, promise),
            Err(failure) => self.give_up(members, failure, promise),
        });
    }

    /// One has failed: those that were started or prepared are stopped.
    fn give_up(self: Rc<Self>, mut members: Members, failure: Failure, promise: Promise<()>) {
        members.retain(|member| matches!(member.state.get(), State::Running | State::Prepared));
        let after = move |failed: Vec<ServiceFailed>| {
            for failed in failed {
                let name = failed.path();
                tracing::error!(target: "ropewalk::service", name, "{:?}", failed.failure);
            }
            self.state.set(State::Failed);
            promise.fail(failure);
        };
        stop_in_reverse(members, Vec::new(), Box::new(after));
    }

    fn drain_from(
        self: Rc<Self>,
        mut members: Members,
        until: Duration,
        so_far: Drained,
        promise: Promise<Drained>,
    ) {
        let Some(member) = members.pop() else { return promise.succeed(so_far) };
        if member.state.get() != State::Running {
            return self.drain_from(members, until, so_far, promise);
        }
        member.state.set(State::Draining);
        let left = until.saturating_sub(self.clock.now());
        member.service.drain(left).on_result(move |drained| {
            let drained = drained.unwrap_or_else(|failure| {
                let name = member.name.as_str();
                tracing::error!(target: "ropewalk::service", name, "not drained: {failure:?}");
                Drained::default()
            });
            self.drain_from(members, until, so_far.and(drained), promise);
        });
    }
}

/// Stops the last, then those before it; `after` is called with those that failed.
fn stop_in_reverse(
    mut members: Members,
    mut failed: Vec<ServiceFailed>,
    after: Box<dyn FnOnce(Vec<ServiceFailed>)>,
) {
    let is_up = |member: &Rc<Member>| {
        matches!(member.state.get(), State::Running | State::Prepared | State::Draining)
    };
    members.retain(is_up);
    let Some(member) = members.pop() else { return after(failed) };
    member.stop().on_result(move |stopped| {
        if let Err(failure) = stopped {
            match failure.downcast::<ServiceFailed>() {
                Ok(named) => failed.push(named),
                Err(failure) => {
                    let name = member.name.clone();
                    failed.push(ServiceFailed { name, doing: Doing::Stop, failure });
                }
            }
        }
        stop_in_reverse(members, failed, after);
    });
}

impl Member {
    fn failed(&self, doing: Doing, failure: Failure) -> ServiceFailed {
        ServiceFailed { name: self.name.clone(), doing, failure }
    }

    fn prepare(self: &Rc<Self>) -> Deferred<()> {
        if self.state.get() == State::Prepared {
            return Deferred::succeed(());
        }
        let member = Rc::clone(self);
        self.service.prepare().add_both(move |prepared: Result<(), Failure>| {
            let state = if prepared.is_ok() { State::Prepared } else { State::Failed };
            member.state.set(state);
            prepared.map_err(|failure| member.failed(Doing::Prepare, failure))
        })
    }

    fn start(self: &Rc<Self>) -> Deferred<()> {
        let member = Rc::clone(self);
        self.state.set(State::Starting);
        self.service.start().add_both(move |started: Result<(), Failure>| {
            member.state.set(if started.is_ok() { State::Running } else { State::Failed });
            started.map_err(|failure| member.failed(Doing::Start, failure))
        })
    }

    fn stop(self: &Rc<Self>) -> Deferred<()> {
        let member = Rc::clone(self);
        self.state.set(State::Stopping);
        self.service.stop().add_both(move |stopped: Result<(), Failure>| {
            member.state.set(State::Stopped);
            stopped.map_err(|failure| member.failed(Doing::Stop, failure))
        })
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("state", &self.state())
            .field("services", &self.states())
            .finish_non_exhaustive()
    }
}
