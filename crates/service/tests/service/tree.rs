//! Trees: order, failures by name, additions while they run.

use std::time::Duration;

use ropewalk_service::{
    Doing, Drained, Service as _, ServiceFailed, State, StopFailed, Tree, TreeError,
};
use ropewalk_trial::Clock;

use crate::kit::{Part, Told, result, take, waits};

fn tree(told: &Told, names: &[&str]) -> Tree {
    let tree = Tree::new(Clock::new());
    for name in names {
        result(tree.add(*name, Part::new(name, told)).unwrap()).unwrap();
    }
    tree
}

#[test]
fn all_start_in_order_and_stop_in_reverse() {
    let told = Told::default();
    let tree = tree(&told, &["a", "b", "c"]);
    assert_eq!(take(&told), "", "nothing starts by being added");
    result(tree.start()).unwrap();
    assert_eq!(take(&told), "a prepare, a start, b prepare, b start, c prepare, c start");
    assert_eq!(tree.state(), State::Running);
    result(tree.stop()).unwrap();
    assert_eq!(take(&told), "c stop, b stop, a stop");
    assert!(tree.states().iter().all(|(_, state)| *state == State::Stopped));
    result(tree.start()).unwrap();
    assert_eq!(tree.state(), State::Running, "it can be started again");
}

#[test]
fn each_waits_for_the_one_before() {
    let told = Told::default();
    let tree = Tree::new(Clock::new());
    let slow = Part::new("slow", &told).waiting_at("start").waiting_at("stop");
    let last = Part::new("last", &told).waiting_at("stop");
    tree.add("slow", slow.clone()).unwrap().detach();
    tree.add("last", last.clone()).unwrap().detach();
    let started = waits(tree.start());
    assert_eq!(take(&told), "slow prepare, slow start");
    assert_eq!(tree.state(), State::Starting);
    slow.go_on();
    result(started).unwrap();
    take(&told);
    let stopped = waits(tree.stop());
    assert_eq!(take(&told), "last stop");
    last.go_on();
    assert_eq!(take(&told), "slow stop");
    let stopped = waits(stopped);
    slow.go_on();
    result(stopped).unwrap();
}

#[test]
fn what_wants_privileges_is_done_for_all_before_any_starts() {
    let told = Told::default();
    let tree = tree(&told, &["a", "b"]);
    result(tree.prepare()).unwrap();
    assert_eq!(take(&told), "a prepare, b prepare");
    assert_eq!(tree.state(), State::Prepared);
    result(tree.start()).unwrap();
    assert_eq!(take(&told), "a start, b start");
}

#[test]
fn one_that_cannot_start_is_named_and_those_before_it_are_stopped() {
    let told = Told::default();
    let tree = tree(&told, &["a", "b"]);
    let broken = Part::new("broken", &told).failing_at("start");
    tree.add("broken", broken.clone()).unwrap().detach();
    tree.add("never", Part::new("never", &told)).unwrap().detach();
    let failure = result(tree.start()).unwrap_err();
    let failed = failure.check::<ServiceFailed>().unwrap();
    assert_eq!((failed.name.as_str(), failed.doing), ("broken", Doing::Start));
    assert_eq!(failed.to_string(), "the service \"broken\" could not be started");
    assert_eq!(failed.failure.error().to_string(), "no start today");
    assert!(take(&told).ends_with("broken start, b stop, a stop"));
    assert_eq!(tree.state(), State::Failed);
    broken.heals();
    result(tree.start()).unwrap();
    assert!(take(&told).ends_with("never prepare, never start"));
}

#[test]
fn one_that_cannot_be_prepared_is_named() {
    let told = Told::default();
    let tree = tree(&told, &["a"]);
    tree.add("port", Part::new("port", &told).failing_at("prepare")).unwrap().detach();
    let failure = result(tree.prepare()).unwrap_err();
    let failed = failure.check::<ServiceFailed>().unwrap();
    assert_eq!((failed.name.as_str(), failed.doing), ("port", Doing::Prepare));
    assert_eq!(take(&told), "a prepare, port prepare, a stop");
}

#[test]
fn one_that_cannot_stop_does_not_keep_the_others() {
    let told = Told::default();
    let tree = tree(&told, &["a"]);
    for name in ["b", "c"] {
        tree.add(name, Part::new(name, &told).failing_at("stop")).unwrap().detach();
    }
    result(tree.start()).unwrap();
    take(&told);
    let failure = result(tree.stop()).unwrap_err();
    assert_eq!(take(&told), "c stop, b stop, a stop");
    let StopFailed { failed } = failure.check::<StopFailed>().unwrap();
    let names: Vec<_> = failed.iter().map(|failed| failed.name.as_str()).collect();
    assert_eq!(names, ["c", "b"]);
    assert_eq!(failure.error().to_string(), "not stopped in order: c, b");
    assert_eq!(tree.state(), State::Stopped);
}

#[test]
fn trees_grow_in_trees() {
    let told = Told::default();
    let outer = tree(&told, &["log"]);
    let inner = tree(&told, &["web"]);
    inner.add("mail", Part::new("mail", &told).failing_at("start")).unwrap().detach();
    outer.add("servers", inner).unwrap().detach();
    let failure = result(outer.start()).unwrap_err();
    assert_eq!(failure.check::<ServiceFailed>().unwrap().path(), "servers/mail");
    let order = "log prepare, log start, web prepare, mail prepare, web start, mail start, web stop, log stop";
    assert_eq!(take(&told), order);
}

#[test]
fn what_is_added_to_a_running_tree_is_started() {
    let told = Told::default();
    let tree = tree(&told, &["a"]);
    result(tree.start()).unwrap();
    take(&told);
    result(tree.add("late", Part::new("late", &told)).unwrap()).unwrap();
    assert_eq!(take(&told), "late prepare, late start");
    let broken = Part::new("broken", &told).failing_at("start");
    let failure = result(tree.add("broken", broken).unwrap()).unwrap_err();
    assert_eq!(failure.check::<ServiceFailed>().unwrap().name, "broken");
    let names: Vec<_> = tree.states().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "late"], "what cannot be started is not in the tree");
    result(tree.remove("late").unwrap()).unwrap();
    assert!(take(&told).ends_with("late stop"));
    result(tree.stop()).unwrap();
    assert_eq!(take(&told), "a stop");
}

#[test]
fn names_are_unique_and_known() {
    let told = Told::default();
    let tree = tree(&told, &["a"]);
    let twice = tree.add("a", Part::new("a", &told));
    assert_eq!(twice.unwrap_err(), TreeError::NameTaken("a".to_owned()));
    assert_eq!(tree.remove("b").unwrap_err(), TreeError::Unknown("b".to_owned()));
}

#[test]
fn nothing_is_added_or_started_on_the_way() {
    let told = Told::default();
    let tree = Tree::new(Clock::new());
    let slow = Part::new("slow", &told).waiting_at("start");
    tree.add("slow", slow.clone()).unwrap().detach();
    let started = tree.start();
    let busy = TreeError::Busy(State::Starting);
    assert_eq!(tree.add("late", Part::new("late", &told)).unwrap_err(), busy);
    assert_eq!(tree.remove("slow").unwrap_err(), busy);
    assert_eq!(*result(tree.start()).unwrap_err().check::<TreeError>().unwrap(), busy);
    assert_eq!(*result(tree.stop()).unwrap_err().check::<TreeError>().unwrap(), busy);
    slow.go_on();
    result(started).unwrap();
    result(tree.start()).unwrap();
    assert_eq!(take(&told), "slow prepare, slow start", "who runs is not started twice");
}

#[test]
fn one_deadline_is_for_all() {
    let (told, clock) = (Told::default(), Clock::new());
    let tree = Tree::new(clock.clone());
    let first = Part::new("first", &told).draining(5, 0);
    let second = Part::new("second", &told).waiting_at("drain").draining(2, 1);
    tree.add("first", first.clone()).unwrap().detach();
    tree.add("second", second.clone()).unwrap().detach();
    result(tree.start()).unwrap();
    take(&told);
    let drained = waits(tree.drain(Duration::from_secs(10)));
    assert_eq!(second.deadline(), Some(Duration::from_secs(10)));
    assert_eq!(take(&told), "second drain", "in reverse, one after the other");
    clock.advance(Duration::from_secs(7));
    second.go_on();
    assert_eq!(first.deadline(), Some(Duration::from_secs(3)));
    assert_eq!(result(drained).unwrap(), Drained::new(7, 1));
    result(tree.stop()).unwrap();
    assert_eq!(take(&told), "first drain, second stop, first stop");
}

#[test]
fn one_that_cannot_drain_does_not_keep_the_others() {
    let told = Told::default();
    let tree = tree(&told, &["a"]);
    tree.add("b", Part::new("b", &told).failing_at("drain")).unwrap().detach();
    result(tree.start()).unwrap();
    take(&told);
    assert_eq!(result(tree.drain(Duration::ZERO)).unwrap(), Drained::default());
    assert_eq!(take(&told), "b drain, a drain");
}
