//! `ropewalk finger` and `ropewalk simple`.

use std::io::{Read, Write};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::{ANYWHERE, Folder, Served, run, talk};

/// What a run printed, one of its outputs after the other, and its exit status.
fn ran(arguments: &[&str]) -> (String, String, Option<i32>) {
    let output = run(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// Where a server that listens on a port is asked by clients.
fn at(served: &Served) -> String {
    format!("tcp:{}", served.places[0])
}

#[test]
fn plans_are_asked_for_over_both_kinds_of_socket() {
    let folder = Folder::new("plans").with("alice", "In.\nBack \x1b[31mlate\n").with(".no", "no");
    let socket = folder.path().join("finger.sock");
    let unix = format!("unix:{}", socket.display());
    let path = folder.path().to_str().unwrap();
    let served =
        Served::start(&["finger", "--serve", path, "--listen", ANYWHERE, "--listen", &unix], 2);
    let ask = |more: &[&str]| {
        let (said, complaint, status) =
            ran(&[&["finger", "--at", &at(&served)][..], more].concat());
        assert_eq!((complaint.as_str(), status), ("", Some(0)));
        said
    };
    assert_eq!(ask(&["alice"]), "In.\nBack [31mlate\n");
    assert_eq!(ask(&["-l", "alice"]), "In.\nBack [31mlate\n");
    assert_eq!(ask(&[]), "alice            In.\n");
    assert_eq!(ask(&["bob"]), "There is no user bob here\n");
    assert_eq!(ask(&["alice@elsewhere"]), "Finger forwarding service denied\n");
    assert_eq!(ran(&["finger", "--at", &unix, "alice"]).0, "In.\nBack [31mlate\n");
    assert_eq!(
        talk(served.connect(), "../plans/alice\r\n"),
        "There is no user ../plans/alice here\r\n"
    );
    assert_eq!(served.stop(), (Some(0), String::new()));
    assert!(!socket.exists());
}

#[test]
fn finger_says_why_there_is_no_answer() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("tcp:{}", nobody.local_addr().unwrap());
    drop(nobody);
    for (arguments, complaint) in [
        (&["finger", "--at", &closed, "alice"][..], "the connection was refused"),
        (&["finger", "alice bob"], "ask for USER, USER@HOST or @HOST"),
        (&["finger", "alice@a b"], "cannot ask at \"a b\""),
        (&["finger", "--at", "localhost:79"], "did you mean \"tcp:localhost:79\"?"),
        (&["finger", "--serve", "/no/such/place"], "name another with --serve"),
    ] {
        let (said, told, status) = ran(arguments);
        assert_eq!((said.as_str(), status), ("", Some(1)), "{arguments:?}: {told}");
        assert!(
            told.starts_with("ropewalk: ") && told.contains(complaint),
            "{arguments:?}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{arguments:?}: {told}");
    }
}

#[test]
fn small_services_are_served() {
    let start = |more: &[&str]| Served::start(&[more, &["--listen", ANYWHERE]].concat(), 1);
    let served = start(&["simple", "echo"]);
    let mut stream = served.connect();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut echo = String::new();
    stream.read_to_string(&mut echo).unwrap();
    assert_eq!(echo, "hello");
    assert_eq!(served.stop(), (Some(0), String::new()));

    let daytime = talk(start(&["simple", "daytime"]).connect(), "");
    assert!(daytime.ends_with("-UTC\r\n") && daytime.contains("day, "), "{daytime}");
    let mut time = Vec::new();
    start(&["simple", "time"]).connect().read_to_end(&mut time).unwrap();
    assert_eq!(time.len(), 4);
    let served = start(&["simple", "users", "--user", "alice", "--user", "bob"]);
    assert_eq!(talk(served.connect(), ""), "alice\r\nbob\r\n");

    let served = start(&["simple", "chargen"]);
    let mut line = [0; 74];
    served.connect().read_exact(&mut line).unwrap();
    assert!(line.starts_with(b" !\"#$") && line.ends_with(b"efg\r\n"));
    assert_eq!(served.stop(), (Some(0), String::new()), "also while somebody is being served");
}

#[test]
fn small_services_answer_datagrams() {
    let served = Served::start(&["simple", "daytime", "--udp", "127.0.0.1:0"], 1);
    let place = served.places[0].strip_prefix("udp ").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.send_to(b"", place).unwrap();
    let mut answer = [0; 600];
    let (length, _) = socket.recv_from(&mut answer).unwrap();
    assert!(answer[..length].ends_with(b"-UTC\r\n"), "{}", answer[..length].escape_ascii());
    assert_eq!(served.stop(), (Some(0), String::new()));
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let busy = holder.local_addr().unwrap().to_string();
    let (said, told, status) = ran(&["simple", "time", "--udp", &busy]);
    assert_eq!((said.as_str(), status), ("", Some(1)), "{told}");
    assert!(told.starts_with("ropewalk: cannot answer datagrams at "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert_eq!(ran(&["simple", "time", "--udp", "8037"]).2, Some(2));
}

#[test]
fn quotes_come_from_a_file() {
    let folder = Folder::new("quotes").with("quotes", "Only one.\n%\n").with("none", "%\n%\n");
    let socket = folder.path().join("quote.sock");
    let unix = format!("unix:{}", socket.display());
    let (quotes, none) = (folder.path().join("quotes"), folder.path().join("none"));
    let quotes = quotes.to_str().unwrap();
    let _served = Served::start(&["simple", "qotd", "--quotes", quotes, "--listen", &unix], 1);
    assert_eq!(talk(UnixStream::connect(&socket).unwrap(), ""), "Only one.\r\n");
    for (arguments, complaint) in [
        (&["simple", "qotd", "--quotes", "/no/such/file"][..], "cannot read the quotes"),
        (&["simple", "qotd", "--quotes", none.to_str().unwrap()], "there is no quote in"),
        (&["simple", "echo", "--quotes", quotes], "--quotes is for qotd"),
        (&["simple", "echo", "--user", "alice"], "--user is for users"),
        (&["simple", "users"], "with --user NAME"),
        (&["simple", "echo", "--listen", "7"], "did you mean \"tcp:7\"?"),
    ] {
        let (said, told, status) = ran(arguments);
        assert_eq!((said.as_str(), status), ("", Some(1)), "{arguments:?}: {told}");
        assert!(
            told.starts_with("ropewalk: ") && told.contains(complaint),
            "{arguments:?}: {told}"
        );
    }
}

#[test]
fn help_teaches_the_small_verbs() {
    for (verb, words) in [
        ("finger", ["Examples:", "--serve ~/plans", "USER@HOST", "Exit status:"]),
        ("simple", ["Examples:", "simple echo", "chargen", "Exit status:"]),
    ] {
        let (text, _, status) = ran(&["help", verb]);
        assert_eq!(status, Some(0));
        for word in words {
            assert!(text.contains(word), "{word} is missing:\n{text}");
        }
    }
    for wrong in [
        &["simple"][..],
        &["simple", "ecko"],
        &["finger", "alice", "--serve", "."],
        &["finger", "--listen", "tcp:79"],
    ] {
        assert_eq!(ran(wrong).2, Some(2), "{wrong:?}");
    }
    assert!(ran(&["simple", "ecko"]).1.contains("'echo'"));
}
