use std::time::{Duration, SystemTime};

use ropewalk_http::{COOKIES_PER_DOMAIN_MAX, CookieJar, Options};

use super::{World, value};

/// What goes out in Cookie to the second URL after the first one set these.
fn kept(from: &str, set: &[&str], to: &str) -> String {
    let jar = CookieJar::with_time(|| SystemTime::UNIX_EPOCH + Duration::from_hours(500_000));
    let world = World::with(Options { cookies: Some(jar), ..Options::default() });
    let answer = world.agent.get(from).send();
    let (mut server, request) = world.accept();
    assert!(!request.contains("cookie"));
    let fields: String = set.iter().flat_map(|set| ["Set-Cookie: ", set, "\r\n"]).collect();
    server.push(format!("HTTP/1.1 204 No Content\r\nConnection: close\r\n{fields}\r\n").as_bytes());
    value(answer);
    world.agent.get(to).send().detach();
    let (_, request) = world.accept();
    let field = request.lines().find_map(|line| line.strip_prefix("cookie: "));
    field.unwrap_or_default().to_owned()
}

#[test]
fn cookies_go_where_they_belong() {
    let cases: &[(&str, &[&str], &str, &str)] = &[
        ("http://a.org/", &["x=1"], "http://a.org/b", "x=1"),
        ("http://a.org/", &["x=1", "y=2"], "http://a.org/", "x=1; y=2"),
        ("http://a.org/", &["x=1"], "http://b.a.org/", ""),
        ("http://b.a.org/", &["x=1; Domain=a.org"], "http://c.a.org/", "x=1"),
        ("http://b.a.org/", &["x=1; Domain=.A.org"], "http://a.org/", "x=1"),
        ("http://a.org/", &["x=1; Domain=b.a.org"], "http://b.a.org/", ""),
        ("http://a.org/", &["x=1; Domain=b.org"], "http://b.org/", ""),
        ("http://ba.org/", &["x=1; Domain=a.org"], "http://a.org/", ""),
        // Public suffixes belong to nobody.
        ("http://a.org/", &["x=1; Domain=org"], "http://b.org/", ""),
        ("http://a.co.uk/", &["x=1; Domain=co.uk"], "http://b.co.uk/", ""),
        ("http://a.github.io/", &["x=1; Domain=github.io"], "http://b.github.io/", ""),
        ("http://127.0.0.1/", &["x=1; Domain=0.0.1"], "http://127.0.0.1/", ""),
        ("http://127.0.0.1/", &["x=1"], "http://127.0.0.1/", "x=1"),
        // Paths.
        ("http://a.org/b/c", &["x=1"], "http://a.org/b/d", "x=1"),
        ("http://a.org/b/c", &["x=1"], "http://a.org/bc", ""),
        ("http://a.org/", &["x=1; Path=/b", "y=2; Path=/"], "http://a.org/b/", "x=1; y=2"),
        // Secure.
        ("https://a.org/", &["x=1; Secure"], "http://a.org/", ""),
        ("https://a.org/", &["x=1; Secure"], "https://a.org/", "x=1"),
        ("http://a.org/", &["x=1; Secure"], "https://a.org/", ""),
        ("https://a.org/", &["__Host-x=1; Secure; Path=/; Domain=a.org"], "https://a.org/", ""),
        ("https://a.org/", &["__Host-x=1; Secure; Path=/"], "https://a.org/", "__Host-x=1"),
        ("https://a.org/", &["__Secure-x=1"], "https://a.org/", ""),
        // Time.
        ("http://a.org/", &["x=1; Max-Age=0"], "http://a.org/", ""),
        ("http://a.org/", &["x=1; Max-Age=-1"], "http://a.org/", ""),
        ("http://a.org/", &["x=1; Max-Age=1"], "http://a.org/", "x=1"),
        ("http://a.org/", &["x=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "http://a.org/", ""),
        ("http://a.org/", &["x=1; Expires=Fri, 01 Jan 2100 00:00:00 GMT"], "http://a.org/", "x=1"),
        ("http://a.org/", &["x=1", "x=2"], "http://a.org/", "x=2"),
        ("http://a.org/", &["x=1", "x=; Max-Age=0"], "http://a.org/", ""),
        // What is none.
        ("http://a.org/", &["x", "=1"], "http://a.org/", ""),
    ];
    for (from, set, to, wanted) in cases {
        assert_eq!(kept(from, set, to), *wanted, "{from} {set:?} {to}");
    }
}

#[test]
fn a_jar_has_bounds() {
    let long = format!("x={}", "1".repeat(4096));
    assert_eq!(kept("http://a.org/", &[&long], "http://a.org/"), "");
    let many: Vec<_> = (0..=COOKIES_PER_DOMAIN_MAX).map(|n| format!("c{n}=1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let sent = kept("http://a.org/", &many, "http://a.org/");
    assert_eq!(sent.split("; ").count(), COOKIES_PER_DOMAIN_MAX);
    assert!(!sent.contains("c0=1") && sent.contains("c50=1"));
}
