//! Cookies on a server.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use ropewalk_http::session::{BadCookie, COOKIES_READ_MAX, SameSite, SetCookie, cookie, cookies};

fn headers(fields: &[&str]) -> HeaderMap {
    fields.iter().map(|field| (COOKIE, HeaderValue::try_from(*field).expect("a value"))).collect()
}

#[test]
fn cookies_are_read_as_they_come() {
    let headers = headers(&["a=1; b=\"two\";c = 3 ;d=e=f; =x; g; h=", "a=4", "i=\""]);
    let read: Vec<_> = cookies(&headers).collect();
    let expected =
        [("a", "1"), ("b", "two"), ("c", "3"), ("d", "e=f"), ("h", ""), ("a", "4"), ("i", "\"")];
    assert_eq!(read, expected);
    assert_eq!((cookie(&headers, "a"), cookie(&headers, "A")), (Some("1"), None));
    let many = vec!["x=1"; 500].join(";");
    assert_eq!(cookies(&self::headers(&[&many])).count(), COOKIES_READ_MAX);
}

/// What is sent for this cookie.
fn sent(cookie: Result<SetCookie, BadCookie>) -> Result<String, BadCookie> {
    let value = cookie?.to_value()?;
    Ok(value.to_str().expect("ASCII").to_owned())
}

#[test]
fn attributes_are_set_and_checked() {
    let new = |name: &str| SetCookie::new(name, "v");
    let with = |change: fn(SetCookie) -> SetCookie| sent(new("n").map(change));
    assert_eq!(sent(new("n")).unwrap(), "n=v; Path=/; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(
        with(|cookie| cookie.in_clear().for_scripts().same_site(SameSite::Strict)).unwrap(),
        "n=v; Path=/; SameSite=Strict"
    );
    assert_eq!(
        with(|cookie| cookie.path("/a").domain("example.com").max_age(Duration::from_millis(1900)))
            .unwrap(),
        "n=v; Path=/a; Domain=example.com; Max-Age=1; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(
        sent(SetCookie::removal("n")).unwrap(),
        "n=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
    );
    assert_eq!(
        with(|cookie| cookie.same_site(SameSite::None)).unwrap(),
        "n=v; Path=/; Secure; HttpOnly; SameSite=None"
    );
    for (cookie, error) in [
        (with(|cookie| cookie.same_site(SameSite::None).in_clear()), BadCookie::SameSiteNone),
        (with(|cookie| cookie.path("a")), BadCookie::Path),
        (with(|cookie| cookie.path("/;x")), BadCookie::Path),
        (with(|cookie| cookie.path("/\r\nx")), BadCookie::Path),
        (with(|cookie| cookie.domain("a;b")), BadCookie::Domain),
        (with(|cookie| cookie.domain("")), BadCookie::Domain),
        (sent(new("__Host-n").map(SetCookie::in_clear)), BadCookie::Prefix),
        (sent(new("__host-n").map(|cookie| cookie.path("/a"))), BadCookie::Prefix),
        (sent(new("__Host-n").map(|cookie| cookie.domain("a"))), BadCookie::Prefix),
        (sent(new("__Secure-n").map(SetCookie::in_clear)), BadCookie::Prefix),
        (sent(new("")), BadCookie::Name),
        (sent(new("a b")), BadCookie::Name),
        (sent(new("a=b")), BadCookie::Name),
        (sent(SetCookie::new("n", "a;b")), BadCookie::Value),
        (sent(SetCookie::new("n", "a\nb")), BadCookie::Value),
        (sent(SetCookie::new("n", "ä")), BadCookie::Value),
        (sent(SetCookie::new("n", &"x".repeat(5000))), BadCookie::TooLong),
    ] {
        assert_eq!(cookie, Err(error));
        assert!(!error.to_string().is_empty());
    }
    assert!(sent(new("__Secure-n").map(|cookie| cookie.path("/a"))).is_ok());
}

proptest! {
    #[test]
    fn what_is_set_comes_back(name in ".{0,8}", value in ".{0,20}") {
        if let Ok(set) = SetCookie::new(&name, &value) {
            let sent = set.to_value().expect("its attributes are good");
            let pair = sent.to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
            let headers = headers(&[&pair]);
            prop_assert_eq!(cookies(&headers).collect::<Vec<_>>(), [(name.as_str(), value.as_str())]);
        }
    }

    #[test]
    fn anything_can_be_read(field in "[ -~]{0,60}") {
        let headers = headers(&[&field]);
        for (name, value) in cookies(&headers) {
            prop_assert!(!name.is_empty() && !value.contains(';'));
        }
    }
}
