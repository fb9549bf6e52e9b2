//! What goes with the flow of work: the span it belongs to, and values registered for it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use tracing::Span;
use tracing::level_filters::LevelFilter;

/// How many spans are left on the way to none at all; deeper ones stay entered.
const SPANS_LEFT_MAX: usize = 64;

/// The `tracing` span and the values that belong to a piece of work.
///
/// A link of a chain, a timer, a task or a canceller runs in the context in which it was
/// *registered*, whoever sets it off, and what runs after it does not see that context. Nothing has
/// to be done for this: [`Deferred`](crate::Deferred)'s verbs take the context along. Whoever
/// keeps closures for later, as a loop or a pool does, takes it with [`Context::current`] and gives
/// it back with [`run`](Self::run).
///
/// A value is registered by its type, so each user makes a type of its own for it:
///
/// ```
/// use ropewalk_deferred::{Context, deferred};
///
/// struct RequestId(u32);
///
/// let (promise, answer) = deferred::<&str>();
/// let answer = Context::current().with(RequestId(7)).run(|| {
///     answer.map(|text| {
///         let id = Context::current().get::<RequestId>().map(|id| id.0);
///         (text, id)
///     })
/// });
/// promise.succeed("fired without any context");
/// assert!(Context::current().get::<RequestId>().is_none());
/// assert_eq!(answer.now_or_never().unwrap().unwrap(), ("fired without any context", Some(7)));
/// ```
///
/// It is one pointer wide, and empty where there is neither a subscriber nor a value: taking and
/// restoring it then costs two loads.
#[derive(Clone, Default)]
pub struct Context {
    /// Absent where there is nothing to restore.
    inner: Option<Rc<Inner>>,
}

#[derive(Clone)]
struct Inner {
    span: Span,
    values: Values,
}

/// The newest first.
type Values = Option<Rc<Value>>;

struct Value {
    value: Rc<dyn Any>,
    rest: Values,
}

thread_local! {
    /// Whether there are values, in a form that needs no care when the thread ends.
    static HAS_VALUES: Cell<bool> = const { Cell::new(false) };
    static VALUES: RefCell<Values> = const { RefCell::new(None) };
}

impl Context {
    /// The context that this call is made in.
    #[inline]
    pub fn current() -> Self {
        if is_empty() { Self::default() } else { Self::capture() }
    }

    #[cold]
    fn capture() -> Self {
        let span = Span::current();
        let values = current_values();
        let inner = (!span.is_none() || values.is_some()).then(|| Rc::new(Inner { span, values }));
        Self { inner }
    }

    /// This context with `value` in it, in place of another of the same type.
    pub fn with<T: 'static>(self, value: T) -> Self {
        let (span, rest) = match self.inner {
            Some(inner) => (inner.span.clone(), inner.values.clone()),
            None => (Span::none(), None),
        };
        let values = Some(Rc::new(Value { value: Rc::new(value), rest }));
        Self { inner: Some(Rc::new(Inner { span, values })) }
    }

    /// This context in `span`.
    pub fn in_span(self, span: Span) -> Self {
        let values = self.inner.and_then(|inner| inner.values.clone());
        Self { inner: Some(Rc::new(Inner { span, values })) }
    }

    /// The value of type `T`, if one was registered.
    pub fn get<T: 'static>(&self) -> Option<Rc<T>> {
        let mut next = self.inner.as_ref()?.values.as_ref();
        while let Some(entry) = next {
            if let Ok(found) = Rc::clone(&entry.value).downcast() {
                return Some(found);
            }
            next = entry.rest.as_ref();
        }
        None
    }

    /// Runs `body` in this context, and in no other: what was current before is current again
    /// afterwards, and is not seen by `body`.
    #[inline]
    pub fn run<R>(&self, body: impl FnOnce() -> R) -> R {
        if self.inner.is_none() && is_empty() { body() } else { self.run_inside(body) }
    }

    #[cold]
    fn run_inside<R>(&self, body: impl FnOnce() -> R) -> R {
        let (span, values) = match &self.inner {
            Some(inner) => (Some(&inner.span), inner.values.clone()),
            None => (None, None),
        };
        let _values = ValuesGuard(replace_values(values));
        match span.filter(|span| !span.is_none()) {
            Some(span) => span.in_scope(body),
            None => {
                let _outside = Outside::leave_spans();
                body()
            }
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.inner.as_ref().and_then(|inner| inner.span.metadata());
        let mut values = 0;
        let mut next = self.inner.as_ref().and_then(|inner| inner.values.as_ref());
        while let Some(entry) = next {
            values += 1;
            next = entry.rest.as_ref();
        }
        f.debug_struct("Context")
            .field("span", &span.map(tracing::Metadata::name))
            .field("values", &values)
            .finish()
    }
}

/// Whether there can be nothing to take along: no subscriber, no value.
#[inline]
fn is_empty() -> bool {
    LevelFilter::current() == LevelFilter::OFF && !HAS_VALUES.get()
}

fn current_values() -> Values {
    if HAS_VALUES.get() {
        VALUES.try_with(|values| values.borrow().clone()).unwrap_or_default()
    } else {
        None
    }
}

fn replace_values(new: Values) -> Values {
    // Where the thread ends, its last callbacks run without values.
    VALUES
        .try_with(|values| {
            HAS_VALUES.set(new.is_some());
            values.replace(new)
        })
        .unwrap_or_default()
}

/// Puts back the values that were current before.
struct ValuesGuard(Values);

impl Drop for ValuesGuard {
    fn drop(&mut self) {
        drop(replace_values(self.0.take()));
    }
}

/// The spans that were left for a while, the innermost first.
struct Outside(Vec<Span>);

impl Outside {
    fn leave_spans() -> Self {
        let mut left = Vec::new();
        if LevelFilter::current() != LevelFilter::OFF {
            while left.len() < SPANS_LEFT_MAX {
                let span = Span::current();
                if span.is_none() {
                    break;
                }
                span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
                left.push(span);
            }
        }
        Self(left)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for span in self.0.drain(..).rev() {
            span.with_subscriber(|(id, dispatch)| dispatch.enter(id));
        }
    }
}
