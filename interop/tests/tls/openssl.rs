//! OpenSSL's client at our server.

use std::process::{Command, Output};

use ropewalk_interop::tool;

use crate::base::House;
use crate::house::{QUESTION, converse, run_on, said, telling};
use crate::papers::Papers;

/// `openssl s_client` at this server, with the question for a page or something else to say.
fn s_client(papers: &Papers, server: &House, more: &[&str], says: &[u8]) -> Output {
    let mut openssl = Command::new(tool("openssl"));
    openssl.args(["s_client", "-connect", &server.address.to_string()]);
    openssl.args(["-servername", "localhost", "-verify_hostname", "localhost"]);
    openssl.args(["-verify_return_error", "-CAfile", &papers.text("root.pem")]);
    converse(openssl.args(more), says)
}

#[test]
fn it_speaks_both_versions_with_each_cipher() {
    let papers = Papers::new();
    let server = telling(papers.server(""));
    for (version, cipher, found) in [
        ("-tls1_3", "TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("-tls1_3", "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
        ("-tls1_3", "TLS_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
        ("-tls1_2", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        ("-tls1_2", "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
        (
            "-tls1_2",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        let option = if version == "-tls1_3" { "-ciphersuites" } else { "-cipher" };
        let output = s_client(&papers, &server, &[version, option, cipher], QUESTION);
        let said = said(&output);
        assert!(output.status.success(), "{cipher}: {said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{cipher}: {said}");
        let name = if version == "-tls1_3" { "TLSv1.3" } else { "TLSv1.2" };
        assert!(said.contains(&format!("protocol {name}\ncipher {found}\n")), "{cipher}: {said}");
        assert!(said.contains("\nname localhost\n"), "{cipher}: {said}");
    }
}

#[test]
fn it_agrees_on_a_key_exchange_and_an_application_protocol() {
    let papers = Papers::new();
    let server = telling(papers.server(":alpn=h2,http/1.1"));
    for (group, found) in [("X25519", "X25519"), ("P-256", "secp256r1"), ("P-384", "secp384r1")] {
        let output = s_client(&papers, &server, &["-groups", group], QUESTION);
        assert!(said(&output).contains(&format!("group {found}\n")), "{}", said(&output));
    }
    let output = s_client(&papers, &server, &["-alpn", "http/1.1,h2"], QUESTION);
    assert!(said(&output).contains("\nalpn h2\n"), "{}", said(&output));
    let output = s_client(&papers, &server, &["-alpn", "smtp"], QUESTION);
    assert!(said(&output).contains("no application protocol"), "{}", said(&output));
    assert!(!output.status.success());
}

#[test]
fn old_versions_and_weak_ciphers_are_refused() {
    let papers = Papers::new();
    let server = telling(papers.server(""));
    for more in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    ] {
        let output = s_client(&papers, &server, more, QUESTION);
        let said = said(&output);
        assert!(!output.status.success() && said.contains("alert"), "{more:?}: {said}");
        assert!(!said.contains("HTTP/1.1 200"), "{more:?}: {said}");
    }
}

#[test]
fn it_resumes_its_session() {
    let papers = Papers::new();
    let server = telling(papers.server(""));
    for (version, tickets) in [("-tls1_3", ""), ("-tls1_2", ""), ("-tls1_2", "-no_ticket")] {
        let session = papers.text("session");
        for (option, is_resumed) in [("-sess_out", false), ("-sess_in", true)] {
            let mut more = vec![version, option, &session];
            more.extend(Some(tickets).filter(|tickets| !tickets.is_empty()));
            let said = said(&s_client(&papers, &server, &more, QUESTION));
            let is_said = said.contains(&format!("\nresumed {is_resumed}\n"));
            assert!(is_said, "{version} {tickets} {option}: {said}");
            assert_eq!(said.contains("\nReused, "), is_resumed, "{version} {tickets}: {said}");
        }
    }
}

#[test]
fn it_says_who_it_is_where_it_must() {
    let papers = Papers::new();
    let roots = papers.quoted("root.pem");
    let required = telling(papers.server(&format!(":client-ca={roots}")));
    let optional = telling(papers.server(&format!(":client-ca={roots}:clients=optional")));
    let (cert, key) = (papers.text("alice.crt"), papers.text("alice.key"));
    let (own, own_key) = (papers.text("server.crt"), papers.text("server.key"));
    for version in ["-tls1_2", "-tls1_3"] {
        let ask = |server: &House, more: &[&str]| {
            let more = [&[version], more].concat();
            said(&s_client(&papers, server, &more, QUESTION))
        };
        let alice = ["-cert", &cert, "-key", &key];
        assert!(ask(&required, &alice).contains("\nknown true\n"), "{version}");
        assert!(ask(&optional, &alice).contains("\nknown true\n"), "{version}");
        assert!(ask(&optional, &[]).contains("\nknown false\n"), "{version}");
        let refused = ask(&required, &[]);
        assert!(refused.contains("alert") && !refused.contains("\nknown"), "{version}: {refused}");
        // One that is for servers.
        let refused = ask(&required, &["-cert", &own, "-key", &own_key]);
        assert!(refused.contains("alert unsupported certificate"), "{version}: {refused}");
    }
}

#[test]
fn nobody_renegotiates() {
    let papers = Papers::new();
    let server = telling(papers.server(""));
    let output = s_client(&papers, &server, &["-tls1_2"], b"R\n");
    let said = said(&output);
    assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
    assert!(!output.status.success(), "{said}");
    // New keys of TLS 1.3 are another thing, on either side's wish.
    for ask in [&b"K\n"[..], b"k\n"] {
        let mut openssl = Command::new(tool("openssl"));
        openssl.args(["s_client", "-connect", &server.address.to_string(), "-tls1_3"]);
        let said = crate::house::said(&run_on(&mut openssl, ask, "KEYUPDATE", QUESTION));
        assert!(said.contains("protocol TLSv1.3\n"), "{said}");
    }
}
