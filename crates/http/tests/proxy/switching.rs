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
