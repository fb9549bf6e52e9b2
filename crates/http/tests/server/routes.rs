//! Which resource answers.

use http::Method;
use ropewalk_http::middleware::Rewrite;
use ropewalk_http::{BadParam, Params, Request, Resource, Router, Tree};

use crate::client::{Client, get, head, post};

/// What `GET path` gets, path by path.
#[track_caller]
fn check(resource: impl Resource, expected: &[(&str, u16, &str)]) {
    let mut client = Client::new(resource);
    for (path, status, text) in expected {
        let answer = client.ask(get(path));
        let got = if answer.status < 400 { answer.text() } else { "" };
        assert_eq!((answer.status, got), (*status, *text), "{path}");
    }
}

#[test]
fn a_tree_goes_by_segments() {
    let tree = Tree::new()
        .index(|_: Request| "home")
        .child("a", |request: Request| format!("a for {}", request.uri()))
        .child("ä b", |_: Request| "umlaut")
        .child("c", Tree::new().index(|_: Request| "c").child("d", |_: Request| "d"))
        .child("e", Tree::new().otherwise(|request: Request| format!("e for {}", request.uri())));
    check(
        tree,
        &[
            ("/", 200, "home"),
            ("/?q", 200, "home"),
            ("/a", 200, "a for /a"),
            ("/a/b//c?q", 200, "a for /a/b//c?q"),
            ("/%61", 200, "a for /%61"),
            ("/%C3%A4%20b", 200, "umlaut"),
            ("/%C3", 404, ""),
            ("/ab", 404, ""),
            ("//a", 404, ""),
            ("/c", 200, "c"),
            ("/c/", 200, "c"),
            ("/c/d", 200, "d"),
            ("/c/d/more", 200, "d"),
            ("/c/x", 404, ""),
            ("/c//d", 404, ""),
            ("/e", 200, "e for /e"),
            ("/e/f/g", 200, "e for /e/f/g"),
            ("http://a/c/d", 200, "d"),
        ],
    );
    check(Tree::new(), &[("/", 404, ""), ("/a", 404, "")]);
    let other = Tree::new().child("a", |_: Request| "a").otherwise(|_: Request| "other");
    check(other, &[("/", 200, "other"), ("/a", 200, "a"), ("/b/a", 200, "other")]);
}

#[test]
fn a_router_goes_by_patterns() {
    let shown = |request: Request| {
        let params = Params::of(&request);
        let name = |name| params.get(name).unwrap_or("-").to_owned();
        format!("{} {}", name("id"), name("rest"))
    };
    let router = Router::new()
        .get("/", |_: Request| "home")
        .get("/users/me", |_: Request| "me")
        .get("/users/{id}", shown)
        .get("/users/{id}/posts/{*rest}", shown)
        .otherwise(|_: Request| (http::StatusCode::GONE, "gone"));
    check(
        router,
        &[
            ("/", 200, "home"),
            ("/?q", 200, "home"),
            ("/users/me", 200, "me"),
            ("/users/7", 200, "7 -"),
            ("/users/7?q", 200, "7 -"),
            ("/users/%C3%A4%2Fb%25", 200, "ä/b% -"),
            ("/users/a+b", 200, "a+b -"),
            ("/users/7/posts/x/y%20z", 200, "7 x/y z"),
            ("/users/%FF", 400, ""),
            ("/users/7/posts/%C3", 400, ""),
            ("/users/", 410, ""),
            ("/users/7/posts", 410, ""),
            ("/elsewhere", 410, ""),
        ],
    );
    check(Router::new(), &[("/", 404, "")]);
}

#[test]
fn a_router_goes_by_methods() {
    let router = Router::new()
        .get("/both", |request: Request| format!("got {}", request.method()))
        .post("/both", |_: Request| "posted")
        .post("/post", |_: Request| "posted")
        .get("/head", |_: Request| "long")
        .at(Method::HEAD, "/head", |_: Request| "headed")
        .at(Method::OPTIONS, "/options", |_: Request| "my own")
        .get("/any", |_: Request| "got")
        .any("/any", |request: Request| format!("any {}", request.method()));
    let mut client = Client::new(router);
    assert_eq!(client.ask(get("/both")).text(), "got GET");
    assert_eq!(client.ask(post("/both", b"x")).text(), "posted");

    let answer = client.ask(head("DELETE /both HTTP/1.1", &[]));
    assert_eq!(answer.status, 405);
    assert_eq!(answer.field("allow"), Some("GET, POST, HEAD, OPTIONS"));
    let answer = client.ask(get("/post"));
    assert_eq!((answer.status, answer.field("allow")), (405, Some("POST, OPTIONS")));

    client.expect_no_body();
    let answer = client.ask(head("HEAD /both HTTP/1.1", &[]));
    assert_eq!(answer.field("content-length"), Some("8"), "GET was asked: got HEAD");
    client.expect_no_body();
    let answer = client.ask(head("HEAD /head HTTP/1.1", &[]));
    assert_eq!(answer.field("content-length"), Some("6"));
    client.expect_no_body();
    assert_eq!(client.ask(head("HEAD /post HTTP/1.1", &[])).status, 405);

    let answer = client.ask(head("OPTIONS /both HTTP/1.1", &[]));
    assert_eq!((answer.status, answer.field("allow")), (204, Some("GET, POST, HEAD, OPTIONS")));
    assert_eq!(client.ask(head("OPTIONS /options HTTP/1.1", &[])).text(), "my own");
    assert_eq!(client.ask(head("OPTIONS * HTTP/1.1", &[])).status, 204);

    assert_eq!(client.ask(get("/any")).text(), "got");
    assert_eq!(client.ask(head("BREW /any HTTP/1.1", &[])).text(), "any BREW");
    client.assert_open();
}

#[test]
fn a_router_stands_below_a_tree() {
    let router = Router::new().get("/api/{name}", |request: Request| {
        Params::of(&request).get("name").unwrap_or_default().to_owned()
    });
    check(Tree::new().child("api", router), &[("/api/x", 200, "x"), ("/api", 404, "")]);
}

#[test]
#[should_panic(expected = "cannot be routed")]
fn patterns_that_clash_are_noticed_at_once() {
    let _ = Router::new().get("/{a}", |_: Request| "a").get("/{b}", |_: Request| "b");
}

#[test]
fn methods_that_nobody_knows_are_told_from_those_that_are_not_here() {
    let router = Router::new().get("/page", |_: Request| "page").at(
        Method::from_bytes(b"BREW").expect("a method"),
        "/pot",
        |_: Request| "coffee",
    );
    let mut client = Client::new(router);
    assert_eq!(client.ask(head("BREW /pot HTTP/1.1", &[])).text(), "coffee");
    let answer = client.ask(head("BREW /page HTTP/1.1", &[]));
    assert_eq!((answer.status, answer.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    for path in ["/page", "/nowhere"] {
        assert_eq!(client.ask(head(&format!("STEEP {path} HTTP/1.1"), &[])).status, 501, "{path}");
    }
    assert_eq!(client.ask(head("PATCH /page HTTP/1.1", &[])).status, 405);
    assert_eq!(client.ask(head("PATCH /nowhere HTTP/1.1", &[])).status, 404);
    let answer = client.ask(head("OPTIONS * HTTP/1.1", &[]));
    assert_eq!((answer.status, answer.field("allow")), (204, Some("GET, BREW, HEAD, OPTIONS")));
}

#[test]
fn captures_have_types() {
    let numbers = |request: Request| {
        let params = Params::of(&request);
        let (first, second) = params.captures::<(u8, i64)>()?;
        let missing = params.parse::<u8>("other").expect_err("there is none");
        assert_eq!(
            missing.to_string(),
            "the part \"other\" of the path: the route's pattern has none"
        );
        assert!(params.captures::<(u8,)>().is_err(), "there are two");
        Ok::<_, BadParam>(format!("{first} {second}"))
    };
    let router = Router::new().get("/{a}/{b}", numbers);
    check(
        router,
        &[
            ("/7/-8", 200, "7 -8"),
            ("/%37/9", 200, "7 9"),
            ("/256/1", 404, ""),
            ("/x/1", 404, ""),
            ("/1/", 404, ""),
        ],
    );
}

#[test]
fn addresses_are_served_from_others() {
    let rules = Rewrite::new()
        .rule("/old/{name}", "/new/{name}/index")
        .and_then(|rules| rules.rule("/old/{name}/{*rest}", "/deep/{*rest}/of/{name}"))
        .and_then(|rules| rules.rule("/new/{*any}", "/never"))
        .expect("rules");
    let shown = |request: Request| request.uri().to_string();
    check(
        shown.wrap(rules.into_middleware()),
        &[
            ("/old/a?b=c", 200, "/new/a/index?b=c"),
            ("/old/a%2Fb", 200, "/new/a%2Fb/index"),
            ("/old/a/b/c", 200, "/deep/b/c/of/a"),
            ("http://h/old/a", 200, "http://h/new/a/index"),
            ("/else", 200, "/else"),
            ("/new/x", 200, "/never"),
        ],
    );
    for (pattern, to) in [("/a", "b"), ("/a", "/{b}"), ("/{a", "/"), ("/a", "/{"), ("/a", "/?")] {
        assert!(Rewrite::new().rule(pattern, to).is_err(), "{pattern} to {to}");
    }
    let twice = Rewrite::new().rule("/{a}", "/x").and_then(|rules| rules.rule("/{b}", "/y"));
    assert!(twice.expect_err("they clash").to_string().contains("/{b}"));
}
