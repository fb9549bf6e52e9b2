use std::time::Duration;

use ropewalk_http::proxy::{ProxyError, ReverseProxy, upstream_options};
use ropewalk_http::{Options, PoolBounds, Request, Resource, Wait};
use ropewalk_protocol::{Disconnect, seat};
use ropewalk_trial::Hostile;

use super::{World, get, heard, ok, settle, status};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

/// A proxy that tells in its answer why it answered by itself.
fn telling(options: Options) -> World {
    World::with_options(options, |agent| {
        let proxy = ReverseProxy::to(agent, "http://app").expect("a URL");
        proxy.wrap(|request: Request, inner: &mut dyn Resource| {
            inner.render(request).map(|mut response| {
                if let Some(error) = response.extensions().get::<ProxyError>() {
                    let told = format!("{error:?}").try_into().expect("plain text");
                    response.headers_mut().insert("x-error", told);
                }
                response
            })
        })
    })
}

#[track_caller]
fn check(answer: &str, code: u16, error: &ProxyError) {
    assert_eq!(status(answer), code, "{answer}");
    assert!(answer.contains(&format!("x-error: {error:?}\r\n")), "{answer}");
}

#[test]
fn an_upstream_that_is_not_there_is_a_bad_gateway() {
    let world = telling(upstream_options());
    let mut client = world.client(&get("/"));
    world.refuse();
    check(&heard(&mut client), 502, &ProxyError::Unreachable("http://app".to_owned()));
    // Nothing of how it looks inside.
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    world.refuse();
    assert!(heard(&mut client).ends_with("\r\n\r\n502 Bad Gateway\n"));
}

#[test]
fn an_upstream_that_takes_too_long_is_a_gateway_timeout() {
    let world = telling(upstream_options());
    let mut client = world.client(&get("/"));
    let wait = Duration::from_secs(5);
    client.advance(wait);
    let error = ProxyError::TimedOut("http://app".to_owned(), Wait::Connect(wait));
    check(&heard(&mut client), 504, &error);

    let world = telling(upstream_options());
    let mut client = world.client(&get("/"));
    let mut app = world.accept();
    settle(&mut client, &mut app);
    let wait = Duration::from_mins(1);
    app.advance(wait);
    client.run();
    let error = ProxyError::TimedOut("http://app".to_owned(), Wait::Head(wait));
    check(&heard(&mut client), 504, &error);
    assert_eq!(app.ended(), Some(Disconnect::Aborted));
}

#[test]
fn an_answer_that_is_none_is_a_bad_gateway() {
    for bytes in [
        &b"hello\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ] {
        let world = World::to("http://app");
        let mut client = world.client(&get("/"));
        let mut app = world.accept();
        app.push(bytes);
        settle(&mut client, &mut app);
        assert_eq!(status(&heard(&mut client)), 502, "{}", bytes.escape_ascii());
        assert_eq!(app.ended(), Some(Disconnect::Aborted));
    }
}

#[test]
fn what_may_have_been_done_is_not_done_again() {
    // A fresh connection that ends: nobody knows what was done.
    for request in [&get("/")[..], POST] {
        let world = telling(upstream_options());
        let mut client = world.client(request);
        let mut app = world.accept();
        settle(&mut client, &mut app);
        app.lose(Disconnect::Reset);
        settle(&mut client, &mut app);
        let error = ProxyError::Lost("http://app".to_owned(), Disconnect::Reset);
        check(&heard(&mut client), 502, &error);
        assert_eq!(world.dialling(), 0);
    }
    // One that was used before and is closed under a request: what changes nothing is sent again.
    for (request, is_again) in [(&get("/2")[..], true), (POST, false)] {
        let world = World::to("http://app");
        let mut client = world.client(&get("/1"));
        let mut app = world.accept();
        app.push(&ok(""));
        settle(&mut client, &mut app);
        heard(&mut client);
        heard(&mut app);
        client.push(request);
        settle(&mut client, &mut app);
        assert!(!heard(&mut app).is_empty());
        app.lose(Disconnect::Reset);
        settle(&mut client, &mut app);
        assert_eq!(world.dialling(), usize::from(is_again));
        if is_again {
            let mut app = world.accept();
            assert!(heard(&mut app).starts_with("GET /2 "));
            app.push(&ok("again"));
            settle(&mut client, &mut app);
            assert!(heard(&mut client).ends_with("again"));
        } else {
            assert_eq!(status(&heard(&mut client)), 502);
        }
    }
}

#[test]
fn more_requests_than_may_wait_are_turned_away() {
    let pool = PoolBounds { per_origin_max: 1, waiting_max: 1, ..upstream_options().pool };
    let world = telling(Options { pool, ..upstream_options() });
    let _one = world.client(&get("/1"));
    let mut two = world.client(&get("/2"));
    let mut three = world.client(&get("/3"));
    check(&heard(&mut three), 503, &ProxyError::Busy("http://app".to_owned()));
    // Nobody waits for ever either.
    two.advance(Duration::from_secs(5));
    assert_eq!(status(&heard(&mut two)), 504);
}

#[test]
fn an_answer_before_the_whole_body_ends_that_connection() {
    let world = World::to("http://app");
    let mut client =
        world.client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nabc");
    let mut app = world.accept();
    settle(&mut client, &mut app);
    app.push(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
    settle(&mut client, &mut app);
    let answer = heard(&mut client);
    assert_eq!(status(&answer), 403);
    assert!(answer.ends_with("no"), "{answer}");
    assert_eq!(app.ended(), Some(Disconnect::Aborted));
}

#[test]
fn no_client_wears_the_proxy_out() {
    for request in [get("/"), POST.to_vec()] {
        // The upstream is a connection that is never made: it costs no more than its time-out.
        let server = |clock: &ropewalk_trial::Clock| {
            let dial =
                |_: &ropewalk_http::Origin, seat: Box<dyn ropewalk_protocol::Seat>| drop(seat);
            let agent = ropewalk_http::Agent::with_options(dial, clock.clone(), upstream_options());
            let proxy = ReverseProxy::to(&agent, "http://app").expect("a URL");
            seat(ropewalk_http::Site::new(proxy).server())
        };
        let patience = Duration::from_secs(100);
        Hostile::against(server).request(&request).patience(patience).kept(1 << 20).assert();
    }
}
