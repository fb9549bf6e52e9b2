//! Clients who come again, policies that depend on the name, and keys that are written down.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use ropewalk_protocol::{Disconnect, TlsAlert, TlsFault};
use ropewalk_tls::{Identities, Identity, Policy, TicketKeys, TlsClient, TlsServer, Trust};
use ropewalk_trial::{Clock, Memory, Wire};

use crate::common::{Authority, Talk, Wanted, on, wire};
use crate::files::Folder;
use crate::raw::{Raw, client_config, server_config};

/// A conversation; how many certificates the server was shown and whether a session was resumed, or
/// what the server ended it for.
fn converse(
    client: &TlsClient,
    name: &str,
    server: &TlsServer,
) -> Result<(usize, bool), Option<Disconnect>> {
    let (ask, asked) = Talk::saying("ping");
    let (answer, answered) = Talk::echo();
    wire((client.layer(name).unwrap(), ask.until(4)), (server.layer(), answer)).run();
    let (asked, answered) = (asked.borrow(), answered.borrow());
    let Some(tls) = &answered.tls else { return Err(answered.lost) };
    assert_eq!(asked.heard, b"ping");
    assert_eq!(asked.tls.as_ref().map(|tls| tls.resumed), Some(tls.resumed));
    Ok((tls.peer_chain.len(), tls.resumed))
}

#[test]
fn tickets_of_the_key_before_are_resumed_and_those_before_that_are_not() {
    let authority = Authority::new();
    let identities = Identities::new(Policy::new()).unwrap();
    identities.add(&authority.server("localhost")).unwrap();
    let strict = Policy::new().require_clients(authority.trust());
    identities.add_under("strict.example", &authority.server("strict.example"), strict).unwrap();
    let server = TlsServer::new(&identities);
    for name in ["localhost", "strict.example"] {
        // Each a client with a memory of its own.
        let client =
            || TlsClient::new(&authority.trust()).unwrap().identity(&authority.client("alice"));
        let resumed = |client: &TlsClient| converse(client, name, &server).unwrap().1;
        let (never, once, twice) = (client(), client(), client());
        for client in [&never, &once, &twice] {
            assert!(!resumed(client), "{name}: there is no session yet");
        }
        assert!(resumed(&never), "{name}: under the same key");
        identities.rotate_tickets().unwrap();
        assert!(resumed(&once), "{name}: under the key before");
        identities.rotate_tickets().unwrap();
        assert!(!resumed(&twice), "{name}: under a key that is forgotten");
        assert!(resumed(&twice), "{name}: it was given a new one");
        assert!(resumed(&once), "{name}: it was given one under the key before");
    }
}

#[test]
fn listeners_of_one_store_take_each_others_tickets_and_a_reload_keeps_them() {
    let authority = Authority::new();
    for policy in [Policy::new(), Policy::new().require_clients(authority.trust())] {
        let identities = Identities::new(policy).unwrap();
        let source = identities.add(&authority.server("localhost")).unwrap();
        let listeners = [TlsServer::new(&identities), TlsServer::new(&identities.clone())];
        let client =
            || TlsClient::new(&authority.trust()).unwrap().identity(&authority.client("alice"));
        let resumed = |client: &TlsClient, at: usize| {
            converse(client, "localhost", &listeners[at]).unwrap().1
        };
        let (here, there) = (client(), client());
        assert!(!resumed(&here, 0) && !resumed(&there, 1), "there is no session yet");
        assert!(resumed(&here, 1) && resumed(&there, 0), "of the other listener");
        identities.replace(source, &[authority.server("localhost")]).unwrap();
        assert!(resumed(&here, 0) && resumed(&there, 1), "under another certificate");
        identities.rotate_tickets().unwrap();
        identities.replace(source, &[authority.server("localhost")]).unwrap();
        assert!(resumed(&here, 1), "under another certificate and the key before");
        identities.rotate_tickets().unwrap();
        assert!(!resumed(&there, 0), "under a key that is forgotten");
    }
    // Two stores have nothing of each other's.
    let stores = [0, 1].map(|_| {
        let identities = Identities::new(Policy::new()).unwrap();
        identities.add(&authority.server("localhost")).unwrap();
        TlsServer::new(&identities)
    });
    let client = TlsClient::new(&authority.trust()).unwrap();
    for server in &stores {
        assert!(!converse(&client, "localhost", server).unwrap().1);
    }
}

/// A server with these keys of tickets.
fn keyed(keys: &TicketKeys, policy: Policy, identity: &Identity) -> TlsServer {
    let identities = Identities::with_tickets(policy, keys);
    identities.add(identity).unwrap();
    TlsServer::new(&identities)
}

#[test]
fn stores_that_share_keys_resume_what_began_with_the_other_under_the_same_rules() {
    /// What may go to other threads, as the keys may.
    fn sent<T: Send + Sync>(it: T) -> T {
        it
    }
    let authority = Authority::new();
    let identity = authority.server("localhost");
    let strangers = Authority::new();
    let trust = || authority.trust();
    let client = || TlsClient::new(&trust()).unwrap().identity(&authority.client("alice"));
    let secret = [7; 32];
    for (keys, same) in [
        TicketKeys::new().map(|keys| (keys.clone(), sent(keys))),
        TicketKeys::from_secret(&secret)
            .and_then(|keys| Ok((keys, TicketKeys::from_secret(&secret)?))),
    ]
    .map(Result::unwrap)
    {
        let open = Policy::new();
        let strict = Policy::new().require_clients(trust());
        let named = strict.clone().clients_named(["alice"]);
        for (shown, policy) in [(0, &open), (1, &strict), (1, &named)] {
            let here = client();
            let at = |keys, policy: &Policy| {
                converse(&here, "localhost", &keyed(keys, policy.clone(), &identity))
            };
            assert_eq!(at(&keys, policy), Ok((shown, false)), "there is no session yet");
            assert_eq!(at(&same, policy), Ok((shown, true)), "of the other store");
            assert_eq!(at(&keys, policy), Ok((shown, true)), "and back");
        }
        // Nobody comes by a ticket of other rules.
        let begin = |policy: &Policy, then: &Policy| {
            let here = client();
            let at = |keys, policy: &Policy| {
                converse(&here, "localhost", &keyed(keys, policy.clone(), &identity))
            };
            assert!(!at(&keys, policy).unwrap().1);
            at(&same, then).unwrap().1
        };
        let wider = Policy::new()
            .require_clients(Trust::from_der([&authority.der[..], &strangers.der[..]]).unwrap());
        let optional = Policy::new().ask_clients(trust());
        for (policy, then) in [
            (&open, &strict),
            (&strict, &open),
            (&optional, &strict),
            (&strict, &named),
            (&wider, &strict),
        ] {
            assert!(!begin(policy, then), "{policy:?} and then {then:?}");
        }
    }
}

#[test]
fn each_name_has_its_own_rules_for_clients() {
    let authority = Authority::new();
    let (friends, strangers) = (Authority::new(), Authority::new());
    let identities = Identities::new(Policy::new()).unwrap();
    for (name, policy) in [
        ("none.example", Policy::new()),
        ("optional.example", Policy::new().ask_clients(friends.trust())),
        ("required.example", Policy::new().require_clients(friends.trust())),
        (
            "*.named.example",
            Policy::new().require_clients(friends.trust()).clients_named(["alice"]),
        ),
    ] {
        let identity = authority.server(&name.replace('*', "any"));
        identities.add_under(name, &identity, policy).unwrap();
    }
    let server = TlsServer::new(&identities);
    let nobody = || TlsClient::new(&authority.trust()).unwrap();
    let nobody_else = || nobody().without_resumption();
    let alice = nobody().identity(&friends.client("alice"));
    let bob = nobody().identity(&friends.client("bob"));
    let mallory = nobody().identity(&strangers.client("alice"));
    let refused = |alert| Err(Some(Disconnect::Tls(TlsFault::Refused(alert))));
    let (missing, unknown, wrong) = (
        refused(TlsAlert::CERTIFICATE_REQUIRED),
        refused(TlsAlert::UNKNOWN_CA),
        refused(TlsAlert::CERTIFICATE_UNKNOWN),
    );
    for (name, of_nobody, of_alice, of_bob, of_mallory) in [
        ("none.example", Ok(0), Ok(0), Ok(0), Ok(0)),
        ("optional.example", Ok(0), Ok(1), Ok(1), unknown),
        ("required.example", missing, Ok(1), Ok(1), unknown),
        ("any.named.example", missing, Ok(1), wrong, unknown),
    ] {
        let ask = |client: &TlsClient| converse(client, name, &server).map(|(shown, _)| shown);
        assert_eq!(ask(&nobody_else()), of_nobody, "{name}: nobody");
        assert_eq!(ask(&alice), of_alice, "{name}: alice");
        assert_eq!(ask(&bob), of_bob, "{name}: bob");
        assert_eq!(ask(&mallory), of_mallory, "{name}: mallory");
    }
}

/// Keeps the lines that a key log would have.
#[derive(Debug, Default)]
struct Heard(Mutex<BTreeSet<String>>);

impl rustls::KeyLog for Heard {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                write!(text, "{byte:02x}").unwrap();
                text
            })
        };
        let line = format!("{label} {} {}", hex(client_random), hex(secret));
        self.0.lock().unwrap().insert(line);
    }
}

/// Talks in both roles with the library's own peers, who keep the keys too; tells what those have.
fn keys_of_our_peers(logs: bool) -> BTreeSet<String> {
    let heard = Arc::new(Heard::default());
    let authority = Authority::new();
    let clock = Clock::new();

    let policy = if logs { Policy::new().log_keys() } else { Policy::new() };
    let server = crate::common::serving(&authority.server("localhost"), policy);
    let mut config = client_config(&authority.der, None);
    config.key_log = Arc::<Heard>::clone(&heard);
    let (answer, answered) = Talk::echo();
    let client = Memory::seat(Raw::client(config).saying(b"ping"), &clock);
    Wire::of(&clock, client, on(&clock, server.layer(), answer)).run();
    assert_eq!(answered.borrow().heard, b"ping");

    let client = TlsClient::new(&authority.trust()).unwrap();
    let client = if logs { client.log_keys() } else { client };
    let key = rcgen::KeyPair::generate().unwrap();
    let (chain, key) = authority.parts(&Wanted::named("localhost"), &key);
    let mut config = server_config(chain, key);
    config.key_log = Arc::<Heard>::clone(&heard);
    let (ask, asked) = Talk::new();
    let server = Memory::seat(Raw::server(config).saying(b"pong"), &clock);
    Wire::of(&clock, on(&clock, client.layer("localhost").unwrap(), ask), server).run();
    assert_eq!(asked.borrow().heard, b"pong");

    let heard = heard.0.lock().unwrap();
    heard.clone()
}

/// Says in which way the process that runs this test again talks.
const AGAIN: &str = "ROPEWALK_TLS_KEY_LOG_TEST";

#[test]
fn keys_are_written_where_the_environment_says_and_only_if_asked_to() {
    // The variable is read by the whole process, so that another one has to have it.
    if let Ok(logs) = std::env::var(AGAIN) {
        for line in keys_of_our_peers(logs == "yes") {
            println!("\nkey {line}");
        }
        return;
    }
    let folder = Folder::new("keys");
    let path = folder.path("keys.log");
    let again = |logs: &str, path: Option<&std::path::Path>| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "--nocapture"]).env(AGAIN, logs).env_remove("SSLKEYLOGFILE");
        test.arg("sessions::keys_are_written_where_the_environment_says_and_only_if_asked_to");
        test.envs(path.map(|path| ("SSLKEYLOGFILE", path)));
        let output = test.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        let keys = said.lines().filter_map(|line| line.strip_prefix("key ").map(ToOwned::to_owned));
        keys.collect::<BTreeSet<_>>()
    };
    again("no", Some(&path));
    again("yes", None);
    assert!(!path.exists(), "nobody asked for it, or said where");
    let peers = again("yes", Some(&path));
    let written = std::fs::read_to_string(&path).unwrap();
    let ours: BTreeSet<_> = written.lines().map(ToOwned::to_owned).collect();
    assert!(ours.len() >= 8, "four secrets of each side's traffic, twice: {ours:?}");
    // Whoever has these can read it: they are the keys that the peers have.
    assert_eq!(ours, peers);
}
