//! Other threads, and tasks on this one.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use ropewalk_deferred::{Abandoned, Cancelled, Context, Failure, Panicked, deferred};
use ropewalk_protocol::{call_later, sleep};
use ropewalk_reactor::{CallRefused, PoolRefused, Reactor, ReactorGone, ThreadPoolOptions};

use crate::kit::{Count, PATIENCE, is_quiet, reactor, settle, threads, turn_until};

#[test]
fn calls_from_threads_keep_each_threads_order() {
    const THREADS: usize = 8;
    const CALLS: usize = 500;
    let reactor = reactor();
    let made = Arc::new(Mutex::new(Vec::new()));
    let others: Vec<_> = (0..THREADS)
        .map(|id| {
            let (handle, made) = (reactor.handle(), Arc::clone(&made));
            let call = move || {
                for number in 0..CALLS {
                    let made = Arc::clone(&made);
                    let call = move |_: &Reactor| made.lock().unwrap().push((id, number));
                    handle.call_from_thread(call).unwrap();
                }
            };
            thread::Builder::new().spawn(call).unwrap()
        })
        .collect();
    turn_until(&reactor, || made.lock().unwrap().len() == THREADS * CALLS);
    for other in others {
        other.join().unwrap();
    }
    let made = made.lock().unwrap();
    for id in 0..THREADS {
        let own: Vec<usize> = made.iter().filter(|call| call.0 == id).map(|call| call.1).collect();
        assert_eq!(own, (0..CALLS).collect::<Vec<_>>());
    }
}

/// Any number of calls between two turns wakes the loop once.
#[test]
fn many_calls_are_one_wake() {
    let reactor = reactor();
    let handle = reactor.handle();
    let made = Arc::new(AtomicUsize::new(0));
    for round in 1..=3 {
        for _ in 0..1000 {
            let made = Arc::clone(&made);
            handle.call_from_thread(move |_| _ = made.fetch_add(1, Ordering::Relaxed)).unwrap();
        }
        assert!(!is_quiet(&reactor), "a foreign loop sees that there is something to do");
        reactor.turn(PATIENCE).unwrap();
        assert_eq!(made.load(Ordering::Relaxed), round * 1000);
        assert!(is_quiet(&reactor), "nothing of it is left");
    }
}

#[test]
fn a_call_made_by_such_a_call_has_its_turn_later_and_a_panic_harms_nobody() {
    let reactor = reactor();
    let handle = reactor.handle();
    let (again, made) = (handle.clone(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&made);
    handle.call_from_thread(|_| panic!("this panic is part of the test")).unwrap();
    let call = move |_: &Reactor| {
        counted.fetch_add(1, Ordering::Relaxed);
        let counted = Arc::clone(&counted);
        again.call_from_thread(move |_| _ = counted.fetch_add(1, Ordering::Relaxed)).unwrap();
    };
    handle.call_from_thread(call).unwrap();
    reactor.turn(PATIENCE).unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 1);
    reactor.turn(PATIENCE).unwrap();
    assert_eq!(made.load(Ordering::Relaxed), 2);
}

#[test]
fn so_many_calls_wait_and_no_more_and_a_stop_gets_through() {
    const CALLS_MAX: usize = 65_536;
    let reactor = reactor();
    let handle = reactor.handle();
    let made = Arc::new(AtomicUsize::new(0));
    let ask = || {
        let made = Arc::clone(&made);
        handle.call_from_thread(move |_| _ = made.fetch_add(1, Ordering::Relaxed))
    };
    for _ in 0..CALLS_MAX {
        ask().unwrap();
    }
    assert_eq!(ask(), Err(CallRefused::Full));
    handle.stop().unwrap();
    reactor.run_without_signals().unwrap();
    assert_eq!(made.load(Ordering::Relaxed), CALLS_MAX, "the stop came after the calls");
    ask().unwrap();
}

#[test]
fn a_handle_outlives_its_reactor_and_says_so() {
    let reactor = reactor();
    let handle = reactor.handle();
    let token = Arc::new(());
    let held = Arc::clone(&token);
    handle.call_from_thread(move |_| drop(held)).unwrap();
    drop(reactor);
    assert_eq!(Arc::strong_count(&token), 1, "a call that is not made is dropped");
    assert_eq!(handle.call_from_thread(|_| ()), Err(CallRefused::Gone));
    assert_eq!(handle.stop(), Err(ReactorGone));
}

#[test]
fn blocking_work_brings_its_results_home() {
    let reactor = reactor();
    let here = thread::current().id();
    let work = reactor.defer_to_thread(move || {
        assert_ne!(thread::current().id(), here);
        Ok::<_, Failure>("done")
    });
    assert_eq!(reactor.run_until(work).unwrap(), "done");
    let work = reactor.defer_to_thread(|| "x".parse::<u8>());
    let failure = reactor.run_until(work).unwrap_err();
    assert!(failure.check::<std::num::ParseIntError>().is_some());
    let work = reactor
        .defer_to_thread(|| -> Result<(), Failure> { panic!("this panic is part of the test") });
    let failure = reactor.run_until(work).unwrap_err();
    assert_eq!(failure.check::<Panicked>().unwrap().message(), "this panic is part of the test");
    assert!(reactor.census().threads <= 3);
}

/// Jobs that keep their threads until they are let go.
struct Busy {
    gate: Vec<mpsc::Sender<()>>,
    done: Count,
}

impl Busy {
    fn new() -> Self {
        Self { gate: Vec::new(), done: Count::default() }
    }

    /// One more job, which has begun.
    fn begin(&mut self, reactor: &Reactor) {
        let (go, wait) = mpsc::channel();
        let (begun, has_begun) = mpsc::channel();
        let done = self.done.clone();
        let work = reactor.defer_to_thread(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            Ok::<_, Failure>(())
        });
        work.on_result(move |result| {
            result.unwrap();
            done.add();
        });
        self.gate.push(go);
        has_begun.recv().unwrap();
    }

    fn end(self, reactor: &Reactor) {
        let begun = self.gate.len();
        self.gate.into_iter().for_each(|go| go.send(()).unwrap());
        turn_until(reactor, || self.done.get() == begun);
    }
}

#[test]
fn the_pool_grows_with_the_jobs_and_shrinks_without_them() {
    let reactor = reactor();
    let options = ThreadPoolOptions::default().patience(Duration::from_millis(1));
    reactor.set_thread_pool(options.clone().patience(PATIENCE));
    assert_eq!(reactor.census().threads, 0, "nobody has asked for any");
    let mut busy = Busy::new();
    for count in 1..=6 {
        busy.begin(&reactor);
        assert_eq!(reactor.census().threads, count, "as many as have a job");
    }
    busy.end(&reactor);
    for _ in 0..100 {
        reactor.run_until(reactor.defer_to_thread(|| Ok::<_, Failure>(()))).unwrap();
    }
    assert!(reactor.census().threads <= 6, "who is idle gets the job");
    reactor.set_thread_pool(options);
    while reactor.census().threads > 0 {
        reactor.run_until(sleep(&reactor, Duration::from_millis(1))).unwrap();
    }
    let again = reactor.defer_to_thread(|| Ok::<_, Failure>("again"));
    assert_eq!(reactor.run_until(again).unwrap(), "again");
}

#[test]
fn the_pools_bounds_can_be_set() {
    let reactor = reactor();
    let options = ThreadPoolOptions::default().threads_max(4).patience(PATIENCE);
    reactor.set_thread_pool(options.clone());
    let mut busy = Busy::new();
    (0..4).for_each(|_| busy.begin(&reactor));
    reactor.set_thread_pool(options.threads_max(0).jobs_max(2));
    let waiting = [0, 1].map(|number| reactor.defer_to_thread(move || Ok::<_, Failure>(number)));
    let refused = reactor.defer_to_thread(|| Ok::<_, Failure>(())).now_or_never().unwrap();
    assert_eq!(refused.unwrap_err().check(), Some(&PoolRefused::Full));
    busy.end(&reactor);
    for (number, waiting) in waiting.into_iter().enumerate() {
        assert_eq!(reactor.run_until(waiting).unwrap(), number);
    }
    assert_eq!(reactor.census().threads, 1, "there is always one");
}

/// Where a log is written to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who submits a job has it done in the same span and under the same subscriber; the next job on the
/// thread knows nothing of that, and the result comes home to its own values.
#[test]
fn a_job_takes_its_span_and_subscriber_along() {
    struct RequestId(u32);
    let reactor = reactor();
    reactor.set_thread_pool(ThreadPoolOptions::default().threads_max(1));
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let submit = || {
        let _request = tracing::info_span!("request", id = 7).entered();
        Context::current().with(RequestId(7)).run(|| {
            let job = || {
                tracing::info!("in the thread");
                Ok::<_, Failure>(())
            };
            reactor.defer_to_thread(job).map(|()| {
                tracing::info!("at home");
                Context::current().get::<RequestId>().map(|id| id.0)
            })
        })
    };
    let job = tracing::subscriber::with_default(subscriber, submit);
    assert_eq!(reactor.run_until(job).unwrap(), Some(7));
    let plain = reactor.defer_to_thread(|| {
        tracing::info!("told to nobody");
        Ok::<_, Failure>(tracing::Span::current().is_none())
    });
    assert!(reactor.run_until(plain).unwrap());
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("in the thread")).expect("it was logged");
    assert!(line.contains("request{id=7}"), "{line}");
    assert!(!log.contains("told to nobody"), "{log}");
}

/// The pool's bounds: sixteen threads, and so many jobs waiting.
#[test]
fn the_pool_takes_no_more_than_its_bound() {
    const THREADS_MAX: usize = 16;
    const JOBS_MAX: usize = 16 * 1024;
    let reactor = reactor();
    let (begun, all_begun) = mpsc::channel();
    let gate = Arc::new(Barrier::new(THREADS_MAX + 1));
    let finished = Count::default();
    for _ in 0..THREADS_MAX {
        let (begun, gate, finished) = (begun.clone(), Arc::clone(&gate), finished.clone());
        let work = reactor.defer_to_thread(move || {
            begun.send(()).unwrap();
            gate.wait();
            Ok::<_, Failure>(())
        });
        work.on_result(move |result| {
            result.unwrap();
            finished.add();
        });
    }
    (0..THREADS_MAX).for_each(|_| all_begun.recv().unwrap());
    assert_eq!(reactor.census().threads, THREADS_MAX);
    for _ in 0..JOBS_MAX {
        let finished = finished.clone();
        let work = reactor.defer_to_thread(|| Ok::<_, Failure>(()));
        work.on_result(move |result| {
            result.unwrap();
            finished.add();
        });
    }
    let one_more = reactor.defer_to_thread(|| Ok::<_, Failure>(()));
    let failure = one_more.now_or_never().unwrap().unwrap_err();
    assert_eq!(failure.check(), Some(&PoolRefused::Full));
    gate.wait();
    turn_until(&reactor, || finished.get() == THREADS_MAX + JOBS_MAX);
    assert_eq!(reactor.census().threads, THREADS_MAX);
}

#[test]
fn results_that_come_after_the_stop_are_dropped_and_hit_nobody() {
    let reactor = reactor();
    let (go, wait) = mpsc::channel::<()>();
    let (end, ended) = mpsc::channel();
    let late = reactor.defer_to_thread(move || {
        wait.recv().unwrap();
        end.send(()).unwrap();
        Ok::<_, Failure>(())
    });
    let told = Rc::new(RefCell::new(None));
    let tell = Rc::clone(&told);
    late.on_result(move |result| _ = tell.replace(Some(result)));
    reactor.stop();
    reactor.run_without_signals().unwrap();
    let failure = told.take().expect("it is told at the stop").unwrap_err();
    assert!(failure.check::<Abandoned>().is_some(), "{failure:?}");
    // The next run's jobs are not taken for it.
    let (answer, question) = mpsc::channel();
    let next = reactor.defer_to_thread(move || Ok::<u32, Failure>(question.recv().unwrap()));
    go.send(()).unwrap();
    ended.recv().unwrap();
    settle(&reactor);
    let waiting = next.try_take().expect_err("its own answer has not come");
    answer.send(7).unwrap();
    assert_eq!(reactor.run_until(waiting).unwrap(), 7);
}

#[test]
fn a_reactor_that_is_dropped_waits_for_its_threads() {
    let reactor = reactor();
    let (begun, wait) = mpsc::channel();
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let work = reactor.defer_to_thread(move || {
        begun.send(()).unwrap();
        // As long as others may run, this one is not done yet.
        (0..100).for_each(|_| thread::yield_now());
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Failure>(())
    });
    wait.recv().unwrap();
    drop(reactor);
    assert_eq!(done.load(Ordering::SeqCst), 1);
    let failure = work.now_or_never().unwrap().unwrap_err();
    assert!(failure.check::<Abandoned>().is_some());
    assert!(threads() > 0);
}

#[test]
fn a_task_is_dropped_when_its_deferred_is_cancelled() {
    struct Token(Count);
    impl Drop for Token {
        fn drop(&mut self) {
            self.0.add();
        }
    }
    let reactor = reactor();
    let dropped = Count::default();
    for turns in 0..3 {
        let token = Token(dropped.clone());
        let task = reactor.spawn(async move {
            std::future::pending::<()>().await;
            drop(token);
            Ok::<_, Failure>(())
        });
        (0..turns).for_each(|_| reactor.turn(Duration::ZERO).unwrap());
        assert_eq!(reactor.census().tasks, 1);
        task.cancel();
        let failure = reactor.run_until(task).unwrap_err();
        assert!(failure.check::<Cancelled>().is_some());
        settle(&reactor);
        assert_eq!((dropped.get(), reactor.census().tasks), (turns + 1, 0));
    }
}

#[test]
fn a_task_is_woken_from_another_thread() {
    let reactor = reactor();
    let (lend, lent) = mpsc::channel::<Waker>();
    let ready = Arc::new(AtomicUsize::new(0));
    let awaited = Arc::clone(&ready);
    let task = reactor.spawn(async move {
        for round in 1..=3 {
            let wait = |cx: &mut std::task::Context<'_>| {
                if awaited.load(Ordering::SeqCst) >= round {
                    return Poll::Ready(());
                }
                lend.send(cx.waker().clone()).unwrap();
                Poll::Pending
            };
            poll_fn(wait).await;
        }
        Ok::<_, Failure>("awake")
    });
    let other = thread::Builder::new().spawn(move || {
        for waker in lent {
            ready.fetch_add(1, Ordering::SeqCst);
            waker.wake();
        }
    });
    assert_eq!(reactor.run_until(task).unwrap(), "awake");
    other.unwrap().join().unwrap();
}

#[test]
fn a_panicking_task_is_a_failure_and_its_neighbours_go_on() {
    let reactor = reactor();
    let bad = reactor.spawn(async {
        let number: Result<u8, Failure> = Ok("this panic is part of the test".parse().unwrap());
        number
    });
    let sleeper = reactor.clone();
    let good = reactor.spawn(async move { sleep(&sleeper, Duration::from_millis(1)).await });
    let failure = reactor.run_until(bad).unwrap_err();
    assert!(failure.check::<Panicked>().is_some(), "{failure:?}");
    reactor.run_until(good).unwrap();
    assert_eq!(reactor.census().tasks, 0);
}

/// A task that is always ready leaves the loop its turn.
#[test]
fn a_busy_task_lets_others_have_their_turn() {
    let reactor = reactor();
    let polls = Count::default();
    let counted = polls.clone();
    let busy = reactor.spawn(poll_fn(move |cx| {
        counted.add();
        cx.waker().wake_by_ref();
        Poll::<Result<(), Failure>>::Pending
    }));
    let (promise, called) = deferred();
    call_later(&reactor, Duration::ZERO, move || promise.succeed(()));
    reactor.run_until(called).unwrap();
    assert!((1..10).contains(&polls.get()), "{} polls in one turn", polls.get());
    busy.cancel();
    settle(&reactor);
    assert_eq!(reactor.census().tasks, 0);
}

/// What is let go at the stop may ask for more, and that has its end too.
#[test]
fn tasks_that_spawn_on_their_way_out_end_as_well() {
    struct Heir(Reactor, Count);
    impl Drop for Heir {
        fn drop(&mut self) {
            if self.1.add() < 5 {
                let heir = Self(self.0.clone(), self.1.clone());
                self.0.spawn(async move { never(heir).await }).detach();
            }
        }
    }
    async fn never(heir: Heir) -> Result<(), Failure> {
        std::future::pending::<()>().await;
        drop(heir);
        Ok(())
    }
    let reactor = reactor();
    let count = Count::default();
    let heir = Heir(reactor.clone(), count.clone());
    reactor.spawn(never(heir)).detach();
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(count.get(), 5);
    assert_eq!(reactor.census().tasks, 0);
}
