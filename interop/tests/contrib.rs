//! What is under `contrib/`: a crate that adds to the program, a systemd unit, a Debian package, a Dockerfile.

#[path = "terminal/pseudo.rs"]
#[expect(dead_code, reason = "of the terminal only the program's place is needed")]
mod pseudo;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use ropewalk_interop::{PATIENCE, TempDir, leave_out};

use crate::pseudo::program;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder").to_owned()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A program that serves; it ends with its owner.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, and answers the first line that it prints.
fn serve(command: &mut Command) -> (Served, String) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    let out = child.stdout.take().expect("its output");
    let served = Served(child);
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).expect("a line");
    (served, line.trim().to_owned())
}

fn connect(place: &str) -> TcpStream {
    let host = place.trim_start_matches("http://").trim_end_matches('/');
    let stream = TcpStream::connect(host).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

#[test]
fn a_crate_of_its_own_adds_one_of_each() {
    let target = program().ancestors().nth(2).expect("a folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root().join("contrib/plugin")).env("CARGO_TARGET_DIR", target);
    let built = cargo.args(["build", "--quiet", "--locked"]).output().expect("cargo");
    assert!(built.status.success(), "{}", said(&built));
    let program = target.join("debug/ropewalk-with-rot13");
    let run = |arguments: &[&str]| Command::new(&program).args(arguments).output().expect("it runs");

    // A subcommand, among the others.
    assert_eq!(said(&run(&["turn", "Hello"])), "Uryyb\n");
    assert!(said(&run(&["--help"])).contains("turn"), "{}", said(&run(&["--help"])));
    assert!(said(&run(&["trun"])).contains("'turn'"), "{}", said(&run(&["trun"])));
    assert_eq!(run(&["turn"]).status.code(), Some(2));

    // A kind of service at a kind of endpoint.
    let folder = TempDir::new("plugin").expect("a folder");
    folder.write("app.toml", "[services.rot13]\nlisten = 'here:0'\n").expect("a file");
    let file = folder.path().join("app.toml");
    let (_served, place) = serve(Command::new(&program).arg("run").arg(&file));
    let mut stream = connect(&place);
    stream.write_all(b"Hello").expect("it is heard");
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).expect("an answer");
    assert_eq!(&heard, b"Uryyb");
    folder.write("app.toml", "[services.rot13]\nlisten = 'here:0'\ntwcie = true\n").expect("a file");
    let wrong = said(&run(&["check", file.to_str().expect("text")]));
    assert!(wrong.contains(":3:1: ") && wrong.contains("did you mean \"twice\"?"), "{wrong}");
    folder.write("app.toml", "[services.x]\nkind = 'rto13'\n").expect("a file");
    let wrong = said(&run(&["check", file.to_str().expect("text")]));
    assert!(wrong.contains("did you mean \"rot13\"?"), "{wrong}");

    // Users of its own.
    let web = ["web", "--listen", "here:0", "--auth", "turned:anybody", "--log", "off"];
    let (_served, place) = serve(Command::new(&program).args(web).arg("--path").arg(folder.path()));
    let status = |login: &str| {
        let mut stream = connect(&place);
        let request = format!("GET /app.toml HTTP/1.0\r\n{login}\r\n");
        stream.write_all(request.as_bytes()).expect("it is heard");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(status("").as_deref(), Some("401"));
    // alice:nyvpr
    let right = "Authorization: Basic YWxpY2U6bnl2cHI=\r\n";
    assert_eq!(status(right).as_deref(), Some("200"));
}

#[test]
fn the_package_has_the_program_and_all_around_it() {
    let folder = TempDir::new("package").expect("a folder");
    let build = root().join("contrib/debian/build");
    let have = Command::new("dpkg-deb").arg("--version").output();
    if !have.is_ok_and(|output| output.status.success()) {
        return leave_out("the Debian package", "there is no dpkg-deb");
    }
    let output = Command::new(build).arg(program()).arg(folder.path()).output().expect("a shell");
    assert!(output.status.success(), "{}", said(&output));
    let package = said(&output).trim().to_owned();
    let ask = |what: &str| {
        said(&Command::new("dpkg-deb").args([what, &package]).output().expect("dpkg-deb"))
    };
    let contents = ask("--contents");
    for name in [
        "./usr/bin/ropewalk",
        "./etc/ropewalk/app.toml",
        "./usr/lib/systemd/system/ropewalk.service",
        "./usr/share/man/man1/ropewalk-run.1.gz",
        "./usr/share/bash-completion/completions/ropewalk",
    ] {
        assert!(contents.contains(name), "{name} is missing:\n{contents}");
    }
    assert!(ask("--info").contains("Package: ropewalk"), "{}", ask("--info"));
    // What it installs runs, and takes the file that it brings.
    let unpacked = folder.path().join("unpacked");
    let output = Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked).output();
    assert!(output.expect("dpkg-deb").status.success());
    let file = std::fs::read_to_string(unpacked.join("etc/ropewalk/app.toml")).expect("a file");
    let here = file.replace("/var/lib/ropewalk", folder.path().to_str().expect("text"));
    folder.write("app.toml", here).expect("a file");
    let mut installed = Command::new(unpacked.join("usr/bin/ropewalk"));
    let checked = installed.arg("check").arg(folder.path().join("app.toml")).output();
    let checked = checked.expect("it runs");
    assert!(checked.status.success(), "{}", said(&checked));
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let unit = root().join("contrib/systemd/ropewalk.service");
    let text = std::fs::read_to_string(&unit).expect("a file");
    let verify = Command::new("systemd-analyze").arg("--version").output();
    if !verify.is_ok_and(|output| output.status.success()) {
        return leave_out("the systemd unit", "there is no systemd-analyze");
    }
    // The program is where the package puts it only on machines that have the package.
    let folder = TempDir::new("unit").expect("a folder");
    let here = text.replace("/usr/bin/ropewalk", program().to_str().expect("text"));
    folder.write("ropewalk.service", here).expect("a file");
    let mut analyze = Command::new("systemd-analyze");
    let unit = folder.path().join("ropewalk.service");
    let output = analyze.args(["verify", "--man=no"]).arg(unit).output().expect("it runs");
    let complaints = said(&output);
    let ours: Vec<_> = complaints.lines().filter(|line| line.contains("ropewalk.service")).collect();
    assert!(ours.is_empty(), "{complaints}");
}

#[test]
fn the_image_has_what_it_says() {
    let text = std::fs::read_to_string(root().join("contrib/docker/Dockerfile")).expect("a file");
    // Nobody builds images here, so what it runs is looked at: the program takes these words.
    let words = text.lines().find_map(|line| line.strip_prefix("CMD ")).expect("a command");
    let words: Vec<&str> = words.trim_matches(['[', ']']).split(", ").collect();
    let words = words.iter().map(|word| word.trim_matches('"'));
    let words: Vec<_> = words.map(|word| word.replace("tcp:8080", "tcp:0")).collect();
    let (_served, place) = serve(Command::new(program()).args(words));
    assert!(place.starts_with("http://"), "{place}");
    let package = text.lines().find(|line| line.contains("cargo build")).expect("it is built");
    assert!(package.contains("--package ropewalk-cli"), "{package}");
}
