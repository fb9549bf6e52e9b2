//! What each call sends, and what it makes of each answer.

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use ropewalk_deferred::Deferred;
use ropewalk_memcached::{
    BadRequest, CallError, CasOutcome, Client, Entry, Expiry, Item, Limits, connect,
};
use ropewalk_protocol::{ClientEndpoint, Disconnect, Seat};
use ropewalk_trial::{Clock, Memory, error_of, value_of};

use crate::client;

/// What a call sends, and what it makes of `answer`, in pieces of every size.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a table of calls reads better so")]
fn check<T: PartialEq + Debug + 'static>(
    call: impl Fn(&Client) -> Deferred<T>,
    request: &str,
    answer: &str,
    expected: Result<T, CallError>,
) {
    for size in 1..=answer.len() {
        let (mut memory, client) = client();
        let result = call(&client);
        assert_eq!(
            memory.take_sent().escape_ascii().to_string(),
            request.escape_default().to_string()
        );
        memory.push_in_pieces(answer.as_bytes(), size);
        let result = result.now_or_never().expect("it is answered");
        let result = result.map_err(|why| why.check::<CallError>().expect("of this kind").clone());
        assert_eq!(result, expected, "in pieces of {size}");
        // What is left over would be an answer to the next call.
        let version = client.version();
        memory.push(b"VERSION 1\r\n");
        assert_eq!(value_of(version), "1");
    }
}

fn item(value: &'static str, flags: u32, cas_unique: u64) -> Item {
    Item { value: value.into(), flags, cas_unique }
}

#[test]
fn values_are_got() {
    let get = |client: &Client| client.get("key");
    check(get, "get key\r\n", "VALUE key 5 3\r\nabc\r\nEND\r\n", Ok(Some(item("abc", 5, 0))));
    check(get, "get key\r\n", "VALUE key 0 0\r\n\r\nEND\r\n", Ok(Some(item("", 0, 0))));
    check(
        get,
        "get key\r\n",
        "VALUE key 0 7\r\nEND\r\nX\r\r\nEND\r\n",
        Ok(Some(item("END\r\nX\r", 0, 0))),
    );
    check(get, "get key\r\n", "END\r\n", Ok(None));
    let gets = |client: &Client| client.gets("key");
    check(gets, "gets key\r\n", "VALUE key 0 1 77\r\na\r\nEND\r\n", Ok(Some(item("a", 0, 77))));
    let soon = Expiry::After(Duration::from_millis(1500));
    check(move |client| client.gat("key", soon), "gat 2 key\r\n", "END\r\n", Ok(None));
    check(
        move |client| client.gats("key", Expiry::Never),
        "gats 0 key\r\n",
        "VALUE key 0 1 9\r\na\r\nEND\r\n",
        Ok(Some(item("a", 0, 9))),
    );
}

#[test]
fn many_values_are_got_at_once() {
    let two = [(b"a".to_vec(), item("1", 0, 0)), (b"c".to_vec(), item("3", 3, 0))];
    check(
        |client| client.get_many(["a", "b", "c", "a"]),
        "get a b c\r\n",
        "VALUE c 3 1\r\n3\r\nVALUE a 0 1\r\n1\r\nEND\r\n",
        Ok(two.into_iter().collect()),
    );
    let (mut memory, client) = client();
    assert!(value_of(client.get_many([""; 0])).is_empty());
    assert_eq!(memory.take_sent(), b"", "there is nothing to ask");
    client.gets_many(["a", "b"]).detach();
    client.gat_many(["a"], Expiry::Now).detach();
    client.gats_many(["b"], Expiry::Never).detach();
    assert_eq!(memory.take_sent(), b"gets a b\r\ngat -1 a\r\ngats 0 b\r\n");
}

#[test]
fn values_are_stored() {
    let entry = || Entry::new("abc").flags(7).expires(Expiry::After(Duration::from_mins(1)));
    let stored = "STORED\r\n";
    check(move |it| it.set("k", entry()), "set k 7 60 3\r\nabc\r\n", stored, Ok(()));
    check(move |it| it.set("k", ""), "set k 0 0 0\r\n\r\n", stored, Ok(()));
    check(move |it| it.add("k", "a\r\n"), "add k 0 0 3\r\na\r\n\r\n", stored, Ok(true));
    check(move |it| it.add("k", "a"), "add k 0 0 1\r\na\r\n", "NOT_STORED\r\n", Ok(false));
    check(move |it| it.replace("k", "a"), "replace k 0 0 1\r\na\r\n", stored, Ok(true));
    check(move |it| it.append("k", "a"), "append k 0 0 1\r\na\r\n", stored, Ok(true));
    check(move |it| it.prepend("k", "a"), "prepend k 0 0 1\r\na\r\n", "NOT_STORED\r\n", Ok(false));
    for (answer, outcome) in [
        (stored, CasOutcome::Stored),
        ("EXISTS\r\n", CasOutcome::Exists),
        ("NOT_FOUND\r\n", CasOutcome::NotFound),
    ] {
        check(move |it| it.cas("k", entry(), 9), "cas k 7 60 3 9\r\nabc\r\n", answer, Ok(outcome));
    }
}

#[test]
fn values_are_changed_and_forgotten() {
    let missing = "NOT_FOUND\r\n";
    check(|it| it.delete("k"), "delete k\r\n", "DELETED\r\n", Ok(true));
    check(|it| it.delete("k"), "delete k\r\n", missing, Ok(false));
    check(|it| it.touch("k", Expiry::Never), "touch k 0\r\n", "TOUCHED\r\n", Ok(true));
    check(|it| it.touch("k", Expiry::Now), "touch k -1\r\n", missing, Ok(false));
    check(|it| it.incr("k", u64::MAX), "incr k 18446744073709551615\r\n", "5\r\n", Ok(Some(5)));
    check(|it| it.decr("k", 1), "decr k 1\r\n", "9  \r\n", Ok(Some(9)));
    check(|it| it.decr("k", 1), "decr k 1\r\n", missing, Ok(None));
}

#[test]
fn servers_tell_of_themselves() {
    let stats = [("pid", "7"), ("empty", ""), ("rusage", "0.1 of 3")];
    let stats = stats.map(|(name, value)| (name.to_owned(), value.to_owned()));
    check(
        |it| it.stats(),
        "stats\r\n",
        "STAT pid 7\r\nSTAT empty \r\nSTAT rusage 0.1 of 3\r\nEND\r\n",
        Ok(stats.into_iter().collect()),
    );
    check(|it| it.stats_of("reset"), "stats reset\r\n", "RESET\r\n", Ok([].into()));
    check(|it| it.stats_of("detail on"), "stats detail on\r\n", "OK\r\n", Ok([].into()));
    check(|it| it.version(), "version\r\n", "VERSION 1.6.18 x\r\n", Ok("1.6.18 x".to_owned()));
    check(|it| it.verbosity(2), "verbosity 2\r\n", "OK\r\n", Ok(()));
    check(|it| it.flush_all(Duration::ZERO), "flush_all\r\n", "OK\r\n", Ok(()));
    check(|it| it.flush_all(Duration::from_millis(1)), "flush_all 1\r\n", "OK\r\n", Ok(()));
}

#[test]
fn servers_say_what_is_wrong() {
    let why = || "object too large for cache".to_owned();
    let server = "SERVER_ERROR object too large for cache\r\n";
    check(|it| it.set("k", "a"), "set k 0 0 1\r\na\r\n", server, Err(CallError::Server(why())));
    let client = "CLIENT_ERROR object too large for cache\r\n";
    check(|it| it.incr("k", 1), "incr k 1\r\n", client, Err(CallError::Client(why())));
    check(|it| it.stats(), "stats\r\n", "ERROR\r\n", Err(CallError::UnknownCommand));
    // It may be told in the middle of an answer, which ends with it.
    let half = "VALUE a 0 1\r\n1\r\nSERVER_ERROR object too large for cache\r\n";
    check(|it| it.get_many(["a", "b"]), "get a b\r\n", half, Err(CallError::Server(why())));
    assert!(CallError::Server(why()).is_temporary() && !CallError::Client(why()).is_temporary());
}

#[test]
fn times_are_written_as_servers_read_them() {
    let days = |days: u64| Duration::from_hours(24 * days);
    let at = |since: Duration| Expiry::At(UNIX_EPOCH + since);
    for (expiry, number) in [
        (Expiry::After(Duration::ZERO), Ok(-1)),
        (Expiry::After(Duration::from_nanos(1)), Ok(1)),
        (Expiry::After(days(30)), Ok(2_592_000)),
        (Expiry::After(days(30) + Duration::from_nanos(1)), Err(BadRequest::FarExpiry)),
        (Expiry::At(UNIX_EPOCH - days(1)), Ok(-1)),
        (at(days(30)), Ok(-1)),
        (at(days(30) + Duration::from_secs(1)), Ok(2_592_001)),
        (at(Duration::from_secs(1_765_000_000)), Ok(1_765_000_000)),
    ] {
        let (mut memory, client) = client();
        let touched = client.touch("k", expiry);
        match number {
            Ok(number) => {
                assert_eq!(memory.take_sent(), format!("touch k {number}\r\n").as_bytes());
            }
            Err(bad) => assert_eq!(error_of::<_, CallError>(touched), CallError::Bad(bad)),
        }
    }
}

#[test]
fn calls_are_answered_in_their_order() {
    let (mut memory, client) = client();
    let (one, two, three) = (client.get("one"), client.incr("two", 1), client.get("three"));
    assert_eq!(memory.take_sent(), b"get one\r\nincr two 1\r\nget three\r\n");
    two.cancel();
    memory.push(b"END\r\n7\r\nVALUE three 0 1\r\n3\r\nEND\r\n");
    assert_eq!(value_of(one), None);
    assert!(two.now_or_never().expect("it was cancelled").is_err());
    assert_eq!(value_of(three), Some(item("3", 0, 0)));
}

#[test]
fn calls_may_be_made_from_answers() {
    let (mut memory, client) = client();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let chained = client.get("a").add_callback({
        let (client, seen) = (client.clone(), Rc::clone(&seen));
        move |found| {
            seen.borrow_mut().push(found.is_some());
            client.set("a", "1")
        }
    });
    drop(client);
    memory.push(b"END\r\n");
    assert_eq!(memory.take_sent(), b"get a\r\nset a 0 0 1\r\n1\r\n");
    assert_eq!(memory.ended(), None);
    memory.push(b"STORED\r\n");
    value_of(chained);
    assert_eq!(*seen.borrow(), [false]);
    assert_eq!(memory.ended(), Some(Disconnect::Closed), "nobody can ask any more");
}

#[test]
fn the_last_handle_closes_once_all_is_answered() {
    let (mut memory, client) = client();
    drop(client.clone());
    memory.run();
    assert_eq!(memory.ended(), None);
    let answer = client.version();
    drop(client);
    memory.run();
    assert_eq!(memory.ended(), None);
    memory.push(b"VERSION 1\r\n");
    assert_eq!(value_of(answer), "1");
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn calls_made_before_there_is_a_connection_are_held() {
    let (protocol, client) = Client::new(Limits::default());
    let (stored, got) = (client.set("k", "v"), client.get("k"));
    let mut memory = Memory::seat(protocol, &Clock::new());
    assert_eq!(memory.take_sent(), b"set k 0 0 1\r\nv\r\nget k\r\n");
    memory.push(b"STORED\r\nEND\r\n");
    value_of(stored);
    assert_eq!(value_of(got), None);
}

#[test]
fn calls_that_can_have_no_answer_say_why() {
    let (mut memory, client) = client();
    let (one, two) = (client.get("one"), client.version());
    memory.lose(Disconnect::Reset);
    let lost = CallError::Lost(Disconnect::Reset);
    assert!(lost.is_temporary());
    assert_eq!(error_of::<_, CallError>(one), lost);
    assert_eq!(error_of::<_, CallError>(two), lost);
    assert_eq!(error_of::<_, CallError>(client.version()), lost, "nor can later ones");
    let (protocol, client) = Client::new(Limits::default());
    let held = client.version();
    drop(protocol);
    assert_eq!(error_of::<_, CallError>(held), CallError::Lost(Disconnect::Stopped));
}

#[derive(Default)]
struct Place(RefCell<Option<Box<dyn Seat>>>);

impl ClientEndpoint for Place {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        *self.0.borrow_mut() = Some(seat);
    }
}

#[test]
fn endpoints_are_connected_to() {
    let place = Place::default();
    let connecting = connect(&place);
    let mut memory = Memory::take_seat(place.0.take().expect("it connects"), &Clock::new());
    let client = value_of(connecting);
    let version = client.version();
    memory.push(b"VERSION 1\r\n");
    assert_eq!(value_of(version), "1");
    let refused = connect(&place);
    let mut seat = place.0.take().expect("it connects");
    seat.handle(ropewalk_protocol::Event::Lost(Disconnect::Refused));
    assert_eq!(error_of::<_, Disconnect>(refused), Disconnect::Refused);
}
