//! A copy of the sources with faults in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::list::Mutant;

/// The rooms that are copied: the transports, and what tries them.
const ROOMS: [&str; 6] = ["deferred", "files", "protocol", "reactor", "trial", "trial-macros"];
/// How much memory the laws may ask for, in bytes.
const MEMORY_MAX: u64 = 2 << 30;
/// Says which fault is awake.
const VARIABLE: &str = "ROPEWALK_MUTANT";
/// What finds that out, in each room with faults.
const IS_AWAKE: &str = r#"
#[allow(dead_code)]
pub(crate) fn is_awake(mutant: &str) -> bool {
    static AWAKE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("ROPEWALK_MUTANT").ok()).as_deref() == Some(mutant)
}
"#;

/// A workspace of its own, built.
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Copies the sources as they are now, with `mutants` in them, and builds what tries the laws.
    #[track_caller]
    pub(crate) fn make(mutants: &[Mutant]) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let scratch = Self { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants") };
        scratch.write("Cargo.toml", &workspace(&read(&root.join("Cargo.toml"))));
        scratch.write("Cargo.lock", &read(&root.join("Cargo.lock")));
        for room in ROOMS {
            let from = root.join("crates").join(room);
            let manifest = read(&from.join("Cargo.toml"));
            scratch.write(&format!("crates/{room}/Cargo.toml"), &for_users(&manifest));
            scratch.copy(&from, &format!("{room}/src"), mutants);
        }
        scratch.copy(&root.join("crates/trial"), "trial/examples", mutants);
        scratch.build();
        scratch
    }

    /// Copies a folder of a room, named from `crates/`.
    fn copy(&self, room: &Path, folder: &str, mutants: &[Mutant]) {
        let (_, inside) = folder.split_once('/').expect("a room and a folder in it");
        for entry in fs::read_dir(room.join(inside)).expect("a folder of sources") {
            let entry = entry.expect("an entry");
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("its kind").is_dir() {
                self.copy(room, &name, mutants);
            } else {
                self.write(&format!("crates/{name}"), &mutate(&name, read(&entry.path()), mutants));
            }
        }
        self.forget(&room.join(inside), folder);
    }

    /// Removes what an earlier copy had and the sources have no more.
    fn forget(&self, from: &Path, folder: &str) {
        for entry in fs::read_dir(self.folder.join("crates").join(folder)).expect("a copy") {
            let there = entry.expect("an entry").path();
            if !from.join(there.file_name().expect("a name")).exists() {
                let gone = if there.is_dir() {
                    fs::remove_dir_all(&there)
                } else {
                    fs::remove_file(&there)
                };
                gone.expect("it is ours");
            }
        }
    }

    /// Writes a file unless it is there already, which would have it built again.
    fn write(&self, path: &str, text: &str) {
        let path = self.folder.join(path);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            return;
        }
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    #[track_caller]
    fn build(&self) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.folder).args(["build", "--quiet", "--offline"]);
        command.args(["-p", "ropewalk-trial", "--example", "laws", "--target-dir", "target"]);
        // Faults are not expected to please anybody.
        command.env("RUSTFLAGS", "--cap-lints allow").env_remove("CARGO_ENCODED_RUSTFLAGS");
        let output = command.stdin(Stdio::null()).output().expect("cargo runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the copy does not build:\n{said}");
    }

    /// Tries the laws while one mutant is awake; the last line that comes of it.
    pub(crate) fn try_laws(&self, mutant: &str, what: &str) -> String {
        let mut command = Command::new(self.folder.join("target/debug/examples/laws"));
        command.arg(what).env(VARIABLE, mutant).stdin(Stdio::null()).stderr(Stdio::null());
        let child = command.stdout(Stdio::piped()).spawn().expect("it runs");
        // A fault may have it ask for memory for ever.
        let memory = Rlimit { current: Some(MEMORY_MAX), maximum: Some(MEMORY_MAX) };
        prlimit(Some(Pid::from_child(&child)), Resource::As, memory).expect("a limit");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        said.lines().last().unwrap_or("it ends without a word").to_owned()
    }
}

/// A file with what faults there are for it.
#[track_caller]
fn mutate(name: &str, mut text: String, mutants: &[Mutant]) -> String {
    for mutant in mutants.iter().filter(|mutant| mutant.file == name) {
        let count = text.matches(mutant.from).count();
        let (what, from) = (mutant.name, mutant.from);
        assert_eq!(count, 1, "{what}: `{from}` stands {count} times in {name}");
        let is_awake = format!("crate::is_awake({:?})", mutant.name);
        text = text.replace(mutant.from, &mutant.to.replace("MUTANT", &is_awake));
    }
    if name.ends_with("/src/lib.rs") { text + IS_AWAKE } else { text }
}

/// The manifest of a workspace of these rooms alone.
fn workspace(manifest: &str) -> String {
    let member = |line: &str| {
        let is_other = ["members", "default-members", "exclude"].iter().any(|key| {
            line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        !is_other
    };
    let rest: Vec<_> = manifest.lines().filter(|line| member(line)).collect();
    rest.join("\n").replace("[workspace]", "[workspace]\nmembers = [\"crates/*\"]")
}

/// A manifest without what only tests need.
fn for_users(manifest: &str) -> String {
    let mut kept = String::new();
    let mut is_kept = true;
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_kept = !line.contains("dev-dependencies") && !line.starts_with("[[");
        }
        if is_kept {
            kept += line;
            kept += "\n";
        }
    }
    kept
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
