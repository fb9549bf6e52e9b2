use ropewalk_http::proxy::ReverseProxy;
use ropewalk_protocol::Disconnect;

use super::{World, heard, settle, status};

fn upgrade(protocol: &str) -> Vec<u8> {
    format!(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: {protocol}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

const YES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: x\r\n\r\n";

#[test]
fn a_change_of_protocols_makes_one_of_two_connections() {
    let world = World::to("http://app");
    let mut client = world.client(&[&upgrade("websocket")[..], b"early"].concat());
    let mut app = world.accept();
    let told = heard(&mut app);
    assert!(told.ends_with("connection: upgrade\r\nupgrade: websocket\r\n\r\n"), "{told}");
    app.push(&[YES, b"first"].concat());
    settle(&mut client, &mut app);
    assert_eq!(
        heard(&mut client),
        "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nvia: 1.1 ropewalk\r\n\
         connection: upgrade\r\nupgrade: WebSocket\r\n\r\nfirst"
    );
    assert_eq!(heard(&mut app), "early");
    client.push(b"there");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut app), "there");
    app.push(b"back");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut client), "back");
    // It counts as one of the agent's for as long as it lives.
    assert_eq!(world.agent.connections(), (1, 0));
    client.lose(Disconnect::Reset);
    settle(&mut app, &mut client);
    assert!(app.ended().is_some());
    assert_eq!(world.agent.connections(), (0, 0));
}

#[test]
fn an_upstream_may_say_no() {
    let world = World::to("http://app");
    let mut client = world.client(&upgrade("websocket"));
    let mut app = world.accept();
    app.push(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    settle(&mut client, &mut app);
    assert!(heard(&mut client).ends_with("\r\n\r\nno"));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn only_protocols_that_are_allowed_are_asked_for() {
    for protocol in ["h2c", "websocket, h2c", "TLS/1.0"] {
        let world = World::to("http://app");
        let _client = world.client(&upgrade(protocol));
        assert!(!heard(&mut world.accept()).contains("upgrade"), "{protocol}");
    }
    let world = World::with(|agent| {
        ReverseProxy::to(agent, "http://app").expect("a URL").upgrades(["rope"])
    });
    let _client = world.client(&upgrade("rope"));
    assert!(heard(&mut world.accept()).ends_with("upgrade: rope\r\n\r\n"));
}

#[test]
fn a_change_to_another_protocol_is_a_bad_gateway() {
    let world = World::to("http://app");
    let mut client = world.client(&upgrade("websocket"));
    let mut app = world.accept();
    app.push(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    settle(&mut client, &mut app);
    assert_eq!(status(&heard(&mut client)), 502);
    app.run();
    assert!(app.ended().is_some());
}

#[test]
fn a_stream_of_http2_goes_on_as_a_connection_of_http1() {
    use ropewalk_http2::hpack::Pseudo;
    use ropewalk_http2::{Connection, Event, Limits};
    // RFC 8441 5: what the client says by CONNECT, the upstream hears as an upgrade with a key.
    let world = World::to("http://app");
    let mut engine = Connection::client(Limits::default());
    let (mut out, now) = (Vec::new(), std::time::Duration::ZERO);
    engine.greet(&mut out);
    let mut client = world.client(&out);
    let mut input = Vec::new();
    let mut hear = |engine: &mut Connection, client: &mut ropewalk_trial::Memory| {
        input = client.take_sent();
        let (mut rest, mut out, mut heard) = (&input[..], Vec::new(), Vec::new());
        while let Some(event) = engine.next(&mut rest, now, &mut out).expect("frames") {
            match event {
                Event::Response { head, is_end, .. } => {
                    heard.push(format!("{} {is_end} {:?}", head.status, head.fields.get("via")));
                }
                Event::Data { data, is_end, .. } => {
                    heard.push(format!("{} {is_end}", data.escape_ascii()));
                }
                _ => (),
            }
        }
        client.push(&out);
        heard
    };
    hear(&mut engine, &mut client);
    let mut out = Vec::new();
    let stream = engine
        .open(false, &mut out, |head| {
            head.pseudo(Pseudo::Method, b"CONNECT");
            head.pseudo(Pseudo::Protocol, b"websocket");
            head.pseudo(Pseudo::Scheme, b"http");
            head.pseudo(Pseudo::Authority, b"a");
            head.pseudo(Pseudo::Path, b"/ws");
        })
        .expect("a stream");
    client.push(&out);
    let mut app = world.accept();
    let told = heard(&mut app);
    assert!(told.starts_with("GET /ws HTTP/1.1\r\n"), "{told}");
    assert!(told.ends_with("connection: upgrade\r\nupgrade: websocket\r\n\r\n"), "{told}");
    let key = told.lines().find_map(|line| line.strip_prefix("sec-websocket-key: "));
    assert_eq!(key.map(str::len), Some(24), "{told}");
    app.push(&[YES, b"first"].concat());
    settle(&mut client, &mut app);
    let expected = ["200 OK false Some(\"1.1 ropewalk\")", "first false"];
    assert_eq!(hear(&mut engine, &mut client), expected);
    let mut out = Vec::new();
    let head = engine.data_head(stream, 5, true, &mut out).expect("room");
    client.push(&[&out[..], &head, b"there"].concat());
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut app), "there");
    assert!(app.is_write_closed());
    app.push(b"back");
    app.eof();
    settle(&mut client, &mut app);
    assert_eq!(hear(&mut engine, &mut client), ["back false", " true"]);
    assert_eq!((engine.streams(), world.agent.connections()), (0, (0, 0)));
}
