//! Our SOCKS server under the clients of others.

use std::process::Command;

use ropewalk_interop::{Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_socks::{Destinations, Login};

use crate::house::{House, body, local, question, run};

fn curl(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(tool("curl"));
    let output = command.args(["-sS", "--max-time", "20"]).args(arguments).output();
    let output = output.expect("curl runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_gets_through_in_every_version() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let proxy = House::socks(|service| service);
    let at = proxy.address.to_string();
    for (option, host) in [
        ("--socks4", "127.0.0.1"),
        ("--socks4a", "localhost"),
        ("--socks5", "127.0.0.1"),
        ("--socks5-hostname", "localhost"),
    ] {
        let url = format!("http://{host}:{}/", target.port());
        let (code, page) = curl(&[option, &at, &url]);
        assert_eq!(code, Some(0), "{option}");
        assert!(page.starts_with("127.0.0.1:"), "{option}: {page}");
    }
}

#[test]
fn curl_says_its_password() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let proxy = House::socks(|service| {
        service.users(vec![Login::new("alice", "open sesame").expect("it is short")])
    });
    let (at, url) = (proxy.address.to_string(), format!("http://127.0.0.1:{}/", target.port()));
    let with = |login: &str| curl(&["--socks5", &at, "--proxy-user", login, &url]).0;
    assert_eq!(with("alice:open sesame"), Some(0));
    // 97 is what curl calls a proxy's handshake that failed.
    assert_eq!(with("alice:open"), Some(97));
    assert_eq!(curl(&["--socks5", &at, &url]).0, Some(97));
    assert_eq!(curl(&["--socks4", &at, &url]).0, Some(97));
}

#[test]
fn curl_is_not_taken_inside() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let proxy = House::socks(|service| service.destinations(Destinations::public()));
    let at = proxy.address.to_string();
    for (option, host) in [("--socks5", "127.0.0.1"), ("--socks5-hostname", "localhost")] {
        let url = format!("http://{host}:{}/", target.port());
        assert_eq!(curl(&[option, &at, &url]).0, Some(97), "{option}");
    }
}

#[test]
fn netcats_get_through() {
    let target = House::who_are_you("tcp:0:interface=127.0.0.1");
    let port = target.port().to_string();
    let proxy = House::socks(|service| service);
    let at = proxy.address.to_string();
    for version in ["4", "5"] {
        let mut nc = Command::new(tool("nc"));
        let output = run(nc.args(["-X", version, "-x", &at, "127.0.0.1", &port]), question());
        assert!(body(&output.expect("nc runs")).starts_with("127.0.0.1:"), "{version}");
    }
    let login = House::socks(|service| {
        service.users(vec![Login::new("alice", "secret").expect("it is short")])
    });
    let with_login = login.address.to_string();
    for (kind, at, more) in [
        ("socks4", &at, &[][..]),
        ("socks5", &at, &[]),
        ("socks5", &with_login, &["--proxy-auth", "alice:secret"]),
    ] {
        let mut ncat = Command::new(tool("ncat"));
        ncat.args(["--proxy-type", kind, "--proxy", at]).args(more).args(["127.0.0.1", &port]);
        let output = run(&mut ncat, question()).expect("ncat runs");
        assert!(body(&output).starts_with("127.0.0.1:"), "{kind}");
    }
}

#[test]
fn ssh_gets_through() {
    let folder = TempDir::new("ssh").expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain name").to_owned();
    for key in ["host", "user"] {
        let mut keygen = Command::new(tool("ssh-keygen"));
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        assert!(keygen.status().expect("ssh-keygen runs").success());
    }
    let port = free_port().expect("a port");
    let mut sshd = Command::new(tool("sshd"));
    let option = |name: &str, value: &str| format!("-o{name}={value}");
    sshd.args(["-D", "-e", "-f", "/dev/null", "-p", &port.to_string()]).args([
        option("HostKey", &path("host")),
        option("ListenAddress", "127.0.0.1"),
        option("AuthorizedKeysFile", &path("user.pub")),
        option("StrictModes", "no"),
        option("PidFile", "none"),
        option("PermitRootLogin", "yes"),
    ]);
    // It wants this folder, which its package's start-up script makes.
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all("/run/sshd").expect("a folder");
    }
    let _sshd = Peer::start(&mut sshd).expect("sshd starts");
    wait_for_port(local(port)).expect("sshd listens");

    let proxy = House::socks(|service| service);
    let nc = tool("nc");
    for version in ["4", "5"] {
        let through = format!("{} -X {version} -x {} %h %p", nc.display(), proxy.address);
        let mut ssh = Command::new(tool("ssh"));
        ssh.args(["-F", "none", "-i", &path("user"), "-p", &port.to_string()]).args([
            option("ProxyCommand", &through),
            option("StrictHostKeyChecking", "no"),
            option("UserKnownHostsFile", "/dev/null"),
            option("BatchMode", "yes"),
        ]);
        let output = run(ssh.args(["127.0.0.1", "echo $((6 * 7))"]), b"").expect("ssh runs");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{version}: {complaints}");
    }
}
