//! The crate in `examples/plugin`, built by itself and used as its reader would.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use ropewalk_interop::{PATIENCE, TempDir};

use crate::program::program;
use crate::{root, run, said, serve, talk};

/// Builds it where this was built, so that what is built there already is not built again.
fn build() -> PathBuf {
    let target = program().ancestors().nth(2).expect("a folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root().join("examples/plugin")).env("CARGO_TARGET_DIR", target);
    let built = run(cargo.args(["build", "--quiet", "--locked"]));
    assert!(built.status.success(), "{}", said(&built));
    target.join("debug/ropewalk-with-rot13")
}

#[test]
fn a_crate_of_its_own_adds_one_of_each() {
    let program = build();
    let run = |arguments: &[&str]| run(Command::new(&program).args(arguments));

    // A subcommand, among the others.
    assert_eq!(said(&run(&["turn", "Hello"])), "Uryyb\n");
    let help = said(&run(&["--help"]));
    let lists = |word: &str| help.lines().any(|line| line.trim_start().starts_with(word));
    assert!(lists("turn ") && lists("web "), "{help}");
    let near = run(&["trun", "Hello"]);
    assert!(near.status.code() == Some(2) && said(&near).contains("'turn'"), "{}", said(&near));
    assert_eq!(run(&["turn"]).status.code(), Some(2), "a word is wanted");
    assert!(said(&run(&["completions", "bash"])).contains("turn"), "completions know it");

    // A kind of service, with a key of its own, at a kind of endpoint.
    let folder = TempDir::new("plugin").expect("a folder");
    let file = folder.path().join("app.toml");
    let write = |text: &str| folder.write("app.toml", text).expect("a file");
    write(
        "[services.rot13]\nlisten = 'here:0'\n[services.twice]\nkind = 'rot13'\ntwice = true\nlisten = 'here:0'\n",
    );
    let (mut served, once) = serve(Command::new(&program).arg("run").arg(&file));
    let twice = served.line_after("").expect("where it serves");
    for (place, expected) in [(once, "Uryyb"), (twice, "Hello")] {
        let mut stream = TcpStream::connect(&place).expect("somebody listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(b"Hello").expect("it is heard");
        stream.shutdown(Shutdown::Write).expect("an end");
        let mut heard = String::new();
        stream.read_to_string(&mut heard).expect("an answer");
        assert_eq!(heard, expected);
    }

    // What is written wrong is told as of the program's own.
    let check = || said(&run(&["check", file.to_str().expect("text")]));
    for (text, place, told) in [
        (
            "[services.rot13]\nlisten = 'here:0'\ntwcie = true\n",
            ":3:1: ",
            "did you mean \"twice\"?",
        ),
        ("[services.x]\nkind = 'rto13'\n", ":2:8: ", "did you mean \"rot13\"?"),
        ("[services.rot13]\nlisten = 'hree:0'\n", ":2:10: ", "here"),
    ] {
        write(text);
        let wrong = check();
        assert!(wrong.contains(place) && wrong.contains(told), "{wrong}");
    }
    let wrong = run(&["web", "--listen", "here:nowhere"]);
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).contains("write here:PORT, a number"), "{}", said(&wrong));

    // Users of its own.
    let web = ["web", "--listen", "here:0", "--auth", "turned:anybody", "--log", "off"];
    let (_served, place) = serve(Command::new(&program).args(web).arg("--path").arg(folder.path()));
    let status = |login: &str| {
        let answer = talk(&place, &format!("GET /app.toml HTTP/1.0\r\n{login}\r\n"));
        answer.split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(status("").as_deref(), Some("401"));
    // alice:nyvpr
    assert_eq!(status("Authorization: Basic YWxpY2U6bnl2cHI=\r\n").as_deref(), Some("200"));
    // alice:alice
    assert_eq!(status("Authorization: Basic YWxpY2U6YWxpY2U=\r\n").as_deref(), Some("401"));
}
