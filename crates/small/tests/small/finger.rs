//! Finger.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use proptest::prelude::*;
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{Disconnect, Factory};
use ropewalk_small::AskError;
use ropewalk_small::finger::{
    self, BadQuery, Directory, LOOK_UP_PATIENCE, PLAN_MAX, Plans, QUERY_MAX, QUERY_PATIENCE, Query,
};
use ropewalk_trial::{LaterThreads, Side};

use crate::kit::{
    Place, ends_after, error, hears, is_limited, join, just_before, says, server, told,
};

/// Knows everybody, and passes nothing on.
struct Gossip;

impl Directory for Gossip {
    fn look_up(&self, query: &Query) -> Deferred<String> {
        let name = query.user_name().unwrap_or("everyone");
        if name == "mallory" {
            return Deferred::fail("secret".parse::<u8>().unwrap_err());
        }
        let more = if query.is_verbose() { "\n\x1b[31m\tand well" } else { "" };
        Deferred::succeed(format!("{name} is in{more}"))
    }
}

/// Passes on, and looks up when the test wants it.
#[derive(Clone, Default)]
struct Sleeper(Rc<RefCell<Option<Promise<String>>>>);

impl Directory for Sleeper {
    fn look_up(&self, _: &Query) -> Deferred<String> {
        let (promise, answer) = deferred();
        *self.0.borrow_mut() = Some(promise);
        answer
    }

    fn forward(&self, query: &Query) -> Option<Deferred<String>> {
        let (host, rest) = query.next_hop()?;
        Some(Deferred::succeed(format!("{host} is asked for {rest}")))
    }
}

fn gossip() -> impl Factory {
    finger::serve(Gossip)
}

#[test]
fn servers_answer_each_form_of_the_query() {
    for (query, answer) in [
        ("\r\n", "everyone is in\r\n"),
        ("alice\r\n", "alice is in\r\n"),
        ("/W alice\r\n", "alice is in\r\n[31m\tand well\r\n"),
        ("/w  alice\r\n", "alice is in\r\n[31m\tand well\r\n"),
        ("/W\r\n", "everyone is in\r\n[31m\tand well\r\n"),
        ("/W \r\n", "everyone is in\r\n[31m\tand well\r\n"),
        (" alice \n", "alice is in\r\n"),
        ("alice@example.org\r\n", "Finger forwarding service denied\r\n"),
        ("alice\r\nbob\r\n", "alice is in\r\n"),
        ("mallory\r\n", "There is no answer\r\n"),
        ("alice bob\r\n", "a name in the query cannot be one\r\n"),
        ("/X alice\r\n", "a name in the query cannot be one\r\n"),
        ("alice@@host\r\n", "a name in the query cannot be one\r\n"),
        ("al\0ice\r\n", "a name in the query cannot be one\r\n"),
        ("älice\r\n", "a name in the query cannot be one\r\n"),
        ("alice", ""),
    ] {
        assert_eq!(says(gossip, query.as_bytes()), answer, "{query:?}");
    }
}

#[test]
fn queries_are_passed_on_where_a_directory_does_so() {
    let sleeper = || finger::serve(Sleeper::default());
    assert_eq!(says(sleeper, b"alice@b@a\r\n"), "a is asked for alice@b\r\n");
    assert_eq!(says(sleeper, b"@a\r\n"), "a is asked for \r\n");
}

#[test]
fn hosts_are_asked_in_the_order_in_which_they_are_named() {
    let query = Query::user("alice").and_then(|query| query.via("a")?.via("b")).expect("names");
    assert_eq!(query.encode(), b"alice@b@a\r\n");
    let (first, rest) = query.next_hop().expect("there are two");
    let (second, last) = rest.next_hop().expect("there is one more");
    assert_eq!((first, second, last), ("a", "b", Query::user("alice").expect("a name")));
}

#[test]
fn servers_read_no_more_than_the_limit() {
    // A query may always have its switch, so a name is as long as leaves room for that.
    let longest = "a".repeat(QUERY_MAX - 3);
    let line = format!("{longest}\r\n");
    assert_eq!(says(gossip, line.as_bytes()), format!("{longest} is in\r\n"));
    assert_eq!(Query::user(&format!("{longest}a")), Err(BadQuery::Long));
    let too_long = "the query is longer than 512 bytes\r\n";
    for length in [QUERY_MAX - 2, QUERY_MAX, QUERY_MAX + 1, 5000] {
        let mut memory = server(gossip());
        memory.push_in_pieces(&vec![b'a'; length], 100);
        memory.push(b"\r\n");
        assert_eq!(memory.take_sent(), too_long.as_bytes(), "{length}");
        assert_eq!(memory.ended(), Some(Disconnect::Closed), "{length}");
    }
    let mut memory = server(gossip());
    memory.push(&[b'a'; QUERY_MAX + 2]);
    assert_eq!(memory.take_sent(), too_long.as_bytes(), "it waits for no end of the line");
}

#[test]
fn servers_give_up_on_clients_that_do_not_ask() {
    ends_after(gossip(), b"ali", QUERY_PATIENCE);
    is_limited(gossip());
}

#[test]
fn directories_may_take_their_time_but_not_for_ever() {
    let sleeper = Sleeper::default();
    let ask = |place: &Place| finger::ask(place, &Query::everyone());
    let (mut wire, answer) = join(ask, finger::serve(sleeper.clone()));
    wire.advance(just_before(LOOK_UP_PATIENCE));
    sleeper.0.take().expect("it was asked").succeed("at last".to_owned());
    wire.run();
    assert_eq!(told(answer), Ok("at last\n".to_owned()));

    let mut memory = server(finger::serve(sleeper.clone()));
    memory.push(b"\r\n");
    memory.advance(LOOK_UP_PATIENCE);
    assert_eq!(memory.take_sent(), b"The answer took too long\r\n");
    assert!(sleeper.0.take().expect("it was asked").is_cancelled(), "nobody waits for it");
}

#[test]
fn a_client_that_leaves_is_looked_up_nothing() {
    let sleeper = Sleeper::default();
    let mut memory = server(finger::serve(sleeper.clone()));
    memory.push(b"alice\r\n");
    memory.eof();
    assert_eq!(memory.ended(), None, "it may still listen");
    memory.lose(Disconnect::Reset);
    assert!(sleeper.0.take().expect("it was asked").is_cancelled());
}

#[test]
fn answers_cannot_drive_a_terminal() {
    let ask = |place: &Place| finger::ask(place, &Query::everyone());
    assert_eq!(
        hears(ask, b"\x1b]0;gone\x07\r\n\ttab\x9b\r\n"),
        Ok("]0;gone\n\ttab\u{fffd}\n".into())
    );
}

#[test]
fn what_breaks_is_no_answer() {
    let ask = |place: &Place| finger::ask(place, &Query::everyone());
    let (mut wire, answer) = join(ask, finger::serve(Sleeper::default()));
    wire.run();
    wire.cut();
    assert_eq!(error::<_, AskError>(answer), AskError::Lost(Disconnect::Reset));
    let (mut wire, answer) = join(ask, finger::serve(Sleeper::default()));
    wire.run();
    answer.cancel();
    wire.run();
    assert_eq!(wire.ended(Side::Server), Some(Disconnect::Reset));
    drop(answer.now_or_never());
}

proptest! {
    #[test]
    fn queries_survive_the_wire(line in "(/[Ww] ?)?[a-z/ ]{0,4}(@[a-z/]{0,3}){0,3}") {
        if let Ok(query) = Query::decode(line.as_bytes()) {
            let wire = query.encode();
            let line = wire.strip_suffix(b"\r\n").expect("a line");
            prop_assert_eq!(Query::decode(line), Ok(query));
        }
    }
}

/// A folder of plans, which goes with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, plans: &[(&str, &[u8])]) -> Self {
        let path = std::env::temp_dir().join(format!("ropewalk-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("folder")).expect("a folder");
        for (user, plan) in plans {
            fs::write(path.join(user), plan).expect("a plan");
        }
        Self(path)
    }

    fn ask(&self, query: &str) -> Result<String, Failure> {
        let threads = LaterThreads::new();
        let plans = Plans::new(&self.0, threads.clone());
        let answer = plans.look_up(&Query::decode(query.as_bytes()).expect("a query"));
        threads.do_all();
        answer.now_or_never().expect("it is over")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn plans_are_files() {
    let folder = Folder::new(
        "plans",
        &[("bob", b"Away.\nBack soon.\n"), ("alice", b"In\r\n"), (".secret", b"no"), ("zoe", b"")],
    );
    let ask = |query: &str| folder.ask(query).expect("it can be read");
    assert_eq!(ask("bob"), "Away.\nBack soon.\n");
    assert_eq!(ask(""), "alice            In\nbob              Away.\nzoe\n");
    for nobody in ["carol", ".secret", "folder", "../plans", "bob/..", "..", ".", &"x".repeat(400)]
    {
        assert_eq!(ask(nobody), format!("There is no user {nobody} here\n"));
    }
    assert_eq!(Folder::new("empty", &[]).ask("").expect("a list"), "There is nobody here\n");
}

#[test]
fn long_plans_are_cut_and_fit_an_answer() {
    let folder =
        Folder::new("long", &[("max", &vec![0xff; PLAN_MAX + 1]), ("fit", &vec![b'x'; PLAN_MAX])]);
    assert_eq!(folder.ask("fit").expect("a plan").len(), PLAN_MAX);
    assert_eq!(folder.ask("max").expect("a plan").len(), 3 * PLAN_MAX);
    const { assert!(3 * PLAN_MAX < ropewalk_small::ANSWER_MAX) };
}

#[test]
fn lists_fit_an_answer() {
    let folder = Folder::new("many", &[]);
    for user in 0..1001 {
        fs::write(folder.0.join(format!("user{user:04}")), [0xff; 300]).expect("a plan");
    }
    let list = folder.ask("").expect("a list");
    assert!(list.len() > 60_000 && list.len() < ropewalk_small::ANSWER_MAX, "{}", list.len());
    for user in 0..1001 {
        fs::write(folder.0.join(format!("user{user:04}")), "here").expect("a plan");
    }
    let list = folder.ask("").expect("a list");
    assert_eq!(list.lines().count(), finger::PLANS_MAX);
}

#[test]
fn a_folder_that_is_gone_is_a_failure() {
    let folder = Folder::new("gone", &[]);
    fs::remove_dir_all(&folder.0).expect("it was there");
    assert!(folder.ask("").is_err());
    assert_eq!(folder.ask("bob").expect("nobody"), "There is no user bob here\n");
}
