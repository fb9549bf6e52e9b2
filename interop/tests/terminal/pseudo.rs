//! A shell's command on a terminal of its own.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use ropewalk_interop::{PATIENCE, TempDir, tool};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::program;

/// What is on a screen, without its colours.
pub(crate) fn plain(seen: &str) -> String {
    let parts = seen.split('\x1b');
    parts
        .map(|part| {
            part.split_once('m').filter(|_| part.starts_with('[')).map_or(part, |(_, text)| text)
        })
        .collect()
}

/// How much a screen may show before what is waited for, in bytes.
const SEEN_MAX: usize = 1 << 20;

/// What a shell does in its own place, which Ctrl-C would end by itself. Ctrl-C is heard as at any terminal, also where these
/// tests were started by a script in its background, which ignores it and hands that on.
const TYPED: &str = "exec env --default-signal=INT,QUIT";

/// What a shell runs before the command, so that every port and `/run` are there for it alone.
const WORLD: &str =
    "ip link set lo up && mount -t tmpfs none /run && exec setsid --ctty --wait sh -c \"$0\"";

/// A command that runs on a terminal; it dies with its owner.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: Vec<u8>,
}

impl Terminal {
    /// Types `command` in `folder`.
    pub(crate) fn new(folder: &Path, command: &str) -> Self {
        let mut setsid = Command::new(tool("setsid"));
        setsid.args(["--ctty", "--wait", "sh", "-c", &format!("{TYPED} {command}")]);
        Self::of(&mut setsid, folder)
    }

    /// The same where there is no other network, and nothing in `/run`; none where that is not permitted.
    pub(crate) fn in_a_world_of_its_own(folder: &TempDir, command: &str) -> Option<Self> {
        let mut unshare = Command::new(tool("unshare"));
        unshare.args(["--net", "--mount"]);
        if !rustix::process::geteuid().is_root() {
            unshare.arg("--map-root-user");
        }
        let permitted = Command::new(tool("unshare")).args(unshare.get_args()).arg("true").status();
        if !permitted.is_ok_and(|status| status.success()) {
            return None;
        }
        unshare.args(["sh", "-c", WORLD, &format!("{TYPED} {command}")]);
        let terminal = Self::of(&mut unshare, folder.path());
        if command.contains("systemd-socket-activate") {
            terminal.knock();
        }
        Some(terminal)
    }

    fn of(command: &mut Command, folder: &Path) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let ours = ours.expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("text");
        let flags = OFlags::NOCTTY.bits() as i32;
        let mut options = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(options.read(true).write(true), flags);
        let theirs = OwnedFd::from(options.open(name).expect("its other end"));
        let copy = || theirs.try_clone().expect("a copy");
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let programs = program().parent().map(Path::to_path_buf).into_iter();
        let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
        let folders = programs.chain(std::env::split_paths(&folders)).chain(system);
        let path = std::env::join_paths(folders);
        command.current_dir(folder).env("HOME", folder).env("TERM", "xterm");
        command.env("PATH", path.expect("folders")).env_remove("NO_COLOR");
        // Programs find each other in `/run`, which may be the command's own.
        command.env_remove("XDG_RUNTIME_DIR");
        let child = command.stdin(copy()).stdout(copy()).stderr(theirs).spawn().expect("a shell");
        // What it was made with holds the other end of the terminal open.
        command.stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let keyboard = File::from(ours);
        let mut screen = keyboard.try_clone().expect("a copy");
        let (sender, receiver) = channel();
        let look = move || {
            let mut some = [0; 4096];
            // Once nobody has the other end any more, reading fails.
            while let Ok(count @ 1..) = screen.read(&mut some) {
                let _ = sender.send(some[..count].to_vec());
            }
        };
        thread::Builder::new().name("screen".into()).spawn(look).expect("a thread");
        Self { child, keyboard, screen: receiver, seen: Vec::new() }
    }

    /// Connects to port 8080 there, until somebody answers.
    fn knock(&self) {
        // Its world may not be its own yet, so each knock asks anew where it lives.
        let child = self.child.id().to_string();
        let knock = ["--net", "--target", &child, "curl", "-s", "-o", "/dev/null"];
        let answers = || {
            let mut enter = Command::new(tool("nsenter"));
            let status = enter.args(knock).arg("http://127.0.0.1:8080/").status();
            status.expect("nsenter").success()
        };
        while !answers() {
            std::thread::yield_now();
        }
    }

    /// What is typed by hand.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("it is typed");
    }

    /// The first whole line on the screen that is none of a log.
    pub(crate) fn first_line(&mut self) -> String {
        let is_logged = |line: &&str| [" INFO ", " WARN "].iter().any(|level| line.contains(level));
        loop {
            let seen = plain(&self.seen());
            let whole = seen.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.map(str::trim_end).find(|line| !is_logged(line)) {
                return line.to_owned();
            }
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen.extend(more),
                Err(why) => panic!("no line came ({why}): {seen}"),
            }
        }
    }

    /// Waits until the screen has shown this.
    pub(crate) fn wait_for(&mut self, what: &str) {
        while !self.seen().contains(what) {
            // What draws again and again would be waited for for ever.
            assert!(self.seen.len() < SEEN_MAX, "{what:?} never came: {}", self.seen());
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen.extend(more),
                Err(why) => panic!("{what:?} never came ({why}): {}", self.seen()),
            }
        }
    }

    /// Forgets what the screen has shown.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }

    /// All that the screen has shown.
    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    /// Waits for the end of the command; answers its exit status.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        loop {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen.extend(more),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("it does not end ({why}): {}", self.seen()),
            }
        }
        self.child.wait().expect("its end").code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
