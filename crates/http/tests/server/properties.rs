//! Any requests, cut anywhere, against what they must be answered with.

use http::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_deferred::Deferred;
use ropewalk_http::{Body, BodyStream, IntoReply, Reply, Request};
use ropewalk_trial::Clock;

use crate::client::{Client, Held, chunk, site};

/// How a request's body is sent.
#[derive(Clone, Debug)]
enum Sent {
    None,
    Fixed(Vec<u8>),
    /// In chunks, with or without a trailer.
    Chunked(Vec<Vec<u8>>, bool),
}

/// What is made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Answered at once; its body is not looked at.
    Now,
    /// Answered at once, without content.
    Nothing,
    /// Answered when the test says so.
    Later,
    /// Answered piece by piece, in chunks.
    Stream,
    /// Answered with its own body.
    Echo,
}

#[derive(Clone, Debug)]
struct Asked {
    method: &'static str,
    way: Way,
    sent: Sent,
    expects: bool,
}

impl Asked {
    fn path(&self) -> &'static str {
        match self.way {
            Way::Now => "/now",
            Way::Nothing => "/nothing",
            Way::Later => "/later",
            Way::Stream => "/stream",
            Way::Echo => "/echo",
        }
    }

    fn body(&self) -> Vec<u8> {
        match &self.sent {
            Sent::None => Vec::new(),
            Sent::Fixed(bytes) => bytes.clone(),
            Sent::Chunked(chunks, _) => chunks.concat(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend(format!("{} {} HTTP/1.1\r\nhost: a\r\n", self.method, self.path()).bytes());
        if self.expects {
            out.extend(b"Expect: 100-continue\r\n");
        }
        match &self.sent {
            Sent::None => out.extend(b"\r\n"),
            Sent::Fixed(bytes) => {
                out.extend(format!("Content-Length: {}\r\n\r\n", bytes.len()).bytes());
                out.extend(bytes);
            }
            Sent::Chunked(chunks, has_trailer) => {
                out.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                out.extend(chunks.iter().flat_map(|data| chunk(data)));
                out.extend(b"0\r\n");
                if *has_trailer {
                    out.extend(b"X-Trailer: yes\r\n");
                }
                out.extend(b"\r\n");
            }
        }
    }

    /// What it must be answered with: status and body.
    fn expected(&self) -> (u16, Vec<u8>) {
        let (status, body) = match self.way {
            Way::Now => (200, format!("{} now", self.method).into_bytes()),
            Way::Nothing => (204, Vec::new()),
            Way::Later => (200, b"later".to_vec()),
            Way::Stream => (200, b"onetwothree".to_vec()),
            Way::Echo => (200, self.body()),
        };
        (status, if self.method == "HEAD" { Vec::new() } else { body })
    }

    /// Whether the connection ends after it: nobody knows then whether the body comes.
    fn ends_it(&self) -> bool {
        let is_empty = match &self.sent {
            Sent::None => true,
            Sent::Fixed(bytes) => bytes.is_empty(),
            Sent::Chunked(..) => false,
        };
        self.expects && !is_empty && matches!(self.way, Way::Now | Way::Nothing | Way::Stream)
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let piece = || vec(any::<u8>(), 1..40);
    let sent = prop_oneof![
        3 => Just(Sent::None),
        2 => vec(any::<u8>(), 0..200).prop_map(Sent::Fixed),
        2 => (vec(piece(), 0..5), any::<bool>())
            .prop_map(|(chunks, has_trailer)| Sent::Chunked(chunks, has_trailer)),
    ];
    let way =
        prop::sample::select(vec![Way::Now, Way::Nothing, Way::Later, Way::Stream, Way::Echo]);
    let method = prop::sample::select(&["GET", "HEAD", "POST", "PUT", "BREW"][..]);
    (method, way, sent, prop::bool::weighted(0.1)).prop_map(|(method, way, sent, expects)| Asked {
        method,
        way,
        sent,
        // Whether a late answer or an unasked body comes first is anybody's guess.
        expects: expects && way != Way::Later,
    })
}

fn render(request: Request, held: &Held<&'static str>) -> Reply {
    match request.uri().path() {
        "/now" => format!("{} now", request.method()).into_reply(),
        "/nothing" => StatusCode::NO_CONTENT.into_reply(),
        "/later" => held.wait().into_reply(),
        "/stream" => {
            let mut pieces = ["one", "two", "three"].into_iter();
            let next = move || {
                let piece = pieces.next().map(|text| bytes::Bytes::from(text).into());
                Deferred::succeed(piece)
            };
            Body::stream(BodyStream::new(next)).into_reply()
        }
        _ => request.into_body().collect(100_000).map(|body| body.to_vec()).into_reply(),
    }
}

/// Gives the client its answers to these bytes, cut into these pieces; late ones come when the
/// server will hear nothing more, or when `eager` says so.
fn converse(
    bytes: &[u8],
    cuts: &[prop::sample::Index],
    eager: &[bool],
    client: &mut Client,
    held: &Held<&'static str>,
) {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let mut eager = eager.iter().copied().cycle();
    for pair in places.windows(2).filter(|pair| pair[0] < pair[1]) {
        let piece = &bytes[pair[0]..pair[1]];
        while client.memory.ended().is_none() && client.memory.push(piece) == 0 {
            assert!(held.count() > 0, "the server waits for nothing");
            held.release("later");
        }
        if eager.next() == Some(true) && held.count() > 0 {
            held.release("later");
        }
    }
    client.memory.run();
    while held.count() > 0 {
        held.release("later");
        client.memory.run();
    }
}

proptest! {
    #[test]
    fn any_requests_are_answered_as_they_must_be(
        requests in vec(asked(), 1..12),
        cuts in vec(any::<prop::sample::Index>(), 0..30),
        eager in vec(any::<bool>(), 1..10),
    ) {
        let held = Held::new();
        let holding = held.clone();
        let site = site(move |request: Request| render(request, &holding));
        let mut client = Client::of(&site, &Clock::new());
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for request in &requests {
            request.encode(&mut bytes);
            if expected.last().is_some_and(|(_, ends_it)| *ends_it) {
                continue;
            }
            client.expect_body(request.method != "HEAD");
            expected.push((request.expected(), request.ends_it()));
        }
        converse(&bytes, &cuts, &eager, &mut client, &held);

        let answers = client.answers();
        let finals = answers.iter().filter(|answer| answer.status >= 200);
        let got: Vec<_> =
            finals.map(|answer| ((answer.status, answer.body.clone()), answer.closes())).collect();
        prop_assert_eq!(got, expected.clone());
        let asked_on = answers.iter().filter(|answer| answer.status == 100).count();
        prop_assert!(asked_on <= requests.iter().filter(|request| request.expects).count());
        if expected.last().is_some_and(|(_, ends_it)| *ends_it) {
            client.assert_over();
        } else {
            client.assert_open();
        }
    }
}
