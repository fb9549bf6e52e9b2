//! Programs of a folder, by their names.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use ropewalk_cgi::CgiFolder;
use ropewalk_http::Tree;
use ropewalk_protocol::process::ExitStatus;
use ropewalk_trial::LaterThreads;

use crate::kit::{Kit, get, text, variables};

/// A folder that goes away with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ropewalk-cgi-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("sub")).unwrap();
        let path = fs::canonicalize(path).unwrap();
        write(&path.join("run.cgi"), 0o755);
        write(&path.join("sub/run"), 0o755);
        write(&path.join(".hidden"), 0o755);
        write(&path.join("text.txt"), 0o644);
        symlink("run.cgi", path.join("inside")).unwrap();
        symlink("/bin/sh", path.join("outside")).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(path: &Path, mode: u32) {
    fs::write(path, "#!/bin/sh\n").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn kit(folder: &Folder, threads: &LaterThreads) -> Kit {
    Kit::serving(|programs| {
        let programs = CgiFolder::new(&folder.0, programs, threads.clone()).unwrap();
        Tree::new().child("cgi-bin", programs)
    })
}

#[test]
fn the_first_file_on_the_path_is_the_program() {
    let folder = Folder::new("first");
    let threads = LaterThreads::new();
    let kit = kit(&folder, &threads);
    for (target, program, name, info) in [
        ("/cgi-bin/run.cgi", "run.cgi", "/cgi-bin/run.cgi", None),
        ("/cgi-bin/run%2ecgi/a%20b?q", "run.cgi", "/cgi-bin/run.cgi", Some("/a b")),
        ("/cgi-bin/sub/run/", "sub/run", "/cgi-bin/sub/run", Some("/")),
        ("/cgi-bin/inside", "inside", "/cgi-bin/inside", None),
    ] {
        let mut client = kit.client();
        client.push(&get(target));
        threads.do_all();
        kit.turn(&mut client);
        let started = kit.programs.take_next().expect(target);
        assert_eq!(started.command().program(), folder.0.join(program));
        let all = variables(&started);
        assert_eq!(all["SCRIPT_NAME"], name);
        assert_eq!(all.get("PATH_INFO").map(String::as_str), info);
        started.push_out(b"Content-Type: a/b\nContent-Length: 2\n\nhi");
        started.exit(ExitStatus::SUCCESS);
        kit.turn(&mut client);
        assert!(text(&mut client).ends_with("\n\nhi"));
    }
}

#[test]
fn what_is_no_program_is_not_run() {
    let folder = Folder::new("none");
    let threads = LaterThreads::new();
    let kit = kit(&folder, &threads);
    for (target, status) in [
        ("/cgi-bin", 404),
        ("/cgi-bin/", 404),
        ("/cgi-bin/sub", 404),
        ("/cgi-bin/sub/", 404),
        ("/cgi-bin/none", 404),
        ("/cgi-bin/.hidden", 404),
        ("/cgi-bin/outside", 404),
        ("/cgi-bin/../bin/sh", 404),
        ("/cgi-bin/%2e%2e/x", 404),
        ("/cgi-bin/sub%2Frun", 404),
        ("/cgi-bin/run.cgi/../x", 404),
        ("/cgi-bin//bin/sh", 404),
        ("/cgi-bin/run.cgi%00", 404),
        ("/cgi-bin/text.txt", 403),
        ("/cgi-bin/text.txt/more", 403),
    ] {
        let mut client = kit.client();
        client.push(&get(target));
        threads.do_all();
        kit.turn(&mut client);
        let answer = text(&mut client);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        assert!(kit.programs.take_next().is_none(), "{target}");
    }
}

#[test]
fn folders_that_are_none_are_refused() {
    let (kit, threads) = (Kit::new(), LaterThreads::new());
    for path in ["/nonexistent", "/bin/sh"] {
        assert!(CgiFolder::new(path, kit.programs.clone(), threads.clone()).is_err());
    }
}

#[test]
fn only_names_that_end_so_are_claimed_and_run() {
    let (folder, threads) = (Folder::new("ending"), LaterThreads::new());
    let kit = Kit::serving(|programs| {
        CgiFolder::new(&folder.0, programs, threads.clone()).unwrap().ending(".cgi")
    });
    let programs = CgiFolder::new(&folder.0, kit.programs.clone(), threads.clone()).unwrap();
    assert!(programs.claims("/anything"));
    let programs = programs.ending(".cgi");
    for (path, expected) in [
        ("/run.cgi", true),
        ("/run.cgi/more", true),
        ("/run%2ecg%69", true),
        ("/RUN.CGI", true),
        ("/sub%2Frun.cgi", true),
        ("/x.cgi%5cy", true),
        ("/", false),
        ("/text.txt", false),
        ("/run.cgi.gz", false),
        ("/cgi", false),
    ] {
        assert_eq!(programs.claims(path), expected, "{path}");
    }
    let mut client = kit.client();
    client.push(&get("/sub/run/x.cgi"));
    threads.do_all();
    kit.turn(&mut client);
    assert!(text(&mut client).starts_with("HTTP/1.1 404 "));
}
