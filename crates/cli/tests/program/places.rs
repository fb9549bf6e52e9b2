//! A page over each kind of place, fetched by programs that nobody here wrote, and what is handed over
//! by those that start others. The numbers are those of the statements in `twisted.md` of the endpoints.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::{Folder, Served, program, talk};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ropewalk");
const REQUEST: &str = "GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(20);
/// The header of the PROXY protocol's second version for a client at 192.0.2.2, port 4000.
const SECOND: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x02\xc6\x33\x64\x07\x0f\xa0\x01\xbb";

/// Whether this machine has a program.
pub(crate) fn has(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("{program} is missing: it is left out");
    }
    found
}

/// The output of a program that succeeds.
#[track_caller]
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

fn curl(arguments: &[&str]) -> String {
    output(Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments))
}

#[track_caller]
fn check(place: &str, answer: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{place}: {answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{place}: {answer}");
}

fn call_unix(path: &Path, said: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(said).unwrap();
    talk(stream, REQUEST)
}

/// A folder with a page, and with the certificate of a server called localhost.
fn folder(name: &str) -> Folder {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let folder =
        Folder::new(name).with("page", "hello").with("cert.pem", &cert).with("key.pem", &key);
    std::fs::create_dir(folder.path().join("certs")).unwrap();
    folder.with("certs/localhost.pem", cert + &key)
}

/// Hands a descriptor on: programs that are started now have it, under its own number.
fn hand_on(descriptor: &OwnedFd) -> i32 {
    fcntl_setfd(descriptor, FdFlags::empty()).unwrap();
    descriptor.as_raw_fd()
}

#[test]
fn curl_fetches_a_page_over_each_kind() {
    // 2.8, 90 to 92, 99.
    if !has("curl") {
        return;
    }
    let folder = folder("kinds");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, certs) = (at("cert.pem"), at("key.pem"), at("certs"));
    let abstracted = format!("ropewalk-{}-kinds", std::process::id());
    let near = "interface=127.0.0.1";
    let (unix, behind) = (at("a.sock"), at("b.sock"));
    let places = [
        format!("tcp:0:{near}"),
        format!("unix:{unix}"),
        format!("abstract:{abstracted}"),
        format!("haproxy:tcp:0:{near}"),
        format!(r"tls:endpoint=unix\:{behind}:cert={cert}:key={key}"),
        format!("tls:0:{near}:self-signed"),
        format!("tls:0:{near}:cert={cert}:key={key}"),
        format!("tls:0:{near}:certs={certs}"),
        format!("tls:{certs}:port=0:{near}"),
        format!("ssl:0:privateKey={key}:certKey={cert}:{near}"),
    ];
    let listen: Vec<&str> = places.iter().map(String::as_str).collect();
    let served = Served::web(&folder, &listen, &[]);
    let lines = &served.places;
    let url = |line: &str| format!("{line}page");
    assert_eq!(curl(&[&url(&lines[0])]), "hello");
    assert_eq!(curl(&["--unix-socket", &unix, "http://localhost/page"]), "hello");
    assert_eq!(lines[2], format!("unix:@{abstracted}"));
    assert_eq!(curl(&["--abstract-unix-socket", &abstracted, "http://localhost/page"]), "hello");
    assert_eq!(curl(&["--haproxy-protocol", &url(&lines[3])]), "hello");
    let over = ["--cacert", &cert, "--unix-socket", &behind, "https://localhost/page"];
    assert_eq!(curl(&over), "hello");
    assert_eq!(curl(&["-k", &url(&lines[5])]), "hello");
    for line in &lines[6..] {
        let url = url(line).replace("127.0.0.1", "localhost");
        assert!(url.starts_with("https://"), "{url}");
        assert_eq!(curl(&["-4", "--cacert", &cert, &url]), "hello", "{line}");
    }
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn keys_are_logged_where_the_environment_says() {
    if !has("curl") {
        return;
    }
    let folder = folder("keys");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut web = program();
    web.env("SSLKEYLOGFILE", at("ours.log")).args(["web", "--path", &at(""), "--listen"]);
    let place = format!("tls:0:interface=127.0.0.1:cert={}:key={}", at("cert.pem"), at("key.pem"));
    web.arg(place);
    let served = Served::of(web, 1);
    let url = served.places[0].replace("127.0.0.1", "localhost") + "page";
    for version in ["1.2", "1.3"] {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "-4", "--cacert", &at("cert.pem"), &url]);
        curl.args([&format!("--tlsv{version}"), "--tls-max", version]);
        assert_eq!(output(curl.env("SSLKEYLOGFILE", at("curls.log"))), "hello");
    }
    // What curl wrote down of its own side: the same secrets, so that either file opens what was said.
    let read = |name: &str| {
        let text = std::fs::read_to_string(at(name)).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with("EXPORTER_SECRET"));
        lines.map(ToOwned::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let ours = read("ours.log");
    assert_eq!(ours.len(), 1 + 4, "a master secret, and four of TLS 1.3: {ours:?}");
    assert_eq!(ours, read("curls.log"));
}

#[test]
fn the_roots_of_the_machine_are_trusted_where_none_are_named() {
    let folder = folder("roots");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let other = rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap();
    std::fs::write(at("other.pem"), other.cert.pem()).unwrap();
    let place = format!("tls:0:interface=127.0.0.1:cert={}:key={}", at("cert.pem"), at("key.pem"));
    let web = Served::web(&folder, &[&place], &[]);
    let host = web.places[0].trim_start_matches("https://").trim_end_matches('/');
    // Where those are kept can be said to whatever looks for them.
    for (roots, is_trusted) in [("cert.pem", true), ("other.pem", false)] {
        let mut forward = program();
        forward.env("SSL_CERT_FILE", at(roots)).env_remove("SSL_CERT_DIR");
        forward.args(["portforward", "--listen", "tcp:0:interface=127.0.0.1", "--to"]);
        forward.arg(format!("tls:{host}:name=localhost"));
        let forward = Served::of(forward, 1);
        let mut stream = forward.connect();
        stream.write_all(REQUEST.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // One that is let down may be told by a reset as well as by an end.
        let heard = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer.ends_with("hello"), is_trusted, "{roots}: {answer} {heard:?}");
        assert!(is_trusted || answer.is_empty(), "{roots}: {answer}");
    }
}

#[test]
fn it_is_said_that_a_certificate_is_about_to_end() {
    let folder = folder("ending");
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    for (hours, told) in [(12, "ends today"), (60, "is good for 2 days")] {
        let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        wanted.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + Duration::from_hours(hours);
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("cert.pem"), wanted.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(at("key.pem"), key.serialize_pem()).unwrap();
        let place =
            format!("tls:0:interface=127.0.0.1:cert={}:key={}", at("cert.pem"), at("key.pem"));
        let served = Served::web(&folder, &[&place], &[]);
        // Once it has answered it hears signals: in the clear, that this is no TLS.
        let host = served.places[0].trim_start_matches("https://").trim_end_matches('/');
        let refusal = talk(std::net::TcpStream::connect(host).unwrap(), REQUEST);
        assert_eq!(refusal.len(), 7, "an alert: {refusal:?}");
        let (status, log) = served.stop();
        assert_eq!(status, Some(0));
        assert!(log.contains("the certificate of localhost ") && log.contains(told), "{log}");
    }
}

#[test]
fn openssl_fetches_a_page_and_sees_whose_it_is() {
    if !has("openssl") {
        return;
    }
    let folder = folder("openssl");
    let cert = folder.path().join("cert.pem");
    let place =
        format!("tls:0:interface=127.0.0.1:certs={}", folder.path().join("certs").display());
    let served = Served::web(&folder, &[&place], &[]);
    let host = served.places[0].trim_start_matches("https://").trim_end_matches('/');
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-servername", "localhost"])
        .args(["-verify_hostname", "localhost", "-alpn", "http/1.1", "-CAfile"])
        .arg(&cert)
        .args(["-connect", host])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = String::new();
    client.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    check(&place, &answer);
    client.wait().unwrap();
}

#[test]
fn both_versions_of_the_header_come_before_tls_or_inside_of_it() {
    // 99: what the header says is whom the log names.
    let folder = folder("headers");
    let path = folder.path().join("behind.sock");
    let place = format!("haproxy:unix:{}", path.display());
    let served = Served::web(&folder, &[&place], &[]);
    let first = b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n";
    check("version 1", &call_unix(&path, first));
    check("version 2", &call_unix(&path, SECOND));
    let log = served.stop().1;
    assert!(log.contains("192.0.2.1 ") && log.contains("192.0.2.2 "), "{log}");
}

#[test]
fn systemd_hands_over_what_it_listens_on() {
    // 2.8: `systemd` by index and by name.
    if !has("systemd-socket-activate") {
        return;
    }
    let folder = folder("activate");
    for (name, place) in [
        ("a", "systemd:1"),
        ("b", "systemd:name=web"),
        ("c", "systemd:domain=UNIX:name=web"),
        ("d", "systemd:domain=UNIX:index=1"),
        ("e", "haproxy:systemd:1"),
    ] {
        let (other, path) = (folder.path().join(format!("{name}.other")), folder.path().join(name));
        let mut manager = Command::new("systemd-socket-activate")
            .args([
                "--fdname=other:web",
                "-l",
                other.to_str().unwrap(),
                "-l",
                path.to_str().unwrap(),
            ])
            .args([PROGRAM, "web", "--path", folder.path().to_str().unwrap(), "--listen", place])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(manager.stderr.take().unwrap()).lines();
        let is_ready = |line: String| line.contains(&format!("Listening on {}", path.display()));
        assert!(log.by_ref().any(|line| is_ready(line.unwrap())));
        let header = if place.starts_with("haproxy") { SECOND } else { b"" };
        check(place, &call_unix(&path, header));
        manager.kill().unwrap();
        manager.wait().unwrap();
    }
}

#[test]
fn a_parent_hands_over_what_it_listens_on() {
    let folder = folder("parent");
    let listener = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let number = hand_on(&listener);
    let path = folder.path().to_str().unwrap();
    // As a service manager does, whoever that is.
    let script = format!(
        "exec 3<&{number}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; \
         exec {PROGRAM} web --path {path} --listen systemd:name=web:domain=INET"
    );
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let served = Served { places: vec![lines.next().unwrap().unwrap()], child };
    check("LISTEN_FDS", &talk(served.connect(), REQUEST));
    drop(served);

    // By its number.
    let place = format!("fd:{number}");
    let served = Served::web(&folder, &[&place], &[]);
    check("fd", &talk(served.connect(), REQUEST));
    assert_eq!(served.stop().0, Some(0));

    // One connection, after which nobody can come any more.
    let (near, far) = UnixStream::pair().unwrap();
    let near = OwnedFd::from(near);
    let place = format!("fd:{}", hand_on(&near));
    let mut served = Served::web(&folder, &[&place], &[]);
    drop(near);
    check("fd", &talk(far, REQUEST));
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn another_family_than_was_asked_for_is_refused() {
    let listener = OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let number = hand_on(&listener);
    let script = format!(
        "exec 3<&{number}; export LISTEN_PID=$$ LISTEN_FDS=1; \
         exec {PROGRAM} web --listen systemd:0:domain=UNIX"
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    let wanted =
        "no server at endpoint \"systemd:0:domain=UNIX\": the socket is not of family UNIX";
    assert!(complaint.contains(wanted), "{complaint}");
    let output = program().args(["web", "--listen", "systemd:0"]).output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("no service manager has handed anything over"), "{complaint}");
}

/// The program with this at its standard input and output.
fn on_standard_io(folder: &Folder, input: Stdio, output: Stdio) -> std::process::Child {
    let mut command = program();
    command.args(["web", "--listen", "stdio", "--path"]).arg(folder.path());
    command.stdin(input).stdout(output).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_page_goes_to_standard_output() {
    // 87: half-closing; and nothing else goes to the output.
    let folder = folder("stdio");
    let mut child = on_standard_io(&folder, Stdio::piped(), Stdio::piped());
    let mut input = child.stdin.take().unwrap();
    input.write_all(REQUEST.as_bytes()).unwrap();
    let mut answer = String::new();
    child.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    check("stdio", &answer);
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(log.starts_with("stdio\n") && log.contains("GET /page"), "{log}");

    // From a file into a file.
    let folder = folder.with("request", REQUEST);
    let request = File::open(folder.path().join("request")).unwrap();
    let answer = File::create(folder.path().join("answer")).unwrap();
    let child = on_standard_io(&folder, request.into(), answer.into());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    check("stdio", &std::fs::read_to_string(folder.path().join("answer")).unwrap());

    // A socket, as inetd hands it on.
    let (near, far) = UnixStream::pair().unwrap();
    let near = OwnedFd::from(near);
    let input = near.try_clone().unwrap();
    let mut child = on_standard_io(&folder, input.into(), near.into());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let answer = talk(&far, REQUEST);
    check("inetd", &answer);
    far.shutdown(Shutdown::Both).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn systemd_starts_one_process_a_connection() {
    if !has("systemd-socket-activate") {
        return;
    }
    let folder = folder("inetd");
    let path = folder.path().join("socket");
    let mut manager = Command::new("systemd-socket-activate")
        .args(["--inetd", "--accept", "-l", path.to_str().unwrap(), PROGRAM, "web", "--path"])
        .arg(folder.path())
        .args(["--listen", "stdio"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(manager.stderr.take().unwrap()).lines();
    assert!(log.by_ref().any(|line| line.unwrap().contains("Listening on")));
    for _ in 0..3 {
        check("--inetd", &call_unix(&path, b""));
    }
    manager.kill().unwrap();
    manager.wait().unwrap();
}

#[test]
fn a_terminal_is_left_as_it_was() {
    if !has("script") {
        return;
    }
    let folder = Folder::new("terminal");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (before, after, heard) = (at("before"), at("after"), at("heard"));
    // What a terminal is set to, and how its descriptors work, which all who share it feel.
    let state = |file: &str| format!("(stty -g; grep flags /proc/self/fdinfo/0) > {file}");
    let script = format!(
        "{}; {PROGRAM} simple echo --listen stdio 2>{}; {}; head -n 1 > {heard}",
        state(&before),
        at("log"),
        state(&after)
    );
    let mut terminal = Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut keys = terminal.stdin.take().unwrap();
    let mut shown = BufReader::new(terminal.stdout.take().unwrap());
    keys.write_all(b"anybody\n").unwrap();
    // What was typed is shown, and comes back.
    let mut times = 0;
    while times < 2 {
        let mut line = String::new();
        assert_ne!(shown.read_line(&mut line).unwrap(), 0, "it ended early");
        times += usize::from(line.contains("anybody"));
    }
    keys.write_all(b"\x04").unwrap();
    keys.write_all(b"later\n").unwrap();
    drop(keys);
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(terminal.wait().unwrap().success(), "{rest}");
    let read = |file: &str| std::fs::read_to_string(file).unwrap();
    assert_eq!(read(&before), read(&after));
    assert!(read(&before).contains("flags"), "{}", read(&before));
    assert_eq!(read(&heard), "later\n", "the next program reads on");
}

#[test]
fn a_unix_socket_that_was_handed_over_stays() {
    let folder = folder("stays");
    let path = folder.path().join("socket");
    let listener = OwnedFd::from(UnixListener::bind(&path).unwrap());
    let place = format!("fd:{}", hand_on(&listener));
    let served = Served::web(&folder, &[&place, "tcp:0:interface=127.0.0.1"], &[]);
    check(&place, &call_unix(&path, b""));
    assert_eq!(served.stop().0, Some(0));
    assert!(path.exists());
}
