//! `HAProxy` in front, encrypted on the way to us, with the PROXY protocol around TLS and inside of it.

use std::process::Command;

use ropewalk_endpoint::quote;
use ropewalk_interop::{Peer, TempDir, free_port, tool, wait_for_port};

use crate::house::{fetch, local, telling};
use crate::papers::Papers;

#[test]
fn it_tells_us_who_its_client_is_ahead_of_tls() {
    let papers = Papers::new();
    let inner = quote("haproxy:tcp:0:interface=127.0.0.1");
    let (cert, roots) = (papers.quoted("server.pem"), papers.quoted("root.pem"));
    let server = telling(format!("tls:endpoint={inner}:cert={cert}:client-ca={roots}"));
    let folder = TempDir::new("haproxy-tls").expect("a folder");
    for version in ["TLSv1.2", "TLSv1.3"] {
        for options in [
            "send-proxy",
            "send-proxy-v2",
            "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c,unique-id",
        ] {
            let port = free_port().expect("a port");
            let config = format!(
                "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
                 timeout client 20s\n  timeout server 20s\n  unique-id-format id-%ci-%rt\n\
                 listen front\n  bind 127.0.0.1:{port} ssl crt {}\n  \
                 server far {} {options} ssl verify required ca-file {} sni str(localhost) \
                 verifyhost localhost crt {} force-{}\n",
                papers.text("server.pem"),
                server.address,
                papers.text("root.pem"),
                papers.text("alice.pem"),
                version.to_lowercase().replace('.', ""),
            );
            let path = folder.write("haproxy.cfg", config).expect("a file");
            let mut command = Command::new(tool("haproxy"));
            let peer = Peer::start(command.arg("-db").arg("-f").arg(path));
            let _haproxy = peer.expect("haproxy starts");
            wait_for_port(local(port)).expect("haproxy listens");
            // Our client in front of it, too.
            let page = fetch(&papers.client(port, ":bind=127.0.0.9"));
            let text = page.unwrap_or_else(|lost| panic!("{options}: {lost:?}")).text;
            assert!(text.contains(&format!("protocol {version}\n")), "{options}: {text}");
            assert!(text.contains("\nname localhost\n"), "{options}: {text}");
            assert!(text.contains("\nknown true\n"), "{options}: {text}");
            assert!(text.contains("\npeer 127.0.0.9:"), "{options}: {text}");
        }
    }
}
