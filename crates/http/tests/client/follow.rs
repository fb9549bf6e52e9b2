use ropewalk_http::{AgentError, Body, Credentials, Options, Redirects};

use super::{World, error, heard, ok, text, value};

fn found(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn methods_and_bodies_go_along_as_the_status_says() {
    let cases = [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (301, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (303, "HEAD", "HEAD"),
        (302, "DELETE", "DELETE"),
    ];
    for (status, method, then) in cases {
        let world = World::new();
        let request = world.agent.request(method.parse().expect("one"), "http://a/x");
        let request = if method == "HEAD" { request } else { request.body("body") };
        let answer = request.header("content-language", "en").send();
        let (mut server, _) = world.accept();
        server.push(found(status, "y?z").as_bytes());
        let second = heard(&mut server);
        assert!(second.starts_with(&format!("{then} /y?z HTTP/1.1\r\n")), "{status} {second}");
        let has_body = then != "GET" && then != "HEAD";
        assert_eq!(second.ends_with("\r\n\r\nbody"), has_body, "{status} {method} {second}");
        assert_eq!(second.contains("content-"), then != "GET", "{status} {method} {second}");
        server.push(b"HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(value(answer).url(), "http://a/y?z");
    }
}

#[test]
fn a_redirect_inherits_the_fragment() {
    for (location, then) in [("/y", "http://a/y#here"), ("/y#there", "http://a/y#there")] {
        let world = World::new();
        let answer = world.agent.get("http://a/x#here").send();
        let (mut server, request) = world.accept();
        assert!(request.starts_with("GET /x HTTP/1.1\r\n"), "{request}");
        server.push(found(302, location).as_bytes());
        assert!(heard(&mut server).starts_with("GET /y HTTP/1.1\r\n"));
        server.push(b"HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(value(answer).url(), then);
    }
}

#[test]
fn what_is_secret_stays_with_its_origin() {
    let world = World::new();
    let ask = || {
        world
            .agent
            .get("http://a/")
            .header("authorization", "secret")
            .header("cookie", "secret=1")
            .header("x-kept", "1")
            .send()
    };
    let answer = ask();
    let (mut server, request) = world.accept();
    assert!(request.contains("authorization: secret") && request.contains("secret=1"));
    server.push(found(302, "/same").as_bytes());
    assert!(heard(&mut server).contains("authorization: secret"));
    server.push(found(302, "http://b/").as_bytes());
    let (mut other, request) = world.accept();
    assert!(!request.contains("secret") && request.contains("x-kept"), "{request}");
    // Having been elsewhere, they do not come back.
    other.push(found(302, "http://a/").as_bytes());
    let request = heard(&mut server);
    assert!(request.starts_with("GET / ") && !request.contains("secret"), "{request}");
    server.push(ok("done").as_bytes());
    assert_eq!(text(answer), "done");

    for elsewhere in ["http://a:81/", "http://a.b/", "http://user:word@c/"] {
        let answer = world.agent.get("http://u:p@a/").credentials(Credentials::bearer("t")).send();
        heard(&mut server);
        server.push(found(307, elsewhere).as_bytes());
        let (_, request) = world.accept();
        assert!(!request.contains("authorization"), "{elsewhere} {request}");
        drop(answer);
    }
}

#[test]
fn there_is_an_end_to_redirects() {
    let redirects = Redirects { max: 2, ..Redirects::default() };
    let world = World::with(Options { redirects, ..Options::default() });
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    for _ in 0..3 {
        server.push(found(302, "/").as_bytes());
        server.run();
    }
    assert_eq!(error::<AgentError, _>(answer), AgentError::TooManyRedirects { max: 2 });

    let world = World::with(Options { redirects: Redirects::none(), ..Options::default() });
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(found(302, "/").as_bytes());
    assert_eq!(value(answer).status(), 302);
}

#[test]
fn some_ways_are_not_gone() {
    let refused = |from: &str, to: &str| {
        let allow = std::rc::Rc::new(|url: &str| !url.contains("forbidden"));
        let redirects = Redirects { allow, ..Redirects::default() };
        let world = World::with(Options { redirects, ..Options::default() });
        let answer = world.agent.get(from).send();
        let (mut server, _) = world.accept();
        server.push(found(302, to).as_bytes());
        error::<AgentError, _>(answer)
    };
    let down = AgentError::Downgrade("http://a/".to_owned());
    assert_eq!(refused("https://a/", "http://a/"), down);
    assert_eq!(refused("http://a/", "ftp://a/"), AgentError::BadRedirect("ftp://a/".to_owned()));
    assert_eq!(refused("http://a/", "http://["), AgentError::BadRedirect("http://[".to_owned()));
    assert_eq!(
        refused("http://a/", "file:///etc"),
        AgentError::BadRedirect("file:///etc".to_owned())
    );
    let no = AgentError::RedirectRefused("http://a/forbidden".to_owned());
    assert_eq!(refused("http://a/", "/forbidden"), no);
}

#[test]
fn a_redirect_without_a_place_is_an_answer() {
    let world = World::new();
    let answer = world.agent.get("http://a/").send();
    let (mut server, _) = world.accept();
    server.push(b"HTTP/1.1 302 Found\r\nContent-Length: 4\r\n\r\nhere");
    assert_eq!(text(answer), "here");
}

#[test]
fn a_stream_cannot_be_sent_again() {
    let world = World::new();
    let (sender, body) = Body::channel();
    let answer = world.agent.post("http://a/", body).send();
    let (mut server, _) = world.accept();
    sender.finish();
    server.run();
    server.push(found(307, "/").as_bytes());
    assert_eq!(error::<AgentError, _>(answer), AgentError::BodyUsedUp);
}

#[test]
fn nobody_is_told_where_a_redirect_came_from() {
    let world = World::new();
    world.agent.get("http://a/secret?token=1").send().detach();
    let (mut server, _) = world.accept();
    server.push(found(302, "http://b/").as_bytes());
    let (_server, request) = world.accept();
    assert_eq!(
        request,
        "GET / HTTP/1.1\r\nhost: b\r\nuser-agent: ropewalk/0.1.0\r\n\
         accept-encoding: gzip, deflate, br, zstd\r\n\r\n"
    );
}
