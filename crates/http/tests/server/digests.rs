//! Digest, as a server asks for it.

use ropewalk_auth::digest::{Algorithm, ha1, response, response_with_body};
use ropewalk_auth::{InMemory, Portal, ProvenPassword, Users};
use ropewalk_http::auth::{Digest, Guard, user};
use ropewalk_http::{Request, Site};
use ropewalk_trial::Clock;

use crate::client::{Answer, Client, get, head, secs};

/// A site behind Digest, and a client of it.
struct World {
    clock: Clock,
    site: Site,
    client: Client,
}

impl World {
    fn new() -> Self {
        Self::with(|digest| digest)
    }

    fn with(settings: impl FnOnce(Digest) -> Digest) -> Self {
        let clock = Clock::new();
        clock.advance(secs(1000));
        let users = InMemory::new().with("Mufasa", "Circle of Life").with("Jäsøn \"D\"", "sécret");
        let portal = Portal::new(Users).checker::<ProvenPassword>(users);
        let digest = settings(Digest::new("a realm", clock.clone()).expect("random bytes"));
        let who = |request: Request| user(&request).expect("nobody else comes through").to_string();
        let site = Site::new(Guard::new(portal).digest(digest).around(who));
        let client = Client::of(&site, &clock);
        Self { clock, site, client }
    }

    /// A nonce for an algorithm.
    fn nonce(&mut self, algorithm: Algorithm) -> String {
        nonce(&self.client.ask(get("/")), algorithm)
    }

    fn ask(&mut self, proof: &Proof) -> Answer {
        self.client.ask(head("GET /dir?q HTTP/1.1", &[&proof.field()]))
    }

    /// Whether the client is let in, or else whether it is only the nonce that is too old.
    #[track_caller]
    fn check(&mut self, proof: &Proof, expected: Outcome) {
        let answer = self.ask(proof);
        let challenges: Vec<_> = challenges(&answer).collect();
        let is_stale = challenges.iter().any(|challenge| challenge.contains("stale=true"));
        let outcome = match answer.status {
            200 => Outcome::In,
            401 if is_stale => Outcome::Stale,
            401 => Outcome::Out,
            status => panic!("{status}"),
        };
        assert_eq!(outcome, expected, "{}", proof.field());
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    In,
    Stale,
    Out,
}

fn challenges(answer: &Answer) -> impl Iterator<Item = &str> {
    let fields = answer.fields.iter().filter(|(name, _)| name == "www-authenticate");
    fields.map(|(_, value)| value.as_str())
}

fn nonce(answer: &Answer, algorithm: Algorithm) -> String {
    assert_eq!(answer.status, 401);
    let of = format!("algorithm={algorithm}, nonce=\"");
    let found = challenges(answer).find_map(|challenge| challenge.split(&of).nth(1));
    found.and_then(|rest| rest.split('"').next()).expect("a nonce").to_owned()
}

/// What a client says.
#[derive(Clone)]
struct Proof {
    algorithm: Algorithm,
    username: String,
    shown: String,
    password: &'static str,
    realm: &'static str,
    nonce: String,
    count: u32,
    method: &'static str,
    uri: &'static str,
}

impl Proof {
    fn new(algorithm: Algorithm, nonce: String) -> Self {
        Self {
            algorithm,
            username: "Mufasa".to_owned(),
            shown: "username=\"Mufasa\"".to_owned(),
            password: "Circle of Life",
            realm: "a realm",
            nonce,
            count: 1,
            method: "GET",
            uri: "/dir?q",
        }
    }

    fn count(&self, count: u32) -> Self {
        Self { count, ..self.clone() }
    }

    fn field(&self) -> String {
        let Self { algorithm, shown, realm, nonce, uri, .. } = self;
        let hash = ha1(*algorithm, &self.username, realm, self.password);
        let count = format!("{:08x}", self.count);
        let made = response(*algorithm, &hash, nonce, Some((&count, "c")), self.method, uri);
        format!(
            "Authorization: Digest {shown}, realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             algorithm={algorithm}, qop=auth, nc={count}, cnonce=\"c\", response=\"{made}\""
        )
    }
}

#[test]
fn a_proof_is_taken_once() {
    let mut world = World::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        let proof = Proof::new(algorithm, world.nonce(algorithm));
        world.check(&proof, Outcome::In);
        world.check(&proof, Outcome::Stale);
        world.check(&proof.count(2), Outcome::In);
        // On other connections they overtake one another.
        world.check(&proof.count(9), Outcome::In);
        world.check(&proof.count(8), Outcome::In);
        world.check(&proof.count(8), Outcome::Stale);
        world.check(&proof.count(2), Outcome::Stale);
        world.check(&proof.count(200), Outcome::In);
        world.check(&proof.count(136), Outcome::Stale);
        world.check(&proof.count(137), Outcome::In);
        world.check(&proof.count(137), Outcome::Stale);
        world.check(&proof.count(u32::MAX), Outcome::In);
        world.check(&proof.count(u32::MAX), Outcome::Stale);
    }
}

#[test]
fn a_proof_is_about_its_request_alone() {
    let mut world = World::new();
    let good = Proof::new(Algorithm::Sha256, world.nonce(Algorithm::Sha256));
    let wrong = [
        Proof { password: "Circle of life", ..good.clone() },
        Proof { uri: "/dir?p", ..good.clone() },
        Proof { method: "POST", ..good.clone() },
        Proof { realm: "another", ..good.clone() },
        Proof { username: "mufasa".into(), shown: "username=\"mufasa\"".into(), ..good.clone() },
        Proof { username: "Scar".into(), shown: "username=\"Scar\"".into(), ..good.clone() },
        Proof { shown: "username=\"Scar\"".into(), ..good.clone() },
    ];
    for proof in wrong {
        world.check(&proof, Outcome::Out);
    }
    // A nonce is good for the algorithm with which it came.
    let weaker = Proof { algorithm: Algorithm::Md5, ..good.clone() };
    world.check(&weaker, Outcome::Stale);
    world.check(&good, Outcome::In);
    // What did not fit has used nothing up, and what is asked for may be named whole.
    let whole = Proof { uri: "http://a/dir?q", count: 2, ..good };
    let answer = world.client.ask(head("GET http://a/dir?q HTTP/1.1", &[&whole.field()]));
    assert_eq!((answer.status, answer.text()), (200, "Mufasa"));
}

#[test]
fn nonces_grow_old_and_nobody_else_makes_them() {
    let mut world = World::with(|digest| digest.nonce_lifetime(secs(60)));
    let proof = Proof::new(Algorithm::Md5, world.nonce(Algorithm::Md5));
    world.check(&proof, Outcome::In);
    world.clock.advance(secs(59));
    world.check(&proof.count(2), Outcome::In);
    world.clock.advance(secs(1));
    world.check(&proof.count(3), Outcome::Stale);
    // With the nonce that came with the news it goes on.
    let stale = world.ask(&proof.count(4));
    let proof = Proof::new(Algorithm::Md5, nonce(&stale, Algorithm::Md5));
    world.check(&proof, Outcome::In);
    let nonce = &proof.nonce;
    let tampered = [
        String::new(),
        "x".to_owned(),
        nonce[1..].to_owned(),
        format!("{nonce}A"),
        nonce.to_lowercase(),
    ];
    for nonce in tampered {
        world.check(&Proof { nonce, ..proof.count(5) }, Outcome::Stale);
    }
    let other = World::new().nonce(Algorithm::Md5);
    world.check(&Proof { nonce: other, ..proof }, Outcome::Stale);
}

#[test]
fn a_nonce_that_is_forgotten_cannot_be_replayed() {
    let mut world = World::with(|digest| digest.nonces_max(2));
    let mut proofs = Vec::new();
    for _ in 0..4 {
        world.clock.advance(secs(1));
        proofs.push(Proof::new(Algorithm::Md5, world.nonce(Algorithm::Md5)));
    }
    for proof in &proofs {
        world.check(proof, Outcome::In);
    }
    for (index, proof) in proofs.iter().enumerate() {
        world.check(proof, Outcome::Stale);
        let later = if index < 2 { Outcome::Stale } else { Outcome::In };
        world.check(&proof.count(2), later);
    }
}

#[test]
fn names_may_be_hashed_or_in_any_script() {
    let name = "Jäsøn \"D\"";
    for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
        let mut world = World::with(Digest::userhash);
        let answer = world.client.ask(get("/"));
        assert!(challenges(&answer).all(|challenge| challenge.ends_with(", userhash=true")));
        let proof = Proof::new(algorithm, nonce(&answer, algorithm));
        let named = |shown: String, count| Proof {
            username: name.to_owned(),
            shown,
            password: "sécret",
            ..proof.count(count)
        };
        let hash = algorithm.hash(&[name, "a realm"]);
        world.check(&named(format!("username=\"{hash}\", userhash=true"), 1), Outcome::In);
        world
            .check(&named("username*=UTF-8''J%C3%A4s%C3%B8n%20%22D%22".to_owned(), 2), Outcome::In);
        world.check(&named("username=\"Jäsøn \\\"D\\\"\"".to_owned(), 3), Outcome::In);
        world.check(&named(format!("username=\"{hash}\", userhash=false"), 4), Outcome::Out);
        let mut plain = World::new();
        let proof = Proof {
            nonce: plain.nonce(algorithm),
            ..named(format!("username=\"{hash}\", userhash=true"), 1)
        };
        plain.check(&proof, Outcome::Out);
    }
}

#[test]
fn only_what_is_offered_is_taken() {
    let mut world = World::with(|digest| digest.algorithms([Algorithm::Sha256]));
    let answer = world.client.ask(get("/"));
    assert_eq!(challenges(&answer).count(), 1);
    let nonce = nonce(&answer, Algorithm::Sha256);
    world.check(&Proof::new(Algorithm::Md5, nonce.clone()), Outcome::Out);
    world.check(&Proof::new(Algorithm::Sha256, nonce), Outcome::In);
}

#[test]
fn our_own_client_is_let_in() {
    lets_our_client_in(&World::new(), "", "auth");
    lets_our_client_in(&World::with(|digest| digest.integrity(10)), "", "auth");
    lets_our_client_in(&World::with(|digest| digest.integrity(10)), "hello", "auth-int");
}

/// Our client is let in with this body, and proves what `qop` names.
#[track_caller]
fn lets_our_client_in(world: &World, body: &'static str, qop: &str) {
    use ropewalk_http::{Agent, Credentials, Origin};
    use ropewalk_protocol::Seat;
    use std::cell::RefCell;
    use std::rc::Rc;

    let dialled: Rc<RefCell<Vec<Box<dyn Seat>>>> = Rc::default();
    let asked = Rc::clone(&dialled);
    let dial = move |_: &Origin, seat: Box<dyn Seat>| asked.borrow_mut().push(seat);
    let agent = Agent::new(dial, world.clock.clone());
    let login = Credentials::digest("Jäsøn \"D\"", "sécret");
    let ask = || {
        let answer = agent.put("http://a/dir?q", body).credentials(login.clone()).send();
        answer.add_callback(ropewalk_http::Answer::text)
    };
    let mut answer = ask();
    let seat = dialled.borrow_mut().pop().expect("a connection is wanted");
    let mut client = ropewalk_trial::Memory::take_seat(seat, &world.clock);
    let mut server = ropewalk_trial::Memory::seat(world.site.server(), &world.clock);
    let mut requests = 0;
    for round in 0..2 {
        client.run();
        loop {
            let request = client.take_sent();
            if request.is_empty() {
                break;
            }
            requests += 1;
            let proved = str::from_utf8(&request).expect("text");
            assert!(requests == 1 || proved.contains(&format!(" qop={qop}, ")), "{proved}");
            server.push(&request);
            client.push(&server.take_sent());
        }
        let text = answer.now_or_never().expect("it is over").expect("it went well");
        assert_eq!(text, "Jäsøn \"D\"");
        let expected = [2, 3][round];
        assert_eq!(requests, expected, "asked once, the client knows the nonce");
        answer = ask();
    }
}

/// A proof that covers the body.
fn covering(nonce: &str, covered: &[u8]) -> String {
    let algorithm = Algorithm::Sha256;
    let hash = ha1(algorithm, "Mufasa", "a realm", "Circle of Life");
    let body = algorithm.hash_bytes(covered);
    let parts = ["POST", "/dir?q", body.as_str()];
    let made = response_with_body(algorithm, &hash, nonce, ("00000001", "c"), parts);
    format!(
        "Authorization: Digest username=\"Mufasa\", realm=\"a realm\", nonce=\"{nonce}\", uri=\"/dir?q\", \
         algorithm=SHA-256, qop=auth-int, nc=00000001, cnonce=\"c\", response=\"{made}\""
    )
}

#[test]
fn a_proof_may_cover_the_body() {
    let count = |request: Request| {
        let who = user(&request).expect("nobody else comes through").to_string();
        request.into_body().collect(100).map(move |body| format!("{who} {}", body.len()))
    };
    let (is_offered, is_not) = (Some(10), None);
    for (offered, covered, sent, status) in [
        (is_offered, &b"hello"[..], &b"hello"[..], 200),
        (is_offered, b"", b"", 200),
        (is_offered, b"hello", b"hullo", 401),
        (is_offered, b"", b"hello", 401),
        (is_offered, b"0123456789", b"0123456789", 200),
        (is_offered, b"01234567890", b"01234567890", 413),
        (is_not, b"hello", b"hello", 401),
    ] {
        let clock = Clock::new();
        let users = InMemory::new().with("Mufasa", "Circle of Life");
        let portal = Portal::new(Users).checker::<ProvenPassword>(users);
        let digest = Digest::new("a realm", clock.clone()).expect("random bytes");
        let digest = match offered {
            Some(body_max) => digest.integrity(body_max),
            None => digest,
        };
        let site = Site::new(Guard::new(portal).digest(digest).around(count));
        let mut client = Client::of(&site, &clock);
        let challenged = client.ask(get("/"));
        let qops = challenges(&challenged).filter(|each| each.contains("auth-int")).count();
        assert_eq!(qops > 0, offered.is_some());
        let field = covering(&nonce(&challenged, Algorithm::Sha256), covered);
        let length = format!("Content-Length: {}", sent.len());
        client.send(head("POST /dir?q HTTP/1.1", &[&field, &length]));
        for byte in sent {
            client.memory.push(&[*byte]);
        }
        client.memory.run();
        let answer = client.answer();
        assert_eq!(answer.status, status, "{}", sent.escape_ascii());
        if status == 200 {
            assert_eq!(answer.text(), format!("Mufasa {}", sent.len()));
        }
    }
}

#[test]
fn what_a_server_has_given_comes_back_or_is_another_servers() {
    let mut world = World::new();
    let answer = world.client.ask(get("/"));
    let challenge = challenges(&answer).next().expect("a challenge").to_owned();
    let opaque = challenge.split("opaque=\"").nth(1).and_then(|rest| rest.split('"').next());
    let opaque = opaque.expect("a challenge has it").to_owned();
    for (number, (given, status)) in
        [(Some(opaque.as_str()), 200), (None, 200), (Some("other"), 401)].into_iter().enumerate()
    {
        let nonce = nonce(&answer, Algorithm::Sha256);
        let field = Proof::new(Algorithm::Sha256, nonce).count(number as u32 + 1).field();
        let field = match given {
            Some(given) => format!("{field}, opaque=\"{given}\""),
            None => field,
        };
        assert_eq!(
            world.client.ask(head("GET /dir?q HTTP/1.1", &[&field])).status,
            status,
            "{given:?}"
        );
    }
}
