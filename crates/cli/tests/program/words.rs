//! What the program says of itself, and what others add to it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::{Folder, Served, program, run};

#[test]
fn shells_complete_its_words() {
    for (shell, word) in
        [("bash", "complete -F"), ("zsh", "#compdef ropewalk"), ("fish", "complete -c ropewalk")]
    {
        let output = run(&["completions", shell]);
        let script = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && script.contains(word), "{shell}");
        assert!(script.contains("portforward") && script.contains("pid-file"), "{shell}");
    }
    let script = run(&["completions", "bash"]).stdout;
    let folder = Folder::new("completions").with("ropewalk", script);
    let ask = "source ./ropewalk; COMP_WORDS=(ropewalk por); COMP_CWORD=1; _ropewalk ropewalk por ropewalk; echo \"${COMPREPLY[@]}\"";
    let output =
        Command::new("bash").current_dir(folder.path()).args(["-c", ask]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "portforward", "{}", String::from_utf8_lossy(&output.stderr));
    let unknown = run(&["completions", "fsh"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("fish"));
}

#[test]
fn each_subcommand_has_a_manual_page() {
    let folder = Folder::new("man");
    let directory = folder.path().join("pages");
    let output = run(&["man", "--directory", directory.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["ropewalk", "ropewalk-web", "ropewalk-run", "ropewalk-upgrade", "ropewalk-socks"] {
        let page = fs::read_to_string(directory.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains("SYNOPSIS"), "{name}: {page}");
    }
    let page = fs::read_to_string(directory.join("ropewalk-web.1")).unwrap();
    assert!(page.contains("\\-\\-pid\\-file") && page.contains("Examples"), "{page}");
    let own = run(&["man"]).stdout;
    assert!(String::from_utf8_lossy(&own).contains("ropewalk\\-web") || !own.is_empty());
    let output = run(&["man", "--directory", "/proc/no/such/place"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn programs_on_the_path_are_subcommands() {
    let folder =
        Folder::new("path").with("ropewalk-hello", "#!/bin/sh\necho \"hello $*\"\nexit 7\n");
    let program_file = folder.path().join("ropewalk-hello");
    fs::set_permissions(&program_file, fs::Permissions::from_mode(0o755)).unwrap();
    // Not one that may not be run, nor one of our own names.
    fs::write(folder.path().join("ropewalk-no"), "x").unwrap();
    fs::copy(&program_file, folder.path().join("ropewalk-reactors")).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let ask = |arguments: &[&str]| program().env("PATH", &path).args(arguments).output().unwrap();
    let output = ask(&["hello", "--to", "you"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello --to you\n");
    assert!(String::from_utf8_lossy(&ask(&["reactors"]).stdout).contains("epoll"));
    for wrong in ["no", "hell", "../hello", "-x"] {
        assert_eq!(ask(&[wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn the_demo_says_what_to_try_and_it_works() {
    let mut served = Served::start(&["demo"], 4);
    let lines = served.places.clone();
    let command = |index: usize| {
        let (_, command) = lines[index].split_once(':').unwrap();
        command.split("    (").next().unwrap().trim().to_owned()
    };
    let sh = |command: &str| {
        let output =
            Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(sh(&command(0)).contains("<title>Ropewalk</title>"), "{lines:?}");
    assert!(sh(&command(1)).contains("<th>connections<td>"), "{lines:?}");
    let amp = sh(&command(3));
    assert!(amp.contains("_answer") && amp.contains("total"), "{lines:?}: {amp:?}");
    served.signal(Signal::INT);
    let mut log = String::new();
    served.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(served.child.wait().unwrap().code(), Some(0), "{log}");
}

#[test]
fn the_first_page_teaches() {
    let page = String::from_utf8_lossy(&run(&["--help"]).stdout).into_owned();
    for word in [
        "Start here:",
        "ropewalk demo",
        "ropewalk run app.toml",
        "ROPEWALK_LOG",
        "Exit status:",
        "ropewalk-NAME",
    ] {
        assert!(page.contains(word), "{word} is missing:\n{page}");
    }
    for (slip, near) in [("dmeo", "'demo'"), ("upgrad", "'upgrade'"), ("chekc", "'check'")] {
        let output = run(&[slip]);
        assert_eq!(output.status.code(), Some(2), "{slip}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(near), "{slip}: {said}");
    }
}
