//! What the proxy takes for one request, an origin takes for the same one.

use httparse::Status;
use proptest::prelude::*;
use ropewalk_http::{BodyDecoder, HeadDecoder, Limits, Piece};
use ropewalk_trial::Memory;

use super::corpus::{self, Outcome};
use super::{World, ok};

/// A request as somebody saw it: method, target and body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// What an origin sees that is as strict as we are.
fn strictly(mut bytes: &[u8]) -> Vec<Seen> {
    // It has room for the fields that a proxy adds.
    let limits = Limits { header_block_max: 64 * 1024, header_count_max: 256, ..Limits::default() };
    let (mut heads, mut seen) = (HeadDecoder::default(), Vec::new());
    while let Some(one) = strictly_one(&mut bytes, &mut heads, &limits) {
        seen.push(one);
    }
    seen
}

fn strictly_one(bytes: &mut &[u8], heads: &mut HeadDecoder, limits: &Limits) -> Option<Seen> {
    let head = heads.feed(bytes, limits).ok()??;
    let mut decoder = BodyDecoder::new(head.body, None).ok()?;
    let mut body = Vec::new();
    while let Piece::Data(piece) = decoder.feed(bytes, limits).ok()?? {
        body.extend_from_slice(piece);
    }
    let (method, target) = (head.request.method().to_string(), head.request.uri().to_string());
    Some(Seen { method, target, body })
}

/// What an origin sees that takes whatever it can make sense of, as old ones do: the last length counts,
/// any coding with "chunked" in it is chunked, lines may end in a line feed alone.
fn leniently(mut bytes: &[u8], prefers_length: bool) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(one) = leniently_one(&mut bytes, prefers_length) {
        seen.push(one);
    }
    seen
}

fn leniently_one(bytes: &mut &[u8], prefers_length: bool) -> Option<Seen> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut parsed = httparse::Request::new(&mut fields);
    let Status::Complete(length) = parsed.parse(bytes).ok()? else { return None };
    let (method, target) = (parsed.method?.to_owned(), parsed.path?.to_owned());
    let (mut told, mut is_chunked) = (None, false);
    for field in parsed.headers.iter() {
        let value = String::from_utf8_lossy(field.value).to_ascii_lowercase();
        if field.name.eq_ignore_ascii_case("content-length") {
            told = value.trim().trim_start_matches('+').parse::<usize>().ok().or(told);
        }
        is_chunked |=
            field.name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked");
    }
    *bytes = &bytes[length..];
    if is_chunked && !(prefers_length && told.is_some()) {
        let mut body = Vec::new();
        loop {
            let chunk = lenient_chunk(bytes)?;
            if chunk.is_empty() {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        return Some(Seen { method, target, body });
    }
    let body = bytes.get(..told.unwrap_or(0))?;
    *bytes = &bytes[body.len()..];
    Some(Seen { method, target, body: body.to_vec() })
}

/// The next chunk, which is empty at the end of them all.
fn lenient_chunk(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let Status::Complete((line, size)) = httparse::parse_chunk_size(bytes).ok()? else {
        return None;
    };
    let size = usize::try_from(size).ok()?;
    let chunk = bytes.get(line..)?.get(..size)?;
    let rest = &bytes[line + size..];
    // Fields behind the last chunk are stepped over.
    let end = if size == 0 {
        rest.windows(2).position(|two| two == b"\r\n")? + 2
    } else {
        rest.iter().position(|&byte| byte == b'\n')? + 1
    };
    *bytes = &rest[end..];
    Some(chunk.to_vec())
}

/// Pushes a stream through a proxy; what came out on each connection to the origin, and how many
/// requests were answered from there.
fn through_proxy(stream: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let world = World::to("http://app");
    let mut client = world.client(b"");
    let mut apps: Vec<(Memory, Vec<u8>, usize)> = Vec::new();
    let mut rest = stream;
    let mut idle = 0;
    while idle < 4 {
        let taken = client.push(rest);
        rest = &rest[taken..];
        idle = if taken > 0 { 0 } else { idle + 1 };
        client.run();
        while world.dialling() > 0 {
            apps.push((world.accept(), Vec::new(), 0));
        }
        for (app, out, answered) in &mut apps {
            app.run();
            out.extend_from_slice(&app.take_sent());
            // An origin that answers when it has seen a whole request.
            while *answered < strictly(out).len() {
                app.push(&ok("seen"));
                *answered += 1;
                idle = 0;
            }
        }
    }
    client.run();
    let answers = String::from_utf8_lossy(client.sent()).matches("via: 1.1 ropewalk").count();
    (apps.into_iter().map(|(_, out, _)| out).collect(), answers)
}

/// Whoever looks at what the proxy sent sees the requests that it answered, and the same ones.
#[track_caller]
fn check(stream: &[u8]) -> usize {
    let (outs, answers) = through_proxy(stream);
    let mut count = 0;
    for out in outs {
        let strict = strictly(&out);
        for prefers_length in [false, true] {
            assert_eq!(leniently(&out, prefers_length), strict, "{}", out.escape_ascii());
        }
        count += strict.len();
    }
    assert_eq!(count, answers, "{}", stream.escape_ascii());
    count
}

/// Pieces that attacks on framing are made of.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "GET /a HTTP/1.1\r\n",
        "POST /b HTTP/1.1\r\n",
        "POST /c HTTP/1.0\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 05\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length:\t5\r\n",
        "content-length : 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\n",
        "X: y\rZ: w\r\n",
        "Connection: Content-Length\r\n",
        "Connection: Transfer-Encoding\r\n",
        "Connection: close\r\n",
        "TE: trailers\r\n",
        "Expect: 100-continue\r\n",
        "\r\n",
        "\n",
        "\r\n\r\n",
        "0\r\n\r\n",
        "5\r\nhello\r\n",
        "5\nhello\n",
        "5;a=b\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "00005\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "hello",
        "GET /smuggled HTTP/1.1\r\nHost: evil\r\n\r\n",
        "fffffffffffffffff\r\n",
        "\0",
    ];
    prop::sample::select(fixed.map(str::to_owned).to_vec())
}

fn stream() -> impl Strategy<Value = String> {
    let whole = prop::sample::select(vec![
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            .to_owned(),
    ]);
    let mixed = prop::collection::vec(piece(), 1..12).prop_map(|pieces| pieces.concat());
    let started = prop::collection::vec(piece(), 0..8)
        .prop_map(|pieces| format!("POST /d HTTP/1.1\r\nHost: a\r\n{}\r\n", pieces.concat()));
    prop::collection::vec(prop_oneof![2 => whole, 1 => mixed, 3 => started], 1..4)
        .prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_origin_sees_other_requests_than_the_proxy(stream in stream()) {
        check(stream.as_bytes());
    }
}

#[test]
fn every_attack_of_the_corpus_is_refused_or_seen_alike() {
    let cases = corpus::cases();
    let mut seen = 0;
    for case in &cases {
        println!("{}", case.name);
        let count = check(&case.bytes);
        let whole = case.outcomes.iter().filter(|&&outcome| outcome == Outcome::Whole).count();
        // CONNECT and the like are whole requests that end here.
        assert!(count <= whole, "{}: {count} came through of {whole}", case.name);
        seen += count;
    }
    assert!(cases.len() > 100 && seen > 20, "{} cases, {seen} requests", cases.len());
}
