//! Calls and answers, as bytes and over a site.

use std::time::Duration;

use proptest::prelude::*;
use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_http::{Agent, Origin, Site};
use ropewalk_protocol::{ClientEndpoint, Clock as _, Port, Seat, listen, seat, sleep};
use ropewalk_trial::{Clock, Hostile, Memory, MemoryNetwork};
use ropewalk_xmlrpc::{
    Answer, BadMessage, Call, CallError, Client, DateTime, Fault, Limits, Methods, Unspeakable,
    Value,
};

fn decoded(value: &str) -> Result<Value, BadMessage> {
    let text = format!(
        "<methodCall><methodName>m</methodName><params><param><value>{value}</value></param></params></methodCall>"
    );
    let call = Call::decode(text.as_bytes(), &Limits::default())?;
    assert_eq!(call.params.len(), 1);
    Ok(call.params[0].clone())
}

#[track_caller]
fn check(text: &str, value: impl Into<Value>) {
    assert_eq!(decoded(text), Ok(value.into()), "{text}");
}

#[test]
fn values_of_every_type_are_read() {
    check("<int>-7</int>", -7);
    check("<i4> 7 </i4>", 7);
    check("<i8>9000000000</i8>", 9_000_000_000_i64);
    check("<ex:i8 xmlns:ex='x'>1</ex:i8>", 1_i64);
    check("<i2>7</i2>", 7);
    check("<boolean>1</boolean>", true);
    check("<double>-1.5e3</double>", -1500.0);
    check("<string> a &amp; b &#x2603;&lt;<![CDATA[<c>]]></string>", " a & b \u{2603}<<c>");
    check("plain", "plain");
    check("", "");
    check("<string/>", "");
    check("<nil/>", ());
    check("<ex:nil/>", ());
    check("<base64> aGVs\nbG8= </base64>", bytes::Bytes::from_static(b"hello"));
    let time = DateTime { year: 1998, month: 7, day: 17, hour: 14, minute: 8, second: 55 };
    check("<dateTime.iso8601>19980717T14:08:55</dateTime.iso8601>", time);
    check("<dateTime.iso8601>1998-07-17T14:08:55</dateTime.iso8601>", time);
    check(
        "<array><data><value>a</value> <value><int>1</int></value></data></array>",
        vec!["a".into(), 1.into()],
    );
    check("<array><data/></array>", vec![]);
    check(
        "<struct> <member><name>a</name><value><int>1</int></value></member></struct>",
        Value::of([("a", 1)]),
    );
}

#[test]
fn what_is_wrong_with_a_message_is_told() {
    let of = |of, got: &str| BadMessage::BadValue { of, got: got.to_owned() };
    for (text, bad) in [
        ("<int>1.5</int>", of("int", "1.5")),
        ("<int>9000000000</int>", of("int", "9000000000")),
        ("<boolean>true</boolean>", of("boolean", "true")),
        ("<double>inf</double>", of("double", "inf")),
        ("<double>nan</double>", of("double", "nan")),
        ("<base64>?</base64>", of("base64", "?")),
        ("<dateTime.iso8601>1998</dateTime.iso8601>", of("dateTime.iso8601", "1998")),
        (
            "<dateTime.iso8601>19981317T14:08:55</dateTime.iso8601>",
            of("dateTime.iso8601", "19981317T14:08:55"),
        ),
        ("<money>1</money>", BadMessage::UnknownType("money".to_owned())),
        ("<string>&nbsp;</string>", BadMessage::UnknownEntity("nbsp".to_owned())),
        (
            "<struct><member><name>a</name><value/></member><member><name>a</name><value/></member></struct>",
            BadMessage::Twice("a".to_owned()),
        ),
        (
            "x<int>1</int>",
            BadMessage::Unexpected { expected: "an element", got: "\"x\"".to_owned() },
        ),
        (
            "<int>1</int><int>2</int>",
            BadMessage::Unexpected { expected: "</value>", got: "<int>".to_owned() },
        ),
    ] {
        assert_eq!(decoded(text), Err(bad), "{text}");
    }
    let limits = Limits::default();
    for text in
        ["", "hello", "<methodCall>", "<methodCall></methodcall>", "<a/>", "<methodResponse/>"]
    {
        assert!(Call::decode(text.as_bytes(), &limits).is_err(), "{text}");
        assert!(Answer::decode(text.as_bytes(), &limits).is_err(), "{text}");
    }
    let bomb = "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'cc'>]><methodCall><methodName>&b;</methodName></methodCall>";
    assert_eq!(Call::decode(bomb.as_bytes(), &limits), Err(BadMessage::DocumentType));
    let latin = b"<?xml version='1.0' encoding='iso-8859-1'?><methodCall><methodName>a</methodName></methodCall>";
    assert!(matches!(Call::decode(latin, &limits), Err(BadMessage::NotXml(_))));
    assert_eq!(Call::decode(b"<a>\xff</a>", &limits), Err(BadMessage::NotXml(3)));
}

#[test]
fn limits_have_two_sides() {
    let nested = |depth: usize| {
        let (open, close) = ("<array><data><value>", "</value></data></array>");
        decoded(&format!("{}x{}", open.repeat(depth), close.repeat(depth)))
    };
    assert!(nested(64).is_ok());
    assert_eq!(nested(65), Err(BadMessage::TooDeep { max: 64 }));
    assert_eq!(nested(10_000), Err(BadMessage::TooDeep { max: 64 }));
    let many = |count: usize| {
        let limits = Limits { values_max: 10, ..Limits::default() };
        let call = Call { method: "m".to_owned(), params: vec![Value::Nil; count] };
        Call::decode(&call.encode().expect("it can be said"), &limits).map(|call| call.params.len())
    };
    assert_eq!(many(10), Ok(10));
    assert_eq!(many(11), Err(BadMessage::TooMany { max: 10 }));
    let long = |bytes_max: usize| {
        let limits = Limits { bytes_max, ..Limits::default() };
        Call::decode(b"<methodCall><methodName>a</methodName></methodCall>", &limits)
    };
    assert!(long(51).is_ok());
    assert_eq!(long(50), Err(BadMessage::TooLong { max: 50 }));
}

#[test]
fn what_cannot_be_said_is_not() {
    let said = |value: Value| Answer(Ok(value)).encode().map(|_| ());
    assert_eq!(said("a\0".into()), Err(Unspeakable::Control('\0')));
    assert_eq!(said(f64::INFINITY.into()), Err(Unspeakable::NotFinite));
    assert_eq!(said("\t\r\n".into()), Ok(()));
}

fn value() -> impl Strategy<Value = Value> {
    let text = || "[ -~\\t\\r\\n\u{e9}\u{2603}]{0,12}";
    let scalar = prop_oneof![
        any::<i32>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::from),
        any::<f64>()
            .prop_filter("it can be said", |number| number.is_finite())
            .prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
        Just(Value::Nil),
    ];
    scalar.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(text(), inner, 0..4).prop_map(Value::Struct),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_said_is_read(method in "[a-z.]{1,10}", params in prop::collection::vec(value(), 0..4)) {
        let call = Call { method, params };
        let bytes = call.encode().expect("it can be said");
        prop_assert_eq!(Call::decode(&bytes, &Limits::default()), Ok(call.clone()));
        let answer = Answer(call.params.first().cloned().ok_or(Fault::new(-7, call.method)));
        let bytes = answer.encode().expect("it can be said");
        prop_assert_eq!(Answer::decode(&bytes, &Limits::default()), Ok(answer));
    }

    #[test]
    fn no_bytes_make_it_fall(text in "[<>/a-z&;#0-9 =\"']{0,80}") {
        let _ = Call::decode(text.as_bytes(), &Limits::default());
        let _ = decoded(&text);
    }
}

struct World {
    network: MemoryNetwork,
    clock: Clock,
    client: Client,
    _port: Box<dyn Port>,
}

impl World {
    fn new(methods: impl FnOnce(&Clock) -> Methods) -> Self {
        let clock = Clock::new();
        let network = MemoryNetwork::new(&clock);
        let port = listen(&network.endpoint("there:80"), Site::new(methods(&clock)));
        let port = port.now_or_never().expect("at once").expect("a port");
        let dialled = network.clone();
        let dial = move |_: &Origin, seat: Box<dyn Seat>| {
            dialled.endpoint("there:80").connect_seat(seat);
        };
        let client = Client::new(&Agent::new(dial, clock.clone()), "http://there/RPC2");
        Self { network, clock, client, _port: port }
    }

    #[track_caller]
    fn call(&self, method: &str, params: &[Value]) -> Result<Value, Failure> {
        let called = self.client.call(method, params.to_vec());
        self.network.run();
        called.now_or_never().expect("it is over")
    }
}

fn methods(clock: &Clock) -> Methods {
    let clock = clock.clone();
    Methods::new()
        .method("echo", |params: Vec<Value>| Value::Array(params))
        .method("fail", |_| Err::<Value, _>(Failure::new("a secret")))
        .method("fault", |_| Err::<Value, _>(Fault::new(7, "as you wish")))
        .method("infinite", |_| f64::INFINITY)
        .method("later", move |_| {
            sleep(&clock, Duration::from_secs(3)).map(|()| Value::from("at last"))
        })
        .method_with("documented", "does nothing", &[&["int", "string"], &["int"]], |_| ())
}

#[test]
fn methods_answer_now_and_later() {
    let world = World::new(methods);
    let params = [Value::from(1), "two".into(), Value::of([("three", 3.0)]), ().into()];
    assert_eq!(world.call("echo", &params).expect("an answer"), Value::Array(params.to_vec()));
    let later = world.client.call("later", []);
    world.network.run();
    world.network.advance(Duration::from_secs(3));
    world.network.run();
    assert_eq!(later.now_or_never().expect("it is over").expect("an answer"), "at last".into());
    assert!(world.clock.now() >= Duration::from_secs(3));
}

#[test]
fn faults_are_faults_and_nothing_else_is_told() {
    let world = World::new(methods);
    let fault = |method: &str| {
        let failure = world.call(method, &[]).expect_err("it fails");
        failure.check::<Fault>().cloned().unwrap_or_else(|| panic!("{failure:?}"))
    };
    assert_eq!(fault("fault"), Fault::new(7, "as you wish"));
    assert_eq!(fault("fail"), Fault::new(8002, "error"));
    assert_eq!(fault("infinite").code, 8002);
    assert_eq!(fault("nothing"), Fault::new(8001, "procedure nothing not found"));
}

#[test]
fn methods_tell_about_themselves() {
    let world = World::new(methods);
    let call = |name: &str, params: &[Value]| world.call(name, params).expect("an answer");
    let names = call("system.listMethods", &[]);
    let names = names.as_array().expect("an array");
    assert_eq!(names.len(), 10);
    assert!(names.contains(&"documented".into()) && names.contains(&"system.methodHelp".into()));
    assert_eq!(call("system.methodHelp", &["documented".into()]), "does nothing".into());
    assert_eq!(
        call("system.methodSignature", &["documented".into()]),
        vec![vec!["int".into(), "string".into()].into(), vec!["int".into()].into()].into()
    );
}

#[test]
fn several_calls_are_made_in_one() {
    let world = World::new(methods);
    let one = |method: &str, params: Vec<Value>| {
        Value::of([("methodName", Value::from(method)), ("params", Value::Array(params))])
    };
    let calls = vec![
        one("echo", vec![1.into()]),
        one("fault", vec![]),
        one("fail", vec![]),
        one("nothing", vec![]),
        one("system.multicall", vec![vec![].into()]),
        1.into(),
        Value::of([("methodName", "echo")]),
        one("later", vec![]),
        one("system.methodHelp", vec!["documented".into()]),
    ];
    let called = world.client.call("system.multicall", [Value::Array(calls)]);
    world.network.run();
    world.network.advance(Duration::from_secs(3));
    world.network.run();
    let answers: Value = called.now_or_never().expect("it is over").expect("an answer");
    let fault = |code: i32, text: &str| {
        Value::of([("faultCode", Value::from(code)), ("faultString", text.into())])
    };
    let expected = vec![
        vec![vec![1.into()].into()].into(),
        fault(7, "as you wish"),
        fault(8002, "error"),
        fault(8001, "procedure nothing not found"),
        fault(8002, "no call: system.multicall is not to be called by itself"),
        fault(8002, "no call: a struct is wanted"),
        fault(8002, "no call: params are wanted, as an array"),
        vec!["at last".into()].into(),
        vec!["does nothing".into()].into(),
    ];
    assert_eq!(answers, Value::Array(expected));
    assert!(world.call("system.multicall", &[]).is_err());
}

fn posted(body: &[u8]) -> Vec<u8> {
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn what_is_no_call_is_answered_with_a_fault_or_a_status() {
    let ask = |request: &[u8]| {
        let mut client = Memory::seat(Site::new(methods(&Clock::new())).server(), &Clock::new());
        client.push(request);
        String::from_utf8(client.take_sent()).expect("text")
    };
    assert!(ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 405 "));
    let answer = ask(&posted(b"<hello/>"));
    assert!(answer.contains("<int>8002</int>") && answer.contains("no call: expected"), "{answer}");
    let answer = ask(&posted(&vec![b' '; (1 << 20) + 1]));
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn answers_that_are_none_are_told_apart() {
    let answered = |response: &'static str| {
        let clock = Clock::new();
        let (promise, seated) = deferred();
        let promise = std::cell::Cell::new(Some(promise));
        let dial = move |_: &Origin, seat: Box<dyn Seat>| {
            promise.take().expect("one connection").succeed(seat);
        };
        let client = Client::new(&Agent::new(dial, clock.clone()), "http://there/");
        let called: Deferred<Value> = client.call("x", []);
        let mut server =
            Memory::take_seat(seated.now_or_never().expect("at once").expect("a seat"), &clock);
        server.push(response.as_bytes());
        server.run();
        let failure = called.now_or_never().expect("it is over").expect_err("it fails");
        failure.check::<CallError>().cloned().unwrap_or_else(|| panic!("{failure:?}"))
    };
    assert_eq!(answered("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), CallError::Status(500));
    let bad = answered("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<a/>");
    assert!(matches!(bad, CallError::BadAnswer(BadMessage::Unexpected { .. })), "{bad:?}");
}

#[test]
fn no_client_wears_the_server_out() {
    let call = Call { method: "echo".to_owned(), params: vec![1.into()] };
    let request = posted(&call.encode().expect("it can be said"));
    let server = |clock: &Clock| seat(Site::new(methods(clock)).server());
    Hostile::against(server)
        .request(&request)
        .patience(Duration::from_secs(100))
        .kept(2 << 20)
        .assert();
}
