//! Serving with several threads and processes.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{ANYWHERE, Folder, Served, run, talk};

const REQUEST: &str = "GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn folder(name: &str) -> Folder {
    Folder::new(name).with("page", "hello")
}

#[track_caller]
fn check(served: &Served) {
    let answer = talk(served.connect(), REQUEST);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
}

/// The threads of a process by their names.
fn threads(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap()
    };
    tasks.map(name).collect()
}

/// The processes that a process has started.
fn children(process: u32) -> BTreeSet<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let said = std::fs::read_to_string(path).unwrap();
    said.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn lives(process: u32) -> bool {
    std::fs::exists(format!("/proc/{process}")).unwrap()
}

/// Waits until something is so, a while each time.
fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if is_so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("it never came about");
}

fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), signal).unwrap();
}

/// Connections that stay and have had one answer.
fn idle(served: &Served, count: usize) -> Vec<TcpStream> {
    let request = "GET /page HTTP/1.1\r\nHost: a\r\n\r\n";
    let open = |_| {
        let mut stream = served.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, b"HTTP/1.1 200");
        stream
    };
    (0..count).map(open).collect()
}

#[test]
fn threads_serve_one_place() {
    let folder = folder("workers");
    let served = Served::web(&folder, &[ANYWHERE], &["--workers", "3"]);
    let shards =
        || threads(served.child.id()).iter().filter(|name| name.starts_with("shard-")).count();
    assert_eq!(shards(), 2, "the first is the program's own thread");
    let open = idle(&served, 9);
    check(&served);
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("GET /page")).count(), 10, "{log}");
    drop(open);
}

#[test]
fn there_is_a_thread_a_core() {
    let folder = folder("auto");
    let served = Served::web(&folder, &[ANYWHERE], &["--workers", "auto"]);
    check(&served);
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn processes_serve_one_place_and_come_back() {
    let folder = folder("processes");
    let served = Served::web(&folder, &[ANYWHERE], &["--processes", "2"]);
    let parent = served.child.id();
    until(|| children(parent).len() == 2);
    check(&served);
    let first = children(parent);
    let dead = *first.first().unwrap();
    signal(dead, Signal::KILL);
    until(|| !lives(dead) && children(parent).len() == 2);
    check(&served);
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    assert!(log.contains("a worker ended and is started again"), "{log}");
    assert!(first.iter().all(|process| !lives(*process)));
}

#[test]
fn a_hangup_replaces_the_processes() {
    let folder = folder("hangup");
    let served = Served::web(&folder, &[ANYWHERE], &["--processes", "2"]);
    let parent = served.child.id();
    check(&served);
    let before = children(parent);
    served.signal(Signal::HUP);
    until(|| {
        check(&served);
        let now = children(parent);
        now.len() == 2 && now.is_disjoint(&before)
    });
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
}

/// Whoever was accepted is answered, in whole: as many answers come as requests are logged.
#[test]
fn a_stop_under_load_answers_all_who_were_accepted() {
    for more in [&["--workers", "1"], &["--workers", "2"]] {
        let folder = folder("load");
        let mut served = Served::web(&folder, &[ANYWHERE], more);
        let said = served.child.stderr.take().unwrap();
        let count = move || {
            let lines = BufReader::new(said).lines().map_while(Result::ok);
            lines.filter(|line| line.contains("GET /page")).count()
        };
        let logged = std::thread::Builder::new().spawn(count).unwrap();
        let host = served.places[0].trim_start_matches("http://").trim_end_matches('/').to_owned();
        let answered = Arc::<AtomicUsize>::default();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let (host, answered) = (host.clone(), answered.clone());
                let work = move || while ask(&host, &answered) {};
                std::thread::Builder::new().spawn(work).unwrap()
            })
            .collect();
        until(|| answered.load(Ordering::SeqCst) > 100);
        served.signal(Signal::TERM);
        for client in clients {
            client.join().unwrap();
        }
        assert!(served.child.wait().unwrap().success());
        assert_eq!(logged.join().unwrap(), answered.load(Ordering::SeqCst));
    }
}

/// One request; false once nobody is there any more.
fn ask(host: &str, answered: &AtomicUsize) -> bool {
    let Ok(mut stream) = TcpStream::connect(host) else { return false };
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = Vec::new();
    let talked =
        stream.write_all(REQUEST.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
    if talked.is_err() && answer.is_empty() {
        // It came between the last accept and the end, and was not accepted.
        return true;
    }
    assert!(answer.ends_with(b"\r\n\r\nhello"), "{}", answer.escape_ascii());
    answered.fetch_add(1, Ordering::SeqCst);
    true
}

#[test]
fn what_cannot_be_shared_out_is_refused() {
    for (arguments, complaint) in [
        (["--workers", "0"], "a number from 1 to 1024 is wanted, or auto"),
        (["--workers", "many"], "a number from 1 to 1024 is wanted, or auto"),
        (["--processes", "2000"], "a number from 1 to 1024 is wanted, or auto"),
    ] {
        let output = run(&[&["web"][..], &arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(complaint), "{said}");
    }
    for (listen, complaint) in [
        ("tls:0:self-signed", "each would make a certificate of its own"),
        ("stdio", "is there once, and cannot be shared out with --workers"),
        ("fd:3", "is there once, and cannot be shared out with --workers"),
    ] {
        let output = run(&["web", "--workers", "2", "--listen", listen]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(complaint), "{said}");
    }
    let output = run(&["web", "--workers", "2", "--processes", "2"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_is_wrong_is_said_once_by_many() {
    let output = run(&["web", "--workers", "4", "--path", "/nowhere/at/all"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("there is no directory /nowhere/at/all"), "{said}");
}
