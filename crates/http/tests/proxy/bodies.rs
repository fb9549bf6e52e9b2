use std::time::Duration;

use ropewalk_protocol::Disconnect;

use super::{World, get, heard, ok, settle, status};

#[test]
fn a_body_goes_up_as_it_comes_with_the_length_that_it_has() {
    let world = World::to("http://app");
    let mut client = world.client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let mut app = world.accept();
    settle(&mut client, &mut app);
    let told = heard(&mut app);
    assert!(told.ends_with("content-length: 10\r\n\r\nhello"), "{told}");
    client.push(b"there");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut app), "there");
    app.push(&ok("thanks"));
    settle(&mut client, &mut app);
    assert!(heard(&mut client).ends_with("thanks"));
    assert_eq!(world.agent.connections(), (1, 1));
}

#[test]
fn a_body_of_unknown_length_goes_up_in_chunks_of_our_own() {
    let world = World::to("http://app");
    let mut client = world.client(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n",
    );
    let mut app = world.accept();
    settle(&mut client, &mut app);
    let told = heard(&mut app);
    assert!(told.ends_with("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"), "{told}");
    client.push(b"0\r\n\r\n");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut app), "0\r\n\r\n");
}

#[test]
fn a_body_comes_down_as_it_comes() {
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    let mut app = world.accept();
    app.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    settle(&mut client, &mut app);
    assert!(heard(&mut client).ends_with("transfer-encoding: chunked\r\n\r\n3\r\none\r\n"));
    app.push(b"3\r\ntwo\r\n0\r\n\r\n");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut client), "3\r\ntwo\r\n0\r\n\r\n");
}

#[test]
fn a_client_that_takes_nothing_slows_the_upstream_down() {
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    client.set_room(0);
    let mut app = world.accept();
    app.push(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    let mut taken = 0;
    for _ in 0..1000 {
        let count = app.push(&[b'x'; 10_000]);
        settle(&mut client, &mut app);
        taken += count;
        if count == 0 {
            break;
        }
    }
    assert!((10_000..400_000).contains(&taken), "{taken} bytes were taken");
    client.set_room(u64::MAX);
    settle(&mut client, &mut app);
    assert!(app.push(&[b'x'; 10_000]) > 0);
}

#[test]
fn an_upstream_that_takes_nothing_slows_the_client_down() {
    let world = World::to("http://app");
    let mut client =
        world.client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let mut app = world.accept();
    app.set_room(0);
    let mut taken = 0;
    for _ in 0..1000 {
        let count = client.push(&[b'x'; 10_000]);
        settle(&mut client, &mut app);
        taken += count;
        if count == 0 {
            break;
        }
    }
    assert!((10_000..400_000).contains(&taken), "{taken} bytes were taken");
    app.set_room(u64::MAX);
    settle(&mut client, &mut app);
    assert!(client.push(&[b'x'; 10_000]) > 0);
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    let heads = ["Content-Length: 100", "Transfer-Encoding: chunked"];
    for head in heads {
        for end in [Disconnect::Reset, Disconnect::Closed] {
            let world = World::to("http://app");
            let mut client = world.client(&get("/"));
            let mut app = world.accept();
            app.push(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello\r\n").as_bytes());
            settle(&mut client, &mut app);
            match end {
                Disconnect::Closed => app.eof(),
                why => app.lose(why),
            }
            settle(&mut client, &mut app);
            let answer = heard(&mut client);
            assert!(answer.contains("hello"), "{answer}");
            assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
            assert_eq!(client.ended(), Some(Disconnect::Aborted), "{head} {end}");
        }
    }
}

#[test]
fn an_answer_up_to_the_end_of_its_connection_is_whole() {
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    let mut app = world.accept();
    app.push(b"HTTP/1.0 200 OK\r\n\r\nhello");
    settle(&mut client, &mut app);
    app.eof();
    settle(&mut client, &mut app);
    let answer = heard(&mut client);
    assert!(answer.contains("\r\nvia: 1.0 ropewalk\r\n"), "{answer}");
    assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(client.ended(), None);
}

#[test]
fn when_the_client_goes_the_upstream_is_let_go() {
    let begun: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    for answer in begun {
        let world = World::to("http://app");
        let mut client = world.client(&get("/"));
        let mut app = world.accept();
        app.push(answer);
        settle(&mut client, &mut app);
        client.lose(Disconnect::Reset);
        app.run();
        assert_eq!(app.ended(), Some(Disconnect::Aborted), "{}", answer.escape_ascii());
        assert_eq!(world.agent.connections(), (0, 0));
    }
    let world = World::to("http://app");
    let mut client = world.client(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    let mut app = world.accept();
    settle(&mut client, &mut app);
    client.lose(Disconnect::Reset);
    app.run();
    assert_eq!(app.ended(), Some(Disconnect::Aborted));
}

#[test]
fn one_that_waits_for_a_connection_is_let_go_too() {
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    client.lose(Disconnect::Reset);
    let mut app = world.accept();
    app.run();
    assert_eq!(app.take_sent(), b"");
}

#[test]
fn answers_without_bodies_have_none() {
    let cases = [
        ("HEAD", "200 OK\r\nContent-Length: 5", "content-length: 5\r\n\r\n"),
        (
            "HEAD",
            "200 OK\r\nTransfer-Encoding: chunked",
            "via: 1.1 ropewalk\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n",
        ),
        ("GET", "204 No Content", "GMT\r\n\r\n"),
        (
            "GET",
            "304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 7",
            "content-length: 7\r\n\r\n",
        ),
        ("GET", "200 OK\r\nContent-Length: 0", "content-length: 0\r\n\r\n"),
    ];
    for (method, head, end) in cases {
        let world = World::to("http://app");
        let mut client = world.client(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        let mut app = world.accept();
        assert!(heard(&mut app).starts_with(method));
        app.push(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
        settle(&mut client, &mut app);
        let answer = heard(&mut client);
        assert!(answer.ends_with(end), "{method} {head}: {answer:?}");
        assert_eq!(world.agent.connections(), (1, 1), "{method} {head}");
    }
}

#[test]
fn a_body_that_waits_for_a_word_waits_for_the_upstreams() {
    let request =
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let world = World::to("http://app");
    let mut client = world.client(request);
    let mut app = world.accept();
    settle(&mut client, &mut app);
    assert!(heard(&mut app).contains("\r\nexpect: 100-continue\r\n"));
    assert_eq!(heard(&mut client), "");
    app.push(b"HTTP/1.1 100 Continue\r\n\r\n");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut client), "HTTP/1.1 100 Continue\r\n\r\n");
    client.push(b"hello");
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut app), "hello");

    // One that says no at once never has the body sent.
    let world = World::to("http://app");
    let mut client = world.client(request);
    let mut app = world.accept();
    settle(&mut client, &mut app);
    app.push(b"HTTP/1.1 413 Too Much\r\nContent-Length: 0\r\n\r\n");
    settle(&mut client, &mut app);
    assert_eq!(status(&heard(&mut client)), 413);
    assert!(heard(&mut app).ends_with("\r\n\r\n"));

    // One that knows nothing of it gets it after a while.
    let world = World::to("http://app");
    let mut client = world.client(request);
    let mut app = world.accept();
    settle(&mut client, &mut app);
    heard(&mut app);
    app.advance(Duration::from_secs(1));
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut client), "HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn fields_behind_a_body_go_through_both_ways() {
    let world = World::to("http://app");
    let mut client = world.client(
        b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
          1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let mut app = world.accept();
    settle(&mut client, &mut app);
    let told = heard(&mut app);
    assert!(told.contains("\r\nconnection: te\r\nte: trailers\r\n"), "{told}");
    assert!(told.ends_with("1\r\na\r\n0\r\nx-sum: 1\r\n\r\n"), "{told}");
    app.push(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n");
    app.push(b"1\r\nb\r\n0\r\nX-Sum: 2\r\n\r\n");
    settle(&mut client, &mut app);
    let answer = heard(&mut client);
    assert!(answer.contains("\r\nTrailer: X-Sum\r\n"), "{answer}");
    assert!(answer.ends_with("1\r\nb\r\n0\r\nx-sum: 2\r\n\r\n"), "{answer}");
}

#[test]
fn interim_answers_go_through_to_those_who_know_them() {
    let hints =
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-mine\r\nX-Mine: 1\r\n\r\n";
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    let mut app = world.accept();
    app.push(hints);
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut client), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
    app.push(&ok("then"));
    settle(&mut client, &mut app);
    assert!(heard(&mut client).ends_with("\r\n\r\nthen"));

    let world = World::to("http://app");
    let mut client = world.client(b"GET / HTTP/1.0\r\n\r\n");
    let mut app = world.accept();
    app.push(hints);
    settle(&mut client, &mut app);
    assert_eq!(heard(&mut client), "");
}
