//! What waits on a clock.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Cancelled, Context, Deferred, Failure, Panicked, Promise, deferred};
use ropewalk_protocol::{
    Clock as _, Conn, CooperativeTask, Cooperator, EventLoop, Exit, LoopingCall, Protocol, SLICE,
    STEPS_PER_SLICE_MAX, TaskEnding, TimedOut, call_later, defer_later, react, timeout,
};
use ropewalk_trial::{Clock, Memory};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn failure<T: std::fmt::Debug>(deferred: Deferred<T>) -> Failure {
    deferred.now_or_never().expect("no result yet").expect_err("a value")
}

#[track_caller]
fn value<T>(deferred: Deferred<T>) -> T {
    deferred.now_or_never().expect("no result yet").expect("a failure")
}

/// Statement 14: on expiry it cancels, and says how long it had patience.
#[test]
fn patience_ends() {
    let clock = Clock::new();
    let (promise, waiting) = deferred::<()>();
    let waiting = timeout(&clock, seconds(3), waiting);
    clock.advance(Duration::from_millis(2_999));
    assert!(!promise.is_cancelled());
    clock.advance(Duration::from_millis(1));
    assert!(promise.is_cancelled());
    let late = failure(waiting).downcast::<TimedOut>().unwrap();
    assert_eq!(late.patience(), seconds(3));
}

/// Statement 14: a result in time drops the timer; other failures pass; links added later are outside.
#[test]
fn results_in_time_pass() {
    let clock = Clock::new();
    let (promise, waiting) = deferred();
    let (slow, more) = deferred::<u32>();
    let waiting = timeout(&clock, seconds(3), waiting).add_callback(|()| more);
    promise.succeed(());
    assert_eq!(clock.pending(), 0);
    clock.advance(seconds(9));
    slow.succeed(1);
    assert_eq!(value(waiting), 1);

    let (promise, waiting) = deferred::<()>();
    let waiting = timeout(&clock, seconds(3), waiting);
    promise.fail(std::fmt::Error);
    assert!(failure(waiting).downcast::<std::fmt::Error>().is_ok());

    assert_eq!(value(timeout(&clock, seconds(3), Deferred::succeed(1))), 1);
    assert_eq!(clock.pending(), 0);
}

/// Statement 14: who cancels before it expires hears of that.
#[test]
fn cancelling_is_no_time_out() {
    let clock = Clock::new();
    let (_promise, waiting) = deferred::<()>();
    let waiting = timeout(&clock, seconds(3), waiting);
    waiting.cancel();
    assert_eq!(clock.pending(), 0);
    assert!(failure(waiting).downcast::<Cancelled>().is_ok());
}

/// Statement 14: what canceller or links make of the cancelling stands, as soon as they have it.
#[test]
fn what_is_saved_at_the_last_moment_counts() {
    let clock = Clock::new();
    let (_promise, waiting) = deferred::<&str>();
    let (saved, saving) = deferred();
    let waiting = timeout(&clock, seconds(3), waiting.add_errback(move |_| saving));
    clock.advance(seconds(3));
    let waiting = waiting.try_take().expect_err("it is being saved");
    saved.succeed("part of it");
    assert_eq!(value(waiting), "part of it");
}

/// Statement 14, bettered: a canceller that panics does not make the wait last for ever.
#[test]
fn patience_ends_whatever_the_canceller_does() {
    let clock = Clock::new();
    let (promise, waiting) = deferred::<()>();
    promise.on_cancel(|| panic!("stuck"));
    let waiting = timeout(&clock, seconds(3), waiting);
    clock.advance(seconds(3));
    assert!(failure(waiting).check::<Panicked>().is_some());
}

/// Statement 38.
#[test]
fn later_calls_can_be_cancelled() {
    let clock = Clock::new();
    let later = defer_later(&clock, seconds(2), || Ok::<_, Failure>(5));
    clock.advance(seconds(2));
    assert_eq!(value(later), 5);
    let never = defer_later(&clock, seconds(2), || -> Result<(), Failure> { unreachable!() });
    never.cancel();
    assert_eq!(clock.pending(), 0);
    assert!(failure(never).check::<Cancelled>().is_some());
}

type Calls = Rc<RefCell<Vec<(u64, u64)>>>;

/// A loop that notes the time in tenths of a second, and its count.
fn noting(clock: &Clock, interval: Duration, later: bool) -> (LoopingCall, Deferred<()>, Calls) {
    let calls = Calls::default();
    let (noted, now) = (Rc::clone(&calls), clock.clone());
    let body = move |count| {
        noted.borrow_mut().push(((now.now().as_millis() / 100) as u64, count));
    };
    let (looping, ended) = if later {
        LoopingCall::start_later(clock.clone(), interval, body)
    } else {
        LoopingCall::start(clock.clone(), interval, body)
    };
    (looping, ended, calls)
}

/// Statements 33 and 35: on the grid, skipping what was missed, and counting it.
#[test]
fn loops_stay_on_their_grid() {
    let clock = Clock::new();
    let (looping, ended, calls) = noting(&clock, seconds(1), false);
    for to in [3_200, 3_900, 4_000, 5_500, 6_000] {
        clock.jump(Duration::from_millis(to).saturating_sub(clock.now()));
    }
    assert_eq!(*calls.borrow(), [(0, 1), (32, 3), (40, 1), (55, 1), (60, 1)]);
    looping.stop();
    assert!(!looping.is_running());
    assert_eq!(clock.pending(), 0);
    value(ended);
}

/// Statement 33: with the first call an interval later.
#[test]
fn loops_may_start_later() {
    let clock = Clock::new();
    let (_looping, ended, calls) = noting(&clock, seconds(2), true);
    clock.advance(seconds(5));
    assert_eq!(*calls.borrow(), [(20, 1), (40, 1)]);
    ended.cancel();
    assert_eq!(clock.pending(), 0);
    value(ended);
}

/// Statement 34: no call while the body waits; the missed ones are skipped.
#[test]
fn loops_wait_for_their_body() {
    let clock = Clock::new();
    let waits: Rc<RefCell<Vec<Promise<()>>>> = Rc::default();
    let (asked, counts) = (Rc::clone(&waits), Rc::new(RefCell::new(Vec::new())));
    let counted = Rc::clone(&counts);
    let (looping, ended) = LoopingCall::start(clock.clone(), seconds(1), move |count| {
        counted.borrow_mut().push(count);
        let (promise, waiting) = deferred::<()>();
        asked.borrow_mut().push(promise);
        waiting
    });
    clock.advance(Duration::from_millis(2_500));
    waits.borrow_mut().remove(0).succeed(());
    assert_eq!(clock.next_call(), Some(seconds(3)));
    clock.advance(seconds(1));
    assert_eq!(*counts.borrow(), [1, 3]);
    looping.stop();
    let ended = ended.try_take().expect_err("the body still waits");
    waits.borrow_mut().remove(0).succeed(());
    value(ended);
    assert_eq!(clock.pending(), 0);
}

/// Statement 34: cancelling the loop cancels what its body waits for.
#[test]
fn loops_are_cancelled_with_their_body() {
    let clock = Clock::new();
    let (promise, waiting) = deferred::<()>();
    let mut waiting = Some(waiting);
    let body = move |_| waiting.take().unwrap_or_else(|| Deferred::succeed(()));
    let (_looping, ended) = LoopingCall::start(clock.clone(), seconds(1), body);
    ended.cancel();
    assert!(promise.is_cancelled());
    assert!(failure(ended).check::<Cancelled>().is_some());
    assert_eq!(clock.pending(), 0);
}

/// Statement 34: a failure and a panic end the loop.
#[test]
fn loops_end_with_their_body() {
    let clock = Clock::new();
    let (looping, ended) = LoopingCall::start(clock.clone(), seconds(1), |_| Err(std::fmt::Error));
    assert!(failure(ended).downcast::<std::fmt::Error>().is_ok());
    assert!(!looping.is_running());
    let body = |_| -> Result<(), Failure> { panic!("body") };
    let (_, ended) = LoopingCall::start_later(clock.clone(), seconds(1), body);
    clock.advance(seconds(1));
    assert!(failure(ended).check::<Panicked>().is_some());
    assert_eq!(clock.pending(), 0);
}

/// Statement 34: resetting starts the grid again.
#[test]
fn loops_can_be_reset() {
    let clock = Clock::new();
    let (looping, ended, calls) = noting(&clock, seconds(2), false);
    clock.advance(seconds(1));
    looping.reset();
    clock.advance(seconds(4));
    assert_eq!(*calls.borrow(), [(0, 1), (30, 1), (50, 1)]);
    looping.stop();
    value(ended);
}

/// Statement 34: an interval of nothing is a call a turn.
#[test]
fn loops_may_be_as_fast_as_the_clock() {
    let clock = Clock::new();
    let stop = Rc::new(RefCell::new(None::<LoopingCall>));
    let (stopper, count) = (Rc::clone(&stop), Rc::new(Cell::new(0)));
    let counted = Rc::clone(&count);
    let (looping, ended) = LoopingCall::start(clock.clone(), Duration::ZERO, move |n| {
        assert_eq!(n, 1);
        counted.set(counted.get() + 1);
        if counted.get() == 50 {
            stopper.borrow().as_ref().expect("it has started").stop();
        }
    });
    stop.replace(Some(looping));
    assert_eq!(count.get(), 1);
    clock.advance(Duration::ZERO);
    assert_eq!(count.get(), 50);
    value(ended);
    stop.take();
}

/// Statement 36: a step each in turn; who waits, waits alone.
#[test]
fn workers_take_turns() {
    let clock = Clock::new();
    let cooperator = Cooperator::new(clock.clone());
    let seen = Rc::new(RefCell::new(String::new()));
    let steps = |name: char| {
        let seen = Rc::clone(&seen);
        (0..3).map(move |_| seen.borrow_mut().push(name))
    };
    let (promise, waiting) = deferred::<()>();
    let mut waiting = Some(waiting);
    let noted = Rc::clone(&seen);
    let third = (0..2).map(move |_| {
        noted.borrow_mut().push('c');
        waiting.take().unwrap_or_else(|| Deferred::succeed(()))
    });
    let tasks = [
        cooperator.cooperate(steps('a')),
        cooperator.cooperate(steps('b')),
        cooperator.cooperate(third),
    ];
    assert_eq!(*seen.borrow(), "", "nothing is done before the loop's next turn");
    clock.advance(Duration::ZERO);
    assert_eq!(*seen.borrow(), "abcabab");
    assert_eq!(
        tasks.each_ref().map(CooperativeTask::ending),
        [Some(TaskEnding::Done), Some(TaskEnding::Done), None]
    );
    promise.succeed(());
    clock.advance(Duration::ZERO);
    assert_eq!(*seen.borrow(), "abcababc");
    value(tasks[2].when_done());
    assert_eq!(cooperator.tasks(), 0);
}

/// Statement 36: a slice is bounded in time and in steps.
#[test]
fn slices_are_bounded() {
    let clock = Clock::new();
    let cooperator = Cooperator::new(clock.clone());
    let steps = Rc::new(Cell::new(0));
    let counted = Rc::clone(&steps);
    let task = cooperator.cooperate((0..).map(move |_: u64| counted.set(counted.get() + 1)));
    clock.turn();
    assert_eq!(steps.get(), STEPS_PER_SLICE_MAX);
    task.stop().unwrap();

    let (counted, slow) = (Rc::clone(&steps), clock.clone());
    steps.set(0);
    let task = cooperator.cooperate((0..).map(move |_: u64| {
        counted.set(counted.get() + 1);
        slow.jump(SLICE / 4);
    }));
    clock.turn();
    assert_eq!(steps.get(), 4);
    task.stop().unwrap();
    assert_eq!(clock.pending(), 0, "nothing left to do");
}

/// Statement 36: pauses are counted; an ended task says how it ended.
#[test]
fn workers_can_be_paused_and_stopped() {
    let clock = Clock::new();
    let cooperator = Cooperator::new(clock.clone());
    let steps = Rc::new(Cell::new(0));
    let counted = Rc::clone(&steps);
    let task = cooperator.cooperate((0..10).map(move |_| counted.set(counted.get() + 1)));
    task.pause().unwrap();
    task.pause().unwrap();
    task.resume().unwrap();
    clock.advance(seconds(1));
    assert_eq!(steps.get(), 0);
    task.pause().unwrap();
    task.resume().unwrap();
    assert_eq!(clock.pending(), 0, "who is paused needs no slice");
    task.resume().unwrap();
    clock.advance(Duration::ZERO);
    assert_eq!(steps.get(), 10);
    assert_eq!(task.pause(), Err(TaskEnding::Done));
    value(task.when_done());

    let (promise, waiting) = deferred::<()>();
    let task = cooperator.cooperate([waiting]);
    let done = task.when_done();
    clock.advance(Duration::ZERO);
    task.stop().unwrap();
    assert!(promise.is_cancelled());
    assert!(failure(done).downcast::<TaskEnding>().is_ok_and(|end| end == TaskEnding::Stopped));
    assert_eq!(task.resume(), Err(TaskEnding::Stopped));

    let task = cooperator.cooperate([Err(std::fmt::Error), Ok(())]);
    clock.advance(Duration::ZERO);
    assert_eq!(task.ending(), Some(TaskEnding::Failed));
    assert!(failure(task.when_done()).downcast::<std::fmt::Error>().is_ok());
    assert!(failure(task.when_done()).downcast::<TaskEnding>().is_ok());

    let task = cooperator.cooperate([(), ()]);
    cooperator.stop();
    assert_eq!(task.ending(), Some(TaskEnding::CooperatorStopped));
    assert_eq!(cooperator.cooperate([()]).ending(), Some(TaskEnding::CooperatorStopped));
    assert_eq!(clock.pending(), 0);
}

/// Statement 37.
#[test]
fn clocks_make_each_call_in_its_order() {
    let clock = Clock::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let note = |text: &'static str| {
        let seen = Rc::clone(&seen);
        move || seen.borrow_mut().push(text)
    };
    call_later(&clock, seconds(2), note("two"));
    call_later(&clock, seconds(1), note("one"));
    let (inner, added) = (clock.clone(), note("added"));
    call_later(&clock, seconds(1), move || {
        call_later(&inner, Duration::ZERO, added);
    });
    clock.pump([seconds(1), seconds(1)]);
    assert_eq!(*seen.borrow(), ["one", "added", "two"]);
}

struct Tag(u32);

fn tag() -> Option<u32> {
    Context::current().get::<Tag>().map(|tag| tag.0)
}

struct Quiet;

impl Protocol for Quiet {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}
}

/// Statement 27, for timers, loops and what comes home to a connection.
#[test]
fn timers_run_in_the_context_they_were_asked_for_in() {
    let clock = Clock::new();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let note = |name: &'static str| {
        let seen = Rc::clone(&seen);
        move || seen.borrow_mut().push((name, tag()))
    };
    let (mut memory, conn) = Memory::seat_with_conn(Quiet, &clock);
    let (promise, waiting) = deferred::<()>();
    let looping = Context::current().with(Tag(7)).run(|| {
        call_later(&clock, seconds(1), note("timer"));
        let (on_conn, home, body) = (note("conn"), note("then"), note("loop"));
        conn.call_later(seconds(1), move |_, _| on_conn());
        conn.then(waiting, move |_, _, _| home());
        LoopingCall::start_later(clock.clone(), seconds(1), move |_| body())
    });
    call_later(&clock, seconds(1), note("none"));
    Context::current().with(Tag(8)).run(|| {
        promise.succeed(());
        memory.advance(seconds(1));
    });
    looping.0.stop();
    value(looping.1);
    let mut seen = seen.take();
    seen.sort_unstable();
    let tagged = Some(7);
    assert_eq!(
        seen,
        [("conn", tagged), ("loop", tagged), ("none", None), ("then", tagged), ("timer", tagged)]
    );
}

#[derive(Clone, Default)]
struct Turns {
    clock: Clock,
    stopped: Rc<Cell<bool>>,
}

impl EventLoop for Turns {
    fn run(&self) -> Result<(), Failure> {
        while !self.stopped.get() && self.clock.turn() {}
        Ok(())
    }

    fn stop(&self) {
        self.stopped.set(true);
    }

    fn is_stopping(&self) -> bool {
        self.stopped.get()
    }
}

/// Statement 38.
#[test]
fn programs_end_with_their_main_function() {
    let later = |give: fn() -> Result<(), Failure>| {
        let turns = Turns::default();
        let exit = react(&turns, |turns| defer_later(&turns.clock, seconds(5), give));
        assert_eq!(turns.clock.now(), seconds(5));
        exit
    };
    assert_eq!(later(|| Ok(())), Exit::SUCCESS);
    assert_eq!(later(|| Err(std::fmt::Error.into())), Exit::FAILURE);
    assert_eq!(later(|| Err(Exit::new(7).into())).code(), 7);
    assert_eq!(later(|| panic!("main")), Exit::FAILURE);
    assert_eq!(react(&Turns::default(), |_| Err(Exit::new(2))).code(), 2);

    let turns = Turns::default();
    let (promise, waiting) = deferred::<()>();
    call_later(&turns.clock, seconds(1), {
        let turns = turns.clone();
        move || turns.stop()
    });
    assert_eq!(react(&turns, |_| waiting), Exit::SUCCESS);
    assert!(promise.is_cancelled());
}
