//! `ropewalk web --sandbox`: what goes on working in it, and what does not.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::process::Command;

use rustix::process::Signal;

use crate::applications::Log;
use crate::places::has;
use crate::{ANYWHERE, Folder, Served, program, run, talk};

const DRIVERS: [&str; 5] = ["epoll", "io_uring", "poll", "select", "portable"];

fn ask(served: &Served, path: &str, fields: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    talk(served.connect(), &request)
}

fn put(served: &Served, path: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    talk(served.connect(), &request)[9..12].to_owned()
}

/// Whether every thread of a process has its calls filtered and can gain nothing.
#[track_caller]
fn assert_filtered(process: u32) {
    for thread in fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        // One that ends meanwhile needs no filter.
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default();
        let has = |line: &str| status.lines().any(|found| found == line);
        assert!(status.is_empty() || has("Seccomp:\t2") && has("NoNewPrivs:\t1"), "{status}");
    }
}

/// Whether this kernel keeps files out of reach; if not, the log has to say so.
fn hides_files(log: &str) -> bool {
    assert!(log.contains("system calls by seccomp"), "{log}");
    let hides = log.contains("in a sandbox: files by Landlock");
    assert_ne!(hides, log.contains("in half a sandbox"), "{log}");
    hides
}

#[test]
fn files_are_served_and_taken_in_on_each_driver_and_nothing_else_is_in_reach() {
    let elsewhere = Folder::new("sandbox-elsewhere").with("secret", "secret");
    for driver in DRIVERS {
        let folder = Folder::new(&format!("sandbox-{driver}")).with("a.txt", "hello, sandbox");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("b.txt"), "below").unwrap();
        symlink(elsewhere.path().join("secret"), folder.path().join("link")).unwrap();
        let more = ["--sandbox", "--upload", "--links", "all", "--reactor", driver];
        let open = Served::web(&folder, &[ANYWHERE], &more[1..]);
        assert!(ask(&open, "/link", "").ends_with("secret"), "{driver}");
        assert_eq!(open.stop().0, Some(0));

        let mut served = Served::web(&folder, &[ANYWHERE], &more);
        let mut log = Log::of(&mut served);
        let hides = hides_files(&log.until("system calls by seccomp"));
        assert!(ask(&served, "/a.txt", "").ends_with("hello, sandbox"), "{driver}");
        let part = ask(&served, "/a.txt", "Range: bytes=7-9\r\n");
        assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("san"), "{driver}: {part}");
        assert!(ask(&served, "/", "").contains("a.txt"), "{driver}");
        assert!(ask(&served, "/inner/b.txt", "").ends_with("below"), "{driver}");
        assert_eq!(put(&served, "/new.txt", "taken in"), "201", "{driver}");
        assert_eq!(fs::read_to_string(folder.path().join("new.txt")).unwrap(), "taken in");
        assert!(ask(&served, "/new.txt", "").ends_with("taken in"), "{driver}");
        let link = ask(&served, "/link", "");
        assert_eq!(!link.contains("secret"), hides, "{driver}: {link}");
        assert_filtered(served.child.id());
        served.signal(Signal::INT);
        assert_eq!(served.child.wait().unwrap().code(), Some(0), "{driver}");
    }
}

#[test]
fn threads_and_processes_are_each_in_it() {
    let folder = Folder::new("sandbox-many").with("a.txt", "hello");
    let served = Served::web(&folder, &[ANYWHERE], &["--sandbox", "--workers", "2"]);
    assert!(ask(&served, "/a.txt", "").ends_with("hello"));
    assert_filtered(served.child.id());
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    assert_eq!(log.matches("system calls by seccomp").count(), 1, "{log}");

    let mut served = Served::web(&folder, &[ANYWHERE], &["--sandbox", "--processes", "2"]);
    assert!(ask(&served, "/a.txt", "").ends_with("hello"));
    // Each of the two says so.
    let mut log = Log::of(&mut served);
    log.until("system calls by seccomp");
    log.until("system calls by seccomp");
    let parent = served.child.id();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
    let children: Vec<u32> = children.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert_eq!(children.len(), 2);
    for child in children {
        assert_filtered(child);
    }
    assert!(ask(&served, "/a.txt", "").ends_with("hello"));
    served.signal(Signal::INT);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

/// The kernel refuses the new process; the old program goes on.
#[test]
fn no_program_is_started_out_of_it() {
    let folder = Folder::new("sandbox-upgrade").with("a.txt", "hello");
    for driver in DRIVERS {
        let served = Served::web(&folder, &[ANYWHERE], &["--sandbox", "--reactor", driver]);
        let pid = served.child.id().to_string();
        let upgrade = run(&["upgrade", "--pid", &pid]);
        let said = String::from_utf8_lossy(&upgrade.stderr);
        assert_eq!(upgrade.status.code(), Some(1), "{driver}: {said}");
        assert!(said.contains("in a sandbox no program is started"), "{driver}: {said}");
        assert!(ask(&served, "/a.txt", "").ends_with("hello"), "{driver}");
        assert_eq!(served.stop().0, Some(0), "{driver}");
    }
}

#[test]
fn what_would_start_programs_is_refused() {
    let folder = Folder::new("sandbox-refused");
    let path = folder.path().to_str().unwrap();
    for (option, told) in [("--cgi=*.cgi", "leave --cgi out"), ("--open", "leave --open out")] {
        let output = run(&["web", "--path", path, "--listen", ANYWHERE, "--sandbox", option]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("ropewalk: --sandbox: ") && said.contains(told), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_is_followed_stays_in_reach() {
    let folder = Folder::new("sandbox-followed").with("a.txt", "hello");
    let house = Folder::new("sandbox-house");
    let at = |name: &str| house.path().join(name);
    // `alice` with `rabbit`, as `htpasswd -B` wrote it.
    let alice = "alice:$2y$05$2YqrzF0myZqSao0sQPEovu6e9uwk4JMSjGhhEQW.YFB51oYsO6j/u\n";
    fs::write(at("users"), "").unwrap();
    let auth = format!("htpasswd:{}", at("users").display());
    let log_to = format!("file:{}", at("log").display());
    let unix = format!("unix:{}", at("web.sock").display());
    let (control, pid_file) = (at("control.sock"), at("pid"));
    let mut command = program();
    command.args(["web", "--sandbox", "--auth", &auth, "--log-to", &log_to]);
    command.args(["--listen", ANYWHERE, "--listen", &unix, "--path"]).arg(folder.path());
    command.arg("--control").arg(&control).arg("--pid-file").arg(&pid_file);
    let served = Served::of(command, 2);
    let login = "Authorization: Basic YWxpY2U6cmFiYml0\r\n";
    assert!(ask(&served, "/a.txt", login).starts_with("HTTP/1.1 401 "));
    fs::write(at("next"), alice).unwrap();
    fs::rename(at("next"), at("users")).unwrap();
    assert!(ask(&served, "/a.txt", login).ends_with("hello"));

    let mut stream = UnixStream::connect(at("web.sock")).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let status = run(&["status", "--control", control.to_str().unwrap()]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    // The log is opened anew where it was.
    fs::rename(at("log"), at("log.old")).unwrap();
    served.signal(Signal::USR1);
    while !at("log").exists() {
        std::thread::yield_now();
    }
    assert!(fs::read_to_string(at("log.old")).unwrap().contains("system calls by seccomp"));
    assert_eq!(served.stop().0, Some(0));
    for gone in [control, pid_file, at("web.sock")] {
        assert!(!gone.exists(), "{}", gone.display());
    }
}

#[test]
fn other_servers_are_reached_where_requests_are_passed_on() {
    let folder = Folder::new("sandbox-proxy").with("a.txt", "hello");
    let origin = Served::web(&folder, &[ANYWHERE], &[]);
    let port = origin.places[0].trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    for driver in DRIVERS {
        let proxy = format!("/=http://localhost:{port}");
        let more = ["--sandbox", "--proxy", &proxy, "--reactor", driver];
        let served = Served::web(&Folder::new("sandbox-none"), &[ANYWHERE], &more);
        let answer = ask(&served, "/a.txt", "");
        assert!(answer.ends_with("hello"), "{driver}: {answer}");
        assert_filtered(served.child.id());
        assert_eq!(served.stop().0, Some(0), "{driver}");
    }
}

#[test]
fn roots_that_are_named_vouch_for_other_servers() {
    let folder = Folder::new("sandbox-roots").with("a.txt", "hello");
    let house = Folder::new("sandbox-roots-house");
    write_identity(&house);
    let at = |name: &str| house.path().join(name).to_str().unwrap().to_owned();
    let place = format!("tls:0:interface=127.0.0.1:cert={}:key={}", at("cert.pem"), at("key.pem"));
    let origin = Served::web(&folder, &[&place], &[]);
    let port = origin.places[0].trim_end_matches('/').rsplit(':').next().unwrap();
    let nothing = Folder::new("sandbox-roots-none");
    let mut command = program();
    command.env("SSL_CERT_FILE", at("cert.pem")).env_remove("SSL_CERT_DIR");
    command.args(["web", "--sandbox", "--listen", ANYWHERE, "--path"]).arg(nothing.path());
    command.args(["--proxy", &format!("/=https://localhost:{port}")]);
    let served = Served::of(command, 1);
    let answer = ask(&served, "/a.txt", "");
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(served.stop().0, Some(0));
}

/// A certificate for localhost with its key, written over what was there.
fn write_identity(house: &Folder) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (name, text) in [("key.pem", key), ("cert.pem", cert)] {
        let next = house.path().join(format!("{name}.next"));
        fs::write(&next, text).unwrap();
        fs::rename(next, house.path().join(name)).unwrap();
    }
}

#[test]
fn curl_is_served_over_tls_by_a_certificate_that_is_replaced() {
    if !has("curl") {
        return;
    }
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let house = Folder::new("sandbox-tls");
    for driver in DRIVERS {
        let folder = Folder::new("sandbox-curl").with("large", &content);
        write_identity(&house);
        fs::write(house.path().join("tickets"), [7; 64]).unwrap();
        let at = |name: &str| house.path().join(name).to_str().unwrap().to_owned();
        let place = format!(
            "tls:0:interface=127.0.0.1:cert={}:key={}:tickets={}",
            at("cert.pem"),
            at("key.pem"),
            at("tickets")
        );
        let more = ["--sandbox", "--upload", "--overwrite", "--reactor", driver];
        let served = Served::web(&folder, &[&place], &more);
        let port = served.places[0].trim_end_matches('/').rsplit(':').next().unwrap();
        let curl = |words: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--fail"]);
            curl.args(["--cacert", &at("cert.pem")]).args(words);
            curl.arg(format!("https://localhost:{port}/large")).output().unwrap()
        };
        assert!(curl(&[]).stdout == content, "{driver}");
        assert!(curl(&["--range", "1000-999999"]).stdout == content[1000..1_000_000], "{driver}");
        let upload = house.path().join("upload");
        fs::write(&upload, &content[..500_000]).unwrap();
        let put = curl(&["--upload-file", upload.to_str().unwrap()]);
        assert!(put.status.success(), "{driver}: {}", String::from_utf8_lossy(&put.stderr));
        assert!(curl(&[]).stdout == content[..500_000], "{driver}");
        // Who trusts the new one alone is answered once it has been read.
        write_identity(&house);
        while curl(&[]).stdout != content[..500_000] {
            std::thread::yield_now();
        }
        assert_filtered(served.child.id());
        assert_eq!(served.stop().0, Some(0), "{driver}");
    }
}

#[test]
fn privileges_are_gone_before_it_is_closed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = Folder::new("sandbox-nobody").with("a.txt", "hello");
    for driver in DRIVERS {
        let more = ["--sandbox", "--uid", "nobody", "--reactor", driver];
        let served = Served::web(&folder, &[ANYWHERE], &more);
        assert!(ask(&served, "/a.txt", "").ends_with("hello"), "{driver}");
        assert_filtered(served.child.id());
        let status = fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert!(ids.split_whitespace().all(|id| id != "0"), "{driver}: {ids}");
        let (code, log) = served.stop();
        assert_eq!(code, Some(0), "{driver}: {log}");
        hides_files(&log);
    }
}
