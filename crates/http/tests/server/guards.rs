//! Who comes through a guard, and who does not.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ropewalk_auth::{
    Anonymous, AnonymousAccess, Avatar, AvatarId, Checker, DelayOptions, FailureDelay, InMemory,
    LoginError, Portal, ProvenPassword, Threaded, UsernamePassword, Users,
};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::auth::{Authorization, BadAuthorization, Digest, Guard, Guarded, user};
use ropewalk_http::{Body, BodyStream, Request, Resource, Response, Site};
use ropewalk_trial::{Clock, LaterThreads};

use crate::client::{Answer, Client, get, head, secs};

fn users() -> InMemory {
    InMemory::new().with("Aladdin", "open sesame").with("jürgen", "pass:wörd").with("empty", "")
}

/// Says who asks.
#[expect(clippy::needless_pass_by_value, reason = "a resource is given its request")]
fn who(request: Request) -> String {
    let user = user(&request).expect("nobody else comes through");
    format!("{} at {}", user, request.uri())
}

fn guarded() -> Guarded {
    Guard::new(Portal::new(Users).checker::<UsernamePassword>(users()))
        .basic("cave \"1\"")
        .around(who)
}

fn basic(login: &str) -> String {
    format!("Authorization: Basic {}", STANDARD.encode(login))
}

fn ask(client: &mut Client, field: &str) -> Answer {
    client.ask(head("GET /x HTTP/1.1", &[field]))
}

#[test]
fn who_says_nothing_is_asked() {
    let mut client = Client::new(guarded());
    let answer = client.ask(get("/"));
    assert_eq!(answer.status, 401);
    let challenge = "Basic realm=\"cave \\\"1\\\"\", charset=\"UTF-8\"";
    assert_eq!(answer.field("www-authenticate"), Some(challenge));
    client.expect_no_body();
    assert_eq!(client.ask(head("HEAD / HTTP/1.1", &[])).status, 401);
    client.assert_open();
}

#[test]
fn passwords_are_taken_as_they_are() {
    let mut client = Client::new(guarded());
    for (login, status, text) in [
        ("Aladdin:open sesame", 200, "Aladdin at /x"),
        ("jürgen:pass:wörd", 200, "jürgen at /x"),
        ("empty:", 200, "empty at /x"),
        ("Aladdin:open sesame ", 401, "401 Unauthorized\n"),
        ("aladdin:open sesame", 401, "401 Unauthorized\n"),
        (":", 401, "401 Unauthorized\n"),
        ("nobody:", 401, "401 Unauthorized\n"),
    ] {
        let answer = ask(&mut client, &basic(login));
        assert_eq!((answer.status, answer.text()), (status, text), "{login}");
    }
    // Without padding, in another case, with more blanks: all of it is met.
    assert_eq!(ask(&mut client, "Authorization: bASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ").status, 200);
    for (field, status) in [
        ("Authorization: Bearer abc", 401),
        ("Authorization: Digest username=\"x\"", 400),
        ("Authorization: Negotiate abc=", 401),
        ("Authorization: Basic", 400),
        ("Authorization: Basic ####", 400),
        ("Authorization: Basic bm9jb2xvbg==", 400),
        ("Authorization: Basic /w==", 400),
        // Latin-1, from those who speak nothing else.
        ("Authorization: Basic avxyZ2VuOnBhc3M6d/ZyZA==", 200),
        ("Authorization: =", 400),
        ("Authorization:", 400),
    ] {
        assert_eq!(ask(&mut client, field).status, status, "{field}");
    }
    let twice = [basic("Aladdin:open sesame"), basic("Aladdin:open sesame")];
    let twice = client.ask(head("GET / HTTP/1.1", &[&twice[0], &twice[1]]));
    assert_eq!(twice.status, 400, "nobody knows which of them others look at");
}

#[test]
fn fields_are_read_or_it_is_said_why_not() {
    use BadAuthorization::{
        BadBasic, BadBearer, BadParameter, BadParameters, NoScheme, NotOffered,
    };
    let good = "username=\"u\", realm=\"r\", nonce=\"n\", uri=\"/\", qop=auth, nc=00000001, cnonce=\"c\", response=\"x\"";
    let digest = |text: &str| format!("Digest {text}");
    let without = |part: &str| digest(&good.replace(part, "z=1"));
    let many: String = (0..40).map(|index| format!("p{index}=1,")).collect::<Vec<_>>().concat();
    for (field, expected) in [
        (String::new(), NoScheme),
        ("\"Basic\" x".to_owned(), NoScheme),
        ("Basic YQ==".to_owned(), BadBasic),
        (format!("Basic {}", STANDARD.encode("a:b\nc")), BadBasic),
        ("Bearer".to_owned(), BadBearer),
        ("Bearer a b".to_owned(), BadBearer),
        (digest("x"), BadParameters),
        (digest("realm=\"open"), BadParameters),
        (digest("realm=\"a\"b"), BadParameters),
        (digest("realm=a\"b\""), BadParameters),
        (digest("realm=\"a\\"), BadParameters),
        (digest(&format!("{good}, realm=\"q\"")), BadParameters),
        (digest(&many), BadParameters),
        (without("username=\"u\""), BadParameter("username")),
        (without("realm=\"r\""), BadParameter("realm")),
        (without("uri=\"/\""), BadParameter("uri")),
        (without("cnonce=\"c\""), BadParameter("cnonce")),
        (without("response=\"x\""), BadParameter("response")),
        (without("qop=auth"), NotOffered("qop")),
        (without("nc=00000001"), BadParameter("nc")),
        (digest(&good.replace("00000001", "1")), BadParameter("nc")),
        (digest(&good.replace("00000001", "00000000")), BadParameter("nc")),
        (digest(&good.replace("00000001", "+0000001")), BadParameter("nc")),
        (digest(&good.replace("qop=auth", "qop=auth-conf")), NotOffered("qop")),
        (digest(&format!("{good}, algorithm=SHA-1")), NotOffered("algorithm")),
        (digest(&format!("{good}, username*=UTF-8''u")), BadParameter("username")),
        (digest(&good.replace("username=\"u\"", "username*=latin1''u")), BadParameter("username*")),
    ] {
        let error = Authorization::read(field.as_bytes()).expect_err(&field);
        assert_eq!(error, expected, "{field}");
        assert!(!error.to_string().is_empty());
    }
    let read = |text: String| match Authorization::read(text.as_bytes()) {
        Ok(Authorization::Digest(digest)) => *digest,
        other => panic!("{text}: {other:?}"),
    };
    let extended =
        read(digest(&good.replace("username=\"u\"", "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe")));
    assert_eq!((extended.username.as_str(), extended.count), ("Jäsøn Doe", 1));
    let spaced = read("digest ,realm = \"r\\\"q\",,username=\"u\",nonce=n,uri=/,qop=\"auth\",nc=0000000A,cnonce=c,response=x,".to_owned());
    assert_eq!((spaced.realm.as_str(), spaced.count), ("r\"q", 10));
    let shown = format!("{:?}", Authorization::read(b"Bearer secret").expect("a token"));
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn nobody_in_particular_comes_through_where_that_is_allowed() {
    let portal = Portal::new(Users).checker(AnonymousAccess).checker::<UsernamePassword>(users());
    let mut client = Client::new(Guard::new(portal).basic("r").around(who));
    assert_eq!(client.ask(get("/")).text(), "anonymous at /");
    assert_eq!(ask(&mut client, &basic("empty:")).text(), "empty at /x");
    assert_eq!(ask(&mut client, &basic("empty:x")).status, 401);
    let portal = Portal::new(|id: &AvatarId| Avatar::new(id.clone())).checker::<Anonymous>(Nobody);
    let mut client = Client::new(Guard::new(portal).basic("r").around(who));
    assert_eq!(client.ask(get("/")).status, 401, "who says nothing and is not let in is asked");
}

struct Nobody;

impl Checker<Anonymous> for Nobody {
    fn check(&self, _: Anonymous) -> Deferred<AvatarId> {
        Deferred::fail(LoginError::Unauthorized)
    }
}

#[test]
fn all_that_is_offered_is_said() {
    let clock = Clock::new();
    let portal =
        Portal::new(Users).checker::<UsernamePassword>(users()).checker::<ProvenPassword>(users());
    let digest = Digest::new("r", clock.clone()).expect("random bytes");
    let site = Site::new(Guard::new(portal).digest(digest).basic("r").around(who));
    let mut client = Client::of(&site, &clock);
    let answer = client.ask(get("/"));
    let challenges = answer.fields.iter().filter(|(name, _)| name == "www-authenticate");
    let schemes: Vec<_> =
        challenges.map(|(_, value)| value.split(", nonce").next().unwrap()).collect();
    assert_eq!(
        schemes,
        [
            "Digest realm=\"r\", qop=\"auth\", algorithm=SHA-256",
            "Digest realm=\"r\", qop=\"auth\", algorithm=MD5",
            "Basic realm=\"r\", charset=\"UTF-8\"",
        ]
    );
    assert_eq!(ask(&mut client, &basic("empty:")).status, 200);
}

#[test]
fn a_proxy_asks_in_its_own_way() {
    let portal = Portal::new(Users).checker::<UsernamePassword>(users());
    let forwards = |request: Request| format!("{:?}", request.headers().get("proxy-authorization"));
    let mut client = Client::new(Guard::new(portal).basic("r").proxy().around(forwards));
    let answer = ask(&mut client, &basic("empty:"));
    assert_eq!((answer.status, answer.field("www-authenticate")), (407, None));
    assert!(answer.field("proxy-authenticate").is_some());
    let login = format!("Proxy-{}", basic("empty:"));
    assert_eq!(ask(&mut client, &login).text(), "None", "it is for nobody else");
}

/// A checker on threads that do nothing before they are told to.
fn slow(threads: &LaterThreads) -> Guarded {
    struct Same;
    impl ropewalk_auth::Passwords for Same {
        fn is_password(&self, username: &str, password: &str) -> Result<bool, Failure> {
            match username {
                "broken" => Err(Failure::new("no database")),
                _ => Ok(username == password),
            }
        }
    }
    let checker = Threaded::new(Same, threads.clone()).at_once(1, 1);
    Guard::new(Portal::new(Users).checker::<UsernamePassword>(checker)).basic("r").around(
        |request: Request| {
            let who = who_is(&request);
            request
                .into_body()
                .collect(1000)
                .map(move |body| format!("{who}: {}", body.escape_ascii()))
        },
    )
}

fn who_is(request: &Request) -> String {
    user(request).expect("nobody else comes through").to_string()
}

#[test]
fn a_guard_may_take_its_time() {
    let threads = LaterThreads::new();
    let site = Site::new(slow(&threads));
    let clock = Clock::new();
    let mut client = Client::of(&site, &clock);
    let login = basic("a:a");
    let fields = [login.as_str(), "Content-Length: 5"];
    client.send(head("POST /x HTTP/1.1", &fields)).assert_silent();
    client.send("hello").assert_silent();
    let mut other = Client::of(&site, &clock);
    other.send(head("GET / HTTP/1.1", &[&basic("b:c")])).assert_silent();
    let mut third = Client::of(&site, &clock);
    let answer = third.ask(head("GET / HTTP/1.1", &[&basic("c:c")]));
    assert_eq!((answer.status, answer.field("retry-after")), (503, Some("1")));
    while threads.do_all() > 0 {}
    client.memory.run();
    assert_eq!(client.answer().text(), "a: hello");
    other.memory.run();
    assert_eq!(other.answer().status, 401);
    client.send(head("GET / HTTP/1.1", &[&basic("broken:x")]));
    threads.do_all();
    client.memory.run();
    assert_eq!(client.answer().status, 500, "what could not be found out is no refusal");
}

#[test]
fn guesses_are_kept_back() {
    let clock = Clock::new();
    let options = DelayOptions::default().with_attempts_max(2);
    let delay = FailureDelay::with_options(clock.clone(), options);
    let portal = Portal::new(Users).checker::<UsernamePassword>(users());
    let site = Site::new(Guard::new(portal).basic("r").delay(delay).around(who));
    let mut clients = [(); 3].map(|()| Client::of(&site, &clock));
    for client in &mut clients[..2] {
        assert_eq!(client.ask(get("/")).status, 401, "who says nothing guesses nothing");
        client.send(head("GET / HTTP/1.1", &[&basic("empty:x")])).assert_silent();
    }
    let answer = ask(&mut clients[2], &basic("empty:"));
    assert_eq!((answer.status, answer.field("retry-after")), (429, Some("1")));
    clients[0].advance(secs(1));
    clients[1].advance(secs(0));
    assert_eq!([clients[0].answer().status, clients[1].answer().status], [401, 401]);
    assert_eq!(ask(&mut clients[2], &basic("empty:")).status, 200);
}

#[test]
fn guesses_count_against_whom_the_program_says() {
    let clock = Clock::new();
    let options = DelayOptions::default().with_attempts_max(1);
    let delay = FailureDelay::with_options(clock.clone(), options);
    let portal = Portal::new(Users).checker::<UsernamePassword>(users());
    let named = |request: &Request| {
        let name = request.headers().get("x-from").and_then(|name| name.to_str().ok());
        ropewalk_protocol::Address::Memory(name.unwrap_or_default().to_owned())
    };
    let site = Site::new(Guard::new(portal).basic("r").delay_by(delay, named).around(who));
    let from = |name: &str, login: &str| {
        let mut client = Client::of(&site, &clock);
        client.send(head("GET / HTTP/1.1", &[&format!("X-From: {name}"), &basic(login)]));
        client.answers().first().map(|answer| answer.status)
    };
    assert_eq!(from("a", "empty:x"), None, "it is kept back");
    assert_eq!((from("a", "empty:"), from("b", "empty:")), (Some(429), Some(200)));
}

/// Counts avatars that are about.
#[derive(Clone, Default)]
struct About(Rc<Cell<i32>>);

impl About {
    fn enter<A>(&self, value: A) -> Avatar<A> {
        let about = self.0.clone();
        about.set(about.get() + 1);
        Avatar::new(value).on_logout(move || about.set(about.get() - 1))
    }
}

#[test]
fn each_user_has_an_avatar_that_answers() {
    let about = About::default();
    let seen = about.clone();
    let realm = move |id: &AvatarId| {
        let name = id.to_string();
        let desk: Box<dyn Resource> = Box::new(move |_: Request| format!("the desk of {name}"));
        seen.enter(desk)
    };
    let portal = Portal::new(realm).checker::<UsernamePassword>(users());
    let mut client = Client::new(Guard::new(portal).basic("r").avatars());
    assert_eq!(ask(&mut client, &basic("empty:")).text(), "the desk of empty");
    assert_eq!(ask(&mut client, &basic("Aladdin:open sesame")).text(), "the desk of Aladdin");
    assert_eq!(ask(&mut client, &basic("Aladdin:")).status, 401);
    assert_eq!(about.0.get(), 0, "they have all gone");
}

#[test]
fn an_avatar_stays_until_the_answer_has_gone() {
    let about = About::default();
    let seen = about.clone();
    let portal =
        Portal::new(move |_: &AvatarId| seen.enter(7_u8)).checker::<UsernamePassword>(users());
    let held = crate::client::Held::<Option<Bytes>>::new();
    let pieces = held.clone();
    let streams = move |request: Request| {
        assert_eq!(request.extensions().get::<u8>(), Some(&7), "the avatar is laid beside it");
        let pieces = pieces.clone();
        Response::new(Body::stream(BodyStream::new(move || {
            pieces.wait().map(|piece| piece.map(Into::into))
        })))
    };
    let mut client = Client::new(Guard::new(portal).basic("r").around(streams));
    client.send(head("GET / HTTP/1.1", &[&basic("empty:")]));
    held.release(Some("a".into()));
    client.memory.run();
    assert_eq!(about.0.get(), 1);
    held.release(None);
    client.memory.run();
    assert_eq!((client.answer().text(), about.0.get()), ("a", 0));
    client.send(head("GET / HTTP/1.1", &[&basic("empty:")]));
    client.memory.run();
    assert_eq!(about.0.get(), 1);
    client.memory.lose(ropewalk_protocol::Disconnect::Aborted);
    assert_eq!(about.0.get(), 0, "whoever hangs up is gone, too");
}

/// Speaks on after a change of protocol.
struct Parrot;

impl ropewalk_protocol::Protocol for Parrot {
    fn data_received(&mut self, conn: &ropewalk_protocol::Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

#[test]
fn an_avatar_stays_as_long_as_another_protocol_has_its_connection() {
    let about = About::default();
    let seen = about.clone();
    let portal =
        Portal::new(move |_: &AvatarId| seen.enter(7_u8)).checker::<UsernamePassword>(users());
    let switches = |_: Request| {
        let head = http::Response::builder().status(101).header("connection", "upgrade");
        head.header("upgrade", "parrot").body(Body::switch_to(Parrot)).expect("a response")
    };
    let mut client = Client::new(Guard::new(portal).basic("r").around(switches));
    client.send(head(
        "GET / HTTP/1.1",
        &[&basic("empty:"), "Connection: upgrade", "Upgrade: parrot"],
    ));
    client.memory.run();
    assert!(client.memory.take_sent().starts_with(b"HTTP/1.1 101 "));
    assert_eq!(about.0.get(), 1, "it is the avatar's protocol that speaks now");
    client.memory.push(b"hello");
    assert_eq!(client.memory.take_sent(), b"hello");
    client.memory.lose(ropewalk_protocol::Disconnect::Closed);
    assert_eq!(about.0.get(), 0);
}

/// A checker whose answers the test gives, some of them while a resource is answering.
#[derive(Clone, Default)]
struct Later(Rc<RefCell<Vec<ropewalk_deferred::Promise<AvatarId>>>>);

impl Checker<UsernamePassword> for Later {
    fn check(&self, _: UsernamePassword) -> Deferred<AvatarId> {
        let (promise, waiting) = ropewalk_deferred::deferred();
        self.0.borrow_mut().push(promise);
        waiting
    }
}

#[test]
fn a_login_may_end_while_its_resource_answers_another() {
    let later = Later::default();
    let portal = Portal::new(Users).checker::<UsernamePassword>(later.clone());
    let waiting = later.clone();
    let lets_in = move |request: Request| {
        let next = waiting.0.borrow_mut().pop();
        if let Some(next) = next {
            next.succeed(AvatarId::user("next"));
        }
        who(request)
    };
    let site = Site::new(Guard::new(portal).basic("r").around(lets_in));
    let clock = Clock::new();
    let mut clients = [(); 2].map(|()| Client::of(&site, &clock));
    for client in &mut clients {
        client.send(head("GET / HTTP/1.1", &[&basic("x:x")])).assert_silent();
    }
    let first = later.0.borrow_mut().remove(0);
    first.succeed(AvatarId::user("first"));
    let [one, other] = &mut clients;
    one.memory.run();
    other.memory.run();
    assert_eq!((one.answer().text(), other.answer().text()), ("first at /", "next at /"));
}

#[test]
fn no_client_wears_a_guard_out() {
    use ropewalk_http::session::{MemorySessions, Sessions};
    use ropewalk_trial::{Hostile, chunked};

    let login = basic("empty:");
    let request = head("GET / HTTP/1.1", &[&login, "Cookie: session=x"]);
    let guard = |clock: &Clock| {
        let delay = FailureDelay::new(clock.clone());
        let portal = Portal::new(Users).checker::<UsernamePassword>(users());
        let guarded = Guard::new(portal).basic("r").delay(delay).around(who);
        crate::client::site(Sessions::new(MemorySessions::new(clock.clone())).around(guarded))
    };
    let server = move |clock: &Clock| ropewalk_protocol::seat(guard(clock).server());
    Hostile::against(server).request(&request).patience(secs(100)).kept(1 << 20).assert();

    let refused = head("POST /x HTTP/1.1", &[&basic("a:b"), "Content-Length: 5"]);
    let sent = head("POST /y HTTP/1.1", &[&login, "Content-Length: 5"]);
    let last = head("GET /z HTTP/1.1", &["Connection: close"]);
    let requests = [&request[..], &refused, b"hello", &sent, b"again", &last].concat();
    let answer = chunked(&requests, || crate::client::site(guarded()).server());
    let count =
        |status: &[u8]| answer.sent.windows(status.len()).filter(|part| *part == status).count();
    assert_eq!((count(b"HTTP/1.1 200"), count(b"HTTP/1.1 401")), (2, 2));
}
