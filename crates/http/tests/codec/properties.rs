use proptest::prelude::*;
use proptest::sample::{Index, select};
use ropewalk_http::{BodyWriter, HeadDecoder, Limits, SentAs};

use crate::corpus;
use crate::replay::{Event, replay, replay_pieces};

/// A request that every server has to understand.
#[derive(Clone, Debug)]
struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<Vec<u8>>,
    is_chunked: bool,
}

impl Request {
    fn encode(&self) -> Vec<u8> {
        let Self { method, target, fields, body, is_chunked } = self;
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n").into_bytes();
        for (name, value) in fields {
            bytes.extend(format!("x-{name}: {value}\r\n").bytes());
        }
        let length = body.iter().map(Vec::len).sum::<usize>();
        let (sent_as, field) = if *is_chunked {
            (SentAs::Chunked, "Transfer-Encoding: chunked".to_owned())
        } else {
            (SentAs::Fixed(length as u64), format!("Content-Length: {length}"))
        };
        bytes.extend(format!("{field}\r\n\r\n").bytes());
        let mut writer = BodyWriter::new(sent_as);
        for piece in body {
            writer.write(&mut bytes, piece).expect("as long as was said");
        }
        writer.finish(&mut bytes).expect("as long as was said");
        bytes
    }
}

fn requests() -> impl Strategy<Value = Request> {
    let method = "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,20}"
        .prop_filter("a method for paths", |method| method != "CONNECT");
    let target = "/[a-zA-Z0-9/%.~_:@!$&'()*+,;=-]{0,40}(\\?[a-zA-Z0-9/?=&`{}^|]{0,20})?";
    let field = ("[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,30}", "([!-~é]([ -~\té]{0,30}[!-~é])?)?");
    let piece = prop::collection::vec(any::<u8>(), 0..300);
    let fields = prop::collection::vec(field, 0..20);
    (method, target, fields, prop::collection::vec(piece, 0..4), any::<bool>()).prop_map(
        |(method, target, fields, body, is_chunked)| Request {
            method,
            target,
            fields,
            body,
            is_chunked,
        },
    )
}

/// Bytes that look enough like requests to get far: cases of the corpus, some of them spoilt.
fn nearly_requests() -> impl Strategy<Value = Vec<u8>> {
    let cases: Vec<_> = corpus::cases().into_iter().map(|case| case.bytes).collect();
    let spoiling =
        prop::collection::vec((any::<Index>(), select(&b"\r\n \t:;,0a\0\"\x80"[..])), 0..4);
    (prop::collection::vec(select(cases), 1..4), spoiling).prop_map(|(cases, spoiling)| {
        let mut bytes = cases.concat();
        for (place, byte) in spoiling {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        bytes
    })
}

/// `bytes` cut at these places.
fn cut<'b>(bytes: &'b [u8], places: &[Index]) -> Vec<&'b [u8]> {
    let mut ends: Vec<_> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.clone());
    starts.zip(ends.clone()).map(|(start, end)| &bytes[start..end]).collect()
}

fn check_cuts(bytes: &[u8], places: &[Index], limits: &Limits) -> Result<(), TestCaseError> {
    let expected = replay(bytes, usize::MAX, limits);
    prop_assert_eq!(&replay(bytes, 1, limits), &expected);
    prop_assert_eq!(&replay_pieces(cut(bytes, places), limits), &expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn right_requests_come_out_as_they_went_in(requests in prop::collection::vec(requests(), 1..4)) {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::encode).collect();
        let mut events = replay(&bytes, usize::MAX, &Limits::default()).into_iter().peekable();
        let mut rest = &bytes[..];
        for request in &requests {
            let head = HeadDecoder::default().feed(&mut rest, &Limits::default());
            let head = head.expect("a right head").expect("a whole head");
            prop_assert_eq!(head.request.method().as_str(), &request.method);
            prop_assert_eq!(head.request.uri().to_string(), &*request.target);
            let mut fields = head.request.headers().clone();
            for (name, _) in &request.fields {
                let of_name = |other: &&(String, String)| other.0.eq_ignore_ascii_case(name);
                let sent = request.fields.iter().filter(of_name).map(|(_, value)| value.as_bytes());
                let values: Vec<_> = head.request.headers().get_all(format!("x-{name}"))
                    .iter().map(http::HeaderValue::as_bytes).collect();
                prop_assert_eq!(values, sent.collect::<Vec<_>>());
                fields.remove(format!("x-{name}"));
            }
            prop_assert_eq!(fields.len(), 2);
            let length = request.encode().len() - (bytes_of_head(&request.encode()));
            rest = &rest[length..];

            prop_assert!(matches!(events.next(), Some(Event::Head(_))));
            let body = request.body.concat();
            if !body.is_empty() {
                prop_assert_eq!(events.next(), Some(Event::Body(body)));
            }
            prop_assert_eq!(events.next(), Some(Event::End("{}".to_owned())));
        }
        prop_assert_eq!(events.next(), None);
    }

    #[test]
    fn right_requests_may_be_cut_anywhere(
        requests in prop::collection::vec(requests(), 1..4),
        places: [Index; 5],
    ) {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::encode).collect();
        check_cuts(&bytes, &places, &Limits::default())?;
    }

    #[test]
    fn nearly_right_requests_may_be_cut_anywhere(bytes in nearly_requests(), places: [Index; 5]) {
        check_cuts(&bytes, &places, &Limits::default())?;
    }

    #[test]
    fn limits_may_be_met_anywhere(
        bytes in nearly_requests(),
        places: [Index; 5],
        line in 0_usize..40,
        block in 0_usize..80,
        count in 0_usize..4,
    ) {
        let limits = Limits {
            request_line_max: line,
            header_block_max: block,
            header_count_max: count,
            chunk_line_max: count,
            trailer_block_max: block,
            body_max: Some(block as u64),
        };
        check_cuts(&bytes, &places, &limits)?;
    }

    #[test]
    fn any_bytes_may_be_cut_anywhere(bytes: Vec<u8>, places: [Index; 5]) {
        check_cuts(&bytes, &places, &Limits::default())?;
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        check_cuts(&[head, &bytes[..]].concat(), &places, &Limits::default())?;
    }
}

fn bytes_of_head(request: &[u8]) -> usize {
    request.windows(4).position(|four| four == b"\r\n\r\n").expect("an empty line") + 4
}
