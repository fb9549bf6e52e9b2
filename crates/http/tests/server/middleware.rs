//! Functions around resources, and those that stand ready.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, ETAG, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ropewalk_deferred::deferred;
use ropewalk_http::middleware::{Cors, ErrorPages, Hosts, fields, preferred, redirect};
use ropewalk_http::{IntoReply as _, Request, Resource, Response, Router, Site, Tree};
use ropewalk_trial::Clock;

use crate::client::{Client, get, head};

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[test]
fn what_is_wrapped_last_sees_requests_first_and_replies_last() {
    let around = |name: &'static str| {
        move |mut request: Request, inner: &mut dyn Resource| {
            let seen = request.headers().get("x-seen").map_or("", |seen| seen.to_str().unwrap());
            let seen = HeaderValue::try_from(format!("{seen}{name}")).unwrap();
            request.headers_mut().insert("x-seen", seen);
            inner.render(request).map(move |mut response| {
                response.headers_mut().append("x-passed", value(name));
                response
            })
        }
    };
    let shown = |request: Request| request.headers()["x-seen"].to_str().unwrap().to_owned();
    let mut client = Client::new(shown.wrap(around("a")).wrap(around("b")));
    let answer = client.ask(get("/"));
    assert_eq!(answer.text(), "ba");
    let passed = answer.fields.iter().filter(|(name, _)| name == "x-passed");
    assert_eq!(passed.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn a_function_may_answer_by_itself_or_later() {
    let (promise, waiting) = deferred::<&'static str>();
    let mut waiting = Some(waiting);
    let slow = move |_: Request| waiting.take().expect("it is asked once");
    let guarded = slow.wrap(|request: Request, inner: &mut dyn Resource| {
        if request.uri().path() == "/no" {
            return StatusCode::FORBIDDEN.into_reply();
        }
        inner.render(request).map(|response| {
            let (mut parts, body) = response.into_parts();
            parts.status = StatusCode::ACCEPTED;
            Response::from_parts(parts, body)
        })
    });
    let site = Site::new(guarded);
    let mut client = Client::of(&site, &Clock::new());
    assert_eq!(client.ask(get("/no")).status, 403);
    client.send(get("/yes")).assert_silent();
    promise.succeed("at last");
    client.memory.run();
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (202, "at last"));
}

#[test]
fn hosts_are_found_by_name_and_by_what_they_end_in() {
    let named = |name: &'static str| move |_: Request| name;
    let hosts = Hosts::new()
        .host("Example.com", named("name"))
        .and_then(|hosts| hosts.host("*.example.com", named("below")))
        .and_then(|hosts| hosts.host("*.deep.example.com", named("deep")))
        .and_then(|hosts| hosts.host("[::1]", named("address")))
        .expect("these are hosts");
    let mut client = Client::new(hosts);
    let mut ask = |host: &str, line: &str| {
        let answer = client.ask(format!("GET {line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        (answer.status, answer.text().trim_end().to_owned())
    };
    for (host, expected) in [
        ("example.com", "name"),
        ("EXAMPLE.COM.", "name"),
        ("example.com:8080", "name"),
        ("a.example.com", "below"),
        ("a.b.example.com:1", "below"),
        ("x.deep.example.com", "deep"),
        ("deep.example.com", "below"),
        ("[::1]:80", "address"),
    ] {
        assert_eq!(ask(host, "/"), (200, expected.to_owned()), "{host}");
    }
    for host in ["notexample.com", "com", "127.0.0.1", "example.com.evil"] {
        assert_eq!(ask(host, "/").0, 421, "{host}");
    }
    // The target's own host is the one that counts.
    assert_eq!(ask("elsewhere", "http://a.example.com/").1, "below");
    assert_eq!(ask("example.com", "http://elsewhere/").0, 421);
}

#[test]
fn a_host_of_its_own_answers_for_all_others() {
    let hosts = Hosts::new().otherwise(|_: Request| "other");
    let mut client = Client::new(hosts);
    assert_eq!(client.ask(get("/")).text(), "other");
    assert_eq!(client.ask("GET / HTTP/1.0\r\n\r\n").text(), "other");
    for pattern in ["", "*.", "a:80", "*", "a.*.b", "http://a", "a b", "*.*.a", "u@a", "."] {
        let error = Hosts::new().host(pattern, |_: Request| "").expect_err(pattern);
        assert!(error.to_string().contains("*.example.com"), "{error}");
    }
}

fn cross(line: &str, origin: &str, more: &[&str]) -> Vec<u8> {
    let origin = format!("Origin: {origin}");
    let fields: Vec<&str> = [&origin[..]].into_iter().chain(more.iter().copied()).collect();
    head(line, &fields)
}

#[test]
fn pages_of_allowed_origins_may_read() {
    let cors = Cors::of([value("https://app.example"), value("http://localhost:3000")])
        .methods([Method::GET, Method::PUT])
        .expose([ETAG, HeaderName::from_static("x-total")])
        .credentials();
    let mut client = Client::new((|_: Request| "hello").wrap(cors.into_middleware()));
    let answer = client.ask(cross("GET / HTTP/1.1", "https://app.example", &[]));
    assert_eq!(answer.field("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(answer.field("access-control-allow-credentials"), Some("true"));
    assert_eq!(answer.field("access-control-expose-headers"), Some("etag, x-total"));
    assert_eq!(answer.field("vary"), Some("Origin"));
    for other in ["https://evil.example", "null", "https://app.example.evil", "http://app.example"]
    {
        let answer = client.ask(cross("GET / HTTP/1.1", other, &[]));
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.field("access-control-allow-origin"), None, "{other}");
        assert_eq!(answer.field("access-control-allow-credentials"), None, "{other}");
        assert_eq!(answer.field("vary"), Some("Origin"), "a cache keeps the two apart");
    }
    let answer = client.ask(get("/"));
    assert_eq!(answer.field("access-control-allow-origin"), None);
    assert_eq!(answer.field("vary"), Some("Origin"));
}

#[test]
fn preflights_are_answered_before_the_resource() {
    let never = |request: Request| -> &'static str { panic!("{} came through", request.method()) };
    let cors = Cors::of([value("https://app.example")]).methods([Method::PUT]);
    let mut client = Client::new(never.wrap(cors.into_middleware()));
    let asks = ["Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-a, x-b"];
    let answer = client.ask(cross("OPTIONS /x HTTP/1.1", "https://app.example", &asks));
    assert_eq!(answer.status, 204);
    assert_eq!(answer.field("access-control-allow-methods"), Some("PUT"));
    assert_eq!(answer.field("access-control-allow-headers"), Some("x-a, x-b"));
    assert_eq!(answer.field("access-control-max-age"), Some("600"));
    assert_eq!(answer.field("access-control-allow-credentials"), None);
    let answer = client.ask(cross("OPTIONS /x HTTP/1.1", "https://evil.example", &asks));
    assert_eq!((answer.status, answer.field("access-control-allow-methods")), (204, None));
}

#[test]
fn anybody_may_read_what_needs_no_credentials() {
    let cors = Cors::any().credentials().request_fields([HeaderName::from_static("x-a")]);
    let router = Router::new().get("/", |_: Request| "hello");
    let mut client = Client::new(router.wrap(cors.into_middleware()));
    let answer = client.ask(cross("GET / HTTP/1.1", "https://anywhere.example", &[]));
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.field("access-control-allow-credentials"), None);
    assert_eq!(answer.field("vary"), None);
    let asks = ["Access-Control-Request-Method: GET", "Access-Control-Request-Headers: x-b"];
    let answer = client.ask(cross("OPTIONS / HTTP/1.1", "https://anywhere.example", &asks));
    assert_eq!(answer.field("access-control-allow-headers"), Some("x-a"));
    // OPTIONS that is no preflight is the resource's.
    let answer = client.ask(cross("OPTIONS / HTTP/1.1", "https://anywhere.example", &[]));
    assert_eq!(answer.field("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn errors_have_pages_of_their_own() {
    let html = value("text/html; charset=utf-8");
    let pages = ErrorPages::new()
        .page(StatusCode::NOT_FOUND, html.clone(), "<h1>nothing</h1>")
        .page(StatusCode::INTERNAL_SERVER_ERROR, html, Bytes::from_static(b"<h1>oh</h1>"));
    let tagged = |_: Request| {
        let mut response = Response::new("a body of its own".into());
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert(ETAG, value("\"1\""));
        response.headers_mut().insert("x-kept", value("yes"));
        response
    };
    let tree = Tree::new()
        .child("tagged", tagged)
        .child("gone", |_: Request| StatusCode::GONE)
        .child("fine", |_: Request| "fine");
    let mut client = Client::new(tree.wrap(pages.into_middleware()));
    let answer = client.ask(get("/none"));
    assert_eq!((answer.status, answer.text()), (404, "<h1>nothing</h1>"));
    assert_eq!(answer.field("content-type"), Some("text/html; charset=utf-8"));
    let answer = client.ask(get("/tagged"));
    assert_eq!(answer.text(), "<h1>nothing</h1>");
    assert_eq!((answer.field("etag"), answer.field("x-kept")), (None, Some("yes")));
    assert_eq!(client.ask(get("/gone")).text(), "410 Gone\n");
    assert_eq!(client.ask(get("/fine")).text(), "fine");
    client.expect_no_body();
    let answer = client.ask(head("HEAD /none HTTP/1.1", &[]));
    assert_eq!((answer.status, answer.field("content-length")), (404, Some("16")));
}

#[test]
fn fields_stand_in_each_answer() {
    let mut all = HeaderMap::new();
    all.insert("x-frame-options", value("DENY"));
    let tree = Tree::new().index(|_: Request| {
        let mut response = Response::new("home".into());
        response.headers_mut().insert("x-frame-options", value("SAMEORIGIN"));
        response
    });
    let mut client = Client::new(tree.wrap(fields(all)));
    assert_eq!(client.ask(get("/")).field("x-frame-options"), Some("DENY"));
    assert_eq!(client.ask(get("/none")).field("x-frame-options"), Some("DENY"));
}

#[test]
fn redirects_say_where() {
    let moved = |_: Request| redirect(StatusCode::PERMANENT_REDIRECT, value("/new"));
    let answer = Client::new(moved).ask(get("/"));
    assert_eq!((answer.status, answer.field("location")), (308, Some("/new")));
}

#[test]
fn clients_get_what_they_would_rather_have() {
    let media = ["text/html", "application/json", "text/plain; charset=utf-8"];
    let cases: [(&HeaderName, &[&str], &str, Option<usize>); 22] = [
        (&ACCEPT, &media, "*/*", Some(0)),
        (&ACCEPT, &media, "application/json", Some(1)),
        (&ACCEPT, &media, "Application/JSON;q=0.2, text/html;q=0.1", Some(1)),
        (&ACCEPT, &media, "text/*", Some(0)),
        (&ACCEPT, &media, "text/*, text/html;q=0.5", Some(2)),
        (&ACCEPT, &media, "text/plain", Some(2)),
        (&ACCEPT, &media, "text/html;q=0, */*;q=0.1", Some(1)),
        (&ACCEPT, &media, "image/png", None),
        (&ACCEPT, &media, "text/html;level=1;q=0.3, application/json;q=0.300", Some(0)),
        (&ACCEPT, &media, "text/html;q=1.5, application/json;q=0.001", Some(1)),
        (&ACCEPT, &media, "text/html;q=0.0001, application/json;q=0.1", Some(1)),
        (&ACCEPT, &media, "", None),
        (&ACCEPT, &media, ",, ;q=1,/,*/html", None),
        (&ACCEPT_LANGUAGE, &["en", "de-CH", "de"], "de", Some(1)),
        (&ACCEPT_LANGUAGE, &["en", "de-CH", "de"], "de-CH;q=0.1, de", Some(2)),
        (&ACCEPT_LANGUAGE, &["en", "de"], "d", None),
        (&ACCEPT_LANGUAGE, &["en", "de"], "fr, *;q=0.5", Some(0)),
        (&ACCEPT_LANGUAGE, &["é", "de"], "de", Some(1)),
        (&ACCEPT_ENCODING, &["br", "gzip", "identity"], "gzip, br;q=0.9", Some(1)),
        (&ACCEPT_ENCODING, &["br", "gzip", "identity"], "deflate", Some(2)),
        (&ACCEPT_ENCODING, &["br", "identity"], "br;q=0, *;q=0", None),
        (&ACCEPT_ENCODING, &["br", "gzip", "identity"], "identity;q=0.5, *;q=0.1", Some(2)),
    ];
    for (field, offers, text, expected) in cases {
        let mut headers = HeaderMap::new();
        headers.insert(field, value(text));
        assert_eq!(preferred(&headers, field, offers), expected, "{field}: {text}");
    }
    assert_eq!(preferred(&HeaderMap::new(), &ACCEPT, &media), Some(0));
    assert_eq!(preferred(&HeaderMap::new(), &ACCEPT, &[]), None);
    let mut many = HeaderMap::new();
    for _ in 0..40 {
        many.append(ACCEPT, value("image/png"));
    }
    many.append(ACCEPT, value("text/html"));
    assert_eq!(preferred(&many, &ACCEPT, &media), None, "what follows the bound counts as absent");
}
