//! What is kept of clients between their requests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use ropewalk_auth::Keys;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::session::{
    Loaded, MemorySessions, SameOrigin, SameSite, Session, SessionData, SessionStore, Sessions,
    SignedSessions,
};
use ropewalk_http::{IntoReply, Reply, Request, Site};
use ropewalk_protocol::TlsInfo;
use ropewalk_trial::{Clock, Memory};

use crate::client::{Answer, Client, Held, head, just_under, secs};

/// A resource that does with its session what the path says, and then tells what is in it.
#[expect(clippy::needless_pass_by_value, reason = "a resource is given its request")]
fn desk(request: Request) -> Reply {
    let session = Session::of(&request).expect("sessions are around it");
    let words: Vec<_> = request.uri().path().trim_start_matches('/').split('/').collect();
    match words[..] {
        ["quiet"] => return "quiet".into_reply(),
        ["set", name, value] => {
            if let Err(full) = session.set(name, value) {
                return full.to_string().into_reply();
            }
        }
        ["remove", name] => drop(session.remove(name)),
        ["renew"] => session.renew(),
        ["login", name] => {
            session.renew();
            session.set("user", name).expect("room");
        }
        ["end"] => session.end(),
        ["again", name] => {
            session.end();
            session.set("user", name).expect("room");
        }
        _ => (),
    }
    format!("{:?} {:?}", session.get("user"), session.get("n")).into_reply()
}

const NONE: &str = "None None";

/// A browser with one cookie.
struct Browser {
    site: Site,
    clock: Clock,
    cookie: Option<String>,
}

impl Browser {
    fn of(site: &Site, clock: &Clock) -> Self {
        Self { site: site.clone(), clock: clock.clone(), cookie: None }
    }

    fn with(cookie: Option<&String>, site: &Site, clock: &Clock) -> Self {
        Self { cookie: cookie.cloned(), ..Self::of(site, clock) }
    }

    fn ask(&mut self, path: &str) -> Answer {
        let cookie = self.cookie.as_ref().map(|cookie| format!("Cookie: {cookie}"));
        let fields: Vec<_> = cookie.iter().map(String::as_str).collect();
        let mut client = Client::of(&self.site, &self.clock);
        let answer = client.ask(head(&format!("GET {path} HTTP/1.1"), &fields));
        if let Some(set) = answer.field("set-cookie") {
            let pair = set.split(';').next().expect("a pair");
            self.cookie = (!set.contains("Max-Age=0")).then(|| pair.to_owned());
            assert_eq!(answer.field("cache-control"), Some("private"));
        }
        answer
    }

    /// What is said at this path.
    fn said(&mut self, path: &str) -> String {
        self.ask(path).text().to_owned()
    }
}

fn memory(
    settings: impl FnOnce(MemorySessions) -> MemorySessions,
) -> (Site, MemorySessions, Clock) {
    let clock = Clock::new();
    let store = settings(MemorySessions::new(clock.clone()));
    let site = Site::new(Sessions::new(store.clone()).around(desk));
    (site, store, clock)
}

#[test]
fn a_session_begins_when_something_is_put_in() {
    let (site, store, clock) = memory(|store| store);
    let mut browser = Browser::of(&site, &clock);
    assert_eq!(browser.ask("/quiet").field("vary"), None);
    let answer = browser.ask("/");
    assert_eq!(
        (answer.text(), answer.field("set-cookie"), answer.field("vary")),
        (NONE, None, Some("Cookie"))
    );
    assert_eq!(browser.said("/renew"), NONE);
    assert_eq!((store.len(), &browser.cookie), (0, &None));
    let answer = browser.ask("/set/n/1");
    let set = answer.field("set-cookie").expect("a cookie");
    assert!(
        set.starts_with("session=") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    assert_eq!(browser.said("/"), "None Some(\"1\")");
    assert_eq!(browser.ask("/set/n/2").field("set-cookie"), None, "it goes by the same token");
    assert_eq!((browser.said("/").as_str(), store.len()), ("None Some(\"2\")", 1));
    assert_eq!(browser.said("/remove/n"), NONE);
    assert_eq!(Browser::of(&site, &clock).said("/"), NONE, "others see nothing of it");
}

#[test]
fn whoever_logs_in_goes_by_another_token() {
    let (site, store, clock) = memory(|store| store);
    let mut browser = Browser::of(&site, &clock);
    browser.ask("/set/n/1");
    let before = browser.cookie.clone();
    assert_eq!(browser.said("/login/alice"), "Some(\"alice\") Some(\"1\")");
    assert_ne!(browser.cookie, before);
    assert_eq!((browser.said("/").as_str(), store.len()), ("Some(\"alice\") Some(\"1\")", 1));
    assert_eq!(
        Browser::with(before.as_ref(), &site, &clock).said("/"),
        NONE,
        "the old one is worth nothing"
    );
    // Nor can anybody choose one for others.
    let chosen = Some("session=chosen".to_owned());
    let mut victim = Browser::with(chosen.as_ref(), &site, &clock);
    victim.ask("/login/bob");
    assert_ne!(victim.cookie, chosen);
    assert_eq!(Browser::with(chosen.as_ref(), &site, &clock).said("/"), NONE);
}

#[test]
fn whoever_logs_out_has_nothing_left() {
    let (site, store, clock) = memory(|store| store);
    let mut browser = Browser::of(&site, &clock);
    browser.ask("/login/alice");
    let before = browser.cookie.clone();
    assert_eq!(browser.said("/end"), NONE);
    assert_eq!((&browser.cookie, store.len()), (&None, 0));
    assert_eq!(Browser::with(before.as_ref(), &site, &clock).said("/"), NONE);
    assert_eq!(browser.ask("/end").field("set-cookie"), None, "there is nothing to take away");
    browser.ask("/login/alice");
    let before = browser.cookie.clone();
    assert_eq!(browser.said("/again/bob"), "Some(\"bob\") None");
    assert_ne!(browser.cookie, before, "another session has another token");
    assert_eq!(store.len(), 1);
}

#[test]
fn sessions_in_memory_are_bounded_and_grow_old() {
    let (site, store, clock) =
        memory(|store| store.sessions_max(3).idle(secs(60)).lifetime(secs(100)));
    let mut browsers: Vec<_> = (0..3).map(|_| Browser::of(&site, &clock)).collect();
    for browser in &mut browsers {
        browser.ask("/set/n/1");
    }
    browsers[0].ask("/");
    Browser::of(&site, &clock).ask("/set/n/1");
    assert_eq!(store.len(), 3);
    let has = |browser: &mut Browser| browser.said("/") != NONE;
    assert!(
        has(&mut browsers[0]) && !has(&mut browsers[1]) && has(&mut browsers[2]),
        "the one that was used longest ago"
    );
    clock.advance(just_under(60));
    assert!(has(&mut browsers[0]));
    clock.advance(just_under(40));
    assert!(has(&mut browsers[0]) && !has(&mut browsers[2]));
    clock.advance(secs(1));
    assert!(!has(&mut browsers[0]), "none lasts for ever");
    assert!(store.is_empty());
    let (site, _, clock) = memory(|store| store);
    let mut browser = Browser::of(&site, &clock);
    let long = format!("/set/n/{}", "x".repeat(6000));
    for index in 0..10 {
        browser.ask(&long.replace("/n/", &format!("/n{index}/")));
    }
    assert_eq!(
        browser.said(&long.replace("/n/", "/m/")),
        "a session has at most 65536 bytes in all"
    );
    browser.ask("/remove/n0");
    assert_eq!(browser.said(&long.replace("/n/", "/m/")), NONE);
}

/// Seconds since 1970, for these tests alone, which run in processes of their own.
static NOW: AtomicU64 = AtomicU64::new(1_000_000_000);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::Relaxed))
}

fn signed(keys: Keys) -> Site {
    let store = SignedSessions::new(keys).wall_clock(now).idle(secs(80)).lifetime(secs(200));
    Site::new(Sessions::new(store).around(desk))
}

fn key(byte: u8) -> Keys {
    Keys::from_bytes(&[byte; 32]).expect("it is long enough")
}

#[test]
fn clients_keep_signed_sessions_themselves() {
    let (site, clock) = (signed(key(1)), Clock::new());
    let mut browser = Browser::of(&site, &clock);
    assert_eq!(browser.said("/login/alice"), "Some(\"alice\") None");
    browser.ask("/set/n/1");
    let cookie = browser.cookie.clone().expect("a cookie");
    assert_eq!(
        Browser::with(Some(&cookie), &signed(key(1)), &clock).said("/"),
        "Some(\"alice\") Some(\"1\")"
    );
    assert_eq!(Browser::with(Some(&cookie), &signed(key(2)), &clock).said("/"), NONE);
    for at in "session=".len()..cookie.len() {
        let mut bytes = cookie.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).expect("ASCII");
        assert_eq!(Browser::with(Some(&forged), &site, &clock).said("/"), NONE, "{forged}");
        assert_eq!(Browser::with(Some(&cookie[..at].to_owned()), &site, &clock).said("/"), NONE);
    }
    // While it is used it lasts, though not for ever.
    let mut uses = 0;
    while browser.said("/") != NONE {
        NOW.fetch_add(40, Ordering::Relaxed);
        uses += 1;
    }
    assert_eq!(uses, 5);
    browser.ask("/set/n/1");
    NOW.fetch_add(80, Ordering::Relaxed);
    assert_eq!(browser.said("/"), NONE);
    browser.ask("/set/n/1");
    assert_eq!(browser.ask("/").field("set-cookie"), None, "it is young");
    let full = browser.said(&format!("/set/n/{}", "x".repeat(2600)));
    assert_eq!(full, "a session has at most 2600 bytes in all");
    browser.ask("/end");
    assert_eq!(browser.cookie, None);
    // As much as there is room for is a cookie that browsers take.
    browser.ask(&format!("/set/n/{}", "x".repeat(2595)));
    assert!(browser.cookie.is_some());
}

#[test]
fn keys_are_changed_without_anybody_noticing() {
    let (old, clock) = (signed(key(1)), Clock::new());
    let mut browser = Browser::of(&old, &clock);
    browser.ask("/set/n/1");
    let both = signed(key(2).and_old(&[1; 32]).expect("it is long enough"));
    let mut browser = Browser::with(browser.cookie.as_ref(), &both, &clock);
    let answer = browser.ask("/");
    assert_eq!(answer.text(), "None Some(\"1\")");
    assert!(answer.field("set-cookie").is_some(), "it is signed anew");
    assert_eq!(
        Browser::with(browser.cookie.as_ref(), &signed(key(2)), &clock).said("/"),
        "None Some(\"1\")"
    );
}

#[test]
fn cookies_are_for_encrypted_connections_where_there_are_such() {
    let clock = Clock::new();
    let set_on = |sessions: Sessions, tls: Option<TlsInfo>| {
        let site = Site::new(sessions.around(desk));
        let mut memory = Memory::with_tls(ropewalk_protocol::seat(site.server()), &clock, tls);
        memory.push(&head("GET /set/n/1 HTTP/1.1", &[]));
        let answer = String::from_utf8(memory.take_sent()).expect("text");
        let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
        let (name, rest) = set.and_then(|set| set.split_once('=')).expect("a cookie");
        (name.to_owned(), rest.split_once("; ").expect("attributes").1.to_owned())
    };
    let new = || Sessions::new(MemorySessions::new(clock.clone()));
    let plain = ("session".to_owned(), "Path=/; HttpOnly; SameSite=Lax".to_owned());
    let secure = ("__Host-session".to_owned(), "Path=/; Secure; HttpOnly; SameSite=Lax".to_owned());
    assert_eq!(set_on(new(), None), plain);
    assert_eq!(set_on(new(), Some(TlsInfo::default())), secure);
    assert_eq!(set_on(new().secure(true), None), secure);
    assert_eq!(set_on(new().secure(false), Some(TlsInfo::default())), plain);
    let named =
        new().name("id").expect("a good name").max_age(secs(60)).same_site(SameSite::Strict);
    assert_eq!(
        set_on(named, None),
        ("id".to_owned(), "Path=/; Max-Age=60; HttpOnly; SameSite=Strict".to_owned())
    );
    let (_, attributes) = set_on(new().same_site(SameSite::None), None);
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=None");
    assert!(new().name("a b").is_err());
}

/// Whether a request with these fields comes through.
fn comes_through(origins: &SameOrigin, line: &str, fields: &[&str]) -> bool {
    let sessions = Sessions::new(MemorySessions::new(Clock::new())).origins(origins.clone());
    let mut client = Client::new(sessions.around(|_: Request| "through"));
    let status = client.ask(head(line, fields)).status;
    assert!(matches!(status, 200 | 403), "{status}");
    status == 200
}

#[test]
fn pages_of_others_change_nothing() {
    let own = SameOrigin::new();
    let trusting = SameOrigin::new().trust(HeaderValue::from_static("https://friend.example"));
    let post = "POST / HTTP/1.1";
    for (line, fields, expected) in [
        (
            "GET / HTTP/1.1",
            &["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"][..],
            true,
        ),
        ("OPTIONS / HTTP/1.1", &["Origin: https://evil.example"], true),
        (post, &[], true),
        (post, &["Origin: https://a"], true),
        (post, &["Origin: http://A"], true),
        (post, &["Origin: https://a", "Sec-Fetch-Site: same-origin"], true),
        (post, &["Sec-Fetch-Site: none"], true),
        (post, &["Origin: https://evil.example"], false),
        (post, &["Origin: https://a:444"], false),
        (post, &["Origin: https://a.evil.example"], false),
        (post, &["Origin: null"], false),
        (post, &["Origin: "], false),
        (post, &["Sec-Fetch-Site: cross-site"], false),
        (post, &["Origin: https://a", "Sec-Fetch-Site: same-site"], false),
        ("DELETE / HTTP/1.1", &["Sec-Fetch-Site: cross-site"], false),
        ("GET / HTTP/1.1", &["Upgrade: websocket", "Origin: https://evil.example"], false),
        ("GET / HTTP/1.1", &["Upgrade: websocket", "Origin: https://a"], true),
    ] {
        assert_eq!(comes_through(&own, line, fields), expected, "{line} {fields:?}");
    }
    let friend = ["Origin: https://friend.example", "Sec-Fetch-Site: cross-site"];
    assert!(comes_through(&trusting, post, &friend) && !comes_through(&own, post, &friend));
}

#[test]
fn forms_have_a_secret_of_their_session() {
    let (said, seen) = (Rc::new(RefCell::new(String::new())), Clock::new());
    let last = Rc::clone(&said);
    let form = move |request: Request| {
        let session = Session::of(&request).expect("sessions are around it");
        let token = session.csrf_token().expect("room and random bytes");
        assert_eq!(session.csrf_token(), Ok(token.clone()), "it stays the same");
        let is_right = session.is_csrf_token(&last.replace(token));
        let text = format!("{is_right} {}", session.is_csrf_token(""));
        if request.uri().path() == "/renew" {
            session.renew();
        }
        text
    };
    let site = Site::new(Sessions::new(MemorySessions::new(seen.clone())).around(form));
    let mut browser = Browser::of(&site, &seen);
    assert_eq!(browser.said("/"), "false false");
    assert_eq!(browser.said("/"), "true false");
    assert_eq!(browser.said("/renew"), "true false");
    assert_eq!(browser.said("/"), "false false", "another session, another secret");
}

/// A store that answers when the test says so.
#[derive(Clone)]
struct Slow {
    loads: Held<()>,
    saved: Rc<RefCell<BTreeMap<String, SessionData>>>,
}

impl SessionStore for Slow {
    fn load(&self, token: &str) -> Deferred<Option<Loaded>> {
        let (saved, token) = (Rc::clone(&self.saved), token.to_owned());
        self.loads.wait().map(move |()| {
            let data = saved.borrow().get(&token).cloned()?;
            Some(Loaded { data, save_again: false })
        })
    }

    fn save(&self, token: Option<&str>, data: &SessionData) -> Deferred<String> {
        let token = token.unwrap_or("one").to_owned();
        self.saved.borrow_mut().insert(token.clone(), data.clone());
        if data.contains_key("fail") {
            return Deferred::fail(Failure::new("the disk is full"));
        }
        self.loads.wait().map(|()| token)
    }

    fn remove(&self, token: &str) -> Deferred<()> {
        self.saved.borrow_mut().remove(token);
        Deferred::succeed(())
    }
}

#[test]
fn stores_may_take_their_time_and_fail() {
    let store = Slow { loads: Held::new(), saved: Rc::default() };
    let (site, clock) = (Site::new(Sessions::new(store.clone()).around(desk)), Clock::new());
    let cookie = "Cookie: session=one";
    let mut clients = [(); 2].map(|()| Client::of(&site, &clock));
    clients[0].send(head("GET /set/n/1 HTTP/1.1", &[])).assert_silent();
    store.loads.release(());
    clients[0].memory.run();
    assert!(clients[0].answer().field("set-cookie").expect("a cookie").starts_with("session=one;"));
    // Two requests at once share one session: neither undoes what the other does.
    clients[0].send(head("GET /set/user/u HTTP/1.1", &[cookie])).assert_silent();
    clients[1].send(head("GET /set/n/2 HTTP/1.1", &[cookie])).assert_silent();
    for _ in 0..2 {
        store.loads.release(());
        for client in &mut clients {
            client.memory.run();
        }
    }
    for _ in 0..2 {
        store.loads.release(());
    }
    for client in &mut clients {
        client.memory.run();
        assert_eq!(client.answer().status, 200);
    }
    let data = store.saved.borrow()["one"].clone();
    assert_eq!((data["user"].as_str(), data["n"].as_str()), ("u", "2"));
    let answer = clients[0].ask(head("GET /set/fail/1 HTTP/1.1", &[]));
    assert_eq!((answer.status, answer.field("set-cookie")), (500, None));
}
