//! What [`#[ropewalk_trial::test]`](macro@crate::test) does around a test.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Outcome, maybe_deferred};
use ropewalk_protocol::Clock as _;
use ropewalk_reactor::{DriverKind, Reactor};

use crate::Simulation;
use crate::belongings::Belongings;
use crate::overheard::Overheard;

/// How long a test may take unless it says otherwise; in a simulation, in its own time.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);
/// The environment variable that names the one seed to be tried.
const SEED_VARIABLE: &str = "ROPEWALK_TRIAL_SEED";
/// The host of a simulated test that has asked for none.
const HOST: &str = "here";

/// How a test is run; what stands in the attribute's parentheses.
#[derive(Clone, Debug)]
pub struct Settings {
    name: &'static str,
    /// What `ROPEWALK_REACTOR` names, or else the best, unless set.
    driver: Option<DriverKind>,
    seeds: Option<u64>,
    deadline: Duration,
}

impl Settings {
    /// A test of that name, on the driver that `ROPEWALK_REACTOR` names, or else on the one that
    /// measures best.
    pub fn new(name: &'static str) -> Self {
        Self { name, driver: None, seeds: None, deadline: DEADLINE_DEFAULT }
    }

    /// On another driver.
    ///
    /// # Panics
    ///
    /// If there is none of that name.
    pub fn driver(self, name: &str) -> Self {
        let driver = name.parse().unwrap_or_else(|error| panic!("{error}"));
        Self { driver: Some(driver), ..self }
    }

    /// In a simulation, with one seed.
    pub fn simulated(self) -> Self {
        let seeds = self.seeds.or(Some(1));
        Self { seeds, ..self }
    }

    /// In a simulation, once with each of so many seeds.
    pub fn seeds(self, seeds: u64) -> Self {
        Self { seeds: Some(seeds), ..self }
    }

    /// How many seconds it may take.
    pub fn deadline(self, seconds: u64) -> Self {
        Self { deadline: Duration::from_secs(seconds), ..self }
    }
}

/// What a test is run on.
pub struct Trial {
    reactor: Reactor,
    simulation: Option<Simulation>,
}

/// What a test can ask for as its argument: a [`Reactor`], or the [`Simulation`].
pub trait Given {
    /// Takes it from the trial.
    fn given(trial: &Trial) -> Self;
}

impl Given for Reactor {
    fn given(trial: &Trial) -> Self {
        trial.reactor.clone()
    }
}

impl Given for Simulation {
    fn given(trial: &Trial) -> Self {
        let simulation = trial.simulation.clone();
        simulation.expect("a test that asks for the simulation says so: #[test(simulated)]")
    }
}

/// Runs a test whose body is a future.
///
/// # Panics
///
/// If the test fails.
pub fn run_async<F>(settings: &Settings, body: impl Fn(&Trial) -> F)
where
    F: Future + 'static,
    F::Output: Outcome<Value = ()>,
{
    run(settings, |trial| {
        let future = body(trial);
        trial.reactor.spawn(async move {
            let outcome = future.await;
            maybe_deferred(|| outcome).await
        })
    });
}

/// Runs a test whose body gives a deferred, a result or nothing.
///
/// # Panics
///
/// If the test fails: with what it failed of, what did not come in time, or what it left behind. Where a
/// runner has each test run in a process of its own, as nextest does on Linux, that is every descriptor and
/// thread of the process; otherwise, those of the reactor.
pub fn run<R: Outcome<Value = ()>>(settings: &Settings, body: impl Fn(&Trial) -> R) {
    let before = Belongings::of_a_test_alone();
    run_all(settings, body);
    let left = before.map(|before| before.left()).unwrap_or_default();
    assert!(left.is_empty(), "{}: {}", settings.name, listed("it left behind", &left));
}

fn run_all<R: Outcome<Value = ()>>(settings: &Settings, body: impl Fn(&Trial) -> R) {
    let Some(seeds) = settings.seeds else {
        return run_real(settings, body);
    };
    let one = std::env::var(SEED_VARIABLE).ok().and_then(|seed| seed.parse::<u64>().ok());
    let (first, last) = one.map_or((0, seeds), |seed| (seed, seed + 1));
    for seed in first..last {
        run_simulated(settings, seed, &body);
    }
}

fn run_real<R: Outcome<Value = ()>>(settings: &Settings, body: impl Fn(&Trial) -> R) {
    let driver = settings.driver.map_or_else(DriverKind::from_environment, |kind| Ok(Some(kind)));
    let driver = driver.unwrap_or_else(|error| panic!("{}: {error}", settings.name));
    let reactor = Reactor::with_driver(driver.unwrap_or_default());
    let reactor = reactor.unwrap_or_else(|error| panic!("{}: {error}", settings.name));
    let trial = Trial { reactor: reactor.clone(), simulation: None };
    let overheard = Overheard::default();
    let ended = overheard.listen(|| {
        let waiting = Waiting::on(maybe_deferred(|| body(&trial)));
        let deadline = reactor.now() + settings.deadline;
        loop {
            if let Some(result) = waiting.take() {
                break Ended::With(result);
            }
            let left = deadline.saturating_sub(reactor.now());
            if left.is_zero() {
                break Ended::Late(report(&reactor));
            }
            if let Err(error) = reactor.turn(left) {
                break Ended::With(Err(error.into()));
            }
        }
    });
    // What has just been let go of may need a turn to be gone.
    overheard.listen(|| {
        for _ in 0..SETTLING_TURNS {
            if report(&reactor).is_empty() {
                break;
            }
            if reactor.turn(SETTLING_TIME).is_err() {
                break;
            }
        }
    });
    let left = report(&reactor);
    judge(settings, None, ended, &left, &overheard);
}

/// How many turns a test has for what it closed to be gone, and how long each waits at most.
const SETTLING_TURNS: usize = 20;
const SETTLING_TIME: Duration = Duration::from_millis(20);

fn run_simulated<R: Outcome<Value = ()>>(
    settings: &Settings,
    seed: u64,
    body: impl Fn(&Trial) -> R,
) {
    let simulation = Simulation::new(seed);
    let reactor = simulation.host(HOST);
    let trial = Trial { reactor, simulation: Some(simulation.clone()) };
    let overheard = Overheard::default();
    let ended = overheard.listen(|| {
        let waiting = Waiting::on(maybe_deferred(|| body(&trial)));
        simulation.patience(settings.deadline);
        let came = simulation.until(|| waiting.is_there());
        match waiting.take() {
            Some(result) => Ended::With(result),
            None => {
                debug_assert!(!came, "a result that is there can be taken");
                Ended::Late(simulation.left_over())
            }
        }
    });
    simulation.patience(SETTLING_SIMULATED);
    // Whatever is left is found below.
    let _ = overheard.listen(|| simulation.until(|| simulation.left_over().is_empty()));
    judge(settings, Some(seed), ended, &simulation.left_over(), &overheard);
}

/// How long a simulated test has for what it closed to be gone, in its own time.
const SETTLING_SIMULATED: Duration = Duration::from_mins(1);

/// A result that may be there.
struct Waiting(Rc<RefCell<Option<Result<(), Failure>>>>);

impl Waiting {
    fn on(deferred: Deferred<()>) -> Self {
        let slot = Rc::new(RefCell::new(None));
        let filled = Rc::clone(&slot);
        deferred.on_result(move |result| {
            filled.replace(Some(result));
        });
        Self(slot)
    }

    fn is_there(&self) -> bool {
        self.0.borrow().is_some()
    }

    fn take(&self) -> Option<Result<(), Failure>> {
        self.0.borrow_mut().take()
    }
}

enum Ended {
    With(Result<(), Failure>),
    /// Not in time; what was under way then.
    Late(Vec<String>),
}

/// A line for each thing that is under way or open.
fn report(reactor: &Reactor) -> Vec<String> {
    reactor.under_way().iter().map(ToString::to_string).collect()
}

fn judge(
    settings: &Settings,
    seed: Option<u64>,
    ended: Ended,
    left: &[String],
    overheard: &Overheard,
) {
    let mut faults = Vec::new();
    match ended {
        Ended::With(Ok(())) if left.is_empty() => (),
        Ended::With(Ok(())) => faults.push(listed("it left behind", left)),
        Ended::With(Err(failure)) => faults.push(format!("it failed: {failure:?}")),
        Ended::Late(pending) => {
            let late = format!("it took longer than {:?}, and under way was", settings.deadline);
            faults.push(listed(&late, &pending));
        }
    }
    let unhandled = overheard.unhandled();
    if !unhandled.is_empty() {
        faults.push(listed("failures that nobody handled", &unhandled));
    }
    if faults.is_empty() {
        return;
    }
    let said = overheard.all();
    if !said.is_empty() {
        faults.push(listed("what was logged", &said));
    }
    let seed =
        seed.map(|seed| format!(" with seed {seed} ({SEED_VARIABLE}={seed} tries it again)"));
    panic!("{}{}: {}", settings.name, seed.unwrap_or_default(), faults.join("\n"));
}

fn listed(what: &str, lines: &[String]) -> String {
    let mut listed = format!("{what}:");
    for line in lines {
        listed.push_str("\n  ");
        listed.push_str(line);
    }
    if lines.is_empty() {
        listed.push_str(" nothing");
    }
    listed
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("reactor", &self.reactor).finish_non_exhaustive()
    }
}
