//! Our `CONNECT` with an HTTP proxy of another's.

use std::io;
use std::process::Command;

use ropewalk_interop::{Peer, free_port, tool, wait_for_port};
use ropewalk_protocol::Disconnect;

use crate::house::{House, fetch, local};

fn ncat(more: &[&str]) -> (Peer, u16) {
    let port = free_port().expect("a port");
    let mut command = Command::new(tool("ncat"));
    command.args(["--listen", "--keep-open", "--proxy-type", "http"]).args(more);
    command.args(["127.0.0.1", &port.to_string()]);
    let peer = Peer::start(&mut command).expect("ncat starts");
    wait_for_port(local(port)).expect("ncat listens");
    (peer, port)
}

#[test]
fn ncat_takes_us_along() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let (_proxy, port) = ncat(&[]);
    for host in ["127.0.0.1", "localhost"] {
        let page = fetch(&format!("http-connect:{host}:{}:tcp:127.0.0.1:{port}", target.port()));
        assert!(page.expect("a page").starts_with("127.0.0.1:"));
    }
    let socks = House::socks(|service| service);
    let chain = format!(
        "socks5:127.0.0.1:{}:http-connect:127.0.0.1:{}:tcp:127.0.0.1:{port}",
        target.port(),
        socks.port(),
    );
    assert!(fetch(&chain).expect("a page").starts_with("127.0.0.1:"));
    let closed = free_port().expect("a port");
    let refused = fetch(&format!("http-connect:127.0.0.1:{closed}:tcp:127.0.0.1:{port}"));
    // It says 504 to that.
    assert_eq!(refused, Err(Disconnect::TimedOut));
}

#[test]
fn ncat_believes_our_password() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let (_proxy, port) = ncat(&["--proxy-auth", "alice:secret"]);
    let through = |login: &str| {
        fetch(&format!("http-connect:127.0.0.1:{}{login}:tcp:127.0.0.1:{port}", target.port()))
    };
    assert!(through(":user=alice:password=secret").is_ok());
    let denied = Err(Disconnect::Failed(io::ErrorKind::PermissionDenied));
    assert_eq!(through(":user=alice:password=wrong"), denied);
    assert_eq!(through(""), denied);
}
