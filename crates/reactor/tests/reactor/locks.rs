//! Of two that want one path, one gets it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use ropewalk_protocol::Address;
use ropewalk_reactor::{CannotListen, ListeningPort, Reactor, UnixListenOptions};
use rustix::fs::{FlockOperation, flock};

use crate::kit::{Echo, Folder, reactor};

fn listen(reactor: &Reactor, path: &Path) -> Result<ListeningPort, CannotListen> {
    let factory = Box::new(|_: &Address| Some(Echo));
    reactor.listen_unix(path, UnixListenOptions::default(), factory)
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

#[test]
fn who_finds_the_lock_taken_leaves_the_socket_alone() {
    let (reactor, folder) = (reactor(), Folder::new("locked"));
    let path = folder.path("socket");
    drop(UnixListener::bind(&path).unwrap());
    let lock = File::create(lock_of(&path)).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let refused = listen(&reactor, &path).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::AddrInUse);
    assert!(path.exists() && lock_of(&path).exists());
    // What a process leaves behind that dies is no lock.
    drop(lock);
    let _port = listen(&reactor, &path).unwrap();
    assert!(!lock_of(&path).exists(), "it goes when the socket is in place");
}

/// Twisted's lock is a link to its process's number (statement 32).
#[test]
fn locks_of_twisted_count_while_their_process_lives() {
    let (reactor, folder) = (reactor(), Folder::new("twisted"));
    let path = folder.path("socket");
    let own = std::process::id().to_string();
    std::os::unix::fs::symlink(own, lock_of(&path)).unwrap();
    assert_eq!(listen(&reactor, &path).unwrap_err().error.kind(), ErrorKind::AddrInUse);
    std::fs::remove_file(lock_of(&path)).unwrap();
    // A process that has ended, and that its parent has heard of.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    std::os::unix::fs::symlink(child.id().to_string(), lock_of(&path)).unwrap();
    let _port = listen(&reactor, &path).unwrap();
    // A link that is no lock is nobody's to follow.
    let (other, target) = (folder.path("other"), folder.path("target"));
    std::os::unix::fs::symlink(&target, lock_of(&other)).unwrap();
    listen(&reactor, &other).unwrap_err();
    assert!(!target.exists());
}

/// Many begin at once on a socket that was left behind: one has it, and it is reached.
#[test]
fn of_many_that_begin_at_once_one_listens() {
    let folder = Folder::new("rush");
    for round in 0..10 {
        let path = folder.path(&format!("{round}"));
        drop(UnixListener::bind(&path).unwrap());
        let start = std::sync::Barrier::new(8);
        let listening = std::thread::scope(|scope| {
            let begin = || {
                let reactor = reactor();
                start.wait();
                let port = listen(&reactor, &path);
                // Nobody stops before all have tried.
                start.wait();
                let reached = std::os::unix::net::UnixStream::connect(&path).is_ok();
                start.wait();
                (port.is_ok(), reached)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(listening.iter().filter(|(listens, _)| *listens).count(), 1, "round {round}");
        assert!(listening.iter().all(|(_, reached)| *reached), "round {round}");
    }
}
