//! `ropewalk run` and `ropewalk check`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStderr, Command};
use std::time::Duration;

use rustix::process::Signal;

use crate::{Folder, Served, program, run, talk};

/// What the program logs, line by line.
pub(crate) struct Log(BufReader<ChildStderr>);

impl Log {
    pub(crate) fn of(served: &mut Served) -> Self {
        Self(BufReader::new(served.child.stderr.take().unwrap()))
    }

    /// Reads until a line that has this in it; answers all that was read.
    pub(crate) fn until(&mut self, word: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            assert!(self.0.read_line(&mut all).unwrap() > 0, "{word:?} was never logged:\n{all}");
            if all[start..].contains(word) {
                return all;
            }
        }
    }
}

fn serve(folder: &Folder, file: &str, places: usize) -> Served {
    fs::write(folder.path().join("app.toml"), file).unwrap();
    let mut command = program();
    command.current_dir(folder.path()).args(["run", "app.toml"]);
    Served::of(command, places)
}

pub(crate) fn connect(place: &str) -> TcpStream {
    let host = place.trim_start_matches("http://").trim_end_matches('/');
    let stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream
}

fn get(place: &str, path: &str) -> String {
    talk(connect(place), &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

fn check(text: &str) -> (Option<i32>, String) {
    let folder = Folder::new("check").with("app.toml", text).with("users.txt", "alice:secret\n");
    let mut command = program();
    let output = command.current_dir(folder.path()).args(["check", "app.toml"]).output().unwrap();
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let place = format!("{}/", fs::canonicalize(folder.path()).unwrap().display());
    let place = [place.as_str(), &format!("{}/", folder.path().display())]
        .into_iter()
        .fold(said, |said, place| said.replace(place, ""));
    (output.status.code(), place)
}

#[test]
fn what_is_wrong_with_a_file_is_told_at_its_line_and_column() {
    for (text, told) in [
        ("[servces.a]\n", "app.toml:1:2: there is no key \"servces\"; did you mean \"services\"?"),
        (
            "[services.a]\nkind = 'wob'\n",
            "app.toml:2:8: there is no kind of service \"wob\"; did you mean \"web\"?",
        ),
        (
            "[services.a]\nkind = 'web'\npaht = '.'\n",
            "app.toml:3:1: there is no key \"paht\" in [services.a]; did you mean \"path\"?",
        ),
        ("[services.web]\nlisten = 'tpc:80'\n", "app.toml:2:10: "),
        (
            "[listeners]\nmain = 'tcp:0'\n[services.web]\nlisten = 'mian'\n",
            "app.toml:4:10: there is no listener \"mian\"; did you mean \"main\"?",
        ),
        (
            "[listeners]\nmain = { endpoint = 'tcp:0', identity = 'sit' }\n[identities.site]\nself_signed = true\n[services.web]\nlisten = 'main'\n",
            "app.toml:2:30: there is no identity \"sit\"; did you mean \"site\"?",
        ),
        ("[services.web]\npath = '/no/such/place'\n", "app.toml:2:8: "),
        ("[services.web]\nheader = ['Wrong']\n", "app.toml:2:10: \"header\":"),
        (
            "[services.web]\nlinks = 'insid'\n",
            "app.toml:2:9: \"links\" cannot be \"insid\"; did you mean \"inside\"?",
        ),
        ("[services.users]\n", "nobody is there"),
        (
            "[services.portforward]\nlisten = 'tcp:0'\n",
            "app.toml:1:1: \"to\" is missing in [services.portforward]",
        ),
        ("[services.i]\nkind = 'inetd'\ncommand = ['cat']\n", "a super-server wants a place"),
        (
            "[daemon]\numask = '999'\n[services.echo]\n",
            "app.toml:2:9: \"umask\" cannot be \"999\": write three digits from 0 to 7, as in 027",
        ),
        (
            "[log]\nto = 'nowhere'\n[services.echo]\n",
            "app.toml:2:6: \"log_to\" cannot be \"nowhere\"",
        ),
        (
            "[limits]\ndrain = 'long'\n[services.echo]\n",
            "app.toml:2:9: \"drain\" cannot be \"long\"",
        ),
        ("services = 1\n", "app.toml:1:12: \"services\" is a table"),
        ("", "there is no service"),
        ("[services.web\n", "app.toml:1:"),
    ] {
        let (status, said) = check(text);
        assert_eq!(status, Some(1), "{text}\n{said}");
        let line = said.lines().next().unwrap_or_default();
        assert!(line.contains(told), "{text}\nsaid:     {line}\nexpected: {told}");
    }
    let both = check("[services.web]\npaht = '.'\n[services.echo]\nzebra = 1\n").1;
    assert!(both.contains("app.toml:2:1: ") && both.contains("app.toml:4:1: "), "{both}");
    assert!(both.contains("2 | paht = '.'\n  | ^"), "{both}");
    let output = run(&["check", "/no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be read"));
}

#[test]
fn a_file_may_have_all_kinds_of_services() {
    let text = "
        [daemon]
        drain = 3
        [log]
        to = 'stderr'
        [limits]
        descriptors = 500
        [identities.own]
        self_signed = true
        [listeners]
        plain = 'tcp:0:interface=127.0.0.1'
        secret = { endpoint = 'tcp:0:interface=127.0.0.1', identity = 'own' }
        [users.staff]
        file = 'users.txt'
        [services.web]
        listen = ['plain', 'secret']
        path = '.'
        gzip = true
        header = { X-A = '1' }
        vhost = { 'example.com' = '.' }
        proxy = { '/api' = 'http://127.0.0.1:3000' }
        [services.socks]
        listen = 'tcp:0:interface=127.0.0.1'
        users = 'staff'
        allow = ['127.0.0.1']
        [services.proxy]
        users = 'staff'
        [services.finger]
        path = '.'
        [services.forward]
        kind = 'portforward'
        listen = 'tcp:0'
        to = 'tcp:localhost:80'
        [services.echo]
        [services.who]
        kind = 'users'
        user = ['alice']
        [services.lines]
        kind = 'inetd'
        listen = 'tcp:0'
        command = ['cat', '-u']
        [services.worker]
        kind = 'process'
        command = ['sleep', '1000']
        env = { A = 'b' }
    ";
    assert_eq!(check(text), (Some(0), String::new()));
}

#[test]
fn a_reload_changes_what_is_another_and_leaves_the_rest() {
    let folder = Folder::new("reload").with("old.txt", "old");
    fs::create_dir_all(folder.path().join("new")).unwrap();
    fs::write(folder.path().join("new/new.txt"), "new").unwrap();
    let file = |path: &str, more: &str| {
        format!(
            "[services.site]\nkind = 'web'\nlisten = 'tcp:0:interface=127.0.0.1'\npath = '{path}'\n\
             [services.echo]\nlisten = 'tcp:0:interface=127.0.0.1'\n{more}"
        )
    };
    let mut served = serve(&folder, &file(".", ""), 2);
    let mut log = Log::of(&mut served);
    let (site, echo) = (served.places[0].clone(), served.places[1].clone());
    assert!(get(&site, "/old.txt").ends_with("old"));
    let mut kept = connect(&echo);
    let mut say = |word: &[u8]| {
        kept.write_all(word).unwrap();
        let mut heard = vec![0; word.len()];
        kept.read_exact(&mut heard).unwrap();
        assert_eq!(heard, word);
    };
    say(b"before");
    let write = |text: &str| fs::write(folder.path().join("app.toml"), text).unwrap();

    write(&file(".", "[services.more]\nkind = 'ecko'\n"));
    served.signal(Signal::HUP);
    let said = log.until("nothing has changed");
    assert!(said.contains("app.toml:8:8: there is no kind of service \"ecko\""), "{said}");
    assert!(get(&site, "/old.txt").ends_with("old"));

    // Nor does what cannot be had, and what could be had is given back.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = taken.local_addr().unwrap();
    let both = format!(
        "[services.d]\nkind = 'discard'\nlisten = 'tcp:0:interface=127.0.0.1'\n\
         [services.e]\nkind = 'echo'\nlisten = 'tcp:{}:interface=127.0.0.1'\n",
        place.port()
    );
    write(&file("new", &both));
    served.signal(Signal::HUP);
    let said = log.until("nothing has changed");
    assert!(said.contains("app.toml:12:10: "), "{said}");
    assert!(get(&site, "/old.txt").ends_with("old"));

    drop(taken);
    write(&file("new", &both));
    served.signal(Signal::HUP);
    let said = log.until("reloaded");
    assert!(said.contains("~ services.site.path: \".\" -> \"new\""), "{said}");
    assert!(said.contains("+ services.d = "), "{said}");
    assert!(get(&site, "/new.txt").ends_with("new"), "at the same place");
    assert!(get(&site, "/old.txt").starts_with("HTTP/1.1 404 "));
    say(b"after");
    let mut more = connect(&place.to_string());
    more.write_all(b"new").unwrap();
    let mut heard = [0; 3];
    more.read_exact(&mut heard).unwrap();

    write(&file(".", ""));
    served.signal(Signal::HUP);
    log.until("reloaded");
    assert!(get(&site, "/old.txt").ends_with("old"));
    assert!(TcpStream::connect(place).is_err(), "nobody listens there any more");
    assert_eq!(more.read(&mut [0]).unwrap(), 0, "its connections are over");
    say(b"still");
    served.signal(Signal::TERM);
    assert_eq!(kept.read(&mut [0]).unwrap(), 0);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn programs_of_a_file_serve_and_run() {
    let folder = Folder::new("programs-of-a-file");
    let text = "
        [services.lines]
        kind = 'inetd'
        listen = 'tcp:0:interface=127.0.0.1'
        command = ['sh', '-c', 'read word; echo \"$word back\"']
        [services.worker]
        kind = 'process'
        command = ['sh', '-c', 'echo $GREETING >&2; exec sleep 1000']
        env = { GREETING = 'it works' }
    ";
    let mut served = serve(&folder, text, 1);
    let mut log = Log::of(&mut served);
    assert_eq!(talk(connect(&served.places[0]), "there\n"), "there back\n");
    log.until("it works");
    served.signal(Signal::TERM);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn what_cannot_be_served_is_told_in_the_file() {
    let folder = Folder::new("unserved")
        .with("app.toml", "[services.web]\nlisten = 'tcp:1:interface=192.0.2.1'\n");
    let output = program().current_dir(folder.path()).args(["run", "app.toml"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("app.toml:1:") && said.contains("leave interface= out"), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_ropewalk")).args(["run"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
