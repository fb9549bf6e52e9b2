//! `#[ropewalk_trial::test]`: what it runs, and what it does not let pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_protocol::{Port as _, call_later, seat, sleep};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};
use ropewalk_trial::harness::{self, Settings};
use ropewalk_trial::{Link, Simulation, Witness};

#[ropewalk_trial::test]
fn it_runs_what_gives_nothing() {}

#[ropewalk_trial::test]
fn it_runs_what_gives_a_deferred(reactor: Reactor) -> Deferred<()> {
    sleep(&reactor, Duration::from_millis(1))
}

#[ropewalk_trial::test(driver = "poll", deadline = 10)]
async fn it_runs_what_is_async(reactor: Reactor) -> Result<(), Failure> {
    sleep(&reactor, Duration::from_millis(1)).await
}

/// A deadline counts simulated time.
#[ropewalk_trial::test(seeds = 10, deadline = 4000)]
async fn it_runs_in_a_simulation(reactor: Reactor, simulation: Simulation) -> Result<(), Failure> {
    simulation.weather(&Link::default().latency(Duration::from_millis(30)));
    let server = simulation.host("server");
    let (echo, _) = Witness::new(|conn, note| {
        if let ropewalk_trial::Note::Data(data) = note {
            conn.write(data);
            conn.close();
        }
    });
    let mut echo = Some(echo);
    let address = simulation.address("server", 7);
    let factory = Box::new(move |_: &ropewalk_protocol::Address| echo.take());
    let port = server.listen_tcp(address, TcpListenOptions::default(), factory)?;
    let (promise, answered) = deferred();
    let mut promise = Some(promise);
    let (asker, _) = Witness::new(move |conn, note| match note {
        ropewalk_trial::Note::Made => conn.write(b"?"),
        ropewalk_trial::Note::Data(data) => {
            if let Some(promise) = promise.take() {
                promise.succeed(data.clone());
            }
        }
        ropewalk_trial::Note::Eof => conn.close(),
        _ => (),
    });
    reactor.connect_tcp(address, ConnectOptions::default(), seat(asker));
    assert_eq!(answered.await?, b"?");
    sleep(&reactor, Duration::from_hours(1)).await?;
    port.stop_listening().await
}

#[ropewalk_trial::test]
#[should_panic(expected = "it is not as it should be")]
async fn a_panic_fails_it() {
    panic!("it is not as it should be");
}

/// What a test that must fail fails with.
#[track_caller]
fn complaint(settings: &Settings, body: impl Fn(&harness::Trial) -> Deferred<()>) -> String {
    let failed = catch_unwind(AssertUnwindSafe(|| harness::run(settings, body)));
    let payload = failed.expect_err("it passes");
    payload.downcast_ref::<String>().cloned().expect("it says why")
}

fn reactor_of(trial: &harness::Trial) -> Reactor {
    harness::Given::given(trial)
}

#[test]
fn what_fails_says_why() {
    let said = complaint(&Settings::new("a test"), |_| Deferred::fail(std::fmt::Error));
    assert!(said.starts_with("a test: it failed: "), "{said}");
    let said = complaint(&Settings::new("a test").simulated(), |_| Deferred::fail(std::fmt::Error));
    assert!(
        said.starts_with("a test with seed 0 (ROPEWALK_TRIAL_SEED=0 tries it again)"),
        "{said}"
    );
}

#[test]
fn what_does_not_come_in_time_is_told_with_all_that_is_under_way() {
    let settings = [Settings::new("late").deadline(1), Settings::new("late").simulated()];
    for settings in settings {
        let line = line!() + 4;
        let said = complaint(&settings, |trial| {
            let reactor = reactor_of(trial);
            let sleeper = reactor.clone();
            drop(reactor.spawn(async move { sleep(&sleeper, Duration::from_hours(1)).await }));
            let (promise, never) = deferred();
            std::mem::forget(promise);
            never
        });
        assert!(said.contains("it took longer than"), "{said}");
        let here = "asked for at crates/trial/tests/attribute/main.rs:";
        let task = said.lines().find(|line| line.contains("the task")).expect("it is named");
        assert!(task.contains("attribute::what_does_not_come_in_time"), "{task}");
        assert!(task.contains(here), "{task}");
        let there = "which awaits something at crates/trial/tests/attribute/main.rs:";
        assert!(task.contains(&format!("{there}{line}:")), "{task}");
    }
}

#[test]
fn what_is_left_behind_is_named_with_its_place() {
    let anywhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    for settings in [Settings::new("untidy"), Settings::new("untidy").simulated()] {
        let line = line!() + 1;
        let said = complaint(&settings, move |trial| {
            let reactor = reactor_of(trial);
            drop(call_later(&reactor, Duration::from_hours(1), || ()));
            let factory = Box::new(|_: &ropewalk_protocol::Address| Some(Witness::quiet().0));
            let port = reactor.listen_tcp(anywhere, TcpListenOptions::default(), factory);
            let address = port.expect("it listens").address().ip().expect("somewhere");
            let (seat, made) = ropewalk_protocol::seat_and_tell(Witness::quiet().0);
            reactor.connect_tcp(address, ConnectOptions::default(), seat);
            // The other end needs a turn or two to be accepted.
            made.add_callback(move |_| sleep(&reactor, Duration::from_millis(50)))
        });
        let place = |offset| format!("crates/trial/tests/attribute/main.rs:{}:", line + offset);
        let expected =
            [("a call due in", 2), ("a listener at 127.0.0.1:", 4), ("a connection from", 7)];
        for (what, offset) in expected {
            let named = |line: &str| line.contains(what) && line.contains(&place(offset));
            assert!(said.lines().any(named), "{what}: {said}");
        }
        let accepted = |line: &&str| line.contains("a connection from") && line.contains(&place(4));
        assert_eq!(said.lines().filter(accepted).count(), 1, "{said}");
    }
}

#[ropewalk_trial::test]
async fn work_that_goes_on_in_a_thread_is_named_with_its_place(
    reactor: Reactor,
) -> Result<(), Failure> {
    let (gate, opened) = std::sync::mpsc::channel::<()>();
    let line = line!() + 1;
    let job = reactor.defer_to_thread(move || Ok::<_, Failure>(opened.recv().is_err()));
    let under_way: Vec<_> = reactor.under_way().iter().map(ToString::to_string).collect();
    // The job ends with this, whatever was found.
    drop(gate);
    assert!(job.await?);
    let place = format!("a job in a thread, asked for at {}:{line}:", file!());
    assert!(under_way.iter().any(|named| named.starts_with(&place)), "{under_way:?}");
    Ok(())
}

#[test]
fn a_failure_that_nobody_handles_fails_the_test() {
    let said = complaint(&Settings::new("careless"), |_| {
        drop(Deferred::<()>::fail(std::fmt::Error));
        Deferred::succeed(())
    });
    assert!(said.contains("failures that nobody handled"), "{said}");
}

#[test]
fn one_seed_can_be_tried_again() {
    let seeds = std::cell::RefCell::new(Vec::new());
    harness::run(&Settings::new("many").seeds(5), |trial| {
        let simulation: Simulation = harness::Given::given(trial);
        seeds.borrow_mut().push(simulation.seed());
    });
    assert_eq!(*seeds.borrow(), [0, 1, 2, 3, 4]);
}

#[test]
fn descriptors_and_threads_of_a_process_that_is_its_own_are_named() {
    const NAME: &str = "descriptors_and_threads_of_a_process_that_is_its_own_are_named";
    const MODE: (&str, &str) = ("NEXTEST_EXECUTION_MODE", "process-per-test");
    if std::env::var(MODE.0).as_deref() != Ok(MODE.1) {
        let mut again = std::process::Command::new(std::env::current_exe().expect("a program"));
        let output = again.args(["--exact", NAME]).env(MODE.0, MODE.1).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let said = complaint(&Settings::new("open"), |_| {
        std::mem::forget(std::fs::File::open("/dev/zero").expect("it is there"));
        Deferred::succeed(())
    });
    assert!(said.starts_with("open: it left behind:\n  the descriptor "), "{said}");
    assert!(said.ends_with(", which is /dev/zero"), "{said}");
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::cell::Cell::new(Some(ended));
    let said = complaint(&Settings::new("busy").simulated(), |_| {
        let ended = ended.take().expect("it runs once");
        let wait = move || ended.recv().unwrap_or_default();
        let spawned = std::thread::Builder::new().name("at work".to_owned()).spawn(wait);
        drop(spawned.expect("a thread"));
        Deferred::succeed(())
    });
    assert_eq!(said, "busy: it left behind:\n  a thread called at work");
    drop(end);
    // What is given back in time is nothing left.
    harness::run(&Settings::new("tidy"), |trial| {
        let reactor = reactor_of(trial);
        drop(std::fs::File::open("/dev/zero").expect("it is there"));
        reactor.defer_to_thread(|| Ok::<_, Failure>(()))
    });
}
