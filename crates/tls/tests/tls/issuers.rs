//! Chains that do not hold: a server and a client say the same of whoever shows them.

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, KeyPair,
    NameConstraints,
};
use ropewalk_protocol::TlsAlert;
use ropewalk_tls::{BadCertificate, Trust};

use crate::certificates::{judge, judge_client};
use crate::common::{Authority, Wanted};

fn both() -> Vec<ExtendedKeyUsagePurpose> {
    vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
}

/// One that is good for either side.
fn wanted() -> Wanted {
    Wanted { usages: both(), ..Wanted::named("localhost") }
}

/// What each side says of the other with these.
#[track_caller]
fn check(trust: &Trust, chain: &[Vec<u8>], key: &[u8], bad: &BadCertificate, alert: TlsAlert) {
    let server = judge(trust, chain.to_vec(), key.to_vec());
    assert_eq!(server, (bad.clone(), alert), "of a server");
    let client = judge_client(trust, chain.to_vec(), key.to_vec());
    assert_eq!(client, (bad.clone(), alert), "of a client");
}

#[test]
fn an_issuer_is_no_server_and_no_client() {
    let root = Authority::new();
    let deputy = root.deputy_with("A deputy", |parameters| {
        let names = CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.subject_alt_names = names.subject_alt_names;
        parameters.extended_key_usages = both();
        parameters.key_usages.push(rcgen::KeyUsagePurpose::DigitalSignature);
    });
    let (chain, key) = deputy.itself();
    let bad = BadCertificate::WrongUsage {
        expected: "a server or a client".to_owned(),
        found: vec!["an issuer of certificates".to_owned()],
    };
    check(&root.trust(), &chain, &key, &bad, TlsAlert::CERTIFICATE_UNKNOWN);
}

#[test]
fn who_may_not_vouch_for_others_vouches_for_nobody() {
    let root = Authority::new();
    let bad = BadCertificate::WrongUsage {
        expected: "an issuer of certificates".to_owned(),
        found: vec!["a server or a client".to_owned()],
    };
    for is_ca in [IsCa::ExplicitNoCa, IsCa::NoCa] {
        let upstart = root.deputy_with("A mere server", |parameters| parameters.is_ca = is_ca);
        let (chain, key) = upstart.parts(&wanted(), &KeyPair::generate().unwrap());
        assert_eq!(chain.len(), 2);
        check(&root.trust(), &chain, &key, &bad, TlsAlert::CERTIFICATE_UNKNOWN);
    }
}

#[test]
fn who_may_vouch_for_servers_alone_makes_no_deputies() {
    let root = Authority::new();
    let last = root.deputy_with("The last", |parameters| {
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let (chain, key) = last.deputy("One more").parts(&wanted(), &KeyPair::generate().unwrap());
    let (bad, alert) = (BadCertificate::PathLength, TlsAlert::CERTIFICATE_UNKNOWN);
    check(&root.trust(), &chain, &key, &bad, alert);
}

#[test]
fn who_may_vouch_for_some_names_does_not_for_others() {
    let root = Authority::new();
    for constraints in [
        NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.com".to_owned())],
            excluded_subtrees: Vec::new(),
        },
        NameConstraints {
            permitted_subtrees: Vec::new(),
            excluded_subtrees: vec![GeneralSubtree::DnsName("localhost".to_owned())],
        },
    ] {
        let narrow = root.deputy_with("A narrow one", |parameters| {
            parameters.name_constraints = Some(constraints);
        });
        let (chain, key) = narrow.parts(&wanted(), &KeyPair::generate().unwrap());
        let (bad, alert) = (BadCertificate::NameConstraint, TlsAlert::CERTIFICATE_UNKNOWN);
        check(&root.trust(), &chain, &key, &bad, alert);
    }
}

#[test]
fn a_forged_signature_is_seen() {
    let root = Authority::new();
    let deputy = root.deputy("A deputy");
    let (chain, key) = deputy.parts(&wanted(), &KeyPair::generate().unwrap());
    for forged in 0..chain.len() {
        let mut chain = chain.clone();
        // A certificate ends with its signature.
        *chain[forged].last_mut().unwrap() ^= 1;
        let bad = BadCertificate::BadSignature;
        check(&root.trust(), &chain, &key, &bad, TlsAlert::DECRYPT_ERROR);
    }
}

#[test]
fn who_only_bears_an_issuers_name_is_not_that_issuer() {
    // Another key under the root's own name, and a chain that ends there.
    let root = Authority::named("The root of all");
    let other = Authority::named("The root of all");
    let (chain, key) = other.parts(&wanted(), &KeyPair::generate().unwrap());
    let bad = BadCertificate::BadSignature;
    check(&root.trust(), &chain, &key, &bad, TlsAlert::DECRYPT_ERROR);
}

#[test]
fn too_long_a_chain_is_too_long_on_both_sides() {
    let root = Authority::new();
    let mut last = root.deputy("Deputy 1");
    for count in 2..=7 {
        last = last.deputy(&format!("Deputy {count}"));
    }
    let (chain, key) = last.parts(&wanted(), &KeyPair::generate().unwrap());
    let (bad, alert) = (BadCertificate::ChainTooLong { max: 6 }, TlsAlert::CERTIFICATE_UNKNOWN);
    check(&root.trust(), &chain, &key, &bad, alert);
}

#[test]
fn weak_keys_and_signatures_are_weak_on_both_sides() {
    use rustls::pki_types::pem::PemObject as _;
    let root = Trust::from_pem(include_bytes!("pem/weak_root.pem")).unwrap();
    let parts = |pem: &[u8]| {
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(pem);
        let chain: Vec<_> = chain.map(|certificate| certificate.unwrap().to_vec()).collect();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem).unwrap();
        (chain, key.secret_pkcs8_der().to_vec())
    };
    // A good key that an issuer with a short one vouches for.
    let (chain, key) = parts(include_bytes!("pem/weak_issuer.pem"));
    let bad = BadCertificate::WeakKey { bits: 1024, bits_min: 2048 };
    check(&root, &chain, &key, &bad, TlsAlert::CERTIFICATE_UNKNOWN);
    let (chain, key) = parts(include_bytes!("pem/sha1_ecdsa.pem"));
    let bad = BadCertificate::WeakSignature("SHA-1 with ECDSA".to_owned());
    check(&root, &chain, &key, &bad, TlsAlert::DECRYPT_ERROR);
}
