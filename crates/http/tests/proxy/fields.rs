use ropewalk_http::proxy::{ClientFields, ReverseProxy};
use ropewalk_http::{Resource as _, Tree, middleware};
use ropewalk_trial::Memory;

use super::{World, get, heard, ok, settle, status};

/// What an upstream is sent for this.
#[track_caller]
fn passed_on(world: &World, request: &[u8]) -> String {
    let _client = world.client(request);
    heard(&mut world.accept())
}

/// The lines of a message, its fields by name: those of different names may change places.
fn sorted(message: &str) -> Vec<&str> {
    let mut lines: Vec<_> = message.split("\r\n").collect();
    let end = lines.iter().position(|line| line.is_empty()).expect("an empty line");
    lines[1..end].sort_by_key(|line| line.split(':').next());
    lines
}

#[test]
fn a_request_goes_through_without_what_is_for_one_connection() {
    let request = [
        "GET /a?b=c HTTP/1.1",
        "Host: example.org:8080",
        "Accept: text/html",
        "Connection: keep-alive, X-Mine, close",
        "Keep-Alive: timeout=5",
        "X-Mine: 1",
        "X-Yours: 2",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic eA==",
        "Authorization: Basic eQ==",
        "Via: 1.0 fred",
        "X-Forwarded-For: 10.0.0.1",
        "Forwarded: for=10.0.0.1",
        "Cookie: a=b",
        "",
        "",
    ];
    assert_eq!(
        sorted(&passed_on(&World::to("http://app:3000/v1/"), request.join("\r\n").as_bytes())),
        sorted(
            &[
                "GET /v1/a?b=c HTTP/1.1",
                "host: app:3000",
                "accept: text/html",
                "x-yours: 2",
                "authorization: Basic eQ==",
                "via: 1.0 fred",
                "via: 1.1 ropewalk",
                "cookie: a=b",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-proto: http",
                "x-forwarded-host: example.org:8080",
                "forwarded: for=192.0.2.7;host=\"example.org:8080\";proto=http",
                "",
                "",
            ]
            .join("\r\n")
        )
    );
}

#[test]
fn an_answer_goes_through_without_what_is_for_one_connection() {
    let world = World::to("http://app");
    let mut client = world.client(&get("/"));
    let mut app = world.accept();
    app.push(
        b"HTTP/1.1 200 Fine\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
          Proxy-Authenticate: Basic\r\nServer: nginx\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
          Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nVia: 1.1 fred\r\nContent-Length: 5\r\n\r\nhello",
    );
    settle(&mut client, &mut app);
    assert_eq!(
        sorted(&heard(&mut client)),
        sorted(
            "HTTP/1.1 200 OK\r\nserver: nginx\r\ndate: Thu, 01 Jan 1970 00:00:01 GMT\r\n\
             set-cookie: a=b\r\nset-cookie: c=d\r\nvia: 1.1 fred\r\nvia: 1.1 ropewalk\r\n\
             content-length: 5\r\n\r\nhello"
        )
    );
    // The client's own connection goes on.
    client.push(&get("/2"));
    assert!(heard(&mut world.accept()).starts_with("GET /2 "));
}

#[test]
fn those_who_are_trusted_are_believed_and_nobody_else() {
    let world = World::with(|agent| {
        let proxy = ReverseProxy::to(agent, "http://app").expect("a URL");
        proxy.trust(["198.51.100.0/24".parse().expect("a network")]).keep_host()
    });
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=10.0.0.1;proto=https\r\n\r\n";
    let _one = world.client_at("198.51.100.9:1", request);
    let told = heard(&mut world.accept());
    for line in [
        "host: a",
        "x-forwarded-for: 10.0.0.1, 10.0.0.2, 198.51.100.9",
        "x-forwarded-proto: https",
        "x-forwarded-host: b",
        "forwarded: for=10.0.0.1;proto=https, for=198.51.100.9;host=a;proto=http",
    ] {
        assert!(told.contains(&format!("\r\n{line}\r\n")), "{line}\n{told}");
    }
    let _other = world.client_at("203.0.113.9:1", request);
    let told = heard(&mut world.accept());
    assert!(
        !told.contains("10.0.0.1") && told.contains("\r\nx-forwarded-proto: http\r\n"),
        "{told}"
    );
}

#[test]
fn a_forwarded_field_that_is_none_is_begun_anew() {
    let world = World::with(|agent| {
        let proxy = ReverseProxy::to(agent, "http://app").expect("a URL");
        let trusted = proxy.trust(["192.0.2.7".parse().expect("a network")]);
        trusted.client_fields(ClientFields::Forwarded)
    });
    let told = passed_on(&world, b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=\"\r\n\r\n");
    assert!(told.contains("\r\nforwarded: for=192.0.2.7;host=a;proto=http\r\n"), "{told}");
    assert!(!told.contains("x-forwarded-for"), "{told}");
}

#[test]
fn paths_are_those_below_the_proxys_own_place() {
    let below = |prefix: &'static str, upstream: &'static str| {
        World::with(move |agent| ReverseProxy::to(agent, upstream).expect("a URL").at(prefix))
    };
    for (prefix, upstream, path, seen) in [
        ("/api", "http://app", "/api", "/"),
        ("/api/", "http://app/", "/api/", "/"),
        ("/api", "http://app/v1", "/api", "/v1"),
        ("/api", "http://app/v1", "/api/?q", "/v1/?q"),
        ("/api", "http://app/api", "/api/x//y", "/api/x//y"),
        ("", "http://app", "/x%20y?a[]=b", "/x%20y?a[]=b"),
        ("/", "http://app", "/", "/"),
    ] {
        let told = passed_on(&below(prefix, upstream), &get(path));
        let line = told.lines().next().expect("a line");
        assert_eq!(line, format!("GET {seen} HTTP/1.1"), "{prefix} {upstream} {path}");
    }
    for (path, code) in [("/apix", 404), ("/", 404), ("/api/../x", 400), ("/api/%2e%2e%2fx", 400)] {
        let world = below("/api", "http://app");
        let mut client = world.client(&get(path));
        assert_eq!(status(&heard(&mut client)), code, "{path}");
        assert_eq!(world.dialling(), 0);
    }
}

#[test]
fn a_tree_says_what_is_below() {
    let world = World::with(|agent| {
        let proxy = ReverseProxy::to(agent, "http://app/base").expect("a URL");
        Tree::new().child("a", Tree::new().child("b", proxy))
    });
    let mut client = world.client(&get("/a/b/c"));
    let mut app = world.accept();
    assert!(heard(&mut app).starts_with("GET /base/c "));
    app.push(b"HTTP/1.1 302 Found\r\nLocation: http://app/base/d\r\nContent-Length: 0\r\n\r\n");
    settle(&mut client, &mut app);
    assert!(heard(&mut client).contains("\r\nlocation: /a/b/d\r\n"));
}

#[test]
fn a_whole_uri_counts_for_more_than_host() {
    let told = passed_on(
        &World::with(|agent| ReverseProxy::to(agent, "http://app").expect("a URL").keep_host()),
        b"GET http://one/x HTTP/1.1\r\nHost: two\r\n\r\n",
    );
    assert!(told.starts_with("GET /x HTTP/1.1\r\nhost: one\r\n"), "{told}");
}

#[test]
fn some_requests_end_here() {
    let cases: [(&[u8], u16); 6] = [
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 204),
        (b"GET / HTTP/1.1\r\nHost: a\r\nVia: nonsense\r\n\r\n", 508),
        (b"GET /a/./b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: more\r\n\r\n", 417),
    ];
    for (request, code) in cases {
        let world = World::to("http://app");
        let mut client = world.client(request);
        assert_eq!(status(&heard(&mut client)), code, "{}", request.escape_ascii());
        assert_eq!(world.dialling(), 0);
    }
    let hops = |count: usize| {
        let via = vec!["1.1 a"; count].join(", ");
        format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n")
    };
    let world = World::to("http://app");
    let _client = world.client(hops(31).as_bytes());
    assert_eq!(world.dialling(), 1);
    let mut client = world.client(hops(32).as_bytes());
    assert_eq!(status(&heard(&mut client)), 508);
}

#[test]
fn max_forwards_is_counted_down() {
    let told = passed_on(
        &World::to("http://app"),
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n",
    );
    assert!(told.starts_with("OPTIONS * HTTP/1.1\r\n"), "{told}");
    assert!(told.contains("\r\nmax-forwards: 2\r\n"), "{told}");
}

#[test]
fn an_old_client_is_served_too() {
    let world = World::to("http://app");
    let mut client = world.client(b"GET / HTTP/1.0\r\n\r\n");
    let mut app = world.accept();
    assert!(heard(&mut app).contains("\r\nvia: 1.0 ropewalk\r\n"));
    app.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    settle(&mut client, &mut app);
    let answer = heard(&mut client);
    assert!(answer.ends_with("connection: close\r\n\r\nhello"), "{answer}");
}

#[test]
fn requests_are_passed_on_the_same_however_they_are_cut() {
    let requests = [
        &b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"[..],
        b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /../x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ]
    .concat();
    let told = |size: usize| {
        let world = World::to("http://app");
        let mut client = world.client(b"");
        let (mut app, mut seen): (Option<Memory>, String) = Default::default();
        let (mut rest, mut idle) = (&requests[..], 0);
        while idle < 4 {
            let taken = client.push(&rest[..size.min(rest.len())]);
            rest = &rest[taken..];
            idle = if taken > 0 { 0 } else { idle + 1 };
            client.run();
            if world.dialling() > 0 {
                app = Some(world.accept());
            }
            let Some(app) = &mut app else { continue };
            app.run();
            let sent = String::from_utf8(app.take_sent()).expect("it is text");
            if sent.ends_with("0\r\n\r\n") || sent.ends_with('c') {
                app.push(&ok("x"));
            }
            seen += &sent;
        }
        let answers = String::from_utf8(client.take_sent()).expect("it is text");
        (seen.matches(" HTTP/1.1\r\n").count(), answers.replace("\r\n", "\n"))
    };
    let whole = told(requests.len());
    assert_eq!(whole.0, 2, "{whole:?}");
    for size in [1, 2, 3, 7, 50] {
        assert_eq!(told(size), whole, "in pieces of {size}");
    }
}

#[test]
fn cookies_become_those_of_the_proxys_own_place_where_that_is_asked_for() {
    let cookies = "Set-Cookie: a=1; Path=/v1/x; Domain=app; Secure\r\nSet-Cookie: b=\"/v1\"; path=/v1\r\n\
        Set-Cookie: c=3; Path=/; domain=.APP\r\nSet-Cookie: d=4; Path=/v12; Domain=other\r\nSet-Cookie: e=5";
    for (is_mapped, expected) in [
        (
            false,
            &[
                "a=1; Path=/v1/x; Domain=app; Secure",
                "b=\"/v1\"; path=/v1",
                "c=3; Path=/; domain=.APP",
                "d=4; Path=/v12; Domain=other",
                "e=5",
            ],
        ),
        (
            true,
            &[
                "a=1; Path=/api/x; Secure",
                "b=\"/v1\"; Path=/api",
                "c=3; Path=/api",
                "d=4; Path=/v12; Domain=other",
                "e=5",
            ],
        ),
    ] {
        let world = World::with(|agent| {
            let proxy = ReverseProxy::to(agent, "http://app:3000/v1").expect("a URL").at("/api");
            if is_mapped { proxy.map_cookies() } else { proxy }
        });
        let mut client = world.client(&get("/api/x"));
        let mut app = world.accept();
        app.push(format!("HTTP/1.1 200 OK\r\n{cookies}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        settle(&mut client, &mut app);
        let answer = heard(&mut client);
        let fields = answer.lines().filter_map(|line| line.split_once(": "));
        let set = fields.filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
        let set = set.map(|(_, value)| value);
        assert_eq!(set.collect::<Vec<_>>(), expected, "{answer}");
    }
}

/// What a client hears where the upstream answers this.
#[track_caller]
fn passed_back(world: &World, request: &[u8], answer: &[u8]) -> String {
    let mut client = world.client(request);
    let mut app = world.accept();
    app.push(answer);
    settle(&mut client, &mut app);
    heard(&mut client)
}

#[test]
fn an_answers_fields_come_as_they_are_but_for_those_of_the_connection() {
    let said = b"HTTP/1.1 200 OK\r\nServer:  an app\r\nX-Two: 1\r\nConnection: Keep-Alive\r\n\
                 Keep-Alive: timeout=5\r\nx-two: 2\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                 Content-Length: 2\r\nVia: 1.0 fred\r\n\r\nok";
    let expected = "HTTP/1.1 200 OK\r\nServer:  an app\r\nX-Two: 1\r\nx-two: 2\r\n\
                    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nVia: 1.0 fred\r\nvia: 1.1 ropewalk\r\n\
                    content-length: 2\r\n\r\nok";
    for size in 1..=said.len() {
        let world = World::to("http://app");
        let mut client = world.client(&get("/"));
        let mut app = world.accept();
        for piece in said.chunks(size) {
            app.push(piece);
            settle(&mut client, &mut app);
        }
        assert_eq!(heard(&mut client), expected, "in pieces of {size}");
    }
    for (own, its) in [
        ("Connection: X-Own\r\nX-Own: 1", "x-its"),
        ("TE: trailers", "X-Its"),
        ("Connection: Upgrade\r\nUpgrade: h2c", "X-Its"),
        ("Proxy-Authenticate: Basic", "X-Its"),
    ] {
        let world = World::to("http://app");
        let said = format!("HTTP/1.1 200 OK\r\nX-Its: 1\r\n{own}\r\nContent-Length: 0\r\n\r\n");
        let answer = passed_back(&world, &get("/"), said.as_bytes());
        let rest = "1\r\nvia: 1.1 ropewalk\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
                    content-length: 0\r\n\r\n";
        assert_eq!(answer, format!("HTTP/1.1 200 OK\r\n{its}: {rest}"), "{own}");
    }
}

#[test]
fn an_answer_without_a_body_keeps_the_length_that_it_tells() {
    let world = World::to("http://app");
    for (method, status, length) in [("HEAD", "200 OK", 7), ("GET", "304 Not Modified", 9)] {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
        let said = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
        let answer = passed_back(&world, request.as_bytes(), said.as_bytes());
        let told = format!("\r\ncontent-length: {length}\r\n\r\n");
        assert!(answer.ends_with(&told) && answer.contains(status), "{answer}");
    }
}

#[test]
fn what_stands_before_a_proxy_sees_the_fields_of_its_answers() {
    let mut own = http::HeaderMap::new();
    own.insert("server", http::HeaderValue::from_static("the house"));
    let world = World::with(|agent| {
        ReverseProxy::to(agent, "http://app").expect("a URL").wrap(middleware::fields(own))
    });
    let said = b"HTTP/1.1 200 OK\r\nServer: an app\r\nX-Its: 1\r\nContent-Length: 2\r\n\r\nok";
    let answer = passed_back(&world, &get("/"), said);
    assert_eq!(answer.to_ascii_lowercase().matches("server: ").count(), 1, "{answer}");
    assert!(
        answer.contains("server: the house\r\n") && answer.contains("x-its: 1\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("content-length: 2\r\n\r\nok"), "{answer}");
}
