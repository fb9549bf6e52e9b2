//! What went wrong, whatever it was.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Any error, with the chain of its causes, on the failure side of a [`Deferred`](crate::Deferred).
///
/// Every `std::error::Error` that may cross threads becomes one by `?` or [`Failure::new`], and a
/// failure becomes a `Box<dyn Error + Send + Sync>` by `?` in turn. It is one pointer wide and holds
/// no backtrace unless the environment asks for one (`RUST_BACKTRACE`).
///
/// ```
/// use ropewalk_deferred::Failure;
///
/// fn port(text: &str) -> Result<u16, Failure> {
///     Ok(text.parse::<u16>()?)
/// }
///
/// let failure = port("eighty").unwrap_err().context("reading the port");
/// assert!(failure.check::<std::num::ParseIntError>().is_some());
/// assert_eq!(failure.to_string(), "reading the port");
/// ```
pub struct Failure(Box<Inner>);

struct Inner {
    cause: Cause,
    /// The newest last.
    context: Vec<Cow<'static, str>>,
    at: &'static Location<'static>,
    backtrace: Backtrace,
}

enum Cause {
    Own(Box<dyn Error + Send + Sync>),
    /// Others have the same failure.
    Shared(SharedFailure),
}

/// A failure that several can have.
#[derive(Clone)]
pub(crate) struct SharedFailure(Arc<SharedInner>);

struct SharedInner {
    failure: Inner,
    reported: AtomicBool,
}

impl SharedFailure {
    /// The failure for one more owner.
    pub(crate) fn to_failure(&self) -> Failure {
        Failure(Box::new(Inner {
            cause: Cause::Shared(self.clone()),
            context: Vec::new(),
            at: self.0.failure.at,
            backtrace: Backtrace::disabled(),
        }))
    }
}

impl Failure {
    /// A failure for `error`, made where this is called.
    #[track_caller]
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(Box::new(Inner {
            cause: Cause::Own(error.into()),
            context: Vec::new(),
            at: Location::caller(),
            backtrace: Backtrace::capture(),
        }))
    }

    /// A failure without a backtrace, for ends that come by the million and whose way is known.
    #[track_caller]
    pub(crate) fn plain(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(Inner {
            cause: Cause::Own(Box::new(error)),
            context: Vec::new(),
            at: Location::caller(),
            backtrace: Backtrace::disabled(),
        }))
    }

    /// A failure from what a panic carried.
    pub(crate) fn from_panic(payload: &(dyn Any + Send), at: &'static Location<'static>) -> Self {
        let mut failure = Self::new(Panicked::from_payload(payload));
        failure.0.at = at;
        failure
    }

    /// The failure in a form of which there can be several.
    pub(crate) fn share(self) -> SharedFailure {
        match *self.0 {
            Inner { cause: Cause::Shared(shared), context, .. } if context.is_empty() => shared,
            failure => {
                SharedFailure(Arc::new(SharedInner { failure, reported: AtomicBool::new(false) }))
            }
        }
    }

    /// Whether nobody has reported this failure, nor any that it shares its cause with.
    pub(crate) fn is_first_report(&self) -> bool {
        match &self.0.cause {
            Cause::Own(_) => true,
            Cause::Shared(shared) => !shared.0.reported.swap(true, Ordering::Relaxed),
        }
    }

    /// Adds a line that says what was being done; [`Display`](fmt::Display) shows the newest.
    pub fn context(mut self, line: impl Into<Cow<'static, str>>) -> Self {
        self.0.context.push(line.into());
        self
    }

    /// The error itself.
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        self.0.error()
    }

    /// The error and each of its causes in turn.
    pub fn chain(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let first: &(dyn Error + 'static) = self.error();
        std::iter::successors(Some(first), |error: &&(dyn Error + 'static)| (*error).source())
    }

    /// The error or the first of its causes that is an `E`.
    pub fn check<E: Error + 'static>(&self) -> Option<&E> {
        self.chain().find_map(|error| error.downcast_ref())
    }

    /// Lets pass only a failure that is an `E` or was caused by one.
    ///
    /// # Errors
    ///
    /// The failure itself, to be handed on with `?`, when it is anything else.
    pub fn trap<E: Error + 'static>(self) -> Result<Self, Self> {
        if self.check::<E>().is_some() { Ok(self) } else { Err(self) }
    }

    /// The error itself, if it is an `E`; causes are not looked at. An error that came through a
    /// [`Shared`](crate::Shared) belongs to all its waiters: only [`check`](Self::check) reaches it.
    ///
    /// # Errors
    ///
    /// The failure, unchanged, when its error is of another type.
    pub fn downcast<E: Error + 'static>(self) -> Result<E, Self> {
        let Inner { cause, context, at, backtrace } = *self.0;
        let cause = match cause {
            Cause::Own(error) => match error.downcast::<E>() {
                Ok(error) => return Ok(*error),
                Err(error) => Cause::Own(error),
            },
            Cause::Shared(shared) => Cause::Shared(shared),
        };
        Err(Self(Box::new(Inner { cause, context, at, backtrace })))
    }

    /// Where in the source the failure was made.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    /// How the program got there, if the environment asked for it.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        let backtrace = self.0.backtrace();
        (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace)
    }
}

impl Inner {
    fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        match &self.cause {
            Cause::Own(error) => &**error,
            Cause::Shared(shared) => shared.0.failure.error(),
        }
    }

    fn backtrace(&self) -> &Backtrace {
        match &self.cause {
            Cause::Own(_) => &self.backtrace,
            Cause::Shared(shared) => shared.0.failure.backtrace(),
        }
    }

    /// The lines of context, the newest first.
    fn context(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        let own = self.context.iter().rev().map(|line| &**line);
        match &self.cause {
            Cause::Own(_) => Box::new(own),
            Cause::Shared(shared) => Box::new(own.chain(shared.0.failure.context())),
        }
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<Failure> for Box<dyn Error + Send + Sync> {
    fn from(failure: Failure) -> Self {
        Box::new(AsError(failure))
    }
}

impl From<Failure> for Box<dyn Error> {
    fn from(failure: Failure) -> Self {
        Box::new(AsError(failure))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.context().next() {
            Some(line) => f.write_str(line),
            None => fmt::Display::fmt(self.error(), f),
        }
    }
}

/// Everything there is: the context, the error, its causes, the place, a backtrace if there is one.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.context().map(ToString::to_string);
        let mut lines = lines.chain(self.chain().map(ToString::to_string));
        f.write_str(&lines.next().unwrap_or_default())?;
        for line in lines {
            write!(f, "\n  caused by: {line}")?;
        }
        write!(f, "\n  at {}", self.0.at)?;
        match self.backtrace() {
            Some(backtrace) => write!(f, "\n{backtrace}"),
            None => Ok(()),
        }
    }
}

/// A failure where a plain error is asked for; its causes start at the failure's own error when a
/// context line stands in front of it.
#[derive(Debug)]
struct AsError(Failure);

impl fmt::Display for AsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for AsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        if self.0.0.context().next().is_none() {
            self.0.error().source()
        } else {
            Some(self.0.error())
        }
    }
}

/// The promise was dropped without being fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the promise was dropped before it was fired")
    }
}

impl Error for Abandoned {}

/// The wait was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wait was cancelled")
    }
}

impl Error for Cancelled {}

/// A callback returned the very deferred that it was to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitsForItself;

impl fmt::Display for WaitsForItself {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a callback returned the deferred that waits for it")
    }
}

impl Error for WaitsForItself {}

/// A callback, a task or a job panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    message: String,
}

impl Panicked {
    /// Reads the message out of what [`std::panic::catch_unwind`] caught.
    pub fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "something that is not text".to_owned());
        Self { message }
    }

    /// What was said in panic.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl Error for Panicked {}
