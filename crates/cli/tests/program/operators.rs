//! Looking into a program that runs, and telling it what to do.

use std::io::Read as _;
use std::process::{Command, Output};

use serde_json::Value;

use crate::{ANYWHERE, Folder, Served, program, talk};

/// Programs of one user, who has a folder for their sockets.
struct User(Folder);

impl User {
    fn new(name: &str) -> Self {
        Self(Folder::new(name).with("page", "hello"))
    }

    fn command(&self) -> Command {
        let mut command = program();
        command.env("XDG_RUNTIME_DIR", self.0.path());
        command
    }

    fn serve(&self, arguments: &[&str], lines: usize) -> Served {
        let mut command = self.command();
        command.args(arguments);
        Served::of(command, lines)
    }

    fn web(&self, more: &[&str], lines: usize) -> Served {
        let folder = self.0.path().to_str().unwrap();
        let mut arguments = vec!["web", "--path", folder, "--listen", ANYWHERE];
        arguments.extend(more);
        self.serve(&arguments, lines)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// What a verb prints when all is well.
    #[track_caller]
    fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}{complaint}");
        said
    }

    /// What it complains of.
    #[track_caller]
    fn complain(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

fn get(at: &Served, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    talk(at.connect(), &request)
}

#[test]
fn a_program_that_serves_is_asked_how_it_is() {
    let user = User::new("status");
    assert!(user.complain(&["status"]).contains("no program of yours runs: there is none in "));
    let served = user.web(&["--log", "off"], 1);
    assert!(get(&served, "/page").ends_with("hello"));
    let idle = served.connect();
    let shown = user.say(&["status"]);
    let place = served.places[0].trim_start_matches("http://").trim_end_matches('/').to_owned();
    for wanted in [
        &format!("web {}, process {}, up ", env!("CARGO_PKG_VERSION"), served.child.id())[..],
        "LOOP  DRIVER",
        "LISTENER ",
        &place,
        "log warn,ropewalk::tls=info,ropewalk_cli=info",
        "connections ended: closed 1",
    ] {
        assert!(shown.contains(wanted), "{wanted:?} is not in\n{shown}");
    }
    let answer: Value = serde_json::from_str(&user.say(&["status", "web", "--json"])).unwrap();
    assert_eq!(answer["loops"][0]["requests"]["by_class"][2], 1, "{answer}");
    let dump = user.say(&["dump"]);
    assert!(
        dump.starts_with("loop 0:\n") && dump.contains(&format!("a listener at {place}")),
        "{dump}"
    );
    assert!(user.complain(&["status", "nobody"]).contains("no \"nobody\" runs; these do: web "));
    drop(idle);
    assert_eq!(served.stop().0, Some(0));
    assert!(user.complain(&["dump"]).contains("no program of yours runs"));
}

#[test]
fn several_programs_are_told_apart() {
    let user = User::new("apart");
    let (one, other) = (user.web(&["--log", "off"], 1), user.web(&["--log", "off"], 1));
    let echo = user.serve(&["simple", "echo", "--listen", ANYWHERE], 1);
    let told = user.complain(&["status"]);
    assert!(told.contains("several run: name one by its process. these do: simple "), "{told}");
    assert!(user.complain(&["status", "web"]).contains("several run"));
    assert!(user.say(&["status", "simple"]).starts_with("simple "));
    let id = other.child.id().to_string();
    assert!(user.say(&["status", &id]).contains(&format!("process {id}")));
    // One that is killed leaves its socket behind, at which nobody answers.
    drop(one);
    assert!(user.say(&["status", "web"]).contains(&format!("process {id}")));
    drop(echo);
}

#[test]
fn its_log_is_changed_while_it_runs() {
    let user = User::new("level");
    let served = user.web(&["--log", "off", "--log-format", "json"], 1);
    assert_eq!(user.say(&["log-level"]), "warn,ropewalk::tls=info,ropewalk_cli=info\n");
    let changed = user.say(&["log-level", "ropewalk::control=info"]);
    assert_eq!(changed, "warn,ropewalk::tls=info,ropewalk_cli=info,ropewalk::control=info\n");
    let told = user.complain(&["log-level", "ropewalk::control=loud"]);
    assert!(told.contains("\"loud\" is no level: there are off, error, warn"), "{told}");
    assert_eq!(user.say(&["log-level", "reset"]), "warn,ropewalk::tls=info,ropewalk_cli=info\n");
    let (status, log) = served.stop();
    assert_eq!(status, Some(0));
    // The change is told of by the level that it brought, and the end of that is not.
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{log}");
    let said = lines[0]["message"].as_str().unwrap();
    assert!(said.ends_with("ropewalk::control=info") && lines[0]["level"] == "INFO", "{log}");
}

#[test]
fn it_ends_in_order_when_it_is_told_to() {
    let user = User::new("drain");
    let mut served = user.web(&["--log", "off"], 1);
    assert_eq!(user.say(&["drain", "--wait"]), "it ends what it is at, and goes\nit is gone\n");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
    let left = std::fs::read_dir(user.0.path().join("ropewalk")).unwrap().count();
    assert_eq!(left, 0, "its socket is removed");
}

#[test]
fn files_are_read_again_when_it_is_told_to() {
    let user = User::new("reload");
    let quotes = user.0.path().join("quotes");
    let log = user.0.path().join("log");
    std::fs::write(&quotes, "Measure twice.\n").unwrap();
    let log_to = format!("file:{}", log.display());
    let words = ["simple", "qotd", "--listen", ANYWHERE, "--log-to", &log_to, "--quotes"];
    let served = user.serve(&[&words[..], &[quotes.to_str().unwrap()]].concat(), 1);
    let quote = || talk(served.connect(), "");
    let logged = |word: &str| {
        while !std::fs::read_to_string(&log).is_ok_and(|text| text.contains(word)) {
            std::thread::yield_now();
        }
    };
    assert_eq!(quote(), "Measure twice.\r\n");
    let said = "it reads its files again; its log says what has changed\n";
    assert_eq!(user.say(&["reload"]), said);
    logged("reloaded: 0 changes");
    std::fs::write(&quotes, "Cut once.\n").unwrap();
    // Somebody has moved the log away: it is opened anew as well.
    std::fs::rename(&log, user.0.path().join("log.moved")).unwrap();
    assert_eq!(user.say(&["reload"]), said);
    logged("reloaded: 1 changes");
    assert_eq!(quote(), "Cut once.\r\n");
    // What is wrong changes nothing.
    std::fs::write(&quotes, "").unwrap();
    user.say(&["reload"]);
    logged("nothing has changed: there is no quote in");
    assert_eq!(quote(), "Cut once.\r\n");
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn the_socket_is_where_it_is_wanted_or_nowhere() {
    let user = User::new("place");
    let path = user.0.path().join("here.sock");
    let here = path.to_str().unwrap();
    let served = user.web(&["--log", "off", "--control", here], 1);
    assert!(user.say(&["status", "--control", here]).starts_with("web "));
    assert!(user.complain(&["status"]).contains("no program of yours runs"));
    let told = user.complain(&["simple", "echo", "--listen", ANYWHERE, "--control", here]);
    assert!(told.contains("is another program's: it answers there"), "{told}");
    assert_eq!(served.stop().0, Some(0));
    assert!(!path.exists());
    assert!(user.complain(&["status", "--control", here]).contains("it does not answer: "));
    let served = user.web(&["--log", "off", "--control", "off"], 1);
    assert!(user.complain(&["status"]).contains("no program of yours runs"));
    drop(served);
}

#[test]
fn top_wants_a_terminal() {
    let user = User::new("top");
    assert!(
        user.complain(&["top"]).contains("top needs a terminal; `ropewalk status` prints once")
    );
    let output = user.run(&["top", "--every", "0"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("a number of seconds from 0.1 to 3600 is wanted"), "{said}");
}

#[test]
fn prometheus_is_answered_at_a_path_and_at_a_place_of_its_own() {
    let user = User::new("metrics");
    let served = user.web(&["--log", "off", "--metrics", "/metrics"], 1);
    assert!(get(&served, "/page").ends_with("hello"));
    let text = get(&served, "/metrics");
    assert!(text.contains("application/openmetrics-text") && text.ends_with("# EOF\n"), "{text}");
    assert!(
        text.contains("ropewalk_http_requests_total{status=\"2xx\",loop=\"0\"} 1.0\n"),
        "{text}"
    );
    drop(served);

    let more = ["--metrics", ANYWHERE];
    let mut served =
        user.serve(&[&["simple", "echo", "--listen", ANYWHERE][..], &more].concat(), 2);
    let place = served.places.remove(1);
    let echo = served.places.remove(0);
    served.places.push(place.strip_prefix("metrics: ").unwrap().to_owned());
    assert_eq!(talk(std::net::TcpStream::connect(&echo).map(Once).unwrap(), "hello"), "hello");
    let text = get(&served, "/metrics");
    let line = format!(
        "ropewalk_received_bytes_total{{listener=\"{echo}\",protocol=\"echo\",loop=\"0\"}} 5.0"
    );
    assert!(text.contains(&line), "{line}\n{text}");
    let told = user.complain(&["simple", "echo", "--listen", ANYWHERE, "--metrics", "/m"]);
    assert!(
        told.contains("--metrics: only web has pages of its own at which /m could be"),
        "{told}"
    );
}

#[test]
fn lines_that_a_log_has_no_room_for_are_counted() {
    let user = User::new("lost");
    let place = user.0.path().join("syslog");
    let taker = std::os::unix::net::UnixDatagram::bind(&place).unwrap();
    taker.set_nonblocking(true).unwrap();
    let to = format!("syslog:{}", place.display());
    let served = user.web(&["--log-to", &to, "--metrics", "/metrics"], 1);
    let lost = |text: &str| {
        let line =
            text.lines().find_map(|line| line.strip_prefix("ropewalk_log_lines_lost_total "));
        line.unwrap().parse::<f64>().unwrap() as usize
    };
    // Nobody reads, so at some point there is no room.
    let mut asked = 0;
    let mut told = 0;
    while told == 0 {
        for _ in 0..50 {
            assert!(get(&served, "/page").ends_with("hello"));
        }
        told = lost(&get(&served, "/metrics"));
        asked += 51;
    }
    let status = user.say(&["status"]);
    let number = status.split_once("; ").unwrap().1.split_once(" lines of it were lost").unwrap().0;
    let lines = std::iter::from_fn(|| taker.recv(&mut [0; 4096]).ok()).count();
    // Each request has one line, which is either there or counted.
    assert_eq!(lines + number.parse::<usize>().unwrap(), asked, "{status}");
    assert_eq!(served.stop().0, Some(0));
}

/// A connection that ends its stream after what it says.
struct Once(std::net::TcpStream);

impl std::io::Write for Once {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.0.write(bytes)?;
        self.0.shutdown(std::net::Shutdown::Write)?;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl std::io::Read for Once {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

#[test]
fn a_status_page_is_kept_up_to_date() {
    let user = User::new("page");
    let mut served = user.web(&["--log", "off", "--status", "/inside", "--workers", "2"], 1);
    let page = get(&served, "/inside");
    assert!(page.contains("<title>ropewalk web</title>") && page.contains("EventSource"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
    let mut stream = served.connect();
    std::io::Write::write_all(&mut stream, b"GET /inside/events HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut told = String::new();
    while told.matches("data: {").count() < 2 {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "{told}");
        told.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    let point = told.split("data: ").nth(1).unwrap().lines().next().unwrap();
    let point: Value = serde_json::from_str(point).unwrap();
    for name in ["connections", "requests", "memory", "descriptors", "received"] {
        assert!(point[name].is_number(), "{name}: {point}");
    }
    assert!(get(&served, "/insides").starts_with("HTTP/1.1 404 "));
    let refused =
        talk(served.connect(), "DELETE /inside HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 405 "), "{refused}");
    let answer: Value = serde_json::from_str(&user.say(&["status", "--json"])).unwrap();
    assert_eq!(answer["loops"].as_array().unwrap().len(), 2);
    // Who looks on is told that it is over, in order.
    user.say(&["drain"]);
    stream.read_to_string(&mut told).unwrap();
    assert!(told.ends_with("0\r\n\r\n"), "{told}");
    drop(stream);
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
