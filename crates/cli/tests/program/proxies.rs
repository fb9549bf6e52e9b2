//! Places that lead elsewhere, and a page over each kind of place.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::{Folder, Served, program};

const PATIENCE: Duration = Duration::from_secs(20);

/// Says something and hears what comes back, to its end.
fn ask(mut stream: TcpStream, said: &[u8]) -> Vec<u8> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(said).unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).unwrap();
    heard
}

/// A request whose answer ends the connection, behind `header`.
fn request(header: &[u8]) -> Vec<u8> {
    [header, b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat()
}

#[track_caller]
fn check_page(place: &str, answer: &[u8]) {
    let answer = String::from_utf8_lossy(answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{place}: {answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{place}: {answer}");
}

/// The host and port that a line names.
fn authority(line: &str) -> &str {
    line.trim_start_matches("http://").trim_end_matches('/')
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

#[test]
fn a_page_is_served_over_each_kind_of_place() {
    let folder = Folder::new("matrix").with("page", "hello");
    let socket = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\n";
    let tcp = "tcp:0:interface=127.0.0.1".to_owned();
    let tcp6 = "tcp6:0:interface=[::1]".to_owned();
    let unix = format!("unix:{}", socket("plain.sock"));
    let behind = |inner: &str| format!("haproxy:{inner}");
    let mut kinds = vec![(tcp.clone(), &b""[..]), (behind(&tcp), header), (unix, b"")];
    kinds.push((format!("haproxy:unix:{}", socket("behind.sock")), header));
    if has_ipv6() {
        kinds.extend([(tcp6.clone(), &b""[..]), (behind(&tcp6), header)]);
    }
    let places: Vec<&str> = kinds.iter().map(|(place, _)| place.as_str()).collect();
    let served = Served::web(&folder, &places, &[]);
    for ((place, header), line) in kinds.iter().zip(&served.places) {
        let answer = match line.strip_prefix("unix:") {
            Some(path) => {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(&request(header)).unwrap();
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).unwrap();
                answer
            }
            None => ask(TcpStream::connect(authority(line)).unwrap(), &request(header)),
        };
        check_page(place, &answer);
    }
    let (_, log) = served.stop();
    let clients = log.lines().filter(|line| line.starts_with("192.0.2.1 ")).count();
    assert!(clients >= 2, "the log names the client and not the proxy:\n{log}");
}

#[test]
fn connections_are_passed_on_with_who_their_client_is() {
    let folder = Folder::new("forward").with("page", "hello");
    let web = Served::web(&folder, &["haproxy:tcp:0:interface=127.0.0.1"], &[]);
    let to = format!("tcp:{}", authority(&web.places[0]));
    let near = "tcp:0:interface=127.0.0.1";
    for version in ["v1", "v2"] {
        let arguments = ["portforward", "--listen", near, "--to", &to, "--header", version];
        let forward = Served::start(&arguments, 1);
        check_page(version, &ask(forward.connect(), &request(b"")));
        let (status, log) = forward.stop();
        assert_eq!((status, log.as_str()), (Some(0), ""));
    }
    // Through a proxy, and with a header that was told here.
    let socks = Served::start(&["socks", "--listen", near, "--allow", "127.0.0.0/8"], 1);
    let through = format!("haproxy:socks5:{}:tcp:{}", authority(&web.places[0]), socks.places[0]);
    let listen = format!("haproxy:{near}");
    let forward = Served::start(&["portforward", "--listen", &listen, "--to", &through], 1);
    let header = b"PROXY UNKNOWN\r\n";
    check_page(&through, &ask(forward.connect(), &request(header)));
}

#[test]
fn a_proxy_takes_its_clients_where_it_may() {
    let folder = Folder::new("socks").with("page", "hello").with("users", "# us\nbob:secret\n");
    let web = Served::web(&folder, &["tcp:0:interface=127.0.0.1"], &[]);
    let port: u16 = authority(&web.places[0]).rsplit_once(':').unwrap().1.parse().unwrap();
    let [high, low] = port.to_be_bytes();
    let target = [5, 1, 0, 1, 127, 0, 0, 1, high, low];
    let users = folder.path().join("users");
    let near = ["socks", "--listen", "tcp:0:interface=127.0.0.1"];

    let closed = Served::start(&near, 1);
    let said = [&[5, 1, 0][..], &target].concat();
    assert_eq!(ask(closed.connect(), &said), [5, 0, 5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);

    let open = Served::start(&[&near[..], &["--allow", "127.0.0.1"]].concat(), 1);
    let answer = ask(open.connect(), &[&said, &request(b"")[..]].concat());
    assert_eq!(answer[..5], [5, 0, 5, 0, 0]);
    check_page("socks", &answer[12..]);

    let port = port.to_string();
    let more = ["--anywhere", "--port", &port, "--users", users.to_str().unwrap()];
    let asking = Served::start(&[&near[..], &more].concat(), 1);
    assert_eq!(ask(asking.connect(), &said), [5, 0xff]);
    let login = b"\x05\x01\x02\x01\x03bob\x06secret";
    let answer = ask(asking.connect(), &[login, &target[..], &request(b"")].concat());
    assert_eq!(answer[..7], [5, 2, 1, 0, 5, 0, 0]);
    check_page("socks", &answer[14..]);
}

/// What the program says when it does not start.
fn complaint(arguments: &[&str]) -> String {
    let output = program().args(arguments).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_is_told_with_its_place() {
    let told = complaint(&["portforward", "--listen", "tcp:0", "--to", "socks5:a:80:tcp:b"]);
    assert!(told.contains("endpoint \"socks5:a:80:tcp:b\": the port is missing"), "{told}");
    let told = complaint(&["portforward", "--to", "tcp:a:80"]);
    assert!(told.contains("--listen <ENDPOINT>"), "{told}");
    let told = complaint(&["socks", "--allow", "10.0.0.1/8"]);
    assert!(told.contains("did you mean 10.0.0.0/8?"), "{told}");
    let told = complaint(&["socks", "--port", "80-22"]);
    assert!(told.contains("as in 8000-8999"), "{told}");
    let told = complaint(&["socks", "--users", "/nonexistent/users"]);
    assert!(told.contains("cannot read the users in /nonexistent/users"), "{told}");
}

#[test]
fn the_help_teaches() {
    for (verb, taught) in [
        ("socks", "curl --socks5-hostname 127.0.0.1"),
        ("portforward", "--to socks5:db.example.org:5432:tcp:proxy.example.org:1080"),
    ] {
        let output = program().args(["help", verb]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains(taught) && help.contains("Examples:"), "{help}");
    }
}

#[test]
fn a_socks_client_that_says_nothing_holds_nobody_up() {
    // Nobody would wait so long as the deadline.
    let arguments = ["socks", "--listen", "tcp:0:interface=127.0.0.1", "--drain", "3600"];
    let mut served = Served::start(&arguments, 1);
    let mut silent = TcpStream::connect(&served.places[0]).unwrap();
    silent.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    served.signal(rustix::process::Signal::TERM);
    // Whether it hears of an end or of a reset, it is over.
    let _ = silent.read(&mut [0]);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
