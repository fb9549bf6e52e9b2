//! Tasks and their owner.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk_deferred::{Cancelled, Context, Deferred, Failure, Panicked, deferred};
use ropewalk_protocol::{Scope, scope};
use ropewalk_trial::Executor;

type Seen = Rc<RefCell<Vec<&'static str>>>;

/// Says so when it is dropped, as a task's locals are when the task is.
struct Dropped(Seen, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1);
    }
}

async fn never() {
    std::future::pending::<()>().await;
}

#[track_caller]
fn ended<T>(executor: &Executor, scope: Deferred<T>) -> Result<T, Failure> {
    executor.run();
    assert_eq!(executor.pending(), 0, "a task outlived its scope");
    scope.now_or_never().expect("the scope goes on")
}

#[test]
fn scopes_end_with_their_body_and_cancel_what_is_left() {
    let executor = Executor::new();
    let seen = Seen::default();
    let noted = Rc::clone(&seen);
    let done = scope(executor.clone(), async move |scope: Scope| {
        let guard = Dropped(Rc::clone(&noted), "task dropped");
        let task = scope.spawn(async move {
            let _guard = guard;
            never().await;
            Ok::<_, Failure>(())
        });
        task.hand_over();
        let (promise, turn) = deferred();
        scope
            .spawn(async move {
                promise.succeed(());
                Ok::<_, Failure>(())
            })
            .hand_over();
        turn.await?;
        Ok::<_, Failure>("body")
    })
    .map(move |text| {
        seen.borrow_mut().push("scope ended");
        (text, seen.take())
    });
    let (text, seen) = ended(&executor, done).unwrap();
    assert_eq!((text, seen), ("body", vec!["task dropped", "scope ended"]));
}

#[test]
fn tasks_that_must_finish_are_waited_for() {
    let executor = Executor::new();
    let (promise, slow) = deferred::<()>();
    let told = Rc::new(Cell::new(false));
    let heard = Rc::clone(&told);
    let done = scope(executor.clone(), async move |scope: Scope| {
        let (leaving, slow) = (scope.leaving(), slow);
        scope
            .spawn_must_finish(async move {
                leaving.await?;
                heard.set(true);
                slow.await
            })
            .hand_over();
        Ok::<_, Failure>(())
    });
    executor.run();
    assert!(told.get());
    let done = done.try_take().expect_err("one must finish");
    promise.succeed(());
    ended(&executor, done).unwrap();
}

#[test]
fn failures_that_nobody_awaits_end_the_scope() {
    for panics in [false, true] {
        let executor = Executor::new();
        let seen = Seen::default();
        let noted = Rc::clone(&seen);
        let done = scope(executor.clone(), async move |scope: Scope| {
            let _guard = Dropped(Rc::clone(&noted), "body");
            let guard = Dropped(noted, "sibling");
            scope
                .spawn(async move {
                    let _guard = guard;
                    never().await;
                    Ok::<_, Failure>(())
                })
                .hand_over();
            drop(scope.spawn(async move {
                assert!(!panics, "the child panics");
                Err::<(), _>(std::fmt::Error)
            }));
            never().await;
            Ok::<_, Failure>(())
        });
        let why = ended(&executor, done).unwrap_err();
        assert_eq!(why.check::<Panicked>().is_some(), panics);
        assert_eq!(why.check::<std::fmt::Error>().is_some(), !panics);
        let mut seen = seen.take();
        seen.sort_unstable();
        assert_eq!(seen, ["body", "sibling"]);
    }
}

#[test]
fn awaited_failures_are_their_owners() {
    let executor = Executor::new();
    let done = scope(executor.clone(), async |scope: Scope| {
        let task = scope.spawn(async { Err::<(), _>(std::fmt::Error) });
        let failed = task.await.unwrap_err().check::<std::fmt::Error>().is_some();
        let cancelled = scope.spawn(async {
            never().await;
            Ok::<_, Failure>(())
        });
        cancelled.cancel();
        let cancelled = cancelled.await.unwrap_err().check::<Cancelled>().is_some();
        Ok::<_, Failure>((failed, cancelled))
    });
    assert_eq!(ended(&executor, done).unwrap(), (true, true));
}

#[test]
fn tasks_that_are_cancelled_and_dropped_are_no_failure() {
    let executor = Executor::new();
    let done = scope(executor.clone(), async |scope: Scope| {
        let task = scope.spawn(async {
            never().await;
            Ok::<_, Failure>(())
        });
        task.cancel();
        drop(task);
        scope.spawn(async { Ok::<_, Failure>(()) }).await
    });
    ended(&executor, done).unwrap();
}

#[test]
fn cancelled_scopes_wait_for_their_tasks() {
    let executor = Executor::new();
    let (promise, slow) = deferred::<()>();
    let done = scope(executor.clone(), async move |scope: Scope| {
        scope.spawn_must_finish(slow).hand_over();
        never().await;
        Ok::<_, Failure>(())
    });
    executor.run();
    done.cancel();
    executor.run();
    let done = done.try_take().expect_err("one must finish");
    promise.succeed(());
    assert!(ended(&executor, done).unwrap_err().check::<Cancelled>().is_some());
}

#[test]
fn nothing_begins_in_a_scope_that_is_left() {
    let executor = Executor::new();
    let kept = Rc::new(RefCell::new(None));
    let stash = Rc::clone(&kept);
    let done = scope(executor.clone(), async move |scope: Scope| {
        stash.replace(Some(scope));
        Ok::<_, Failure>(())
    });
    ended(&executor, done).unwrap();
    let scope = kept.take().expect("it was kept");
    assert!(scope.is_leaving());
    let late = scope.spawn(async { Err::<(), _>(Failure::from(std::fmt::Error)) }).into_deferred();
    assert!(ended(&executor, late).unwrap_err().check::<Cancelled>().is_some());
}

#[test]
fn outer_scopes_wait_for_what_inner_ones_left() {
    let executor = Executor::new();
    let (promise, slow) = deferred::<()>();
    let done = scope(executor.clone(), async move |outer: Scope| {
        let spawner = outer.clone();
        let inner = outer.spawn(async move {
            scope(spawner, async move |inner: Scope| {
                inner.spawn_must_finish(slow).hand_over();
                never().await;
                Ok::<_, Failure>(())
            })
            .await
        });
        // Lets the inner one begin.
        outer.spawn(async { Ok::<_, Failure>(()) }).await?;
        outer.spawn(async { Ok::<_, Failure>(()) }).await?;
        inner.cancel();
        Ok::<_, Failure>(())
    });
    executor.run();
    let done = done.try_take().expect_err("a task of the inner one must finish");
    promise.succeed(());
    ended(&executor, done).unwrap();
}

struct Tag(u32);

/// Statement 27, for tasks: each has the context that it was spawned in, at each of its turns.
#[test]
fn tasks_keep_the_context_they_were_spawned_in() {
    let tag = || Context::current().get::<Tag>().map(|tag| tag.0);
    let executor = Executor::new();
    let (promise, waiting) = deferred::<()>();
    let tags = Context::current().with(Tag(1)).run(|| {
        scope(executor.clone(), async move |scope: Scope| {
            let inner = Context::current().with(Tag(2)).run(|| {
                scope.spawn(async move {
                    let before = tag();
                    waiting.await?;
                    Ok::<_, Failure>((before, tag()))
                })
            });
            let own = tag();
            Ok::<_, Failure>((inner.await?, own, tag()))
        })
    });
    executor.run();
    Context::current().with(Tag(3)).run(|| promise.succeed(()));
    let tags = ended(&executor, tags).unwrap();
    assert_eq!(tags, ((Some(2), Some(2)), Some(1), Some(1)));
    assert_eq!(tag(), None);
}
