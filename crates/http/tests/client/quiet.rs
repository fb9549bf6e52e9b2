//! A request that comes to nothing says so once: to whoever asked.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_http::{Agent, Answer, Origin};
use ropewalk_protocol::{Disconnect, Event, Seat};
use ropewalk_trial::Clock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

/// Failures that nobody looked at, as they are logged.
#[derive(Clone, Default)]
struct Unhandled(Arc<Mutex<Vec<String>>>);

impl Subscriber for Unhandled {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "ropewalk::deferred"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Said(&self.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Said<'a>(&'a Mutex<Vec<String>>);

impl Visit for Said<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.lock().unwrap().push(format!("{field}: {value:?}"));
    }
}

/// Asks once, with connections that are made in this way; what was said of it beside the answer.
fn unhandled(
    dial: impl Fn(Box<dyn Seat>) -> Deferred<()> + 'static,
    then: impl FnOnce(&Clock, Deferred<Answer>),
) -> Vec<String> {
    struct Dial<F>(F);

    impl<F: Fn(Box<dyn Seat>) -> Deferred<()>> ropewalk_http::Dial for Dial<F> {
        fn dial(&self, _: &Origin, seat: Box<dyn Seat>) -> Deferred<()> {
            (self.0)(seat)
        }
    }

    let heard = Unhandled::default();
    tracing::subscriber::with_default(heard.clone(), || {
        let clock = Clock::new();
        let agent = Agent::new(Dial(dial), clock.clone());
        then(&clock, agent.get("http://a/").send());
        drop(agent);
    });
    heard.0.lock().unwrap().clone()
}

/// It fails, and that is looked at.
fn fails(_: &Clock, answer: Deferred<Answer>) {
    answer.now_or_never().expect("it is over").expect_err("there is no connection");
}

/// Nobody wants it any more.
fn cancelled(_: &Clock, answer: Deferred<Answer>) {
    answer.cancel();
    answer.now_or_never().expect("it is over").expect_err("it was cancelled");
}

/// It takes too long.
fn late(clock: &Clock, answer: Deferred<Answer>) {
    clock.advance(Duration::from_secs(30));
    answer.now_or_never().expect("it is over").expect_err("it takes too long");
}

#[test]
fn what_no_connection_is_made_for_is_told_once() {
    let none = Vec::<String>::new();
    let lost = |mut seat: Box<dyn Seat>| {
        seat.handle(Event::Lost(Disconnect::Refused));
        Deferred::succeed(())
    };
    assert_eq!(unhandled(lost, fails), none, "refused");
    let dropped = |seat| {
        drop(seat);
        Deferred::succeed(())
    };
    assert_eq!(unhandled(dropped, fails), none, "forgotten");
    let unable = |seat| {
        drop(seat);
        Deferred::fail(Failure::new("no certificates"))
    };
    assert_eq!(unhandled(unable, fails), none, "not even tried");
    let held = |seat: Box<dyn Seat>| {
        // The host's addresses are being looked for.
        let (promise, found) = deferred::<()>();
        promise.on_cancel(|| ());
        std::mem::forget(promise);
        found.map(move |()| drop(seat))
    };
    for then in [cancelled, late] {
        assert_eq!(unhandled(held, then), none, "before there is an address");
        let kept = |seat: Box<dyn Seat>| {
            std::mem::forget(seat);
            Deferred::succeed(())
        };
        assert_eq!(unhandled(kept, then), none, "before there is an answer from there");
    }
}
