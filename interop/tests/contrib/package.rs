//! The Debian package, and the unit that it brings.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ropewalk_interop::{TempDir, tool};

use crate::program::program;
use crate::{ask, root, run, said};

/// The package, made of the program as it is.
fn package(folder: &TempDir) -> String {
    let mut build = Command::new(root().join("contrib/debian/build"));
    // How small it gets is not asked here.
    build.env("DPKG_DEB_COMPRESSOR_TYPE", "gzip").env("DPKG_DEB_COMPRESSOR_LEVEL", "1");
    ask(build.arg(program()).arg(folder.path())).trim().to_owned()
}

#[test]
fn the_package_has_the_program_and_all_around_it() {
    let folder = TempDir::new("package").expect("a folder");
    let package = package(&folder);
    let dpkg = |what: &str| ask(Command::new(tool("dpkg-deb")).args([what, &package]));
    let control = dpkg("--info");
    let version = ask(Command::new(program()).arg("--version"));
    let version = version.trim().strip_prefix("ropewalk ").expect("a version");
    for line in
        ["Package: ropewalk", &format!("Version: {version}"), "Depends: libc6", "Section: net"]
    {
        assert!(control.lines().any(|found| found.trim() == line), "{line}:\n{control}");
    }

    let contents = dpkg("--contents");
    let mode = |name: &str| {
        let line = contents.lines().find(|line| line.ends_with(&format!(" {name}")));
        line.unwrap_or_else(|| panic!("{name} is missing:\n{contents}")).get(..10).expect("a mode")
    };
    assert_eq!(mode("./usr/bin/ropewalk"), "-rwxr-xr-x");
    for name in [
        "./etc/ropewalk/app.toml",
        "./usr/lib/systemd/system/ropewalk.service",
        "./usr/share/bash-completion/completions/ropewalk",
        "./usr/share/doc/ropewalk/changelog.gz",
        "./usr/share/doc/ropewalk/copyright",
        "./usr/share/fish/vendor_completions.d/ropewalk.fish",
        "./usr/share/man/man1/ropewalk.1.gz",
        "./usr/share/zsh/vendor-completions/_ropewalk",
    ] {
        assert_eq!(mode(name), "-rw-r--r--", "{name}");
    }
    // Each subcommand has its page.
    let help = ask(Command::new(program()).arg("--help"));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = commands.take_while(|line| !line.is_empty());
    for verb in
        verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help")
    {
        mode(&format!("./usr/share/man/man1/ropewalk-{verb}.1.gz"));
    }
    for line in contents.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[1], "root/root", "{line}");
        let is_open = words[0].get(8..9) == Some("w") || words[0].get(5..6) == Some("w");
        assert!(!is_open, "others may write there: {line}");
    }

    let unpacked = folder.path().join("unpacked");
    ask(Command::new(tool("dpkg-deb")).arg("--raw-extract").arg(&package).arg(&unpacked));
    let settings = fs::read_to_string(unpacked.join("DEBIAN/conffiles")).expect("settings");
    assert_eq!(settings, "/etc/ropewalk/app.toml\n", "what an update leaves alone");

    // What it installs runs, and takes the file that it brings.
    let file = fs::read_to_string(unpacked.join("etc/ropewalk/app.toml")).expect("a file");
    let here = file.replace("/var/lib/ropewalk", folder.path().to_str().expect("text"));
    assert_ne!(here, file);
    folder.write("app.toml", here).expect("a file");
    let mut installed = Command::new(unpacked.join("usr/bin/ropewalk"));
    ask(installed.arg("check").arg(folder.path().join("app.toml")));

    check_scripts(&folder, &unpacked.join("DEBIAN"));
}

/// What the package's scripts ask of systemd, from a first installation to the end.
#[track_caller]
fn check_scripts(folder: &TempDir, scripts: &Path) {
    let asked = folder.path().join("asked");
    let fake = folder.path().join("fake");
    fs::create_dir(&fake).expect("a folder");
    let systemctl = fake.join("systemctl");
    fs::write(&systemctl, format!("#!/bin/sh\necho \"$@\" >> {}\n", asked.display()))
        .expect("a file");
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = [fake].into_iter().chain(std::env::split_paths(&folders));
    let path = std::env::join_paths(folders).expect("folders");
    let successor = "kill --kill-whom=main --signal=USR2 ropewalk.service\n";
    let handed_on = format!("daemon-reload\n--quiet is-active ropewalk.service\n{successor}");
    for (script, arguments, expected) in [
        ("postinst", &["configure"][..], "daemon-reload\n"),
        ("prerm", &["upgrade", "2"], ""),
        ("postinst", &["configure", "1"], &handed_on),
        ("prerm", &["remove"], "stop ropewalk.service\n"),
        ("postrm", &["remove"], "daemon-reload\n"),
    ] {
        fs::write(&asked, "").expect("a file");
        ask(Command::new(scripts.join(script)).args(arguments).env("PATH", &path));
        let asked = fs::read_to_string(&asked).expect("a file");
        assert_eq!(asked, expected, "{script} {arguments:?}");
    }
}

fn unit() -> (PathBuf, String) {
    let path = root().join("contrib/systemd/ropewalk.service");
    let text = fs::read_to_string(&path).expect("a file");
    (path, text)
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let (_, text) = unit();
    // The program is where the package puts it only on machines that have the package.
    let folder = TempDir::new("unit").expect("a folder");
    let here = text.replace("/usr/bin/ropewalk", program().to_str().expect("text"));
    let verify = |text: &str| {
        let path = folder.write("ropewalk.service", text).expect("a file");
        let mut analyze = Command::new(tool("systemd-analyze"));
        let output = run(analyze.args(["verify", "--man=no"]).arg(path));
        // Of other units on this machine it may have its own opinion.
        let complaints = said(&output);
        let ours = complaints.lines().filter(|line| line.contains("ropewalk.service"));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(verify(&here), <[String; 0]>::default());
    // It would say so if something were wrong.
    let wrong = here.replace("KillMode=mixed", "KillMood=mixed");
    assert!(verify(&wrong).iter().any(|line| line.contains("KillMood")));
}

#[test]
fn the_unit_starts_what_there_is() {
    let (_, text) = unit();
    let command = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        line.unwrap_or_else(|| panic!("{key}: {text}")).to_owned()
    };
    let folder = TempDir::new("started").expect("a folder");
    let file = folder.write("app.toml", "[services.echo]\nlisten = 'tcp:0'\n").expect("a file");
    let file = file.to_str().expect("text");
    for key in ["ExecStartPre", "ExecStart"] {
        let line = command(key);
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("/usr/bin/ropewalk"), "{key}");
        let words = words.map(|word| word.replace("/etc/ropewalk/app.toml", file));
        let mut started = Command::new(program());
        started.args(words);
        if key == "ExecStartPre" {
            ask(&mut started);
        } else {
            let (_served, place) = crate::serve(&mut started);
            assert!(place.starts_with("0.0.0.0:"), "{place}");
        }
    }
    // What the unit sends is what the program takes.
    assert_eq!(command("Type"), "notify");
    assert!(command("ExecReload").contains("-HUP"));
}
