//! Unix sockets and their files.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use ropewalk_protocol::{Address, Port, seat};
use ropewalk_reactor::{CannotListen, ConnectOptions, ListeningPort, Reactor, UnixListenOptions};

use crate::kit::{Echo, Folder, Note, reactor, turn_until, witness};

fn listen(reactor: &Reactor, path: &Path) -> Result<ListeningPort, CannotListen> {
    let factory = Box::new(|_: &Address| Some(Echo));
    reactor.listen_unix(path, UnixListenOptions::default(), factory)
}

/// Says a word at `path` and hears it back.
#[track_caller]
fn check_echo(reactor: &Reactor, path: &Path) {
    let (client, notes) = witness(|conn, note| match note {
        Note::Made => conn.write(b"word"),
        Note::Data(_) => conn.close(),
        _ => (),
    });
    reactor.connect_unix(path, ConnectOptions::default(), seat(client));
    turn_until(reactor, || notes.lost().is_some());
    assert_eq!(notes.data(), b"word");
}

#[test]
fn sockets_have_their_permissions_and_both_ends_their_names() {
    let (reactor, folder) = (reactor(), Folder::new("modes"));
    for mode in [0o600, 0o660, 0o777, 0o200] {
        let path = folder.path(&format!("{mode:o}"));
        let options = UnixListenOptions::default().mode(mode).backlog(3);
        let named = path.clone();
        let (server, heard) = witness(move |conn, note| {
            if *note == Note::Made {
                assert_eq!(conn.local(), Address::Unix(named.clone()));
                assert_eq!(conn.peer(), Address::Unnamed);
                conn.close();
            }
        });
        let mut server = Some(server);
        let factory = Box::new(move |_: &Address| server.take());
        let _port = reactor.listen_unix(&path, options, factory).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, mode);
        let mut stream = UnixStream::connect(&path).unwrap();
        turn_until(&reactor, || heard.lost().is_some());
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let (reactor, folder) = (reactor(), Folder::new("stale"));
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the standard library leaves it behind");
    let _port = listen(&reactor, &path).unwrap();
    check_echo(&reactor, &path);
}

#[test]
fn a_socket_that_is_in_use_is_not_taken() {
    let (reactor, folder) = (reactor(), Folder::new("live"));
    let stream = folder.path("stream");
    let other = UnixListener::bind(&stream).unwrap();
    assert_eq!(listen(&reactor, &stream).unwrap_err().error.kind(), ErrorKind::AddrInUse);
    // The look at it was a connection, which the owner sees come and go.
    let mut client = UnixStream::connect(&stream).unwrap();
    let looked = other.accept().unwrap().0.read(&mut [0; 1]).unwrap();
    assert_eq!(looked, 0);
    client.write_all(b"hello").unwrap();
    other.accept().unwrap().0.read_exact(&mut [0; 5]).unwrap();
    // Another kind of socket is somebody's too.
    let datagrams = folder.path("datagrams");
    let _other = UnixDatagram::bind(&datagrams).unwrap();
    assert_eq!(listen(&reactor, &datagrams).unwrap_err().error.kind(), ErrorKind::AddrInUse);
    assert!(datagrams.exists());
    // Our own as well.
    let own = folder.path("own");
    let _port = listen(&reactor, &own).unwrap();
    assert_eq!(listen(&reactor, &own).unwrap_err().error.kind(), ErrorKind::AddrInUse);
    check_echo(&reactor, &own);
}

#[test]
fn nothing_but_a_socket_is_ever_removed() {
    let (reactor, folder) = (reactor(), Folder::new("others"));
    let (file, inner) = (folder.path("file"), folder.path("folder"));
    std::fs::write(&file, "precious").unwrap();
    std::fs::create_dir(&inner).unwrap();
    let link = folder.path("link");
    let target = folder.path("target");
    drop(UnixListener::bind(&target).unwrap());
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for path in [&file, &inner, &link] {
        let error = listen(&reactor, path).unwrap_err();
        assert_eq!(error.error.kind(), ErrorKind::AddrInUse, "{}", path.display());
        assert_eq!(error.address, Address::Unix(path.clone()));
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert!(inner.is_dir() && link.is_symlink() && target.exists());
}

#[test]
fn the_file_goes_with_the_listener() {
    let folder = Folder::new("removed");
    let paths = ["stopped", "ended", "dropped"].map(|name| folder.path(name));
    let reactor = reactor();
    let ports: Vec<_> = paths[..2].iter().map(|path| listen(&reactor, path).unwrap()).collect();
    reactor.run_until(ports[0].stop_listening()).unwrap();
    assert!(!paths[0].exists() && paths[1].exists());
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert!(!paths[1].exists());
    listen(&reactor, &paths[2]).unwrap();
    drop(reactor);
    assert!(!paths[2].exists());
}

#[test]
fn a_file_that_another_has_put_there_since_is_left() {
    let (reactor, folder) = (reactor(), Folder::new("since"));
    let path = folder.path("socket");
    let port = listen(&reactor, &path).unwrap();
    // As a new version of the same program does that takes over.
    std::fs::rename(&path, folder.path("old")).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    reactor.run_until(port.stop_listening()).unwrap();
    assert!(path.exists());
    let _client = UnixStream::connect(&path).unwrap();
    other.accept().unwrap();
}
