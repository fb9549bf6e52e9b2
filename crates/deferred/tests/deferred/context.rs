//! What goes with the flow of work.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task;

use ropewalk_deferred::{Context, Failure, deferred, from_future};
use tracing::{Span, info_span};

use crate::kit::{Log, value};

fn span() -> Option<&'static str> {
    Span::current().metadata().map(tracing::Metadata::name)
}

struct Id(u32);

fn id() -> Option<u32> {
    Context::current().get::<Id>().map(|id| id.0)
}

/// Statement 27, for links: each runs in the span in which it was registered.
#[test]
fn links_run_in_the_span_they_were_registered_in() {
    let _log = Log::listen();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let note = |seen: &Rc<RefCell<Vec<_>>>| {
        let seen = Rc::clone(seen);
        move |()| seen.borrow_mut().push(span())
    };
    let (promise, waiting) = deferred();
    let waiting = info_span!("first").in_scope(|| waiting.map(note(&seen)));
    let waiting = waiting.map(note(&seen));
    let waiting = info_span!("third").in_scope(|| waiting.map(note(&seen)));
    let outer = info_span!("outer");
    let firing = info_span!("firing");
    outer.in_scope(|| {
        firing.in_scope(|| {
            promise.succeed(());
            assert_eq!(span(), Some("firing"), "what was left is entered again");
        });
        assert_eq!(span(), Some("outer"));
    });
    assert_eq!(span(), None);
    assert_eq!(*seen.borrow(), [Some("first"), None, Some("third")], "and in no other");
    value(waiting);
}

#[test]
fn panics_leave_no_span_behind() {
    let _log = Log::listen();
    let (promise, waiting) = deferred::<()>();
    let failed = info_span!("link").in_scope(|| waiting.map(|()| panic!("within")));
    info_span!("firing").in_scope(|| {
        promise.succeed(());
        assert_eq!(span(), Some("firing"));
    });
    assert_eq!(span(), None);
    let result: Option<Result<(), Failure>> = failed.now_or_never();
    assert!(result.unwrap().is_err());
}

#[test]
fn values_go_with_the_work() {
    let (promise, waiting) = deferred();
    let seven = Context::current().with(Id(7));
    let waiting = seven.run(|| waiting.map(|()| id()));
    let waiting = waiting.map(|before| (before, id()));
    Context::current().with(Id(8)).run(|| {
        promise.succeed(());
        assert_eq!(id(), Some(8));
    });
    assert_eq!(value(waiting), (Some(7), None));
    assert_eq!(id(), None);
}

#[test]
fn the_newest_value_of_a_type_counts() {
    let context = Context::current().with(Id(1)).with("text").with(Id(2));
    assert_eq!(context.get::<Id>().unwrap().0, 2);
    assert_eq!(*context.get::<&str>().unwrap(), "text");
    assert!(context.get::<u8>().is_none());
}

/// Statement 27: a future is polled in the context in which it was given away.
#[test]
fn futures_keep_their_context() {
    let _log = Log::listen();
    let (promise, waiting) = deferred::<()>();
    let context = Context::current().with(Id(3)).in_span(info_span!("task"));
    let (answer, driver) = context.run(|| {
        from_future(async move {
            let before = (span(), id());
            waiting.await?;
            Ok::<_, Failure>((before, (span(), id())))
        })
    });
    let mut driver = pin!(driver);
    let mut cx = task::Context::from_waker(task::Waker::noop());
    info_span!("loop").in_scope(|| {
        assert!(driver.as_mut().poll(&mut cx).is_pending());
        promise.succeed(());
        assert!(driver.as_mut().poll(&mut cx).is_ready());
    });
    let here = (Some("task"), Some(3));
    assert_eq!(value(answer), (here, here));
}

#[test]
fn cancellers_run_in_their_own_context() {
    let seen = Rc::new(RefCell::new(None));
    let (promise, waiting) = deferred::<()>();
    let note = Rc::clone(&seen);
    Context::current().with(Id(5)).run(|| promise.on_cancel(move || *note.borrow_mut() = id()));
    waiting.cancel();
    assert_eq!(*seen.borrow(), Some(5));
    waiting.add_errback(|_| ()).detach();
}
