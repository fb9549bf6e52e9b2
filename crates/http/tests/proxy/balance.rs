use std::time::Duration;

use ropewalk_http::proxy::{ActiveHealth, Balance, PassiveHealth, ReverseProxy};

use super::{World, get, heard, ok, settle, status};

fn three(change: impl FnOnce(ReverseProxy) -> ReverseProxy) -> World {
    World::with(|agent| {
        let proxy = ReverseProxy::to(agent, "http://a").expect("a URL");
        change(proxy.and("http://b").and_then(|proxy| proxy.and("http://c")).expect("URLs"))
    })
}

/// Asks once; where the request went.
fn asked(world: &World) -> String {
    let mut client = world.client(&get("/"));
    let (name, mut app) = world.accept_named();
    app.push(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    settle(&mut client, &mut app);
    assert_eq!(status(&heard(&mut client)), 200);
    name
}

#[test]
fn requests_go_to_one_after_the_other() {
    let world = three(|proxy| proxy);
    let order: Vec<_> = (0..4).map(|_| asked(&world)).collect();
    assert_eq!(order, ["http://a:80", "http://b:80", "http://c:80", "http://a:80"]);
}

#[test]
fn or_to_the_one_with_the_fewest() {
    let world = three(|proxy| proxy.balance(Balance::LeastConnections));
    let _slow = world.client(&get("/"));
    let (first, mut busy) = world.accept_named();
    let next: Vec<_> = (0..4).map(|_| asked(&world)).collect();
    assert!(!next.contains(&first), "{next:?}");
    busy.push(&ok(""));
    drop(busy);
}

#[test]
fn one_that_is_not_there_is_passed_over() {
    let world = three(|proxy| proxy);
    let mut client = world.client(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    world.refuse();
    let (name, mut app) = world.accept_named();
    assert_eq!(name, "http://b:80");
    settle(&mut client, &mut app);
    let told = heard(&mut app);
    assert!(told.contains("\r\nhost: b\r\n") && told.ends_with("abc"), "{told}");
    app.push(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nb");
    settle(&mut client, &mut app);
    assert!(heard(&mut client).ends_with("\r\n\r\nb"));
    // With none there, the client hears so after each was tried once.
    let mut client = world.client(&get("/"));
    for _ in 0..3 {
        world.refuse();
    }
    assert_eq!(world.dialling(), 0);
    assert_eq!(status(&heard(&mut client)), 502);
}

#[test]
fn one_that_fails_too_often_is_left_alone_for_a_while() {
    let health = PassiveHealth { fails_max: 1, rest: Duration::from_secs(10) };
    let world = three(|proxy| proxy.passive_health(health));
    let _client = world.client(&get("/"));
    world.refuse();
    drop(world.accept());
    let next: Vec<_> = (0..4).map(|_| asked(&world)).collect();
    assert!(!next.contains(&"http://a:80".to_owned()), "{next:?}");
    world.clock.advance(Duration::from_secs(10));
    let next: Vec<_> = (0..3).map(|_| asked(&world)).collect();
    assert!(next.contains(&"http://a:80".to_owned()), "{next:?}");
}

#[test]
fn one_that_says_it_is_not_well_is_left_alone_until_it_is() {
    let world = World::with(|agent| {
        let proxy = ReverseProxy::to(agent, "http://a").and_then(|proxy| proxy.and("http://b"));
        proxy.expect("URLs").active_health(ActiveHealth::new("/health"))
    });
    let answer = |bytes_of_a: &[u8]| {
        for _ in 0..2 {
            let (name, mut app) = world.accept_named();
            assert!(heard(&mut app).starts_with("GET /health HTTP/1.1\r\n"));
            app.push(if name == "http://a:80" {
                bytes_of_a
            } else {
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            });
        }
        world.clock.advance(Duration::from_secs(10));
    };
    let ill = b"HTTP/1.1 503 Ill\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    answer(ill);
    answer(ill);
    // The next questions lie at the front.
    let questions = [world.accept_named(), world.accept_named()];
    let next: Vec<_> = (0..3).map(|_| asked(&world)).collect();
    assert_eq!(next, ["http://b:80"; 3]);
    for (_, mut app) in questions {
        app.push(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    }
    let next: Vec<_> = (0..2).map(|_| asked(&world)).collect();
    assert!(next.contains(&"http://a:80".to_owned()), "{next:?}");
}
