//! Who may see what is served.

use std::fs;

use crate::{Folder, Served, run, talk};

const LISTEN: &str = "tcp:0:interface=127.0.0.1";
/// `alice` with `rabbit` and `bob b` with `hare`, as `htpasswd -B` wrote them.
const USERS: &str = "alice:$2y$05$2YqrzF0myZqSao0sQPEovu6e9uwk4JMSjGhhEQW.YFB51oYsO6j/u\n\
                     bob b:$2y$05$T1nKwf7w9HjUqDKDKeDAduKVK3aOXKoCtlOnF8r.QzaswrvuymM3i\n";

/// What a login gets.
fn ask(served: &Served, path: &str, login: &str) -> String {
    let field = match login {
        "" => String::new(),
        login => format!("Authorization: Basic {login}\r\n"),
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{field}Connection: close\r\n\r\n");
    talk(served.connect(), &request)
}

/// `alice:rabbit`, `bob b:hare`, `alice:hare`.
const LOGINS: [&str; 3] = ["YWxpY2U6cmFiYml0", "Ym9iIGI6aGFyZQ==", "YWxpY2U6aGFyZQ=="];

#[test]
fn a_directory_is_for_the_users_of_a_file() {
    let folder = Folder::new("logins").with("a.txt", "hello").with("oops.html", "<p>who?");
    let users = Folder::new("logins-users").with("users", USERS);
    let file = users.path().join("users");
    let auth = format!("htpasswd:{}:realm=The House", file.display());
    let oops = format!("401={}", folder.path().join("oops.html").display());
    let served = Served::web(&folder, &[LISTEN], &["--auth", &auth, "--error-page", &oops]);
    let [alice, bob, wrong] = LOGINS;
    let refused = ask(&served, "/a.txt", "");
    assert!(refused.starts_with("HTTP/1.1 401 ") && refused.ends_with("<p>who?"), "{refused}");
    let challenge = "\r\nwww-authenticate: Basic realm=\"The House\", charset=\"UTF-8\"\r\n";
    assert!(refused.contains(challenge), "{refused}");
    assert!(ask(&served, "/a.txt", alice).ends_with("\r\n\r\nhello"));
    assert!(ask(&served, "/a.txt", bob).ends_with("\r\n\r\nhello"));
    assert!(ask(&served, "/a.txt", wrong).starts_with("HTTP/1.1 401 "));
    // The file is followed.
    let line = USERS.lines().next().expect("a line").replace("alice", "carol");
    fs::write(&file, line).expect("the file");
    assert!(ask(&served, "/a.txt", alice).starts_with("HTTP/1.1 401 "));
    assert!(ask(&served, "/a.txt", "Y2Fyb2w6cmFiYml0").ends_with("\r\n\r\nhello"));
    let (status, log) = served.stop();
    assert_eq!(status, Some(0), "{log}");
    let names: Vec<_> = log.lines().map(|line| line.split(' ').nth(2).expect("a name")).collect();
    assert_eq!(names, ["-", "alice", "bob_b", "-", "-", "carol"], "{log}");
}

#[test]
fn users_that_cannot_be_read_are_told_with_the_next_step() {
    let folder = Folder::new("bad-users").with("weak", "a:rabbit\n").with("none", "\nalice\n");
    let path = folder.path().display().to_string();
    let of = |name: &str| format!("htpasswd:{path}/{name}");
    for (auth, told) in [
        (of("missing"), format!("make it with htpasswd -cB {path}/missing USER")),
        (of("weak"), "line 1: the password of \"a\": it is kept as DES or as it is, which protects nothing; set it anew with htpasswd -B".to_owned()),
        (of("none"), "line 2: there is no colon in it; expected USER:HASH".to_owned()),
        (format!("htpasswd:{path}"), "cannot read".to_owned()),
        ("htpasswd:".to_owned(), "there is no file in".to_owned()),
        (format!("{}:realm=", of("weak")), "cannot be the name of a realm".to_owned()),
        ("passwd:x".to_owned(), "\"passwd\" is no kind of users; write --auth htpasswd:FILE".to_owned()),
    ] {
        let output = run(&["web", "--listen", LISTEN, "--path", &path, "--auth", &auth]);
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(1), "{auth}: {said}");
        assert!(said.starts_with("ropewalk: --auth: ") && said.contains(&told), "{auth}: {said}");
        assert_eq!(said.lines().count(), 1, "{auth}: {said}");
    }
}

#[test]
fn passwords_in_the_clear_are_warned_of() {
    let folder = Folder::new("clear").with("users", "");
    let auth = format!("htpasswd:{}", folder.path().join("users").display());
    for (listen, warns) in [("tcp:0", true), (LISTEN, false), ("tls:0:self-signed", false)] {
        let served = Served::web(&folder, &[listen], &["--auth", &auth]);
        let (_, log) = served.stop();
        assert_eq!(log.contains("passwords go to "), warns, "{listen}: {log}");
    }
}
