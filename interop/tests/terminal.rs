//! The program as a person at a terminal uses it: every example of every help page, typed there, and
//! stopped by Ctrl-C.

#[path = "terminal/operators.rs"]
mod operators;
#[path = "terminal/page.rs"]
mod page;
#[path = "support/program.rs"]
mod program;
#[path = "terminal/pseudo.rs"]
mod pseudo;

use std::process::Command;

use ropewalk_interop::{TempDir, leave_out, tool};

use crate::program::program;
use crate::pseudo::{Terminal, plain};

/// The help page of a verb, or the program's own for an empty one, as a pipe gets it.
fn help(verb: &str) -> String {
    let mut command = Command::new(program());
    command.args(["help"]).args((!verb.is_empty()).then_some(verb));
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "help {verb}");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(!page.contains('\x1b'), "colours for a pipe: {page}");
    page
}

/// The verbs that the program's help page lists.
fn verbs() -> Vec<String> {
    let page = help("");
    let lines = page.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    let words = lines.filter_map(|line| line.split_whitespace().next());
    let verbs: Vec<_> = words.filter(|verb| *verb != "help").map(str::to_owned).collect();
    assert!(verbs.len() >= 6, "{page}");
    verbs
}

/// The commands among a page's examples: they are indented by two, what they do by more, and what
/// goes on in the next line ends in a backslash.
fn examples(page: &str) -> Vec<String> {
    let lines = page.lines().skip_while(|line| *line != "Examples:").skip(1);
    let mut found: Vec<String> = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        match found.last_mut().filter(|last| last.ends_with('\\')) {
            Some(last) => {
                last.pop();
                last.push_str(line.trim());
            }
            None if !line.starts_with("   ") => found.push(line.trim().to_owned()),
            None => (),
        }
    }
    found
}

/// What the examples expect to find where they are typed.
fn surroundings() -> TempDir {
    let folder = TempDir::new("terminal").expect("a folder");
    for name in [
        "Photos",
        "certs",
        "inbox",
        "plans",
        "programs",
        "site",
        "others",
        ".config/fish/completions",
        ".local/share/bash-completion/completions",
    ] {
        std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
    }
    for (name, text) in [
        ("app.toml", "[services.echo]\nlisten = \"tcp:8007:interface=127.0.0.1\"\n"),
        ("plans/alice", "In.\n"),
        ("oops.html", "<p>Oops.\n"),
        ("index.html", "<p>Hello.\n"),
        ("users", "alice:$2y$05$2YqrzF0myZqSao0sQPEovu6e9uwk4JMSjGhhEQW.YFB51oYsO6j/u\n"),
        ("users.txt", "alice:secret\n"),
        ("wisdom.txt", "Measure twice.\n"),
    ] {
        folder.write(name, text).expect("a file");
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = vec!["localhost".to_owned()];
    let params = rcgen::CertificateParams::new(names).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    folder.write("certs/site.pem", certificate + &key.serialize_pem()).expect("a file");
    folder
}

/// The status of a command that says nothing and ends: one that starts a daemon, looks at a file or writes one.
fn ends_by_itself(example: &str) -> Option<i32> {
    let words = ["ropewalk check", "ropewalk completions", "ropewalk man"];
    if words.iter().any(|word| example.starts_with(word)) || example.contains("--daemon") {
        return Some(0);
    }
    // There is nobody to be upgraded.
    example.starts_with("ropewalk upgrade").then_some(1)
}

/// Ends the daemon that an example has left behind, if it has.
fn end_daemon(folder: &TempDir) {
    let file = folder.path().join("app.pid");
    let Ok(number) = std::fs::read_to_string(&file) else { return };
    let number = number.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(number.expect("a number"), rustix::process::Signal::TERM)
        .expect("it runs");
    while file.exists() {
        std::thread::yield_now();
    }
}

#[test]
fn every_example_does_what_it_says() {
    let folder = surroundings();
    let mut count = 0;
    for verb in verbs() {
        for example in examples(&help(&verb)) {
            // Other programs' examples speak to hosts that are not here.
            if !example.contains("ropewalk ") {
                continue;
            }
            let typed = if operators::VERBS.contains(&verb.as_str()) {
                operators::beside_a_program(&example)
            } else {
                example.clone()
            };
            let Some(mut terminal) = Terminal::in_a_world_of_its_own(&folder, &typed) else {
                return leave_out("the examples of the help pages", "no namespaces are permitted");
            };
            if operators::VERBS.contains(&verb.as_str()) {
                operators::check_example(&mut terminal, &verb, &example);
                count += 1;
                continue;
            }
            count += 1;
            if let Some(status) = ends_by_itself(&example) {
                assert_eq!(terminal.wait(), Some(status), "{example}: {}", terminal.seen());
                end_daemon(&folder);
                continue;
            }
            let first = terminal.first_line();
            if example.contains("@example.org") || example.contains("--at ") {
                // Nobody lives in a world of its own.
                let status = terminal.wait();
                assert_eq!(status, Some(1), "{example}: {}", terminal.seen());
                assert!(first.starts_with("ropewalk: no answer from "), "{example}: {first}");
            } else {
                assert!(!first.starts_with("ropewalk: "), "{example}: {first}");
                terminal.type_in("\x03");
                assert_eq!(terminal.wait(), Some(0), "{example}: {}", terminal.seen());
            }
        }
    }
    assert!(count >= 25, "only {count} examples were found");
}

#[test]
fn a_slip_is_told_in_colour_on_a_terminal_and_without_in_a_pipe() {
    let folder = surroundings();
    for verb in verbs() {
        let slip = format!("ropewalk {verb} --recator poll");
        let mut terminal = Terminal::new(folder.path(), &slip);
        assert_eq!(terminal.wait(), Some(2), "{slip}: {}", terminal.seen());
        let seen = terminal.seen();
        assert!(seen.contains("\x1b["), "no colours on a terminal: {seen}");
        assert!(plain(&seen).contains("unexpected argument '--recator'"), "{seen}");
        let mut piped = Command::new(program());
        let output = piped.args([&verb, "--recator", "poll"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--recator") && !said.contains('\x1b'), "{said}");
    }
    let mut terminal = Terminal::new(folder.path(), "ropewalk wob");
    assert_eq!(terminal.wait(), Some(2));
    assert!(plain(&terminal.seen()).contains("'web'"), "{}", terminal.seen());
    // With nothing said, it says what could be.
    let mut terminal = Terminal::new(folder.path(), "ropewalk");
    assert_eq!(terminal.wait(), Some(2));
    assert!(terminal.seen().contains("ropewalk help web"), "{}", terminal.seen());
    assert!(tool("curl").exists());
}
