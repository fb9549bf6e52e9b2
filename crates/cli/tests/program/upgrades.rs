//! Upgrades, and ends, under load.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::applications::{Log, connect};
use crate::{ANYWHERE, Folder, Served, program, run};

/// How often the program is upgraded; `ROPEWALK_UPGRADES` says otherwise.
fn upgrades() -> usize {
    std::env::var("ROPEWALK_UPGRADES").ok().and_then(|count| count.parse().ok()).unwrap_or(4)
}

/// Asks for a page again and again.
struct Load {
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(place: &str, clients: usize) -> Self {
        Self::of(place, "/a.txt", "hello", clients)
    }

    /// Asks for what ends in that.
    fn of(place: &str, path: &'static str, end: &'static str, clients: usize) -> Self {
        let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let host = place.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let clients = (0..clients).map(|_| {
            let (is_over, answered, host) = (is_over.clone(), answered.clone(), host.clone());
            let client = move || {
                let mut broken = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    match ask(&host, path, end) {
                        Ok(()) => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        Err(why) => broken.push(why),
                    }
                }
                broken
            };
            std::thread::Builder::new().spawn(client).unwrap()
        });
        let clients = clients.collect();
        Self { is_over, answered, clients }
    }

    /// Waits until so many more were answered.
    fn go_on(&self, count: usize) {
        let until = self.answered.load(Ordering::SeqCst) + count;
        while self.answered.load(Ordering::SeqCst) < until {
            std::thread::yield_now();
        }
    }

    /// Ends it; answers how many requests were answered, and what went wrong.
    fn end(self) -> (usize, Vec<String>) {
        self.is_over.store(true, Ordering::SeqCst);
        let broken = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (self.answered.load(Ordering::SeqCst), broken)
    }
}

fn ask(host: &str, path: &str, end: &str) -> Result<(), String> {
    let mut stream = TcpStream::connect(host).map_err(|error| format!("refused: {error}"))?;
    stream.set_read_timeout(Some(Duration::from_mins(1))).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let asked = stream.write_all(request.as_bytes());
    let answered = asked.and_then(|()| stream.read_to_string(&mut answer));
    answered.map_err(|error| format!("broken: {error}, after {answer:?}"))?;
    if answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(end) {
        Ok(())
    } else {
        Err(format!("broken: {answer:?}"))
    }
}

fn number_in(file: &Path) -> i32 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

/// The last of a line of successors, which is nobody's child here.
struct Last<'a>(&'a Path);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        let number = fs::read_to_string(self.0).ok().and_then(|text| text.trim().parse().ok());
        if let Some(pid) = number.and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn an_upgrade_loses_no_request() {
    let folder = Folder::new("upgrade").with("a.txt", "hello");
    let (pid_file, socket) = (folder.path().join("web.pid"), folder.path().join("web.sock"));
    let file = pid_file.to_str().unwrap();
    let unix = format!("unix:{}", socket.display());
    let more = ["--log", "off", "--pid-file", file];
    let served = Served::web(&folder, &[ANYWHERE, &unix], &more);
    let _last = Last(&pid_file);
    let first = number_in(&pid_file);
    assert_eq!(first, i32::try_from(served.child.id()).unwrap());
    let load = Load::on(&served.places[0], 4);
    load.go_on(20);
    let mut before = first;
    for _ in 0..upgrades() {
        let output = run(&["upgrade", "--pid-file", file]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let after = number_in(&pid_file);
        assert_ne!(after, before);
        let line = format!("process {after} serves in the place of {before}\n");
        assert_eq!(String::from_utf8_lossy(&output.stdout), line);
        before = after;
        load.go_on(20);
        // The file of the socket goes from one to the next as well.
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"GET /a.txt HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    }
    let (answered, broken) = load.end();
    assert!(
        broken.is_empty(),
        "{} of {answered}: {:?}",
        broken.len(),
        &broken[..broken.len().min(5)]
    );
    println!("{} upgrades, {answered} requests, none refused or broken", upgrades());
}

/// How often the program reads its file again; `ROPEWALK_RELOADS` says otherwise.
fn reloads() -> usize {
    std::env::var("ROPEWALK_RELOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(6)
}

/// Asks again and again on a connection that is kept until the answer says that it is not.
struct Kept {
    answered: usize,
    /// So many answers said that the connection ends with them.
    last: usize,
    /// So often it had ended between two requests; a client then asks again (RFC 9112 9.3.1).
    again: usize,
    broken: Vec<String>,
}

impl Kept {
    fn ask_until(host: &str, is_over: &AtomicBool, answered: &AtomicUsize) -> Self {
        let mut all = Self { answered: 0, last: 0, again: 0, broken: Vec::new() };
        let mut kept: Option<BufReader<TcpStream>> = None;
        while !is_over.load(Ordering::SeqCst) {
            let (mut stream, is_new) = match kept.take() {
                Some(stream) => (stream, false),
                None => match TcpStream::connect(host) {
                    Ok(stream) => (BufReader::new(stream), true),
                    Err(error) => {
                        all.broken.push(format!("refused: {error}"));
                        continue;
                    }
                },
            };
            match ask_on(&mut stream) {
                Ok(Some(closes)) => {
                    all.answered += 1;
                    answered.fetch_add(1, Ordering::SeqCst);
                    all.last += usize::from(closes);
                    kept = Some(stream).filter(|_| !closes);
                }
                Ok(None) if !is_new => all.again += 1,
                Ok(None) => all.broken.push("no answer on a new connection".to_owned()),
                Err(why) => all.broken.push(why),
            }
        }
        all
    }
}

/// Asks for the page; whether the connection ends with its answer. Nothing if it had ended before.
fn ask_on(stream: &mut BufReader<TcpStream>) -> Result<Option<bool>, String> {
    let patience = Some(Duration::from_mins(1));
    stream.get_ref().set_read_timeout(patience).map_err(|error| error.to_string())?;
    if stream.get_mut().write_all(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n").is_err() {
        return Ok(None);
    }
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head) {
            Ok(0) if head.is_empty() => return Ok(None),
            Ok(0) => return Err(format!("broken: {head:?}")),
            Ok(_) => (),
            Err(error) if head.is_empty() && error.kind() == ErrorKind::ConnectionReset => {
                return Ok(None);
            }
            Err(error) => return Err(format!("broken: {error}, after {head:?}")),
        }
    }
    let mut body = [0; 5];
    stream.read_exact(&mut body).map_err(|error| format!("broken: {error}, after {head:?}"))?;
    if !head.starts_with("HTTP/1.1 200 ") || body != *b"hello" {
        return Err(format!("broken: {head:?}"));
    }
    Ok(Some(head.to_ascii_lowercase().contains("\r\nconnection: close\r\n")))
}

#[test]
fn a_reload_loses_no_request() {
    let folder = Folder::new("reloads");
    for name in ["one", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("a.txt"), "hello").unwrap();
    }
    let write = |round: usize| {
        let path = ["one", "other"][round % 2];
        let text = format!("[services.web]\nlisten = '{ANYWHERE}'\npath = '{path}'\nlog = 'off'\n");
        fs::write(folder.path().join("app.toml"), text).unwrap();
    };
    write(0);
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "app.toml"]);
    let mut served = Served::of(command, 1);
    let mut log = Log::of(&mut served);
    let load = Load::on(&served.places[0], 2);
    let host = served.places[0].trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (is_over, answered, host) = (is_over.clone(), answered.clone(), host.clone());
            let client = move || Kept::ask_until(&host, &is_over, &answered);
            std::thread::Builder::new().spawn(client).unwrap()
        })
        .collect();
    for round in 1..=reloads() {
        load.go_on(10);
        let until = answered.load(Ordering::SeqCst) + 10;
        while answered.load(Ordering::SeqCst) < until
            && !clients.iter().all(JoinHandle::is_finished)
        {
            std::thread::yield_now();
        }
        write(round);
        served.signal(Signal::HUP);
        log.until("reloaded: 1 changes");
    }
    load.go_on(10);
    is_over.store(true, Ordering::SeqCst);
    let mut all = Kept { answered: 0, last: 0, again: 0, broken: Vec::new() };
    for client in clients {
        let one = client.join().unwrap();
        all.answered += one.answered;
        all.last += one.last;
        all.again += one.again;
        all.broken.extend(one.broken);
    }
    let (new, broken) = load.end();
    all.broken.extend(broken);
    assert!(all.broken.is_empty(), "{}: {:?}", all.broken.len(), all.broken.first());
    // A connection that was kept is told so, once for each reload at the most.
    assert!(all.last + all.again <= 2 * reloads(), "{} and {}", all.last, all.again);
    println!(
        "{} reloads: {new} requests on connections of their own and {} on kept ones, {} of which were told that they \
         were the last; {} connections had ended between two requests; none refused or broken",
        reloads(),
        all.answered,
        all.last,
        all.again
    );
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

/// Has the program upgraded; answers its successor's number.
#[track_caller]
fn upgrade(pid_file: &Path) -> i32 {
    let before = number_in(pid_file);
    let output = run(&["upgrade", "--pid-file", pid_file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let after = number_in(pid_file);
    assert_ne!(after, before);
    after
}

#[track_caller]
fn check_load(load: Load) {
    let (answered, broken) = load.end();
    assert!(broken.is_empty(), "{} of {answered}: {:?}", broken.len(), broken.first());
}

#[test]
fn an_upgrade_takes_along_who_looks_on() {
    let folder = Folder::new("upgrade-inside").with("a.txt", "hello");
    let (pid_file, control) = (folder.path().join("web.pid"), folder.path().join("control"));
    let page = format!("unix:{}", folder.path().join("page.sock").display());
    let more = [
        "--log",
        "off",
        "--pid-file",
        pid_file.to_str().unwrap(),
        "--control",
        control.to_str().unwrap(),
        "--metrics",
        ANYWHERE,
        "--status",
        &page,
    ];
    let mut command = program();
    command
        .args(["web", "--path", folder.path().to_str().unwrap(), "--listen", ANYWHERE])
        .args(more);
    // The site, the page at a place that is always the same, and the metrics.
    let served = Served::of(command, 3);
    let _last = Last(&pid_file);
    let metrics = served.places.iter().find_map(|line| line.strip_prefix("metrics: ")).unwrap();
    let load = Load::on(&served.places[0], 2);
    let looking = Load::of(metrics, "/metrics", "# EOF\n", 1);
    // Operators come all the time, and somebody is there.
    let (is_over, path) = (Arc::<AtomicBool>::default(), control.clone());
    let ended = is_over.clone();
    let come = move || {
        let mut failed = Vec::new();
        while !ended.load(Ordering::SeqCst) {
            match UnixStream::connect(&path) {
                // Until it is let go: there is room for sixteen, and whoever is slow to go takes it from others.
                Ok(mut stream) => {
                    let _ = stream.shutdown(Shutdown::Write);
                    let _ = stream.read_to_end(&mut Vec::new());
                }
                Err(error) => failed.push(error.to_string()),
            }
        }
        failed
    };
    let operators = std::thread::Builder::new().spawn(come).unwrap();
    for _ in 0..3 {
        let after = upgrade(&pid_file);
        load.go_on(10);
        looking.go_on(5);
        let output = run(&["status", "--control", control.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&after.to_string()), "{after}: {said}{complaint}");
        let mut stream = UnixStream::connect(folder.path().join("page.sock")).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(operators.join().unwrap(), Vec::<String>::new());
    check_load(load);
    check_load(looking);
}

#[test]
fn an_upgrade_hands_ports_for_datagrams_on() {
    let folder = Folder::new("upgrade-datagrams");
    let pid_file = folder.path().join("app.pid");
    let file = "[services.echo]\nlisten = 'tcp:0:interface=127.0.0.1'\nudp = ['127.0.0.1:0', '127.0.0.1:0']\n";
    fs::write(folder.path().join("app.toml"), file).unwrap();
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "app.toml", "--pid-file", "app.pid"]);
    let served = Served::of(command, 3);
    let _last = Last(&pid_file);
    let ports: Vec<_> = served
        .places
        .iter()
        .filter_map(|line| line.strip_prefix("udp "))
        .map(str::to_owned)
        .collect();
    assert_eq!(ports.len(), 2);
    let is_over = Arc::<AtomicBool>::default();
    let answered = Arc::<AtomicUsize>::default();
    let clients: Vec<_> = ports
        .into_iter()
        .map(|port| {
            let (is_over, answered) = (is_over.clone(), answered.clone());
            let work = move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(&port).unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
                let mut number = 0_u64;
                let mut heard = [0; 16];
                while !is_over.load(Ordering::SeqCst) {
                    number += 1;
                    // Datagrams may be lost, which is what they are; that nobody is there is never said.
                    loop {
                        socket.send(&number.to_be_bytes()).unwrap();
                        match socket.recv(&mut heard) {
                            Ok(length) if heard[..length] == number.to_be_bytes() => break,
                            Ok(_) => (),
                            Err(error) => {
                                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
                            }
                        }
                    }
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            };
            std::thread::Builder::new().spawn(work).unwrap()
        })
        .collect();
    let go_on = |count: usize| {
        let until = answered.load(Ordering::SeqCst) + count;
        while answered.load(Ordering::SeqCst) < until
            && !clients.iter().any(JoinHandle::is_finished)
        {
            std::thread::yield_now();
        }
    };
    for _ in 0..3 {
        go_on(50);
        upgrade(&pid_file);
        go_on(50);
    }
    is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
}

#[test]
fn an_upgrade_keeps_what_a_service_manager_has_handed_over() {
    let folder = Folder::new("upgrade-handed").with("a.txt", "hello");
    let pid_file = folder.path().join("web.pid");
    let sockets: Vec<_> =
        (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let places: Vec<_> =
        sockets.iter().map(|socket| socket.local_addr().unwrap().to_string()).collect();
    let mut shell = std::process::Command::new("sh");
    let script = "exec env LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=one:two \"$0\" web --log off --path \"$1\" \
                  --listen systemd:name=two --listen haproxy:systemd:0 --pid-file \"$2\" 3<&0 4<&2 0</dev/null 2>/dev/null";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_ropewalk"), folder.path().to_str().unwrap()]);
    shell.arg(&pid_file).env("XDG_RUNTIME_DIR", "/nowhere").stdout(Stdio::piped());
    let mut sockets = sockets.into_iter().map(OwnedFd::from);
    shell.stdin(sockets.next().unwrap()).stderr(sockets.next().unwrap());
    let mut child = shell.spawn().unwrap();
    drop(shell);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<_> = (0..2).map(|_| lines.next().unwrap().unwrap()).collect();
    assert_eq!(said, [format!("http://{}/", places[1]), format!("http://{}/", places[0])]);
    let _served = Served { child, places: said };
    let _last = Last(&pid_file);
    let load = Load::on(&places[1], 3);
    for _ in 0..3 {
        load.go_on(10);
        upgrade(&pid_file);
        load.go_on(10);
        // Behind a proxy, inside of which is the other of them.
        let mut stream = TcpStream::connect(&places[0]).unwrap();
        let request = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /a.txt HTTP/1.0\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    }
    check_load(load);
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let folder = Folder::new("no-upgrade").with("a.txt", "hello");
    let text = |more: &str| {
        format!("[services.web]\nlisten = '{ANYWHERE}'\npath = '.'\nlog = 'off'\n{more}")
    };
    fs::write(folder.path().join("app.toml"), text("")).unwrap();
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "app.toml", "--pid-file", "app.pid"]);
    let mut served = Served::of(command, 1);
    let mut log = Log::of(&mut served);
    let file = folder.path().join("app.pid");
    let before = number_in(&file);
    let load = Load::on(&served.places[0], 2);
    fs::write(folder.path().join("app.toml"), text("wrong = 1\n")).unwrap();
    let output = run(&["upgrade", "--pid-file", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("process {before} goes on")), "{said}");
    let logged = log.until("this process goes on");
    assert!(logged.contains("there is no key \"wrong\""), "{logged}");
    load.go_on(20);
    let (_, broken) = load.end();
    assert!(broken.is_empty(), "{broken:?}");
    assert_eq!(number_in(&file), before);
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let output = run(&["upgrade", "--pid-file", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("does it run?"), "{said}");
    let output = run(&["upgrade"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_end_under_load_loses_nothing_that_was_accepted() {
    let folder = Folder::new("end").with("a.txt", "hello");
    let mut served = Served::web(&folder, &[ANYWHERE], &[]);
    let mut stderr = served.child.stderr.take().unwrap();
    let read = move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    };
    let reader = std::thread::Builder::new().spawn(read).unwrap();
    let load = Load::on(&served.places[0], 6);
    load.go_on(100);
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let (answered, failed) = load.end();
    let log = reader.join().unwrap();
    // Each answer that was sent has come, and nobody who was let in was cut.
    let sent = log.lines().filter(|line| line.contains("GET /a.txt HTTP/1.1\" 200 ")).count();
    assert_eq!((sent, log.contains(" cut")), (answered, false), "{log}");
    // Who the system had connected and the program not yet accepted when the place was given up is reset.
    let is_outside =
        |why: &&String| why.starts_with("refused") || why.contains("os error 104), after \"\"");
    let broken: Vec<_> = failed.iter().filter(|why| !is_outside(why)).collect();
    assert!(broken.is_empty(), "{} of {answered}: {:?}", broken.len(), broken.first());
}

#[test]
fn connections_that_are_busy_get_the_deadline_and_are_then_cut() {
    let folder = Folder::new("cut");
    let file = "[services.lines]\nkind = 'portforward'\nlisten = 'tcp:0:interface=127.0.0.1'\n";
    let far = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("to = 'tcp:{}'\n[limits]\ndrain = 1\n", far.local_addr().unwrap());
    fs::write(folder.path().join("app.toml"), format!("{file}{to}")).unwrap();
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "app.toml"]);
    let mut served = Served::of(command, 1);
    let mut log = Log::of(&mut served);
    let mut near = connect(&served.places[0]);
    near.write_all(b"x").unwrap();
    let (mut other, _) = far.accept().unwrap();
    other.read_exact(&mut [0]).unwrap();
    served.signal(Signal::TERM);
    let logged = log.until("1 of 1 connections were cut");
    assert!(logged.contains("not through by the deadline"), "{logged}");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
