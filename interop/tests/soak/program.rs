//! The programs under load, and what they are seen to need.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ropewalk_interop::{Peer, TempDir, tool};
use rustix::process::{Pid, Signal, kill_process};

/// How long a busy machine may keep anything waiting.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

const ANYWHERE: &str = "tcp:0:interface=127.0.0.1";

/// Where the program is: as it was told, or as it is built here.
pub(crate) fn binary() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        if let Some(told) = std::env::var_os("ROPEWALK_SOAK_PROGRAM") {
            return told.into();
        }
        let mut cargo = Command::new(env!("CARGO"));
        let built = cargo.args(["build", "--quiet", "--package", "ropewalk-cli"]).status();
        assert!(built.expect("cargo").success());
        // Tests stand in a folder beside it.
        let here = std::env::current_exe().expect("a place");
        here.ancestors().nth(2).expect("a folder").join("ropewalk")
    });
    &PROGRAM
}

/// A program that serves.
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// Where it serves, in the order in which it said so.
    pub(crate) places: Vec<SocketAddr>,
    pub(crate) samples: Samples,
    verb: &'static str,
    // Kept: it dies with its owner.
    peer: Peer,
}

impl Program {
    /// Pages, uploads, TLS, an echo and one inside of WebSockets, as a file describes them.
    pub(crate) fn run(folder: &TempDir, name: &str) -> Self {
        let folder = folder.path().join(name);
        fs::create_dir_all(folder.join("site")).expect("a folder");
        fs::write(folder.join("site/a.txt"), "hello").expect("a file");
        fs::write(folder.join("site/long.bin"), vec![b'x'; 1 << 20]).expect("a file");
        fs::write(folder.join("tickets"), [7; 48]).expect("a file");
        let request =
            ["req", "-x509", "-newkey", "ec", "-nodes", "-days", "30", "-subj", "/CN=localhost"];
        let mut openssl = Command::new(tool("openssl"));
        openssl.args(request).args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(["-keyout", "key.pem", "-out", "cert.pem"]).current_dir(&folder);
        let made = openssl.stderr(Stdio::null()).status().expect("openssl");
        assert!(made.success());
        write_configuration(&folder, 0);
        let mut command = Command::new(binary());
        command.args(["run", "app.toml", "--pid-file", "pid"]);
        Self::start(command, folder, name, "run", 4)
    }

    /// AMP, among others, as the demonstration has it.
    pub(crate) fn demo(folder: &TempDir) -> Self {
        let folder = folder.path().join("demo");
        let mut command = Command::new(binary());
        command.arg("demo");
        Self::start(command, folder, "demo", "demo", 4)
    }

    /// An echo of datagrams.
    pub(crate) fn datagrams(folder: &TempDir) -> Self {
        let folder = folder.path().join("datagrams");
        let mut command = Command::new(binary());
        command.args(["simple", "echo", "--listen", ANYWHERE, "--udp", "127.0.0.1:0"]);
        Self::start(command, folder, "datagrams", "simple", 2)
    }

    fn start(
        mut command: Command,
        folder: PathBuf,
        name: &str,
        verb: &'static str,
        lines: usize,
    ) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        let errors = fs::File::create(folder.join("errors")).expect("a file");
        command.current_dir(&folder).env("XDG_RUNTIME_DIR", &folder).stderr(errors);
        let mut peer = Peer::start(&mut command).expect("it runs");
        let said: Vec<String> =
            (0..lines).map(|_| peer.line_within("", PATIENCE).expect("where it serves")).collect();
        let places = said.iter().filter_map(|line| address_in(line)).collect();
        let (name, samples) = (name.to_owned(), Samples::default());
        Self { name, folder, places, samples, verb, peer }
    }

    /// The process that serves now.
    pub(crate) fn pid(&self) -> u32 {
        let told = fs::read_to_string(self.folder.join("pid")).ok();
        told.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| self.peer.id())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a process")).expect("a process");
        kill_process(pid, signal).expect("it runs");
    }

    pub(crate) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    /// How many descriptors it has when nobody wants anything.
    pub(crate) fn settled(&self) -> usize {
        let mut before = 0;
        loop {
            // An answer comes from a loop that runs, and a turn after what was under way.
            let now = self.ask().map_or(0, |_| self.descriptors());
            if now != 0 && now == before {
                return now;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until no more than so many descriptors are open.
    #[track_caller]
    pub(crate) fn wait_for_descriptors(&self, count: usize) {
        let begun = Instant::now();
        loop {
            let now = self.descriptors();
            // The socket by which it was asked may be open still.
            if now > 0 && now <= count + 1 {
                return;
            }
            let name = &self.name;
            assert!(begun.elapsed() < PATIENCE, "{name}: {now} descriptors, {count} before");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What its control socket says of it.
    fn ask(&self) -> Option<String> {
        let socket = format!("ropewalk/{}-{}.sock", self.verb, self.pid());
        let mut stream = UnixStream::connect(self.folder.join(socket)).ok()?;
        stream.write_all(b"{\"ask\":\"status\"}\n").ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        answer.contains("\"ok\":true").then_some(answer)
    }

    /// Looks at what it needs; what is about to be replaced may not answer.
    pub(crate) fn look(&mut self) {
        let Some(answer) = self.ask() else { return };
        let Ok(memory) = fs::read_to_string(format!("/proc/{}/statm", self.pid())) else { return };
        let pages: u64 =
            memory.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
        let page = rustix::param::page_size() as u64;
        let descriptors = self.descriptors() as u64;
        let number = |name: &str| {
            let rest = answer.split_once(&format!("\"{name}\":")).map_or("", |(_, rest)| rest);
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or_default()
        };
        let one = [
            pages * page / 1024,
            descriptors,
            number("connections"),
            number("tasks"),
            number("timers"),
        ];
        self.samples.0.push(one);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The last of a line of successors is nobody's child here.
        if self.pid() != self.peer.id() {
            self.signal(Signal::KILL);
        }
    }
}

/// The file that describes what is served, in its so-and-so-many-th form.
pub(crate) fn write_configuration(folder: &Path, round: usize) {
    let text = format!(
        "[services.web]\nlisten = '{ANYWHERE}'\npath = 'site'\nlog = 'off'\nupload = true\n\
         overwrite = true\nheader = ['X-Round: {round}']\n\
         [services.tls]\nkind = 'web'\npath = 'site'\nlog = 'off'\n\
         listen = 'tls:0:interface=127.0.0.1:cert=cert.pem:key=key.pem:tickets=tickets'\n\
         [services.echo]\nlisten = ['{ANYWHERE}', 'websocket:path=/echo:{ANYWHERE}']\n"
    );
    // Whoever reads it reads the whole.
    fs::write(folder.join("new.toml"), text).expect("a file");
    fs::rename(folder.join("new.toml"), folder.join("app.toml")).expect("a file");
}

fn address_in(line: &str) -> Option<SocketAddr> {
    // What the demonstration has people type has the port as a word of its own.
    let line = line.replace("nc 127.0.0.1 ", "127.0.0.1:");
    let words = line.split(|c: char| !(c.is_ascii_digit() || ".:".contains(c)));
    words.map(|word| word.trim_matches(':')).find_map(|word| word.parse().ok())
}

/// What was seen of one program: memory in KiB, descriptors, connections, tasks and timers.
#[derive(Default)]
pub(crate) struct Samples(Vec<[u64; 5]>);

impl Samples {
    /// The medians of the first and the last quarter.
    fn quarters(&self) -> ([u64; 5], [u64; 5]) {
        let quarter = (self.0.len() / 4).max(1).min(self.0.len());
        (medians(&self.0[..quarter]), medians(&self.0[self.0.len() - quarter..]))
    }

    pub(crate) fn print_head() {
        println!(
            "| program | memory, KiB | descriptors | connections | tasks | timers | samples |\n\
             |---|--:|--:|--:|--:|--:|--:|"
        );
    }

    pub(crate) fn print(&self, name: &str) {
        let (first, last) = self.quarters();
        let cells = first.iter().zip(last).map(|(first, last)| format!("{first} → {last}"));
        println!("| {name} | {} | {} |", cells.collect::<Vec<_>>().join(" | "), self.0.len());
    }

    /// What is more in the last quarter than it was in the first.
    pub(crate) fn grown(&self, is_long: bool) -> impl Iterator<Item = String> {
        let (first, last) = self.quarters();
        // Of a short one the first quarter is that in which all memory is touched for the first time.
        let memory = if is_long { first[0] / 10 + 4096 } else { first[0] / 2 + 16_384 };
        // Load is a number of clients, each of which has a connection or two.
        let bounds = [memory, 24, 24, 8, 24];
        let names = ["KiB", "descriptors", "connections", "tasks", "timers"];
        let grown = first.into_iter().zip(last).zip(bounds).zip(names);
        let grown: Vec<_> = grown
            .filter(|(((first, last), bound), _)| *last > first + bound)
            .map(|(((first, last), _), name)| format!("{first} {name}, then {last}"))
            .collect();
        grown.into_iter()
    }
}

fn medians(samples: &[[u64; 5]]) -> [u64; 5] {
    std::array::from_fn(|column| {
        let mut values: Vec<u64> = samples.iter().map(|sample| sample[column]).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    })
}
