//! `timers OURS|TOKIO WHAT OUTSTANDING`: nanoseconds for each timer, beside so many that wait.
//!
//! `cancel` adds a timer and takes it away; `fire` adds as many as there are outstanding, all due within
//! the next milliseconds, and lets them come due. That is done once before the clock starts: with the first
//! million the kernel hands out memory, which takes it longer than the timers. Timed is the CPU of this
//! thread, so that waiting for a timer costs what it costs: nothing.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ropewalk_protocol::{DelayedCall, call_later};
use ropewalk_reactor::Reactor;

/// How many timers are added and cancelled in all.
const CANCELS: usize = 1_000_000;
/// How many come due in all, at least.
const FIRES: usize = 1_000_000;
/// The times for which timers are set: from seconds to most of an hour.
const NEAREST_MS: u64 = 1_000;
const SPREAD_MS: u64 = 3_000_000;
/// Within how many milliseconds they fire.
const FIRING_MS: u64 = 2;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) % limit
    }

    fn far(&mut self) -> Duration {
        Duration::from_millis(NEAREST_MS + self.below(SPREAD_MS))
    }

    fn near(&mut self) -> Duration {
        Duration::from_millis(1 + self.below(FIRING_MS))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [whose, what, outstanding] = &words[..] else {
        return Err("usage: timers ours|tokio cancel|fire OUTSTANDING".into());
    };
    let outstanding = outstanding.parse()?;
    let nanoseconds = match (whose.as_str(), what.as_str()) {
        ("ours", "cancel") => our_cancels(outstanding)?,
        ("ours", "fire") => our_fires(outstanding)?,
        ("tokio", "cancel") => tokio_runtime()?.block_on(tokio_cancels(outstanding))?,
        ("tokio", "fire") => tokio_fires(outstanding)?,
        _ => return Err("usage: timers ours|tokio cancel|fire OUTSTANDING".into()),
    };
    println!("{nanoseconds:.1}");
    Ok(())
}

/// How long this thread has been on the CPU.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = schedstat.split_whitespace().next().ok_or("no figure")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

fn each(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count as f64
}

fn our_cancels(outstanding: usize) -> Result<f64, Box<dyn Error>> {
    let reactor = Reactor::new()?;
    let mut dice = Dice(1);
    let waiting: Vec<DelayedCall> =
        (0..outstanding).map(|_| call_later(&reactor, dice.far(), || ())).collect();
    let before = cpu_time()?;
    for _ in 0..CANCELS {
        call_later(&reactor, dice.far(), || ()).cancel();
    }
    let time = cpu_time()?.saturating_sub(before);
    drop(waiting);
    Ok(each(time, CANCELS))
}

fn our_fires(outstanding: usize) -> Result<f64, Box<dyn Error>> {
    let reactor = Reactor::new()?;
    let mut dice = Dice(1);
    let rounds = FIRES.div_ceil(outstanding);
    let mut before = Duration::ZERO;
    for round in 0..=rounds {
        if round == 1 {
            before = cpu_time()?;
        }
        for _ in 0..outstanding {
            drop(call_later(&reactor, dice.near(), || ()));
        }
        while reactor.census().calls > 0 {
            reactor.turn(Duration::from_secs(1))?;
        }
    }
    Ok(each(cpu_time()?.saturating_sub(before), rounds * outstanding))
}

fn tokio_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}

/// A sleep that the runtime knows of.
fn sleeping(time: Duration) -> Pin<Box<tokio::time::Sleep>> {
    let mut sleep = Box::pin(tokio::time::sleep(time));
    let state = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(state.is_pending(), "it is not due yet");
    sleep
}

async fn tokio_cancels(outstanding: usize) -> Result<f64, Box<dyn Error>> {
    let mut dice = Dice(1);
    let waiting: Vec<_> = (0..outstanding).map(|_| sleeping(dice.far())).collect();
    let before = cpu_time()?;
    for _ in 0..CANCELS {
        // On the stack, as tokio's users have it in a `select!` or a `timeout`.
        let mut sleep = pin!(tokio::time::sleep(dice.far()));
        let state = sleep.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(state.is_pending(), "it is not due yet");
    }
    let time = cpu_time()?.saturating_sub(before);
    drop(waiting);
    Ok(each(time, CANCELS))
}

/// Sleeps in the boxes that hold a task's state, without the tasks: the timers alone.
struct All {
    sleeps: Vec<Pin<Box<tokio::time::Sleep>>>,
}

impl Future for All {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The last to come due is waited for; the others have been told of by then.
        while let Some(sleep) = self.sleeps.last_mut() {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleeps.pop();
        }
        Poll::Ready(())
    }
}

fn tokio_fires(outstanding: usize) -> Result<f64, Box<dyn Error>> {
    let runtime = tokio_runtime()?;
    let mut dice = Dice(1);
    let rounds = FIRES.div_ceil(outstanding);
    let mut before = Duration::ZERO;
    for round in 0..=rounds {
        if round == 1 {
            before = cpu_time()?;
        }
        runtime.block_on(async {
            let sleeps = (0..outstanding).map(|_| sleeping(dice.near() + Duration::from_millis(1)));
            All { sleeps: sleeps.collect() }.await;
        });
    }
    Ok(each(cpu_time()?.saturating_sub(before), rounds * outstanding))
}
