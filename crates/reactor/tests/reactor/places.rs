//! What an operator reads when a place cannot be had.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use ropewalk_protocol::Address;
use ropewalk_reactor::{CannotListen, TcpListenOptions, UnixListenOptions};

use crate::kit::{Echo, Folder, reactor, scene, serve};

fn listen(address: SocketAddr) -> CannotListen {
    let reactor = reactor();
    let factory = Box::new(|_: &Address| Some(Echo));
    reactor.listen_tcp(address, TcpListenOptions::default(), factory).unwrap_err()
}

fn listen_unix(path: &Path) -> CannotListen {
    let reactor = reactor();
    let factory = Box::new(|_: &Address| Some(Echo));
    reactor.listen_unix(path, UnixListenOptions::default(), factory).unwrap_err()
}

#[track_caller]
fn check(error: &CannotListen, place: &str, advice: Option<&str>) {
    assert_eq!(error.to_string(), format!("cannot listen on {place}"));
    let why = error.source().expect("the system's own words").to_string();
    let advice = advice.map_or(String::new(), |advice| format!(" ({advice})"));
    assert_eq!(format!("{error:#}"), format!("cannot listen on {place}: {why}{advice}"));
}

#[test]
fn operators_read_the_place_the_reason_and_what_may_help() {
    let reactor = reactor();
    let (_port, taken) = serve(&reactor, || Echo);
    check(&listen(taken), &taken.to_string(), Some("somebody listens there already"));
    // Reserved for examples, so no machine has it.
    let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
    let advice = Some("no interface of this machine has the address");
    check(&listen(foreign), "192.0.2.1:0", advice);

    let folder = Folder::new("places");
    let file = folder.path("file");
    std::fs::write(&file, "").unwrap();
    let place = |path: &Path| format!("unix:{}", path.display());
    let advice = Some("somebody listens there, or it is no socket that could be replaced");
    check(&listen_unix(&file), &place(&file), advice);
    let nowhere = folder.path("no/folder");
    check(&listen_unix(&nowhere), &place(&nowhere), Some("there is no such folder"));
    let long = folder.path(&"x".repeat(200));
    check(&listen_unix(&long), &place(&long), Some("the path is no name for a socket"));
    let inside = file.join("socket");
    check(&listen_unix(&inside), &place(&inside), None);
}

/// Root is refused nothing, so that the test has to run as somebody else.
#[test]
fn privilege_is_asked_for_where_it_is_wanted() {
    use std::os::unix::process::CommandExt;
    let mut child = scene("places::nobody_asks_for_port_80");
    if rustix::process::geteuid().is_root() {
        child.uid(65_534).gid(65_534);
    }
    // This binary may stand where nobody else may read.
    let Ok(output) = child.output() else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A scene: it needs a process of its own.
pub(crate) fn nobody_asks_for_port_80() {
    let bound = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if bound.is_ok_and(|bound| bound.trim() != "1024") {
        return;
    }
    let error = listen((Ipv4Addr::LOCALHOST, 80).into());
    check(&error, "127.0.0.1:80", Some("ports below 1024 want privilege"));
    let error = listen_unix(Path::new("/socket"));
    check(&error, "unix:/socket", Some("this user may not put a socket into that folder"));
}
