//! What comes with requests.

use http::HeaderMap;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{BodyError, Incoming, IntoReply, Limits, Reply, Request, Site};
use ropewalk_protocol::Disconnect;
use ropewalk_trial::Clock;

use crate::client::{Client, Held, Seen, chunk, filler, get, head, post, secs, site};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Answers with all that came, or with 400 and why it did not.
fn echo(request: Request) -> Deferred<Vec<u8>> {
    request.into_body().collect(1 << 20).map(|body| body.to_vec())
}

/// A site whose resource hands its bodies to the test, and answers when it is told.
fn handed_over(bodies: &Seen<Incoming>, held: &Held<&'static str>) -> Site {
    let (bodies, held) = (bodies.clone(), held.clone());
    site(move |request: Request| {
        bodies.push(request.into_body());
        held.wait()
    })
}

fn next(body: &mut Incoming) -> Option<Result<Option<Vec<u8>>, Failure>> {
    let piece = body.next_piece().now_or_never()?;
    Some(piece.map(|piece| piece.map(|bytes| bytes.to_vec())))
}

/// What a body failed with.
#[track_caller]
fn fault(outcome: Option<Result<Option<Vec<u8>>, Failure>>) -> BodyError {
    let failure = outcome.expect("an end").expect_err("a fault");
    *failure.check().expect("a body's error")
}

#[test]
fn a_body_comes_whole_however_it_is_sent() {
    let mut client = Client::new(echo);
    assert_eq!(client.ask(post("/", b"hello")).text(), "hello");
    assert_eq!(client.ask(post("/", b"")).text(), "");
    assert_eq!(client.ask(get("/")).text(), "");
    let chunked = head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"]);
    let bytes = [chunked, chunk(b"one "), chunk(b"two"), b"0\r\n\r\n".to_vec()].concat();
    assert_eq!(client.ask(&bytes).text(), "one two");
    client.memory.push_in_pieces(&bytes, 1);
    assert_eq!(client.answer().text(), "one two");
    client.assert_open();
}

#[test]
fn an_absent_body_is_told_from_one_that_comes() {
    let mut client = Client::new(|request: Request| request.body().is_none().to_string());
    assert_eq!(client.ask(get("/")).text(), "true");
    assert_eq!(client.ask(post("/", b"")).text(), "true");
    assert_eq!(client.ask(post("/", b"a")).text(), "false");
}

#[test]
fn a_body_is_there_piece_by_piece() {
    let (bodies, held) = (Seen::new(), Held::new());
    let mut client = Client::of(&handed_over(&bodies, &held), &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Content-Length: 10"]));
    let mut body = bodies.take().remove(0);
    let waiting = body.next_piece();
    client.send("hello");
    assert_eq!(
        waiting.now_or_never().expect("a piece").expect("bytes").as_deref(),
        Some(&b"hello"[..])
    );
    client.send("wor").send("ld");
    assert_eq!(next(&mut body).expect("a piece").expect("bytes"), Some(b"world".to_vec()));
    assert_eq!(next(&mut body).expect("an end").expect("no fault"), None);
    assert_eq!(next(&mut body).expect("an end").expect("no fault"), None);
    held.release("thanks");
    assert_eq!(client.answer().text(), "thanks");
}

#[test]
fn a_client_feels_that_nobody_takes_its_body() {
    let (bodies, held) = (Seen::new(), Held::new());
    let mut client = Client::of(&handed_over(&bodies, &held), &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Content-Length: 1000000"]));
    let mut body = bodies.take().remove(0);
    let piece = filler(16 * 1024);
    let mut taken = 0;
    while client.memory.push(&piece) > 0 {
        taken += piece.len();
    }
    assert_eq!(taken, 64 * 1024, "what is kept for a resource that does not ask");
    next(&mut body).expect("a piece").expect("bytes");
    client.memory.run();
    assert!(client.memory.is_reading(), "there is room again");
    client.send(piece);
    assert!(!client.memory.is_reading());
    client.memory.lose(Disconnect::Reset);
}

#[test]
fn tiny_chunks_are_kept_in_few_pieces() {
    let (bodies, held) = (Seen::new(), Held::new());
    let mut client = Client::of(&handed_over(&bodies, &held), &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"]));
    client.send(chunk(b"x").repeat(10_000)).send("0\r\n\r\n");
    let mut body = bodies.take().remove(0);
    let mut lengths = Vec::new();
    while let Some(piece) = next(&mut body).expect("all is there").expect("no fault") {
        lengths.push(piece.len());
    }
    assert_eq!(lengths, [4096, 4096, 10_000 - 2 * 4096]);
}

#[test]
fn a_body_is_collected_up_to_a_bound() {
    let mut client =
        Client::new(|request: Request| request.into_body().collect(5).map(|body| body.to_vec()));
    assert_eq!(client.ask(post("/", b"12345")).text(), "12345");
    let answer = client.ask(post("/", b"123456"));
    assert_eq!(answer.status, 413);
    client.assert_open();

    for size in [1, 2, 4, 5] {
        client.memory.push_in_pieces(&post("/", b"123456"), size);
        assert_eq!(client.answer().status, 413, "in pieces of {size}");
    }
}

#[test]
fn a_resource_hears_what_was_wrong_with_a_body() {
    let check = |bytes: &[u8], after: &dyn Fn(&mut Client), expected: fn(&BodyError) -> bool| {
        let (bodies, held) = (Seen::new(), Held::new());
        let mut client = Client::of(&handed_over(&bodies, &held), &Clock::new());
        client.send(head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"])).send(bytes);
        let mut body = bodies.take().remove(0);
        let first = next(&mut body);
        assert!(matches!(first, Some(Ok(Some(_)))), "{first:?}");
        let waiting = body.next_piece();
        after(&mut client);
        let fault = fault(waiting.now_or_never().map(|piece| piece.map(|_| None)));
        assert!(expected(&fault), "{fault:?}");
        assert_eq!(self::fault(next(&mut body)), fault, "again");
    };
    let is_bad: fn(&_) -> bool = |fault| matches!(fault, BodyError::Bad(_));
    let bad = |client: &mut Client| {
        client.send("g\r\n");
        assert_eq!(client.answer().status, 400);
        client.assert_over();
    };
    check(b"1\r\nx\r\n", &bad, is_bad);
    let is_slow: fn(&_) -> bool = |fault| matches!(fault, BodyError::Slow);
    let slow = |client: &mut Client| {
        client.advance(secs(60));
        assert_eq!(client.answer().status, 408);
    };
    check(b"1\r\nx\r\n", &slow, is_slow);
    let is_lost: fn(&_) -> bool = |fault| matches!(fault, BodyError::Lost(Disconnect::Reset));
    check(b"1\r\nx\r\n", &|client| client.memory.lose(Disconnect::Reset), is_lost);
}

#[test]
fn trailers_are_there_behind_the_body() {
    let seen = Seen::<HeaderMap>::new();
    let noted = seen.clone();
    let mut client = Client::new(move |request: Request| {
        let (noted, mut body) = (noted.clone(), request.into_body());
        body.next_piece().add_callback(move |piece| {
            let last = body.next_piece();
            last.map(move |last| {
                noted.push(body.trailers());
                format!("{} {}", piece.map_or(0, |piece| piece.len()), last.is_none())
            })
        })
    });
    client.send(head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"]));
    client.send(chunk(b"abc")).send("0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n");
    assert_eq!(client.answer().text(), "3 true");
    let trailers = seen.take().remove(0);
    let sums: Vec<_> = trailers.get_all("x-sum").iter().collect();
    assert_eq!(sums, ["1", "2"]);
}

#[test]
fn a_client_that_waits_for_a_word_gets_it_when_its_body_is_asked_for() {
    let (bodies, held) = (Seen::new(), Held::new());
    let mut client = Client::of(&handed_over(&bodies, &held), &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Expect: 100-continue", "Content-Length: 4"]));
    client.assert_silent();
    client.advance(secs(3600)).assert_silent();
    let mut body = bodies.take().remove(0);
    let piece = body.next_piece();
    assert_eq!(client.memory.take_sent(), CONTINUE);
    client.send("wo").send("rd");
    client.assert_silent();
    assert!(piece.now_or_never().is_some());
    held.release("thanks");
    assert!(!client.answer().closes());
    client.assert_open();
}

#[test]
fn a_client_that_does_not_wait_for_a_word_gets_none() {
    let mut client = Client::new(echo);
    let expecting = head("POST / HTTP/1.1", &["Expect: 100-continue", "Content-Length: 4"]);
    let answers = [expecting.clone(), b"word".to_vec()].concat();
    assert_eq!(client.ask(answers).text(), "word");
    client.send(post("/", b"no expectation"));
    assert_eq!(client.answers().len(), 1);
    client.send(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    client.assert_silent();
}

#[test]
fn a_client_that_waits_and_is_refused_is_not_asked_for_its_body() {
    let mut client = Client::new(|_: Request| "no, thank you");
    let expecting = head("POST / HTTP/1.1", &["Expect: 100-continue", "Content-Length: 4"]);
    let answer = client.ask(expecting);
    assert_eq!(answer.status, 200);
    assert!(answer.closes(), "whether the body comes is not known");
    client.assert_over();
}

#[test]
fn an_expectation_of_nothing_is_met() {
    let mut client = Client::new(echo);
    let answer =
        client.ask(head("POST / HTTP/1.1", &["Expect: 100-continue", "Content-Length: 0"]));
    assert!(!answer.closes());
    client.assert_open();
}

#[test]
fn a_short_body_that_nobody_wants_is_dropped() {
    let mut client = Client::new(|request: Request| request.uri().path().to_owned());
    let body = vec![b'x'; 200 * 1024];
    client.send([post("/a", &body), get("/b")].concat());
    let texts: Vec<_> = client.answers().iter().map(|answer| answer.text().to_owned()).collect();
    assert_eq!(texts, ["/a", "/b"]);

    client.memory.push_in_pieces(&[post("/a", &body), get("/b")].concat(), 1000);
    let texts: Vec<_> = client.answers().iter().map(|answer| answer.text().to_owned()).collect();
    assert_eq!(texts, ["/a", "/b"]);
    client.assert_open();
}

#[test]
fn a_long_body_that_nobody_wants_ends_the_connection() {
    let mut client = Client::new(|_: Request| "ok");
    let answer = client.ask(head("POST / HTTP/1.1", &["Content-Length: 262145"]));
    assert!(answer.closes());
    client.assert_over();

    let mut client = Client::new(|_: Request| "ok");
    assert!(!client.ask(head("POST / HTTP/1.1", &["Content-Length: 262144"])).closes());

    let mut client = Client::new(|_: Request| "ok");
    client.send(head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"]));
    client.send(chunk(&filler(262_145)));
    assert_eq!(client.answer().status, 200);
    client.assert_over();
}

#[test]
fn nothing_of_a_body_is_taken_for_a_request() {
    let held = Held::<&str>::new();
    let paths = Seen::new();
    let (holding, noted) = (held.clone(), paths.clone());
    let mut client = Client::new(move |request: Request| {
        noted.push(request.uri().path().to_owned());
        holding.wait()
    });
    let smuggled = get("/smuggled").repeat(400_000 / get("/smuggled").len());
    client.send(head("POST /a HTTP/1.1", &["Transfer-Encoding: chunked"]));
    for _ in 0..20 {
        let piece = chunk(&smuggled[..64 * 1024 / 37 * 37]);
        client.memory.push_in_pieces(&piece, 37);
    }
    held.release("first");
    let answer = client.answer();
    assert_eq!(answer.text(), "first");
    assert!(answer.closes());
    client.memory.push(&smuggled);
    assert_eq!(paths.take(), ["/a"]);
}

#[test]
fn a_body_that_somebody_reads_after_the_answer_goes_on() {
    let (bodies, held) = (Seen::new(), Held::new());
    let mut client = Client::of(&handed_over(&bodies, &held), &Clock::new());
    client.send(head("POST / HTTP/1.1", &["Content-Length: 8"])).send("half");
    held.release("early");
    assert_eq!(client.answer().text(), "early");
    client.send("full").send(get("/"));
    assert_eq!(held.count(), 1, "the next request is being answered");
    let mut body = bodies.take().remove(0);
    assert_eq!(next(&mut body).expect("a piece").expect("bytes"), Some(b"halffull".to_vec()));
}

#[test]
fn whoever_reads_a_body_when_the_connection_ends_is_told() {
    let seen = Seen::new();
    let noted = seen.clone();
    let mut client = Client::new(move |request: Request| {
        let noted = noted.clone();
        request.into_body().collect(100).on_result(move |result| noted.push(result));
        "early"
    });
    client.send(head("POST / HTTP/1.1", &["Connection: close", "Content-Length: 8"])).send("half");
    assert_eq!(client.answer().text(), "early");
    let failure = seen.take().remove(0).expect_err("the body did not come");
    assert_eq!(failure.check(), Some(&BodyError::Lost(Disconnect::Closed)));
}

#[test]
fn a_bad_end_of_a_dropped_body_takes_no_answer_back() {
    let mut client = Client::new(|_: Request| "ok");
    client.send(head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"])).send("zzz\r\n");
    assert_eq!(client.answer().text(), "ok");
    client.assert_over();
}

#[test]
fn half_a_body_and_no_more_is_no_request() {
    let seen = Seen::new();
    let noted = seen.clone();
    let mut client = Client::new(move |request: Request| {
        let noted = noted.clone();
        request.into_body().collect(100).on_result(move |result| noted.push(result.is_err()));
        Deferred::<&str>::ready(Err(Failure::new("never mind"))).into_reply_later()
    });
    client.send(head("POST / HTTP/1.1", &["Content-Length: 8"])).send("half");
    client.memory.eof();
    assert!(client.memory.ended().is_some());
    assert_eq!(seen.take(), [true]);
}

trait Later {
    fn into_reply_later(self) -> Reply;
}

impl Later for Deferred<&'static str> {
    /// A reply that never comes.
    fn into_reply_later(self) -> Reply {
        let (promise, waiting) = ropewalk_deferred::deferred::<&str>();
        self.on_result(drop);
        std::mem::forget(promise);
        waiting.into_reply()
    }
}

#[test]
fn a_body_beyond_the_limit_is_refused_before_it_comes() {
    let limits = Limits { body_max: Some(10), ..Limits::default() };
    let calls = Seen::new();
    let noted = calls.clone();
    let resource = move |request: Request| {
        noted.push(());
        echo(request)
    };
    let site = site(resource).limits(limits);
    let mut client = Client::of(&site, &Clock::new());
    assert_eq!(client.ask(post("/", b"0123456789")).text(), "0123456789");
    assert_eq!(calls.len(), 1);
    assert_eq!(client.ask(head("POST / HTTP/1.1", &["Content-Length: 11"])).status, 413);
    assert_eq!(calls.len(), 1);
    client.assert_over();
}

#[test]
fn a_body_beyond_the_limit_is_refused_on_its_way() {
    let limits = Limits { body_max: Some(10), ..Limits::default() };
    let site = site(echo).limits(limits);
    let mut client = Client::of(&site, &Clock::new());
    let chunked = head("POST / HTTP/1.1", &["Transfer-Encoding: chunked"]);
    client.send(&chunked).send(chunk(b"0123456789")).send(b"0\r\n\r\n");
    assert_eq!(client.answer().text(), "0123456789");
    client.send(&chunked).send(chunk(b"012345678")).assert_silent();
    client.send(b"2\r\n");
    assert_eq!(client.answer().status, 413);
    client.assert_over();
}
