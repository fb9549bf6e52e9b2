//! Certificates that are wrong in each way, and who says what about them.

use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use ropewalk_protocol::{Disconnect, TlsAlert, TlsFault};
use ropewalk_tls::{
    BadCertificate, Identities, Identity, IdentityError, Policy, Reason, TlsClient, TlsServer,
    Trust, danger,
};
use ropewalk_trial::{Clock, Memory, Wire};

use crate::common::{Authority, Talk, Told, Wanted, fail, on, reason, serving, wire};
use crate::raw::{Raw, client_config, server_config};

/// What a client says of a server with these, and that it says so to it.
#[track_caller]
pub(crate) fn judge(
    trust: &Trust,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
) -> (BadCertificate, TlsAlert) {
    let client = TlsClient::new(trust).unwrap();
    let (ask, asked) = Talk::saying("hello");
    let clock = Clock::new();
    let server = Memory::seat(Raw::server(server_config(chain, key)), &clock);
    Wire::of(&clock, on(&clock, client.layer("localhost").unwrap(), ask), server).run();
    refusal(&asked)
}

/// What a server says of a client with these, and that it says so to it.
#[track_caller]
pub(crate) fn judge_client(
    trust: &Trust,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
) -> (BadCertificate, TlsAlert) {
    let authority = Authority::new();
    let policy = Policy::new().require_clients(trust.clone());
    let server = serving(&authority.server("localhost"), policy);
    let config = client_config(&authority.der, Some((chain, key)));
    let (answer, answered) = Talk::echo();
    let clock = Clock::new();
    let client = Memory::seat(Raw::client(config).saying(b"hello"), &clock);
    Wire::of(&clock, client, on(&clock, server.layer(), answer)).run();
    refusal(&answered)
}

#[track_caller]
fn refusal(story: &Told) -> (BadCertificate, TlsAlert) {
    let story = story.borrow();
    assert_eq!(story.made, 0, "nobody is let in");
    let error = story.cause.as_ref().unwrap_or_else(|| panic!("no cause: {:?}", story.lost));
    let Reason::Certificate(bad, alert) = reason(error) else { panic!("{error}") };
    assert_eq!(story.lost, Some(Disconnect::Tls(TlsFault::Refused(alert))));
    (bad, alert)
}

#[track_caller]
fn judge_wanted(wanted: &Wanted) -> (BadCertificate, TlsAlert) {
    let authority = Authority::new();
    let (chain, key) = authority.parts(wanted, &KeyPair::generate().unwrap());
    judge(&authority.trust(), chain, key)
}

#[test]
fn expired() {
    let (bad, alert) = judge_wanted(&Wanted { days: (-30, -3), ..Wanted::named("localhost") });
    let BadCertificate::Expired { not_after, now } = bad else { panic!("{bad}") };
    assert_eq!((now - not_after) / (24 * 60 * 60), 3);
    assert_eq!(alert, TlsAlert::CERTIFICATE_EXPIRED);
}

#[test]
fn not_yet_valid() {
    let (bad, alert) = judge_wanted(&Wanted { days: (3, 30), ..Wanted::named("localhost") });
    assert!(matches!(bad, BadCertificate::NotYet { not_before, now } if now < not_before), "{bad}");
    assert_eq!(alert, TlsAlert::CERTIFICATE_EXPIRED);
}

#[test]
fn for_another_name() {
    let (bad, alert) = judge_wanted(&Wanted::named("example.com"));
    let (expected, found) = ("localhost".to_owned(), vec!["DnsName(\"example.com\")".to_owned()]);
    assert_eq!(bad, BadCertificate::WrongName { expected, found });
    assert_eq!(alert, TlsAlert::BAD_CERTIFICATE);
}

#[test]
fn for_another_use() {
    let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let (bad, alert) = judge_wanted(&Wanted { usages, ..Wanted::named("localhost") });
    let (expected, found) =
        ("server authentication".to_owned(), vec!["client authentication".to_owned()]);
    assert_eq!(bad, BadCertificate::WrongUsage { expected, found });
    assert_eq!(alert, TlsAlert::UNSUPPORTED_CERTIFICATE);
}

#[test]
fn of_an_unknown_root() {
    let (known, unknown) = (Authority::new(), Authority::new());
    let wanted = Wanted::named("localhost");
    let (chain, key) = unknown.parts(&wanted, &KeyPair::generate().unwrap());
    let (bad, alert) = judge(&known.trust(), chain, key);
    assert_eq!((bad, alert), (BadCertificate::UnknownIssuer, TlsAlert::UNKNOWN_CA));
}

#[test]
fn of_too_long_a_chain() {
    let root = Authority::new();
    let mut authority = root.deputy("Deputy 1");
    for count in 1..=8 {
        let wanted = Wanted::named("localhost");
        let (chain, key) = authority.parts(&wanted, &KeyPair::generate().unwrap());
        assert_eq!(chain.len(), 1 + count);
        if count <= 6 {
            let identity = Identity::from_der(chain, key).unwrap();
            let client = TlsClient::new(&root.trust()).unwrap();
            let (ask, asked) = Talk::saying("ping");
            let server = serving(&identity, Policy::new());
            let layers = (client.layer("localhost").unwrap(), server.layer());
            wire((layers.0, ask.until(4)), (layers.1, Talk::echo().0)).run();
            assert_eq!(asked.borrow().heard, b"ping", "{count} between it and its root");
        } else {
            let (bad, _) = judge(&root.trust(), chain, key);
            assert_eq!(bad, BadCertificate::ChainTooLong { max: 6 }, "{count}");
        }
        authority = authority.deputy(&format!("Deputy {}", count + 1));
    }
}

#[test]
fn with_a_weak_key_or_a_weak_signature() {
    let root = Trust::from_pem(include_bytes!("pem/root.pem")).unwrap();
    let parts = |pem: &[u8]| {
        use rustls::pki_types::pem::PemObject as _;
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(pem);
        let chain = chain.map(|certificate| certificate.unwrap().to_vec()).collect();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        (chain, key.secret_pkcs8_der().to_vec())
    };
    let (chain, key): (Vec<Vec<u8>>, _) = parts(include_bytes!("pem/sha1.pem"));
    let (bad, _) = judge(&root, chain, key);
    assert_eq!(bad, BadCertificate::WeakSignature("SHA-1 with RSA".to_owned()));
    let weak = include_bytes!("pem/rsa1024.pem");
    let error = Identity::from_pem(weak, weak).unwrap_err();
    let IdentityError::Chain(bad) = error else { panic!("{error}") };
    assert_eq!(bad, BadCertificate::WeakKey { bits: 1024, bits_min: 2048 });
}

#[test]
fn nobody_is_who_shows_what_cannot_be_used() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let bad = |wanted: &Wanted| {
        let (chain, key) = authority.parts(wanted, &key);
        match Identity::from_der(chain, key).unwrap_err() {
            IdentityError::Chain(bad) => bad,
            other => panic!("{other}"),
        }
    };
    let expired = bad(&Wanted { days: (-30, -3), ..Wanted::named("a") });
    assert!(matches!(expired, BadCertificate::Expired { .. }));
    let early = bad(&Wanted { days: (3, 30), ..Wanted::named("a") });
    assert!(matches!(early, BadCertificate::NotYet { .. }));

    let (mut chain, key) = authority.parts(&Wanted::named("a"), &key);
    let other = KeyPair::generate().unwrap().serialize_der();
    let mismatch = Identity::from_der(chain.clone(), other).unwrap_err();
    assert!(matches!(mismatch, IdentityError::KeyMismatch), "{mismatch}");
    chain.push(Authority::new().der);
    let stranger = Identity::from_der(chain.clone(), key.clone()).unwrap_err();
    assert!(matches!(stranger, IdentityError::Chain(BadCertificate::UnknownIssuer)));
    chain[1] = authority.der.clone();
    assert_eq!(Identity::from_der(chain, key).unwrap().names(), ["a"]);

    let pem = authority.pem.as_bytes();
    assert!(matches!(Identity::from_pem(pem, pem), Err(IdentityError::NoKey(_))));
    assert!(matches!(Identity::from_pem(b"", pem), Err(IdentityError::NoCertificate(_))));
    let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    assert!(matches!(Identity::from_pem(broken, pem), Err(IdentityError::Pem(..))));
    assert!(matches!(Trust::from_pem(b""), Err(IdentityError::NoCertificate(_))));
}

#[test]
fn names_and_dates_are_looked_at_whoever_is_pinned() {
    let authority = Authority::new();
    let key = KeyPair::generate().unwrap();
    let (chain, der) = authority.parts(&Wanted::named("localhost"), &key);
    let identity = Identity::from_der(chain, der).unwrap();
    let trust = Trust::pinned([identity.pin().to_ascii_uppercase()]);
    let server = serving(&identity, Policy::new());
    let client = TlsClient::new(&trust).unwrap();
    let (ask, asked) = Talk::saying("ping");
    let good = client.layer("localhost").unwrap();
    wire((good, ask.until(4)), (server.layer(), Talk::echo().0)).run();
    assert_eq!(asked.borrow().heard, b"ping");
    let other = fail(client.layer("example.com").unwrap(), server.layer());
    let Reason::Certificate(bad, _) = reason(&other.client) else { panic!("{}", other.client) };
    assert!(matches!(bad, BadCertificate::WrongName { .. }), "{bad}");
    for (days, is_expired) in [((-30, -3), true), ((3, 30), false)] {
        let (chain, key) = authority.parts(&Wanted { days, ..Wanted::named("localhost") }, &key);
        let (bad, alert) = judge(&trust, chain, key);
        assert_eq!(matches!(bad, BadCertificate::Expired { .. }), is_expired, "{bad}");
        assert_eq!(alert, TlsAlert::CERTIFICATE_EXPIRED);
    }
    let both = authority.trust().and_pinned(["00"]);
    let failed = fail(TlsClient::new(&both).unwrap().layer("localhost").unwrap(), server.layer());
    let found = identity.pin();
    let expected = BadCertificate::NotPinned { found };
    assert!(matches!(reason(&failed.client), Reason::Certificate(bad, _) if bad == expected));
}

#[test]
fn whoever_looks_at_nothing_has_to_say_so() {
    let server = serving(&Identity::self_signed(["example.com"]).unwrap(), Policy::new());
    let trust = danger::trust_everybody_without_verification();
    let (ask, asked) = Talk::saying("ping");
    let client = TlsClient::new(&trust).unwrap().layer("localhost").unwrap();
    wire((client, ask.until(4)), (server.layer(), Talk::echo().0)).run();
    assert_eq!(asked.borrow().heard, b"ping");
}

#[test]
fn clients_say_who_they_are_where_they_must() {
    let authority = Authority::new();
    let identity = authority.server("localhost");
    let anybody = TlsClient::new(&authority.trust()).unwrap();
    let alice = anybody.clone().identity(&authority.client("alice"));
    let mallory = anybody.clone().identity(&Authority::new().client("alice"));
    let bob = anybody.clone().identity(&authority.client("bob"));
    let required = serving(&identity, Policy::new().require_clients(authority.trust()));
    let optional = serving(&identity, Policy::new().ask_clients(authority.trust()));
    let policy = Policy::new().require_clients(authority.trust()).clients_named(["alice"]);
    let named = serving(&identity, policy);
    let shake = |client: &TlsClient, server: &TlsServer| {
        let (ask, asked) = Talk::saying("ping");
        let (answer, answered) = Talk::echo();
        let client = client.layer("localhost").unwrap();
        wire((client, ask.until(4)), (server.layer(), answer)).run();
        let chain = answered.borrow().tls.as_ref().map(|tls| tls.peer_chain.len());
        assert_eq!(asked.borrow().heard.is_empty(), chain.is_none());
        chain.ok_or_else(|| refusal(&answered))
    };
    let missing = Err((BadCertificate::Missing, TlsAlert::CERTIFICATE_REQUIRED));
    let unknown = Err((BadCertificate::UnknownIssuer, TlsAlert::UNKNOWN_CA));
    for server in [&required, &optional, &named] {
        assert_eq!(shake(&alice, server), Ok(1));
        assert_eq!(shake(&mallory, server), unknown);
    }
    assert_eq!(shake(&anybody, &required), missing);
    assert_eq!(shake(&anybody, &named), missing);
    assert_eq!(shake(&anybody, &optional), Ok(0));
    assert_eq!(shake(&bob, &required), Ok(1));
    let (expected, found) = ("alice".to_owned(), vec!["bob".to_owned()]);
    let wrong = BadCertificate::WrongName { expected, found };
    assert_eq!(shake(&bob, &named), Err((wrong, TlsAlert::CERTIFICATE_UNKNOWN)));
    // A session is resumed with what was shown at its beginning, and nowhere else.
    assert_eq!(shake(&alice, &required), Ok(1));
    assert_eq!(shake(&anybody.without_resumption(), &required), missing);
}

#[test]
fn clients_with_wrong_certificates_are_told_apart() {
    let authority = Authority::new();
    let judge = |wanted: &Wanted| {
        let (chain, key) = authority.parts(wanted, &KeyPair::generate().unwrap());
        judge_client(&authority.trust(), chain, key).0
    };
    let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let good = || Wanted { usages: usages.clone(), ..Wanted::named("alice") };
    let expired = judge(&Wanted { days: (-30, -3), ..good() });
    assert!(matches!(expired, BadCertificate::Expired { .. }), "{expired}");
    let early = judge(&Wanted { days: (3, 30), ..good() });
    assert!(matches!(early, BadCertificate::NotYet { .. }), "{early}");
    let usage = judge(&Wanted::named("alice"));
    assert!(matches!(usage, BadCertificate::WrongUsage { .. }), "{usage}");
}

/// What a client is shown of an OCSP responder.
pub(crate) fn ocsp_shown(authority: &Authority, identities: &Identities) -> Vec<u8> {
    let server = TlsServer::new(identities);
    let mut config = client_config(&authority.der, None);
    let heard = crate::raw::hear_ocsp(&mut config);
    let clock = Clock::new();
    let client = Memory::seat(Raw::client(config), &clock);
    Wire::of(&clock, client, on(&clock, server.layer(), Talk::echo().0)).run();
    let heard = heard.lock().unwrap();
    heard.clone()
}

#[test]
fn what_an_ocsp_responder_said_is_shown() {
    let authority = Authority::new();
    let identity = authority.server("localhost").with_ocsp(b"what the responder said".to_vec());
    let identities = Identities::new(Policy::new()).unwrap();
    identities.add(&identity).unwrap();
    assert_eq!(ocsp_shown(&authority, &identities), b"what the responder said");
}
