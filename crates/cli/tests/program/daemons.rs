//! The habits of daemons.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::applications::{Log, connect};
use crate::{ANYWHERE, Folder, Served, program, run, talk};

/// A line of `/proc/PID/status`.
fn status_of(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parent, group and session of a process, with its state before.
fn stat(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let rest = text.rsplit(')').next().unwrap();
    rest.split_whitespace().map(str::to_owned).collect()
}

fn pid_in(file: &Path) -> i32 {
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

/// A daemon, killed at the latest with the test.
struct Daemon(i32);

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.0).unwrap(), signal).unwrap();
    }

    /// Waits for its end; it is nobody's child here.
    fn end(&self) {
        self.signal(Signal::TERM);
        let pid = Pid::from_raw(self.0).unwrap();
        let is_there = || {
            let is_zombie = fs::read_to_string(format!("/proc/{}/stat", self.0))
                .is_ok_and(|stat| stat.contains(") Z "));
            test_kill_process(pid).is_ok() && !is_zombie
        };
        while is_there() {
            std::thread::yield_now();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_raw(self.0).unwrap(), Signal::KILL);
    }
}

#[test]
fn a_daemon_is_ready_when_its_starter_ends_and_has_its_habits() {
    let folder = Folder::new("daemon").with("a.txt", "hello");
    let (pid_file, log) = (folder.path().join("web.pid"), folder.path().join("web.log"));
    let log_to = format!("file:{}", log.display());
    let path = folder.path().to_str().unwrap();
    let arguments = [
        "web",
        "--path",
        path,
        "--listen",
        ANYWHERE,
        "--daemon",
        "--pid-file",
        pid_file.to_str().unwrap(),
        "--log-to",
        &log_to,
        "--umask",
        "027",
        "--directory",
        "/",
        "--no-new-privileges",
        "--links",
        "all",
    ];
    let mut starter = program();
    // Whoever reads to the end of its output is not kept waiting by the daemon.
    let output = starter.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let place = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let daemon = Daemon(pid_in(&pid_file));
    let ask = || talk(connect(&place), "GET /a.txt HTTP/1.0\r\n\r\n");
    assert!(ask().ends_with("hello"));
    assert_eq!(status_of(daemon.0, "NoNewPrivs"), "1");
    assert_eq!(status_of(daemon.0, "Umask"), "0027");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", daemon.0)).unwrap(), Path::new("/"));
    let session = &stat(daemon.0)[3];
    assert_eq!(*session, daemon.0.to_string(), "a session of its own");
    for number in 0..3 {
        let open = fs::read_link(format!("/proc/{}/fd/{number}", daemon.0)).unwrap();
        assert_eq!(open, Path::new("/dev/null"), "descriptor {number}");
    }
    let second = run(&arguments);
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("it runs already, as process"), "{said}");

    // Somebody moves the log away.
    let moved = folder.path().join("web.log.moved");
    fs::rename(&log, &moved).unwrap();
    daemon.signal(Signal::USR1);
    while !log.exists() {
        std::thread::yield_now();
    }
    assert!(ask().ends_with("hello"));
    daemon.end();
    assert!(!pid_file.exists(), "its number goes with it");
    let lines = |path: &Path| fs::read_to_string(path).unwrap().matches("GET /a.txt").count();
    assert_eq!((lines(&moved), lines(&log)), (1, 1));
}

#[test]
fn what_is_wrong_with_a_daemon_is_told_by_its_starter() {
    let folder = Folder::new("undaemon");
    let path = folder.path().to_str().unwrap();
    let log = format!("file:{}", folder.path().join("log").display());
    let cases: &[(&[&str], &str)] = &[
        (&["--daemon"], "say where its log goes"),
        (
            &["--daemon", "--log-to", &log, "--listen", "tcp:1:interface=192.0.2.1"],
            "no such address",
        ),
        (&["--uid", "no-such-user-here"], "there is no user no-such-user-here"),
        (&["--gid", "users"], "--gid goes with --uid"),
        (&["--directory", "/no/such/place"], "cannot work in /no/such/place"),
        (&["--log-to", "file:/no/such/place/log"], "cannot write the log"),
        (&["--log-size", "5000"], "--log-size and --log-keep are for files"),
        (&["--log-to", "syslog:/no/such/socket"], "cannot log to syslog"),
        (
            &["--processes", "2", "--log-to", &log, "--log-size", "5000"],
            "several processes cannot put one log file aside",
        ),
        (&["--processes", "2", "--metrics", ANYWHERE], "each counts for itself"),
    ];
    for (arguments, told) in cases {
        let listen = ["--listen", ANYWHERE];
        let listen = if arguments.contains(&"--listen") { &[][..] } else { &listen };
        let output = run(&[&["web", "--path", path][..], listen, arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    for wrong in
        [["--umask", "9"], ["--log-to", "nowhere"], ["--drain", "long"], ["--log-size", "1"]]
    {
        let output = run(&[&["web"][..], &wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn privileges_go_once_the_places_are_taken() {
    let folder = Folder::new("privileges").with("a.txt", "hello");
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    let is_root = rustix::process::geteuid().is_root();
    let mut command = program();
    command.args(["web", "--path", folder.path().to_str().unwrap(), "--listen", ANYWHERE]);
    command.args(["--uid", "nobody"]);
    if !is_root {
        let output = command.output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("only root can become nobody"));
        return;
    }
    let served = Served::of(command, 1);
    let pid = i32::try_from(served.child.id()).unwrap();
    let user = status_of(pid, "Uid");
    let numbers: Vec<_> = user.split(' ').collect();
    assert!(numbers.iter().all(|number| *number == "65534"), "{user}");
    let group = status_of(pid, "Gid");
    assert!(group.split(' ').all(|number| number == "65534"), "{group}");
    assert!(!status_of(pid, "Groups").split(' ').any(|number| number == "0"));
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        assert!(text.contains("Uid:\t65534\t65534\t65534\t65534"), "{text}");
    }
    assert_eq!(status_of(pid, "CapEff"), "0000000000000000");
    assert!(talk(served.connect(), "GET /a.txt HTTP/1.0\r\n\r\n").ends_with("hello"));
    assert_eq!(served.stop().0, Some(0));
}

/// The processes that a process has started.
fn children(pid: i32) -> Vec<i32> {
    let said = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    said.split_whitespace().map(|number| number.parse().unwrap()).collect()
}

/// Waits until something is so.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

#[test]
fn several_threads_and_processes_have_the_habits_of_daemons_too() {
    let is_root = rustix::process::geteuid().is_root();
    for kind in ["--workers", "--processes"] {
        let folder = Folder::new(&format!("daemon{kind}")).with("a.txt", "hello");
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let (pid_file, log) = (folder.path().join("web.pid"), folder.path().join("web.log"));
        let (file, log_to) = (pid_file.to_str().unwrap(), format!("file:{}", log.display()));
        let mut starter = program();
        starter.current_dir(folder.path());
        starter.args(["web", "--path", ".", "--listen", ANYWHERE, "--daemon", "--pid-file", file]);
        starter.args(["--log-to", &log_to, "--umask", "027", "--no-new-privileges", kind, "2"]);
        if is_root {
            starter.args(["--uid", "nobody"]);
        }
        let output = starter.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{kind}: {said}");
        let place = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let daemon = Daemon(pid_in(&pid_file));
        let ask = || talk(connect(&place), "GET /a.txt HTTP/1.0\r\n\r\n");
        assert!(ask().ends_with("hello"), "{kind}");
        if kind == "--processes" {
            wait_until(|| children(daemon.0).len() == 2);
        }
        let all = || [vec![daemon.0], children(daemon.0)].concat();
        for pid in all() {
            assert_eq!(status_of(pid, "NoNewPrivs"), "1", "{kind}");
            assert_eq!(status_of(pid, "Umask"), "0027", "{kind}");
            for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
                let text = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
                let is_nobody = text.contains("Uid:\t65534\t65534\t65534\t65534");
                assert_eq!(is_nobody, is_root, "{kind}: {text}");
            }
        }
        assert_eq!(stat(daemon.0)[3], daemon.0.to_string(), "a session of its own");

        // Somebody moves the log away, which all of them are to know.
        let moved = folder.path().join("web.log.moved");
        fs::rename(&log, &moved).unwrap();
        daemon.signal(Signal::USR1);
        wait_until(|| log.exists());
        let lines = |path: &Path| {
            fs::read_to_string(path).map_or(0, |text| text.matches("GET /a.txt").count())
        };
        wait_until(|| {
            let before = lines(&log);
            assert!(ask().ends_with("hello"), "{kind}");
            lines(&log) > before
        });

        let output = run(&["upgrade", "--pid-file", file]);
        let said = String::from_utf8_lossy(&output.stderr);
        if kind == "--workers" {
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("several threads have no successor"), "{said}");
        } else {
            assert_eq!(output.status.code(), Some(0), "{said}");
        }
        assert!(ask().ends_with("hello"), "{kind}");
        daemon.end();
        assert!(!pid_file.exists(), "{kind}: its number goes with it");
    }
}

/// What came to a socket, until one of its messages has this in it.
fn until(socket: &UnixDatagram, word: &str) -> String {
    let mut all = String::new();
    while !all.contains(word) {
        let mut message = vec![0; 65_536];
        let length = socket.recv(&mut message).unwrap();
        all.push_str(&String::from_utf8_lossy(&message[..length]));
        all.push('\n');
    }
    all
}

fn listening(folder: &Folder, name: &str) -> (UnixDatagram, String) {
    let path = folder.path().join(name);
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    (socket, path.display().to_string())
}

#[test]
fn a_service_manager_is_told_what_goes_on() {
    let folder = Folder::new("manager");
    let (manager, path) = listening(&folder, "notify");
    fs::write(folder.path().join("app.toml"), "[services.echo]\nlisten = 'tcp:0'\n").unwrap();
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "app.toml"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
    let served = Served::of(command, 1);
    let ready = until(&manager, "READY=1");
    assert!(ready.contains(&format!("MAINPID={}", served.child.id())), "{ready}");
    until(&manager, "WATCHDOG=1");
    until(&manager, "WATCHDOG=1");
    served.signal(Signal::HUP);
    let reloading = until(&manager, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    until(&manager, "READY=1");
    served.signal(Signal::TERM);
    until(&manager, "STOPPING=1");
}

#[test]
fn a_log_goes_to_journald_and_syslog() {
    let folder = Folder::new("journal");
    for (kind, expected) in
        [("journald", "PRIORITY=6\nSYSLOG_IDENTIFIER=ropewalk\n"), ("syslog", "<30>ropewalk[")]
    {
        let (taker, path) = listening(&folder, kind);
        let log_to = format!("{kind}:{path}");
        let served = Served::web(&folder, &[ANYWHERE], &["--log-to", &log_to]);
        assert!(talk(served.connect(), "GET /x HTTP/1.0\r\n\r\n").contains(" 404 "));
        let entry = until(&taker, "GET /x");
        assert!(entry.contains(expected), "{entry}");
        let (status, log) = served.stop();
        assert_eq!((status, log.as_str()), (Some(0), ""));
    }
}

#[test]
fn levels_of_a_log_in_journald_or_syslog_change_while_it_is_written() {
    let folder = Folder::new("journal-levels");
    for (kind, debug) in [("journald", "PRIORITY=7\n"), ("syslog", "<31>ropewalk[")] {
        let (taker, path) = listening(&folder, kind);
        let (log_to, control) = (format!("{kind}:{path}"), folder.path().join(format!("{kind}.c")));
        let control = control.to_str().unwrap();
        let more = ["--log", "off", "--log-to", &log_to, "--control", control];
        let served = Served::web(&folder, &[ANYWHERE], &more);
        let level = |change: &str| {
            let output = run(&["log-level", change, "--control", control]);
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let ask_wrongly = || assert!(talk(served.connect(), "?\r\n\r\n").contains(" 400 "));
        ask_wrongly();
        // What an operator changes is told of by a namespace of its own.
        let shown = level("ropewalk::control=info");
        assert!(shown.ends_with(",ropewalk::control=info\n"), "{shown}");
        let told = until(&taker, "ropewalk::control: an operator changed");
        assert!(!told.contains("bad request"), "{told}");
        level("ropewalk::http=debug");
        ask_wrongly();
        let told = until(&taker, "bad request");
        let (_, entry) = told.split_once("ropewalk::http=debug").unwrap();
        assert!(entry.contains(debug) && entry.contains("ropewalk::http: bad request"), "{told}");
        level("ropewalk::http=warn");
        ask_wrongly();
        level("ropewalk::http=");
        let told =
            until(&taker, "to warn,ropewalk::tls=info,ropewalk_cli=info,ropewalk::control=info");
        assert!(!told.contains("bad request"), "{told}");
        assert_eq!(level("reset"), "warn,ropewalk::tls=info,ropewalk_cli=info\n");
        assert_eq!(served.stop().0, Some(0));
    }
}

#[test]
fn a_log_is_put_aside_while_it_is_written() {
    let folder = Folder::new("rotation");
    let log = folder.path().join("log");
    let log_to = format!("file:{}", log.display());
    let more = ["--log-to", &log_to, "--log-size", "2000", "--log-keep", "50"];
    let served = Served::web(&folder, &[ANYWHERE], &more);
    let place = served.places[0].clone();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let place = place.clone();
            let ask = move || {
                for index in 0..50 {
                    talk(connect(&place), &format!("GET /{client}-{index}. HTTP/1.0\r\n\r\n"));
                }
            };
            std::thread::Builder::new().spawn(ask).unwrap()
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(served.stop().0, Some(0));
    let mut all = String::new();
    let mut files = 0;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert!(entry.metadata().unwrap().len() <= 2000, "{:?}", entry.file_name());
        fs::File::open(entry.path()).unwrap().read_to_string(&mut all).unwrap();
        files += 1;
    }
    assert!(files > 5, "only {files} files");
    for client in 0..4 {
        for index in 0..50 {
            let line = format!("GET /{client}-{index}. ");
            assert_eq!(all.matches(&line).count(), 1, "{line}");
        }
    }
}

#[test]
fn a_socket_of_a_service_manager_is_served() {
    // Each test of the endpoints has more of it; this is that daemons have them too.
    let folder = Folder::new("activation").with("a.txt", "hello");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let mut shell = std::process::Command::new("sh");
    let script = "exec env LISTEN_PID=$$ LISTEN_FDS=1 \"$0\" web --path \"$1\" --listen systemd:0 3<&0 0</dev/null";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_ropewalk"), folder.path().to_str().unwrap()]);
    shell.stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)));
    let mut served = Served::of(shell, 1);
    assert!(talk(connect(&place), "GET /a.txt HTTP/1.0\r\n\r\n").ends_with("hello"));
    let mut log = Log::of(&mut served);
    log.until("GET /a.txt");
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
