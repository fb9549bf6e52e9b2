//! Who looks at credentials.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_auth::digest::{Algorithm, DigestProof, Username, ha1, response, session_ha1};
use ropewalk_auth::{
    Apop, AvatarId, Checker, CramMd5, InMemory, KeyTooShort, Keys, LoginError, PasswordProof,
    Passwords, PlainPasswords, ProvenPassword, Threaded, UsernamePassword, challenge, same_secret,
};
use ropewalk_deferred::Failure;
use ropewalk_trial::LaterThreads;

use crate::{refusal, value};

/// A proof that somebody who knows `password` makes for the nonce `n`.
fn digest(algorithm: Algorithm, username: Username, name: &str, password: &str) -> DigestProof {
    let hash = ha1(algorithm, name, "r", password);
    DigestProof {
        algorithm,
        username,
        realm: "r".into(),
        nonce: "n".into(),
        count: "00000001".into(),
        cnonce: "c".into(),
        method: "GET".into(),
        uri: "/x".into(),
        body: None,
        response: response(algorithm, &hash, "n", Some(("00000001", "c")), "GET", "/x"),
    }
}

fn plain(name: &str) -> Username {
    Username::Plain(name.into())
}

fn hashed(algorithm: Algorithm, name: &str) -> Username {
    Username::Hashed { algorithm, realm: "r".into(), hash: algorithm.hash(&[name, "r"]) }
}

#[test]
fn memory_takes_passwords_and_proofs() {
    let users = InMemory::new().with("alice", "rabbit").with("bob", "hare");
    let check = |proof: ProvenPassword| Checker::<ProvenPassword>::check(&users, proof);
    let alice = AvatarId::user("alice");
    for algorithm in [Algorithm::Md5, Algorithm::Sha256] {
        let right = digest(algorithm, plain("alice"), "alice", "rabbit");
        assert_eq!(value(check(ProvenPassword::new(right))), alice);
        let right = digest(algorithm, hashed(algorithm, "alice"), "alice", "rabbit");
        assert_eq!(value(check(ProvenPassword::new(right))), alice, "her name is not told");
        let wrong = digest(algorithm, plain("alice"), "alice", "hare");
        assert_eq!(refusal(check(ProvenPassword::new(wrong))), LoginError::Unauthorized);
        let another = digest(algorithm, plain("bob"), "alice", "rabbit");
        assert_eq!(refusal(check(ProvenPassword::new(another))), LoginError::Unauthorized);
        let nobody = digest(algorithm, plain("eve"), "eve", "");
        assert_eq!(refusal(check(ProvenPassword::new(nobody))), LoginError::Unauthorized);
    }
    let asked = challenge("example.net").expect("random bytes");
    let cram = CramMd5::read(&asked, &CramMd5::answer(&asked, "alice", "rabbit")).expect("a proof");
    assert_eq!(value(check(ProvenPassword::new(cram.clone()))), alice);
    let replayed = CramMd5::read("<another>", &CramMd5::answer(&asked, "alice", "rabbit"));
    let replayed = replayed.expect("of the right form");
    assert_eq!(refusal(check(ProvenPassword::new(replayed))), LoginError::Unauthorized);
    let apop = Apop::read(&asked, &Apop::answer(&asked, "bob", "hare")).expect("a proof");
    assert_eq!(value(check(ProvenPassword::new(apop))), AvatarId::user("bob"));
    assert!(!cram.fits_digest_hash(&ha1(Algorithm::Md5, "alice", "r", "rabbit")));
    let with = |shown: &str| {
        Checker::<UsernamePassword>::check(&users, UsernamePassword::new("alice", shown))
    };
    assert_eq!(value(with("rabbit")), alice);
    assert_eq!(refusal(with("Rabbit")), LoginError::Unauthorized);
}

#[test]
fn challenges_are_answered_in_their_form_alone() {
    let digits = "0123456789abcdef0123456789ABCDEF";
    assert!(CramMd5::read("<1>", &format!("two words {digits}")).is_some());
    for wrong in ["", "alice", "alice ", &digits[1..], &format!("alice {}", &digits[1..])] {
        assert!(CramMd5::read("<1>", wrong).is_none(), "{wrong:?}");
        assert!(Apop::read("<1>", wrong).is_none(), "{wrong:?}");
    }
    assert_ne!(challenge("a"), challenge("a"));
}

#[test]
fn digest_is_as_its_document_has_it() {
    // The example of RFC 7616 3.9.1, without its quotes.
    let (nonce, cnonce) = (
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    );
    for (algorithm, expected) in [
        (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
        (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ] {
        let hash = ha1(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life");
        let counted = Some(("00000001", cnonce));
        let made = response(algorithm, &hash, nonce, counted, "GET", "/dir/index.html");
        assert_eq!(made, expected, "{algorithm}");
        assert_eq!(Algorithm::named(&algorithm.name().to_lowercase()), Some(algorithm));
        assert_ne!(session_ha1(algorithm, &hash, nonce, cnonce), hash);
    }
    assert_eq!(Algorithm::named("SHA-512"), None);
}

#[test]
fn digest_hashes_are_as_good_as_passwords() {
    let proof = digest(Algorithm::Sha256, plain("alice"), "alice", "rabbit");
    assert!(proof.fits_digest_hash(&ha1(Algorithm::Sha256, "alice", "r", "rabbit")));
    assert!(!proof.fits_digest_hash(&ha1(Algorithm::Md5, "alice", "r", "rabbit")));
    assert!(!proof.fits_digest_hash(&ha1(Algorithm::Sha256, "alice", "other", "rabbit")));
}

/// Passwords that count how often they were asked.
struct Counting(Arc<AtomicUsize>);

impl Passwords for Counting {
    fn is_password(&self, username: &str, password: &str) -> Result<bool, Failure> {
        self.0.fetch_add(1, Ordering::Relaxed);
        match username {
            "broken" => Err(Failure::new("no database")),
            "panic" => panic!("this panic is part of the test"),
            _ => Ok(username == password),
        }
    }
}

impl PlainPasswords for Counting {
    fn find(&self, username: &Username) -> Result<Option<(Arc<str>, String)>, Failure> {
        Ok(username.is("alice").then(|| ("alice".into(), "rabbit".into())))
    }
}

fn same(name: &str) -> UsernamePassword {
    UsernamePassword::new(name, name)
}

#[test]
fn what_blocks_is_done_on_threads() {
    let (threads, count) = (LaterThreads::new(), Arc::new(AtomicUsize::new(0)));
    let checker = Threaded::new(Counting(Arc::clone(&count)), threads.clone());
    let check = |shown| Checker::<UsernamePassword>::check(&checker, shown);
    let (right, wrong) = (check(same("alice")), check(UsernamePassword::new("alice", "hare")));
    assert_eq!(count.load(Ordering::Relaxed), 0, "nothing is done on this thread");
    threads.do_all();
    assert_eq!(value(right), AvatarId::user("alice"));
    assert_eq!(refusal(wrong), LoginError::Unauthorized);
    for name in ["broken", "panic"] {
        let failed = check(same(name));
        threads.do_all();
        let failure = failed.now_or_never().expect("it is over").expect_err("it failed");
        assert!(failure.check::<LoginError>().is_none(), "{name}: {failure:?}");
    }
    let proof = digest(Algorithm::Md5, plain("alice"), "alice", "rabbit");
    let proven = Checker::<ProvenPassword>::check(&checker, ProvenPassword::new(proof));
    threads.do_all();
    assert_eq!(value(proven), AvatarId::user("alice"));
}

#[test]
fn a_few_checks_are_on_threads_and_a_few_wait() {
    let (threads, count) = (LaterThreads::new(), Arc::new(AtomicUsize::new(0)));
    let checker = Threaded::new(Counting(Arc::clone(&count)), threads.clone()).at_once(2, 3);
    let check = |name| Checker::<UsernamePassword>::check(&checker, same(name));
    let mut waiting: Vec<_> = ["a", "b", "c", "d", "e"].map(check).into();
    assert_eq!(threads.pending(), 2);
    assert_eq!(refusal(check("f")), LoginError::Busy);
    // Who hangs up leaves its turn to nobody before the thread is free again.
    drop(waiting.remove(0));
    assert_eq!(threads.pending(), 2);
    while threads.do_all() > 0 {}
    assert_eq!(waiting.into_iter().map(value).count(), 4);
    assert_eq!(count.load(Ordering::Relaxed), 5);
}

#[test]
fn keys_are_long_and_can_be_changed() {
    let keys = Keys::random().expect("random bytes");
    let signature = keys.sign(b"a", b"bc");
    assert_eq!(keys.verify(b"a", b"bc", &signature), Some(0));
    for (purpose, message) in [(&b"ab"[..], &b"c"[..]), (b"a", b"bd"), (b"", b"abc")] {
        assert_eq!(keys.verify(purpose, message, &signature), None);
    }
    assert_eq!(keys.verify(b"a", b"bc", &signature[..31]), None);
    assert_eq!(Keys::random().expect("random bytes").verify(b"a", b"bc", &signature), None);
    let error = Keys::from_bytes(&[0; 31]).expect_err("it is short");
    assert_eq!(error, KeyTooShort { length: 31 });
    assert!(error.to_string().contains("at least 32"), "{error}");
    // RFC 4231 4.4 with what this room puts before: the purpose and its length.
    let told = Keys::from_bytes(&[0xaa; 131]).expect("it is long enough");
    assert_ne!(
        told.sign(b"", b"x"),
        Keys::from_bytes(&[0xaa; 64]).expect("so is this").sign(b"", b"x")
    );
    assert!(same_secret(b"", b"") && !same_secret(b"", b"a"));
}

/// Nothing of what is secret is shown.
#[test]
fn secrets_are_not_printed() {
    let shown = Cell::new(String::new());
    let users = Rc::new(InMemory::new().with("alice", "rabbit"));
    shown.set(format!("{:?} {:?}", UsernamePassword::new("alice", "rabbit"), users));
    let shown = shown.take();
    assert!(shown.contains("alice") && !shown.contains("rabbit"), "{shown}");
}
