//! The image that `contrib/docker/Dockerfile` describes. Nobody builds images here, as its bases are elsewhere: each
//! instruction is looked at by itself, and what the image would hold is run in a world of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ropewalk_interop::{Peer, TempDir, leave_out, tool};

use crate::program::program;
use crate::{ask, root};

/// What the base image has of libraries: those of C, and of GCC.
const LIBRARIES: [&str; 6] =
    ["ld-linux", "libc.so.6", "libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0"];

/// An instruction and what follows it.
type Instruction = (String, String);

/// The instructions of each stage, `FROM` first.
fn stages() -> Vec<Vec<Instruction>> {
    let text = fs::read_to_string(root().join("contrib/docker/Dockerfile")).expect("a file");
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').expect("an instruction");
        if word == "FROM" {
            stages.push(Vec::new());
        }
        let stage = stages.last_mut().expect("FROM comes first");
        stage.push((word.to_owned(), rest.to_owned()));
    }
    stages
}

/// What an instruction of a stage says.
#[track_caller]
fn of<'a>(stage: &'a [Instruction], word: &str) -> &'a str {
    let found = stage.iter().find(|(found, _)| found == word);
    &found.unwrap_or_else(|| panic!("there is no {word}")).1
}

/// A list of words as JSON has them.
fn words(list: &str) -> Vec<String> {
    serde_json::from_str(list).expect("a list of words")
}

/// What a manifest says.
fn manifest(file: &str, key: &str) -> String {
    let text = fs::read_to_string(root().join(file)).expect("a file");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.expect("a key").trim_end_matches('"').to_owned()
}

#[test]
fn each_stage_of_the_image_can_be_made() {
    let stages = stages();
    let [build, image] = stages.as_slice() else { panic!("two stages: {stages:?}") };
    let known =
        ["FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"];
    for (word, _) in stages.iter().flatten() {
        assert!(known.contains(&word.as_str()), "{word}");
    }

    // The compiler is one that the workspace takes, and its C library that of the image.
    let version = manifest("Cargo.toml", "rust-version");
    assert_eq!(of(build, "FROM"), format!("docker.io/library/rust:{version}-bookworm AS build"));
    assert_eq!(of(image, "FROM"), "gcr.io/distroless/cc-debian12", "bookworm is Debian 12");

    // It is built as anybody builds it, and what is copied is what that makes.
    let package = manifest("crates/cli/Cargo.toml", "name");
    assert_eq!(of(build, "RUN"), format!("cargo build --release --locked --package {package}"));
    assert!(root().join("Cargo.lock").exists(), "what is locked");
    assert_eq!(program().file_name().and_then(|name| name.to_str()), Some("ropewalk"));
    let place = of(build, "WORKDIR");
    let copied = format!("--from=build {place}/target/release/ropewalk /usr/bin/ropewalk");
    assert_eq!(of(image, "COPY"), copied);
    assert_eq!(words(of(image, "ENTRYPOINT")), ["/usr/bin/ropewalk"]);

    // The program wants no library that the image has not.
    let wanted = ask(Command::new("ldd").arg(program()));
    for line in wanted.lines().map(str::trim).filter(|line| !line.contains("vdso")) {
        assert!(LIBRARIES.iter().any(|library| line.contains(library)), "not in the image: {line}");
    }
}

/// The program with what the image has of libraries, and nothing else.
fn root_file_system(folder: &TempDir) -> PathBuf {
    let new = folder.path().join("image");
    let copy = |from: &Path, to: &str| {
        let to = new.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(from, to).expect("a file");
    };
    copy(program(), "/usr/bin/ropewalk");
    let wanted = ask(Command::new("ldd").arg(program()));
    let libraries: BTreeSet<&str> =
        wanted.split_whitespace().filter(|word| word.starts_with('/')).collect();
    for library in libraries {
        copy(Path::new(library), library);
    }
    for name in ["srv", "tmp", "proc", "etc"] {
        fs::create_dir_all(new.join(name)).expect("a folder");
    }
    new
}

#[test]
fn the_image_serves_as_nobody_and_ends_when_it_is_told() {
    let stages = stages();
    let image = stages.last().expect("a stage");
    let folder = TempDir::new("image").expect("a folder");
    let new = root_file_system(&folder);
    fs::write(new.join("srv/a.txt"), "hello").expect("a file");
    let (user, group) = of(image, "USER").split_once(':').expect("a user and a group");
    if !rustix::process::geteuid().is_root() {
        return leave_out("the image", "only root can be somebody else in it");
    }
    let mut unshare = Command::new(tool("unshare"));
    unshare.args(["--net", "--pid", "--fork", "--kill-child"]);
    let permitted = Command::new(tool("unshare")).args(unshare.get_args()).arg("true").status();
    if !permitted.is_ok_and(|status| status.success()) {
        return leave_out("the image", "no namespaces are permitted");
    }
    // The program is the first process of its world, as it is in a container: what it does not take does nothing to it.
    let begin = "ip link set lo up && exec unshare --root=\"$1\" --wd=\"$2\" --setuid \"$3\" --setgid \"$4\" \
                 \"$5\" \"$6\" \"$7\" \"$8\"";
    unshare.args(["sh", "-c", begin, "sh"]).arg(&new).args([of(image, "WORKDIR"), user, group]);
    let started = [words(of(image, "ENTRYPOINT")), words(of(image, "CMD"))].concat();
    assert_eq!(started.len(), 4, "{started:?}");
    let mut served = Peer::start(unshare.args(started)).expect("it runs");
    let place = served.line_after("").expect("where it serves");
    assert_eq!(place, format!("http://127.0.0.1:{}/", of(image, "EXPOSE")));

    let children = format!("/proc/{0}/task/{0}/children", served.id());
    let pid = fs::read_to_string(children).expect("its child").trim().to_owned();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its state");
    let numbers = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(numbers("Uid:"), [user; 4], "{status}");
    assert_eq!(numbers("Gid:"), [group; 4], "{status}");
    assert_eq!(numbers("NSpid:").last().map(String::as_str), Some("1"), "{status}");
    let mut enter = Command::new(tool("nsenter"));
    enter.args(["--net", "--target", &pid]).arg(tool("curl"));
    assert_eq!(ask(enter.args(["-sf", &format!("{place}a.txt")])), "hello");
    let signal = of(image, "STOPSIGNAL").trim_start_matches("SIG");
    ask(Command::new("kill").args(["-s", signal, &pid]));
    assert!(served.wait().expect("its end").success());
}
