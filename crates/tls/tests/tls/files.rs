//! Identities in files that change under a server.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use ropewalk_deferred::Deferred;
use ropewalk_tls::{
    FOLLOWED_RELOAD_EVERY, FollowFiles, Followed, FollowedFolder, Following, Identities, Identity,
    IdentityError, IdentityFiles, Policy, RELOAD_EVERY, SETTLES_WITHIN, TlsClient, TlsServer,
    Watch,
};
use ropewalk_trial::{Clock, LaterThreads};

use crate::common::{Authority, Talk, Wanted, wire};

/// A folder that is gone when the test is.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ropewalk-tls-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// As careful programs do it: another file in its place.
    fn replace(&self, name: &str, content: &str) {
        self.write("new", content);
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate and its key in PEM form.
struct Pem {
    chain: String,
    key: String,
    own: Vec<u8>,
}

fn pem(authority: &Authority, wanted: &Wanted) -> Pem {
    let key = KeyPair::generate().unwrap();
    let (chain, _) = authority.parts(wanted, &key);
    let text = |der: &Vec<u8>| pem_of("CERTIFICATE", der);
    Pem { chain: chain.iter().map(text).collect(), key: key.serialize_pem(), own: chain[0].clone() }
}

pub(crate) fn pem_of(kind: &str, der: &[u8]) -> String {
    use std::fmt::Write as _;
    // By hand, for want of anything that writes it: 48 bytes make a line.
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {kind}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (3 - three.len()));
            for place in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize] as char;
                text.push(if place <= three.len() { letter } else { '=' });
            }
        }
        text.push('\n');
    }
    writeln!(text, "-----END {kind}-----").unwrap();
    text
}

struct Kit {
    authority: Rc<Authority>,
    identities: Identities,
    clock: Clock,
    threads: LaterThreads,
}

impl Kit {
    fn new() -> Self {
        Self {
            authority: Rc::new(Authority::new()),
            identities: Identities::new(Policy::new()).unwrap(),
            clock: Clock::new(),
            threads: LaterThreads::new(),
        }
    }

    fn watch(&self, files: &IdentityFiles) -> Result<Watch, ropewalk_deferred::Failure> {
        let (clock, threads) = (Rc::new(self.clock.clone()), Rc::new(self.threads.clone()));
        let watch = self.identities.watch(files, RELOAD_EVERY, clock, threads);
        self.threads.do_all();
        watch.now_or_never().unwrap()
    }

    fn watch_with(
        &self,
        files: &IdentityFiles,
        tells: &Rc<Tells>,
    ) -> Result<Watch, ropewalk_deferred::Failure> {
        let (clock, threads) = (Rc::new(self.clock.clone()), Rc::new(self.threads.clone()));
        let tells = Rc::clone(tells) as Rc<dyn FollowFiles>;
        let watch = self.identities.watch_with(files, RELOAD_EVERY, clock, threads, Some(tells));
        // What changed before anybody would have told of it is looked for.
        assert_eq!(self.threads.do_all(), 2);
        watch.now_or_never().unwrap()
    }

    /// Lets the files be looked at.
    fn look(&self) {
        self.clock.advance(RELOAD_EVERY);
        assert_eq!(self.threads.do_all(), 1, "they are looked at elsewhere");
    }

    /// The certificate that a client is shown.
    #[track_caller]
    fn shown(&self, name: &str) -> Vec<u8> {
        let client = TlsClient::new(&self.authority.trust()).unwrap();
        let (ask, asked) = Talk::saying("ping");
        let ask = (client.layer(name).unwrap(), ask.until(4));
        wire(ask, (TlsServer::new(&self.identities).layer(), Talk::echo().0)).run();
        let asked = asked.borrow();
        let tls = asked.tls.as_ref().unwrap_or_else(|| panic!("{:?}", asked.cause));
        tls.peer_chain[0].clone()
    }
}

#[test]
fn files_are_followed_however_they_change() {
    let (kit, folder) = (Kit::new(), Folder::new("follow"));
    let wanted = Wanted::named("localhost");
    let generation = || pem(&kit.authority, &wanted);
    let first = generation();
    folder.write("chain.pem", &first.chain);
    folder.write("key.pem", &first.key);
    let files = IdentityFiles::new(folder.path("chain.pem"), folder.path("key.pem"));
    let watch = kit.watch(&files).unwrap();
    assert_eq!(kit.shown("localhost"), first.own);
    // The day of its making may have been over meanwhile.
    assert!((89..=90).contains(&watch.days_left()));

    // Nothing changed.
    kit.look();
    assert_eq!(kit.shown("localhost"), first.own);

    // The certificate without its key is not used; with it, it is.
    let second = generation();
    folder.replace("chain.pem", &second.chain);
    kit.look();
    assert_eq!(kit.shown("localhost"), first.own, "never halves of two");
    folder.replace("key.pem", &second.key);
    kit.look();
    assert_eq!(kit.shown("localhost"), second.own);

    // The key first, and both written in place.
    let third = generation();
    folder.write("key.pem", &third.key);
    kit.look();
    assert_eq!(kit.shown("localhost"), second.own);
    folder.write("chain.pem", &third.chain[..third.chain.len() / 2]);
    kit.look();
    assert_eq!(kit.shown("localhost"), second.own, "half a file is none");
    folder.write("chain.pem", &third.chain);
    kit.look();
    assert_eq!(kit.shown("localhost"), third.own);

    // What is of no use stays out: gone, over, not yet.
    fs::remove_file(folder.path("key.pem")).unwrap();
    kit.look();
    for days in [(-30, -3), (3, 30)] {
        let bad = pem(&kit.authority, &Wanted { days, ..Wanted::named("localhost") });
        folder.write("chain.pem", &bad.chain);
        folder.write("key.pem", &bad.key);
        kit.look();
        assert_eq!(kit.shown("localhost"), third.own);
    }

    let fourth = generation();
    folder.replace("chain.pem", &fourth.chain);
    folder.replace("key.pem", &fourth.key);
    watch.look();
    kit.threads.do_all();
    assert_eq!(kit.shown("localhost"), fourth.own, "at once, if asked to");
    watch.stop();
    folder.replace("chain.pem", &third.chain);
    folder.replace("key.pem", &third.key);
    kit.clock.advance(RELOAD_EVERY * 3);
    assert_eq!(kit.threads.do_all(), 0);
}

/// Where changes were to be told of, and to whom.
type Asked = (Vec<FollowedFolder>, Rc<dyn Fn(Followed)>);

/// Tells of changes when the test says so.
#[derive(Default)]
struct Tells {
    asked: RefCell<Vec<Asked>>,
    ended: Rc<Cell<usize>>,
    fails: Cell<bool>,
}

impl FollowFiles for Tells {
    fn follow(
        &self,
        folders: &[FollowedFolder],
        told: Rc<dyn Fn(Followed)>,
    ) -> Deferred<Following> {
        if self.fails.get() {
            return Deferred::fail(std::io::Error::other("no more of these"));
        }
        self.asked.borrow_mut().push((folders.to_vec(), told));
        let ended = Rc::clone(&self.ended);
        Deferred::succeed(Following::new(move || ended.set(ended.get() + 1)))
    }
}

impl Tells {
    fn tell(&self, what: Followed) {
        let told = self.asked.borrow().last().map(|(_, told)| Rc::clone(told));
        told.unwrap()(what);
    }

    /// How often it was asked, and how often that was ended.
    fn counts(&self) -> (usize, usize) {
        (self.asked.borrow().len(), self.ended.get())
    }
}

#[test]
fn files_are_looked_at_as_soon_as_somebody_tells_of_a_change() {
    let (kit, folder) = (Kit::new(), Folder::new("told"));
    let generations: Vec<_> =
        (0..4).map(|_| pem(&kit.authority, &Wanted::named("localhost"))).collect();
    let write = |generation: &Pem| {
        folder.replace("all.pem", &format!("{}{}", generation.chain, generation.key));
    };
    write(&generations[0]);
    let files = IdentityFiles::new(folder.path("all.pem"), folder.path("all.pem"));
    let tells = Rc::new(Tells::default());
    let watch = kit.watch_with(&files, &tells).unwrap();
    assert!(watch.is_told());
    {
        let asked = tells.asked.borrow();
        let names = asked[0].0[0].names.as_ref().unwrap();
        let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names, ["all.pem", "all.pem.ocsp"]);
    }
    // However much happens at once, it is looked at once, when it has settled; and seldom besides.
    write(&generations[1]);
    for _ in 0..5 {
        tells.tell(Followed::Changed);
    }
    assert_eq!(kit.threads.do_all(), 0);
    kit.clock.advance(SETTLES_WITHIN);
    assert_eq!(kit.threads.do_all(), 1);
    assert_eq!(kit.shown("localhost"), generations[1].own);
    kit.clock.advance(FOLLOWED_RELOAD_EVERY / 2);
    assert_eq!(kit.threads.do_all(), 0);
    kit.clock.advance(FOLLOWED_RELOAD_EVERY / 2);
    assert_eq!(kit.threads.do_all(), 1);

    // What is told while it is looked at is looked at after that.
    write(&generations[2]);
    watch.look();
    tells.tell(Followed::Changed);
    watch.look();
    assert_eq!(kit.threads.do_all(), 1);
    kit.clock.advance(SETTLES_WITHIN);
    assert_eq!(kit.threads.do_all(), 1);
    assert_eq!(kit.threads.do_all(), 0);
    assert_eq!(tells.counts(), (1, 0), "the places are the same");

    // Nobody tells any more: it is begun anew, or goes by the clock as without it.
    tells.tell(Followed::Lost);
    kit.clock.advance(SETTLES_WITHIN);
    assert_eq!(kit.threads.do_all(), 2);
    assert_eq!((tells.counts(), watch.is_told()), ((2, 1), true));
    tells.fails.set(true);
    tells.tell(Followed::Lost);
    kit.clock.advance(SETTLES_WITHIN);
    assert_eq!(kit.threads.do_all(), 1);
    assert_eq!((tells.counts(), watch.is_told()), ((2, 2), false));
    write(&generations[3]);
    kit.look();
    assert_eq!(kit.shown("localhost"), generations[3].own);
    tells.fails.set(false);
    kit.clock.advance(RELOAD_EVERY);
    assert_eq!(kit.threads.do_all(), 2);
    assert!(watch.is_told(), "each look tries it again");
    watch.stop();
    assert_eq!(tells.counts(), (3, 3));
    tells.tell(Followed::Changed);
    kit.clock.advance(FOLLOWED_RELOAD_EVERY * 2);
    assert_eq!((kit.threads.do_all(), tells.counts()), (0, (3, 3)));
}

#[cfg(unix)]
#[test]
fn links_are_followed_to_where_they_lead_now() {
    use std::os::unix::fs::symlink;
    let (kit, folder) = (Kit::new(), Folder::new("links"));
    let write = |version: &str| {
        let pem = pem(&kit.authority, &Wanted::named("localhost"));
        fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/tls.pem"), &pem.chain);
        folder.write(&format!("{version}/tls.key"), &pem.key);
        pem
    };
    let first = write("..1");
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/tls.pem", folder.path("tls.pem")).unwrap();
    symlink("..data/tls.key", folder.path("tls.key")).unwrap();
    let files = IdentityFiles::new(folder.path("tls.pem"), folder.path("tls.key"));
    let _watch = kit.watch(&files).unwrap();
    assert_eq!(kit.shown("localhost"), first.own);
    let second = write("..2");
    symlink("..2", folder.path("new")).unwrap();
    fs::rename(folder.path("new"), folder.path("..data")).unwrap();
    kit.look();
    assert_eq!(kit.shown("localhost"), second.own);
}

#[test]
fn a_folder_is_sorted_out() {
    let (kit, folder) = (Kit::new(), Folder::new("folder"));
    let deputy = kit.authority.deputy("A deputy");
    // A chain in one file, and a certificate whose key and issuer stand elsewhere.
    let whole = pem(&kit.authority, &Wanted::named("whole.example"));
    folder.write("b.pem", &format!("{}{}", whole.key, whole.chain));
    let parts = pem(&deputy, &Wanted::named("*.parts.example"));
    let leaf = parts.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    fs::create_dir(folder.path("more")).unwrap();
    folder.write("more/leaf.pem", leaf);
    folder.write("more/key.pem", &parts.key);
    folder.write("issuers.pem", &format!("{}{}", deputy.pem, kit.authority.pem));
    folder.write("more/notes.txt", "not read");
    let expired =
        pem(&kit.authority, &Wanted { days: (-30, -3), ..Wanted::named("whole.example") });
    folder.write("old.pem", &format!("{}{}", expired.chain, expired.key));
    let files = IdentityFiles::folder(folder.path(""));
    let loaded = files.load().unwrap();
    let names: Vec<_> = loaded.iter().map(Identity::names).collect();
    assert_eq!(names, [["whole.example"], ["*.parts.example"]]);
    let lengths: Vec<_> = loaded.iter().map(|identity| identity.chain().count()).collect();
    assert_eq!(lengths, [1, 2], "a root is not sent");

    let watch = kit.watch(&files).unwrap();
    assert_eq!(kit.shown("whole.example"), whole.own);
    assert_eq!(kit.shown("a.parts.example"), parts.own);
    // A file comes, one goes.
    let new = pem(&kit.authority, &Wanted::named("new.example"));
    folder.write("a.pem", &format!("{}{}", new.chain, new.key));
    fs::remove_file(folder.path("b.pem")).unwrap();
    kit.look();
    assert_eq!(kit.shown("new.example"), new.own);
    assert_eq!(kit.identities.len(), 2);
    // One broken file, and all stays.
    folder.write("c.pem", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n");
    fs::remove_file(folder.path("a.pem")).unwrap();
    kit.look();
    assert_eq!(kit.shown("new.example"), new.own);
    drop(watch);
    kit.look();
}

#[test]
fn what_cannot_be_used_from_the_start_is_not_followed() {
    let (kit, folder) = (Kit::new(), Folder::new("start"));
    let missing = IdentityFiles::new(folder.path("a.pem"), folder.path("b.pem"));
    let failure = kit.watch(&missing).unwrap_err();
    let error = failure.check::<IdentityError>().unwrap();
    assert!(matches!(error, IdentityError::File(path, _) if *path == folder.path("a.pem")));
    let empty = IdentityFiles::folder(folder.path(""));
    assert!(matches!(empty.load(), Err(IdentityError::NoCertificate(_))));
    folder.write("big.pem", &" ".repeat(ropewalk_tls::PEM_MAX + 1));
    assert!(matches!(empty.load(), Err(IdentityError::TooLarge(..))));
    folder.write("big.pem", &" ".repeat(ropewalk_tls::PEM_MAX));
    assert!(matches!(empty.load(), Err(IdentityError::NoCertificate(_))));
    kit.clock.advance(Duration::from_hours(1));
    assert_eq!(kit.threads.pending(), 0);
}

#[test]
fn an_ocsp_answer_beside_the_certificate_is_shown() {
    let (kit, folder) = (Kit::new(), Folder::new("ocsp"));
    let pem = pem(&kit.authority, &Wanted::named("localhost"));
    folder.write("all.pem", &format!("{}{}", pem.chain, pem.key));
    folder.write("all.pem.ocsp", "what the responder said");
    let path: &Path = &folder.path("all.pem");
    for files in [IdentityFiles::new(path, path), IdentityFiles::folder(folder.path(""))] {
        let identities = Identities::new(Policy::new()).unwrap();
        identities.add_all(&files.load().unwrap()).unwrap();
        assert_eq!(
            crate::certificates::ocsp_shown(&kit.authority, &identities),
            b"what the responder said"
        );
    }
}

#[test]
fn ten_thousand_rotations_break_no_handshake() {
    const ROTATIONS: usize = 10_000;
    let authority = Authority::new();
    let identities = Identities::new(Policy::new()).unwrap();
    let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let generations: Vec<_> = (0..8)
        .map(|_| authority.issue(&Wanted { usages: usages.clone(), ..Wanted::named("localhost") }))
        .collect();
    let source = identities.add(&generations[0]).unwrap();
    let server = TlsServer::new(&identities);
    let client = TlsClient::new(&authority.trust()).unwrap();
    let done = Cell::new(0_usize);
    let mut rotations = 0;
    // A rotation between any two steps of a handshake, of which one in eight is a whole one.
    while rotations < ROTATIONS {
        let client = if done.get().is_multiple_of(8) {
            client.clone().without_resumption()
        } else {
            client.clone()
        };
        let (ask, asked) = Talk::saying("ping");
        let clock = Clock::new();
        let mut ask = crate::common::on(&clock, client.layer("localhost").unwrap(), ask.until(4));
        let mut answer = crate::common::on(&clock, server.layer(), Talk::echo().0);
        while ask.ended().is_none() {
            rotations += 1;
            identities.replace(source, &generations[rotations % 8..=rotations % 8]).unwrap();
            let (to_answer, to_ask) = (ask.take_sent(), answer.take_sent());
            assert!(!(to_answer.is_empty() && to_ask.is_empty()), "stuck after {rotations}");
            answer.push(&to_answer);
            ask.push(&to_ask);
        }
        assert_eq!(asked.borrow().heard, b"ping", "after {rotations} rotations");
        done.set(done.get() + 1);
    }
    assert!(done.get() > ROTATIONS / 8, "{} handshakes", done.get());
}

#[test]
fn key_and_certificate_are_never_of_two_generations() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    const GENERATIONS: usize = 4;
    let authority = Rc::new(Authority::new());
    let wanted = Wanted::named("localhost");
    let all: Vec<Pem> = (0..GENERATIONS).map(|_| pem(&authority, &wanted)).collect();
    // What is written, which generation of it, how, and whether the files are looked at behind it.
    let step = (any::<bool>(), 0..GENERATIONS, any::<bool>(), any::<bool>());
    let config = Config { cases: 32, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&proptest::collection::vec(step, 1..24), |steps| {
        let folder = Folder::new("generations");
        let kit = Kit { authority: Rc::clone(&authority), ..Kit::new() };
        let mut stored = (0, 0);
        let mut in_use = 0;
        folder.write("chain.pem", &all[0].chain);
        folder.write("key.pem", &all[0].key);
        let files = IdentityFiles::new(folder.path("chain.pem"), folder.path("key.pem"));
        let _watch = kit.watch(&files).unwrap();
        for (is_key, generation, in_place, looks) in steps {
            let (name, text) = if is_key {
                stored.1 = generation;
                ("key.pem", &all[generation].key)
            } else {
                stored.0 = generation;
                ("chain.pem", &all[generation].chain)
            };
            if in_place {
                folder.write(name, text);
            } else {
                folder.replace(name, text);
            }
            if looks {
                kit.look();
                if stored.0 == stored.1 {
                    in_use = stored.0;
                }
                // The handshake proves that the key is this certificate's.
                prop_assert_eq!(kit.shown("localhost"), &all[in_use].own[..]);
            }
        }
        Ok(())
    });
    outcome.unwrap();
}
