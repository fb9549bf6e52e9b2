//! Open files as arguments and answers.

use std::io::{PipeWriter, Read, Write, pipe};
use std::time::Duration;

use ropewalk_amp::{
    Amp, AmpBox, AmpList, CallError, Descriptor, Limits, Responders, command, record,
};
use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_protocol::{
    Address, CannotPass, DESCRIPTORS_WAITING_MAX, Descriptor as Open, Disconnect, TlsInfo, seat,
};
use ropewalk_trial::{Clock, Memory, Side, Wire};

command! {
    /// Reads what a file holds.
    Look { file: Descriptor } -> Found { text: String };

    /// Opens a file that holds this.
    Hold { text: String } -> Held { file: Descriptor };

    /// Passes everything back, in reverse.
    Turn { first: Descriptor, rest: AmpList<Row>, none: Option<Descriptor>, some: Option<Descriptor> }
        -> Turned { rows: AmpList<Row> };
}

record! {
    Row { name: String, file: Descriptor }
}

/// A file that holds this, and its other end.
fn held(text: &str) -> (Descriptor, PipeWriter) {
    let (reader, mut writer) = pipe().unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    (Descriptor::new(reader), writer)
}

fn file(text: &str) -> Descriptor {
    held(text).0
}

fn text(file: Descriptor) -> String {
    let mut text = String::new();
    file.into_inner().unwrap().into_file().read_to_string(&mut text).unwrap();
    text
}

fn open(text: &str) -> Open {
    file(text).into_inner().unwrap()
}

/// Whether the file is closed whose other end this is.
fn is_closed(mut writer: &PipeWriter) -> bool {
    writer.write(b"x").is_err()
}

fn responders() -> Responders {
    Responders::new()
        .on(|look: Look| Found { text: text(look.file) })
        .on(|hold: Hold| Held { file: file(&hold.text) })
        .on(|turn: Turn| {
            assert!(turn.none.is_none());
            let mut rows = turn.rest.0;
            let named = |name: &str, file| Row { name: name.to_owned(), file };
            rows.insert(0, named("first", turn.first));
            rows.extend(turn.some.map(|file| named("some", file)));
            rows.reverse();
            Turned { rows: AmpList(rows) }
        })
}

#[track_caller]
fn value<T: 'static>(call: Deferred<T>) -> T {
    call.now_or_never().expect("it is over").unwrap_or_else(|failure| panic!("{failure:?}"))
}

#[track_caller]
fn call_error<T: std::fmt::Debug + 'static>(call: Deferred<T>) -> CallError {
    let failure = call.now_or_never().expect("it is over").unwrap_err();
    failure.check::<CallError>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}

#[test]
fn files_go_both_ways_however_the_bytes_are_cut() {
    for size in [1, 2, 3, 7, 20, 1000] {
        let client = Amp::new(Responders::new());
        let peer = client.peer();
        let mut wire = Wire::join(client, Amp::new(responders())).in_chunks_of(size);
        let looks: Vec<_> =
            (0..9).map(|index| peer.call(&Look { file: file(&index.to_string()) })).collect();
        let holds = ["x", "y"].map(|text| peer.call(&Hold { text: text.to_owned() }));
        let row = |name: &str| Row { name: name.to_owned(), file: file(&name.to_uppercase()) };
        let turn = peer.call(&Turn {
            first: file("1"),
            rest: AmpList(vec![row("a"), row("b")]),
            none: None,
            some: Some(file("2")),
        });
        wire.run();
        for (index, look) in looks.into_iter().enumerate() {
            assert_eq!(value(look).text, index.to_string());
        }
        for (hold, wanted) in holds.into_iter().zip(["x", "y"]) {
            assert_eq!(text(value(hold).file), wanted);
        }
        let rows = value(turn).rows.0.into_iter().map(|row| (row.name, text(row.file)));
        let rows: Vec<_> = rows.collect();
        let wanted = [("some", "2"), ("b", "B"), ("a", "A"), ("first", "1")];
        assert_eq!(rows, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }
}

#[test]
fn in_the_box_stands_how_many_were_sent_before() {
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let mut server = Memory::seat(client, &Clock::new());
    for name in ["first", "second"] {
        drop(peer.call(&Look { file: file(name) }));
    }
    server.run();
    let look = |tag: &str, ordinal: &str| {
        let fields = [("_ask", tag), ("_command", "Look"), ("file", ordinal)];
        let add = |sum: AmpBox, (key, value): (&'static str, &str)| {
            sum.with(key, value.to_owned()).unwrap()
        };
        fields.into_iter().fold(AmpBox::new(), add).encode()
    };
    let (first, second) = (look("1", "0"), look("2", "1"));
    assert_eq!(server.take_sent(), [first.as_slice(), &second].concat());
    let passed = server.take_descriptors();
    let places: Vec<_> = passed.iter().map(|(at, _)| *at).collect();
    assert_eq!(places, [0, first.len() as u64], "each goes with the first byte of its box");
}

#[test]
fn a_copy_is_sent_and_the_original_is_the_callers() {
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let mut wire = Wire::join(client, Amp::new(responders()));
    let (file, end) = held("word");
    let again = file.clone();
    assert_eq!(file, again);
    let look = peer.call(&Look { file });
    drop(end);
    wire.run();
    assert_eq!(value(look).text, "word");
    // It is the same open file, which has been read by now.
    assert_eq!(text(again), "");
}

#[test]
fn where_none_can_be_passed_a_call_is_refused_and_the_connection_goes_on() {
    let clock = Clock::new();
    let ip = |port| Address::Ip(([127, 0, 0, 1], port).into());
    for is_encrypted in [false, true] {
        let client = Amp::new(Responders::new());
        let peer = client.peer();
        let mut server = if is_encrypted {
            Memory::with_tls(seat(client), &clock, Some(TlsInfo::default()))
        } else {
            Memory::between(seat(client), &clock, ip(1), ip(2))
        };
        let error = call_error(peer.call(&Look { file: file("x") }));
        check_refusal(&error, CannotPass::Unsupported);
        let nested =
            Turn { first: file("x"), rest: AmpList(vec![]), none: None, some: Some(file("y")) };
        check_refusal(&call_error(peer.call(&nested)), CannotPass::Unsupported);
        assert_eq!((server.take_sent(), server.ended()), (vec![], None));
        drop(peer.call(&Hold { text: "z".to_owned() }));
        server.run();
        assert!(!server.take_sent().is_empty());
    }
    // Before the connection is made, nobody knows whether it will pass any.
    let client = Amp::new(Responders::new());
    let error = call_error(client.peer().call(&Look { file: file("x") }));
    check_refusal(&error, CannotPass::NotOpen);
}

#[track_caller]
fn check_refusal(error: &CallError, wanted: CannotPass) {
    let CallError::BadArgument(bad) = error else { panic!("{error:?}") };
    let mut source: &dyn std::error::Error = bad;
    while let Some(next) = source.source() {
        source = next;
    }
    assert_eq!(source.downcast_ref::<CannotPass>(), Some(&wanted), "{error:?}");
}

#[test]
fn so_many_wait_to_be_sent_and_the_count_goes_on_rightly() {
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let mut wire = Wire::join(client, Amp::new(responders()));
    let row = |name: usize| Row { name: name.to_string(), file: file(&name.to_string()) };
    let turn = |count: usize| Turn {
        first: file("first"),
        rest: AmpList((1..count).map(row).collect()),
        none: None,
        some: None,
    };
    let too_many = peer.call(&turn(DESCRIPTORS_WAITING_MAX + 1));
    check_refusal(&call_error(too_many), CannotPass::TooMany);
    let all = peer.call(&turn(DESCRIPTORS_WAITING_MAX));
    let one_more = peer.call(&Look { file: file("one more") });
    check_refusal(&call_error(one_more), CannotPass::TooMany);
    wire.run();
    assert_eq!(value(all).rows.len(), DESCRIPTORS_WAITING_MAX);
    let next = peer.call(&Look { file: file("next") });
    wire.run();
    assert_eq!(value(next).text, "next");
    assert_eq!(wire.ended(Side::Client), None);
}

fn look(ordinal: &str) -> Vec<u8> {
    let fields = AmpBox::new().with("_ask", "1").unwrap().with("_command", "Look").unwrap();
    fields.with("file", ordinal.to_owned()).unwrap().encode()
}

#[test]
fn a_number_of_which_none_came_is_a_bad_argument() {
    for ordinal in ["0", "1", "-1", "", "x", "18446744073709551616", "0x0"] {
        let mut client = Memory::seat(Amp::new(responders()), &Clock::new());
        client.push(&look(ordinal));
        let sent = client.take_sent();
        assert!(sent.windows(7).any(|part| part == b"UNKNOWN"), "{ordinal}");
        assert_eq!(client.ended(), Some(Disconnect::Closed), "{ordinal}");
    }
    // One that was claimed is gone.
    let mut client = Memory::seat(Amp::new(responders()), &Clock::new());
    client.push_passing([open("once")], &look("0"));
    assert!(client.take_sent().windows(4).any(|part| part == b"once"));
    client.push(&look("0"));
    assert_eq!(client.ended(), Some(Disconnect::Closed));
}

#[test]
fn those_that_nobody_claims_are_bounded_and_closed() {
    let limits = Limits { descriptors_max: 3, ..Limits::default() };
    let amp = Amp::new(responders()).with_limits(limits);
    let mut client = Memory::seat(amp, &Clock::new());
    // A box for which nobody responds, again and again.
    let strange = AmpBox::new().with("_ask", "1").unwrap().with("_command", "Strange").unwrap();
    let mut ends: Vec<_> = (0..5)
        .map(|_| {
            let (file, end) = held("x");
            client.push_passing([file.into_inner().unwrap()], &strange.encode());
            end
        })
        .collect();
    assert_eq!(ends.iter().map(is_closed).collect::<Vec<_>>(), [true, true, false, false, false]);
    // What is left can be claimed still, and read once nobody writes to it.
    drop(ends.pop());
    client.push(&look("4"));
    assert_eq!(client.ended(), None);
    client.lose(Disconnect::Reset);
    drop(client);
    assert!(ends.iter().all(is_closed));
}

#[test]
fn more_at_once_than_the_limit_end_the_connection_and_none_are_taken_where_it_is_zero() {
    let limits = Limits { descriptors_max: 2, ..Limits::default() };
    let mut client =
        Memory::seat(Amp::new(responders()).with_limits(limits.clone()), &Clock::new());
    client.push_passing([open("a"), open("b"), open("c")], &look("0"));
    assert_eq!(client.ended(), Some(Disconnect::DescriptorsLost));
    let none = Limits { descriptors_max: 0, ..limits };
    let mut client = Memory::seat(Amp::new(responders()).with_limits(none), &Clock::new());
    let (file, end) = held("x");
    client.push_passing([file.into_inner().unwrap()], &look("0"));
    assert!(is_closed(&end));
    assert_eq!(client.ended(), Some(Disconnect::Closed), "there is none of that number");
}

#[test]
fn calls_are_given_up_after_a_time_of_the_connections_own() {
    let mut kept = Vec::new();
    let quiet = Responders::new().on(move |_: Hold| {
        let (promise, answer) = deferred::<Held>();
        kept.push(promise);
        answer
    });
    let client = Amp::new(Responders::new()).with_patience(Duration::from_secs(5));
    let peer = client.peer();
    let early = peer.call(&Hold { text: "early".to_owned() });
    let mut wire = Wire::join(client, Amp::new(quiet));
    wire.advance(Duration::from_secs(2));
    let late = peer.call(&Hold { text: "late".to_owned() });
    let own = peer.call_within(Duration::from_secs(1), &Hold { text: "own".to_owned() });
    let ended: std::rc::Rc<std::cell::RefCell<Vec<(&str, Duration)>>> = std::rc::Rc::default();
    for (name, call) in [("early", early), ("late", late), ("own", own)] {
        let (ended, clock) = (std::rc::Rc::clone(&ended), wire.clock().clone());
        call.on_result(move |result: Result<Held, Failure>| {
            use ropewalk_protocol::Clock as _;
            let failure = result.unwrap_err();
            assert_eq!(failure.check::<CallError>(), Some(&CallError::TimedOut));
            ended.borrow_mut().push((name, clock.now()));
        });
    }
    wire.advance(Duration::from_mins(1));
    let wanted = [("own", 3), ("early", 5), ("late", 7)];
    assert_eq!(*ended.borrow(), wanted.map(|(name, at)| (name, Duration::from_secs(at))));
    assert_eq!(wire.ended(Side::Client), None);
}
