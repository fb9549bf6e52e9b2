//! The shapes, with futures: polled by hand as they stand, boxed at each step as a value of one type
//! has to be, or spawned on an executor so that firing alone brings the result on.

use std::future::Future;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

use futures::FutureExt;
use futures::channel::oneshot;
use futures::executor::LocalPool;
use futures::future::LocalBoxFuture;
use futures::task::LocalSpawnExt;

#[derive(Clone, Copy)]
pub enum Kind {
    Futures,
    FuturesBoxed,
    FuturesSpawned,
    Tokio,
}

pub fn shape(name: &str, kind: Kind) -> Option<fn(u64)> {
    Some(match (name, kind) {
        ("fire-0", Kind::Futures) => |count| each(count, |rest| rest),
        ("fire-1", Kind::Futures) => |count| each(count, |rest| rest.map(step)),
        ("fire-10", Kind::Futures) => |count| each(count, ten),
        ("fire-1", Kind::FuturesBoxed) => |count| each(count, |rest| boxed(rest, 1)),
        ("fire-10", Kind::FuturesBoxed) => |count| each(count, |rest| boxed(rest, 10)),
        ("fire-1", Kind::FuturesSpawned) => |count| spawned(count, |rest| rest.map(step)),
        ("fire-10", Kind::FuturesSpawned) => |count| spawned(count, ten),
        ("fire-0", Kind::Tokio) => |count| each_tokio(count, |rest| rest),
        ("fire-1", Kind::Tokio) => |count| each_tokio(count, |rest| rest.map(step)),
        ("fire-10", Kind::Tokio) => |count| each_tokio(count, ten),
        ("returned-10", Kind::Futures) => returned,
        ("returned-10", Kind::FuturesBoxed) => returned_boxed,
        ("await-ready", Kind::Futures) => await_ready,
        ("await-ready", Kind::Tokio) => await_ready_tokio,
        ("await-pending", Kind::Futures) => {
            |count| each(count, |rest| async move { step(rest.await) })
        }
        ("await-pending", Kind::Tokio) => {
            |count| each_tokio(count, |rest| async move { step(rest.await) })
        }
        _ => return None,
    })
}

fn step<E>(result: Result<u64, E>) -> Result<u64, E> {
    result.map(|n| black_box(n + 1))
}

fn ten<E>(rest: impl Future<Output = Result<u64, E>>) -> impl Future<Output = Result<u64, E>> {
    let five = rest.map(step).map(step).map(step).map(step).map(step);
    five.map(step).map(step).map(step).map(step).map(step)
}

type Boxed = LocalBoxFuture<'static, Result<u64, oneshot::Canceled>>;

fn boxed(rest: oneshot::Receiver<u64>, links: usize) -> Boxed {
    let mut rest: Boxed = Box::pin(rest);
    for _ in 0..links {
        rest = Box::pin(rest.map(step));
    }
    rest
}

fn each<F: Future>(count: u64, chain: impl Fn(oneshot::Receiver<u64>) -> F) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (sender, rest) = black_box(oneshot::channel::<u64>());
        let mut rest = pin!(chain(rest));
        black_box(rest.as_mut().poll(&mut cx).is_ready());
        let _ = sender.send(n);
        black_box(rest.poll(&mut cx).is_ready());
    }
}

fn each_tokio<F: Future>(count: u64, chain: impl Fn(tokio::sync::oneshot::Receiver<u64>) -> F) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (sender, rest) = black_box(tokio::sync::oneshot::channel::<u64>());
        let mut rest = pin!(chain(rest));
        black_box(rest.as_mut().poll(&mut cx).is_ready());
        let _ = sender.send(n);
        black_box(rest.poll(&mut cx).is_ready());
    }
}

fn spawned<F>(count: u64, chain: impl Fn(oneshot::Receiver<u64>) -> F)
where
    F: Future<Output = Result<u64, oneshot::Canceled>> + 'static,
{
    let mut pool = LocalPool::new();
    for n in 0..count {
        let (sender, rest) = black_box(oneshot::channel::<u64>());
        let task = chain(rest).map(|result| {
            black_box(result.is_ok());
        });
        pool.spawner().spawn_local(task).expect("the pool is there");
        pool.run_until_stalled();
        let _ = sender.send(n);
        pool.run_until_stalled();
    }
}

/// Ten steps, each of which waits for another sender.
fn returned(count: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..11).map(|_| oneshot::channel::<u64>()).unzip();
        let mut task = pin!(async move {
            let mut last = Ok(0);
            for receiver in receivers {
                last = receiver.await;
            }
            last
        });
        black_box(task.as_mut().poll(&mut cx).is_ready());
        for sender in senders {
            let _ = sender.send(n);
            black_box(task.as_mut().poll(&mut cx).is_ready());
        }
    }
}

fn returned_boxed(count: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (first, rest) = oneshot::channel::<u64>();
        let mut senders = vec![first];
        let mut task: Pin<Box<dyn Future<Output = _>>> = Box::pin(rest);
        for _ in 0..10 {
            let (sender, inner) = oneshot::channel::<u64>();
            senders.push(sender);
            task = Box::pin(task.then(move |_: Result<u64, oneshot::Canceled>| inner));
        }
        black_box(task.as_mut().poll(&mut cx).is_ready());
        for sender in senders {
            let _ = sender.send(n);
            black_box(task.as_mut().poll(&mut cx).is_ready());
        }
    }
}

fn await_ready(count: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (sender, rest) = black_box(oneshot::channel::<u64>());
        let _ = sender.send(n);
        let task = pin!(async move { rest.await.map(|n| n + 1) });
        black_box(task.poll(&mut cx).is_ready());
    }
}

fn await_ready_tokio(count: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    for n in 0..count {
        let (sender, rest) = black_box(tokio::sync::oneshot::channel::<u64>());
        let _ = sender.send(n);
        let task = pin!(async move { rest.await.map(|n| n + 1) });
        black_box(task.poll(&mut cx).is_ready());
    }
}
