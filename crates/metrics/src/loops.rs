//! The loops of a program.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ropewalk_reactor::{CallRefused, Observer, Reactor, ReactorHandle, Statistics, Turn};

use crate::{Counted, Requests};

/// How many loops one program may have.
const LOOPS_MAX: usize = 1024;

/// All loops of a program. A clone is the same, and may go to any thread.
#[derive(Clone, Default)]
pub struct Loops {
    loops: Arc<Mutex<Vec<Loop>>>,
    lost_lines: Arc<AtomicU64>,
}

#[derive(Clone)]
struct Loop {
    number: usize,
    driver: &'static str,
    handle: ReactorHandle,
    observer: Observer,
    requests: Requests,
    last: Last,
}

/// What a loop said of itself last.
type Last = Arc<Mutex<Option<Statistics>>>;

/// One loop, as it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Its number, from nought, in the order in which loops came.
    pub number: usize,
    /// Its driver.
    pub driver: &'static str,
    /// What it has counted; of a loop that does not answer, when it last did.
    pub statistics: Statistics,
    /// Requests that were answered on it.
    pub requests: Counted,
    /// The turn in which it was stuck when it did not answer.
    pub stuck: Option<Turn>,
    /// The system's number for its thread.
    pub thread: Option<u32>,
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loop {
    fn report(&self, stuck: Option<Turn>) -> Report {
        Report {
            number: self.number,
            driver: self.driver,
            statistics: lock(&self.last).clone().unwrap_or_default(),
            requests: self.requests.counted(),
            stuck,
            thread: self.observer.thread(),
        }
    }

    /// Has the loop say how it is; what is dropped without a word was not able to.
    fn publish(&self, done: Option<mpsc::SyncSender<()>>) -> Result<(), CallRefused> {
        let last = Arc::clone(&self.last);
        self.handle.call_from_thread(move |reactor| {
            *lock(&last) = Some(reactor.statistics());
            if let Some(done) = done {
                // Whoever asked may have given up.
                let _ = done.try_send(());
            }
        })
    }
}

impl Loops {
    /// No loop yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A loop more, called on its own thread. What is answered on it is counted by what comes back. Beyond
    /// 1,024 they are not shown.
    pub fn add(&self, reactor: &Reactor) -> Requests {
        let requests = Requests::default();
        let mut loops = self.lock();
        let number = loops.last().map_or(0, |last| last.number + 1);
        if loops.len() < LOOPS_MAX {
            loops.push(Loop {
                number,
                driver: reactor.driver(),
                handle: reactor.handle(),
                observer: reactor.observer(),
                requests: requests.clone(),
                last: Arc::new(Mutex::new(Some(reactor.statistics()))),
            });
        }
        requests
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Loop>> {
        lock(&self.loops)
    }

    /// A line of the program's log could not be written: whoever takes them has no room, or is gone.
    pub fn count_lost_line(&self) {
        self.lost_lines.fetch_add(1, Ordering::Relaxed);
    }

    /// How many lines of the log could not be written.
    pub fn lost_lines(&self) -> u64 {
        self.lost_lines.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// How each loop is, asked from a thread that is none of theirs. One that does not answer within
    /// `patience` is told of as it last was, with the turn in which it is [stuck](Report::stuck). Those that are no more
    /// are left out.
    pub fn ask(&self, patience: Duration) -> Vec<Report> {
        self.each(patience, |_| ()).into_iter().map(|(report, _)| report).collect()
    }

    /// The same, and what `look` finds on each loop that answers.
    pub fn each<T: Send + 'static>(
        &self,
        patience: Duration,
        look: impl Fn(&Reactor) -> T + Clone + Send + 'static,
    ) -> Vec<(Report, Option<T>)> {
        let loops = self.lock().clone();
        let mut gone = Vec::new();
        let mut waiting = Vec::new();
        for one in loops {
            let (done, heard) = mpsc::sync_channel(1);
            let (last, look) = (Arc::clone(&one.last), look.clone());
            let asked = one.handle.call_from_thread(move |reactor| {
                *lock(&last) = Some(reactor.statistics());
                // Whoever asked may have given up.
                let _ = done.try_send(look(reactor));
            });
            match asked {
                Ok(()) | Err(CallRefused::Full) => waiting.push((one, heard)),
                Err(_) => gone.push(one.number),
            }
        }
        self.lock().retain(|one| !gone.contains(&one.number));
        #[expect(
            clippy::disallowed_methods,
            reason = "no loop's clock counts the waits of other threads"
        )]
        let begun = Instant::now();
        let hear = |(one, heard): (Loop, mpsc::Receiver<T>)| {
            let found = heard.recv_timeout(patience.saturating_sub(begun.elapsed())).ok();
            let stuck = if found.is_none() { one.observer.turn() } else { None };
            (one.report(stuck), found)
        };
        waiting.into_iter().map(hear).collect()
    }

    /// How each loop is, asked on the loop of `here`: that one as it is now, the others as they were when
    /// they were last asked. They are asked anew, for the next time.
    pub fn look(&self, here: &Reactor) -> Vec<Report> {
        let own = here.observer();
        let loops = self.lock().clone();
        let report = |one: &Loop| {
            if one.observer == own {
                *lock(&one.last) = Some(here.statistics());
            } else if matches!(one.publish(None), Err(CallRefused::Gone)) {
                return None;
            }
            Some(one.report(None))
        };
        loops.iter().filter_map(report).collect()
    }

    /// Makes this call on the loop of that number; false if there is none.
    pub fn call_one(&self, number: usize, call: impl FnOnce(&Reactor) + Send + 'static) -> bool {
        let found = self.lock().iter().find(|one| one.number == number).cloned();
        found.is_some_and(|one| one.handle.call_from_thread(call).is_ok())
    }

    /// Makes this call on each loop; answers how many take it.
    pub fn call(&self, call: impl Fn(&Reactor) + Clone + Send + 'static) -> usize {
        let loops = self.lock().clone();
        loops.iter().filter(|one| one.handle.call_from_thread(call.clone()).is_ok()).count()
    }
}

impl fmt::Debug for Loops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loops").field("count", &self.len()).finish()
    }
}
