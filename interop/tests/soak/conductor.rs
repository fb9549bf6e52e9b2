//! What is done to the programs while they serve.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::load::Load;
use crate::program::{PATIENCE, Program, binary, write_configuration};

pub(crate) struct Conductor {
    length: Duration,
    pub(crate) reloads: usize,
    pub(crate) upgrades: usize,
}

impl Conductor {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, reloads: 0, upgrades: 0 }
    }

    /// Reloads every few seconds, upgrades every minute or three times in all, and looks each second.
    pub(crate) fn conduct(&mut self, programs: &mut [Program], load: &Load) {
        let begun = Instant::now();
        let between_looks = Duration::from_secs(1).min(self.length / 24);
        let between_upgrades = Duration::from_mins(1).min(self.length / 4);
        let between_reloads = Duration::from_secs(5).min(self.length / 8);
        let (mut look, mut reload, mut upgrade) =
            (Duration::ZERO, between_reloads, between_upgrades);
        while begun.elapsed() < self.length && !load.is_broken() {
            let now = begun.elapsed();
            if now >= look {
                programs.iter_mut().for_each(Program::look);
                look = now + between_looks;
            }
            if now >= reload {
                for program in &mut programs[..2] {
                    self.reload(program);
                }
                reload = begun.elapsed() + between_reloads;
            }
            if now >= upgrade {
                self.upgrade(&mut programs[0]);
                upgrade = begun.elapsed() + between_upgrades;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has a program replaced by another process of it.
    pub(crate) fn upgrade(&mut self, program: &mut Program) {
        let before = program.pid();
        let mut command = Command::new(binary());
        command.args(["upgrade", "--pid-file", "pid"]).current_dir(&program.folder);
        let output = command.env("XDG_RUNTIME_DIR", &program.folder).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", program.name);
        assert_ne!(program.pid(), before);
        self.upgrades += 1;
    }

    /// Has a program read its file again, and waits until it serves what is there.
    fn reload(&mut self, program: &mut Program) {
        self.reloads += 1;
        let round = self.reloads;
        write_configuration(&program.folder, round);
        program.signal(Signal::HUP);
        let begun = Instant::now();
        while !is_served(program.places[0], round) {
            assert!(begun.elapsed() < PATIENCE, "{}: round {round} never came", program.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn is_served(place: SocketAddr, round: usize) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(place)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    let wanted = format!("x-round: {round}\r\n");
    ask().expect("it is answered").to_ascii_lowercase().contains(&wanted)
}
