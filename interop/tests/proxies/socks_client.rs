//! Our SOCKS client with the servers of others.

use std::io;
use std::process::Command;

use ropewalk_interop::{Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_protocol::Disconnect;

use crate::house::{House, fetch, local};

/// A program that listens on a port that it is told.
fn started(name: &str, arguments: impl FnOnce(&mut Command, &str)) -> (Peer, u16) {
    let port = free_port().expect("a port");
    let mut command = Command::new(tool(name));
    arguments(&mut command, &port.to_string());
    let peer = Peer::start(&mut command).expect("it starts");
    wait_for_port(local(port)).expect("it listens");
    (peer, port)
}

#[test]
fn microsocks_takes_us_along() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let (_proxy, port) = started("microsocks", |command, port| {
        command.args(["-i", "127.0.0.1", "-p", port]);
    });
    for host in ["127.0.0.1", "localhost"] {
        let page = fetch(&format!("socks5:{host}:{}:tcp:127.0.0.1:{port}", target.port()));
        assert!(page.expect("a page").starts_with("127.0.0.1:"));
    }
    let closed = free_port().expect("a port");
    let refused = fetch(&format!("socks5:127.0.0.1:{closed}:tcp:127.0.0.1:{port}"));
    assert_eq!(refused, Err(Disconnect::Refused));
}

#[test]
fn microsocks_believes_our_password() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let (_proxy, port) = started("microsocks", |command, port| {
        command.args(["-i", "127.0.0.1", "-p", port, "-u", "alice", "-P", "secret"]);
    });
    let through = |login: &str| {
        fetch(&format!("socks5:127.0.0.1:{}{login}:tcp:127.0.0.1:{port}", target.port()))
    };
    assert!(through(":user=alice:password=secret").is_ok());
    let denied = Err(Disconnect::Failed(io::ErrorKind::PermissionDenied));
    assert_eq!(through(":user=alice:password=wrong"), denied);
    assert_eq!(through(""), denied);
}

#[test]
fn dante_takes_us_along() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let folder = TempDir::new("dante").expect("a folder");
    let (_proxy, port) = started("danted", |command, port| {
        let rules = format!(
            "logoutput: {0}\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\n\
             clientmethod: none\nsocksmethod: none\n\
             client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n\
             socks block {{ from: 0.0.0.0/0 to: 127.0.0.7/32 }}\n\
             socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 command: connect bind }}\n",
            folder.path().join("log").display(),
        );
        let path = folder.write("danted.conf", rules).expect("a file");
        command.arg("-f").arg(path).arg("-p").arg(folder.path().join("pid"));
    });
    for kind in ["socks4", "socks5"] {
        let page = fetch(&format!("{kind}:127.0.0.1:{}:tcp:127.0.0.1:{port}", target.port()));
        assert!(page.expect("a page").starts_with("127.0.0.1:"), "{kind}");
    }
    let blocked = fetch(&format!("socks5:127.0.0.7:80:tcp:127.0.0.1:{port}"));
    assert_eq!(blocked, Err(Disconnect::Failed(io::ErrorKind::PermissionDenied)));
}
