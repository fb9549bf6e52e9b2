//! A site with a program on it, a client, and a test that is the program.

use std::collections::BTreeMap;
use std::time::Duration;

use ropewalk_cgi::Cgi;
use ropewalk_http::{Resource, Site, Tree};
use ropewalk_protocol::process::{Command, ExitStatus};
use ropewalk_trial::{Clock, FakeProcess, FakeProcesses, Memory};

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) struct Kit {
    pub(crate) clock: Clock,
    pub(crate) programs: FakeProcesses,
    pub(crate) site: Site,
}

impl Kit {
    /// `/app` is a program.
    pub(crate) fn new() -> Self {
        Self::with(|cgi| cgi)
    }

    pub(crate) fn with(furnish: impl FnOnce(Cgi) -> Cgi) -> Self {
        Self::serving(|programs| {
            let cgi = Cgi::new(Command::new("/srv/app.cgi"), programs);
            Tree::new()
                .child("app", furnish(cgi))
                .child("page", |request: ropewalk_http::Request| {
                    format!("{} {}", request.method(), request.uri())
                })
        })
    }

    pub(crate) fn serving<R: Resource>(make: impl FnOnce(FakeProcesses) -> R) -> Self {
        let clock = Clock::new();
        let programs = FakeProcesses::new(&clock);
        let site = Site::new(make(programs.clone()));
        Self { clock, programs, site }
    }

    pub(crate) fn client(&self) -> Memory {
        Memory::seat(self.site.server(), &self.clock)
    }

    /// A client that has asked so, and the program that is to answer.
    pub(crate) fn ask(&self, request: &[u8]) -> (Memory, FakeProcess) {
        let mut client = self.client();
        client.push(request);
        self.turn(&mut client);
        let program = self.programs.take_next().expect("a program was started");
        (client, program)
    }

    pub(crate) fn turn(&self, client: &mut Memory) {
        self.clock.advance(Duration::ZERO);
        client.run();
        self.clock.advance(Duration::ZERO);
    }

    /// Lets time pass for both.
    pub(crate) fn wait(&self, client: &mut Memory, time: Duration) {
        client.advance(time);
        self.turn(client);
    }

    /// What a client is answered where the program writes that and ends well.
    pub(crate) fn answer(&self, request: &[u8], output: &[u8]) -> String {
        let (mut client, program) = self.ask(request);
        program.push_out(output);
        program.exit(ExitStatus::SUCCESS);
        self.turn(&mut client);
        text(&mut client)
    }
}

pub(crate) fn text(client: &mut Memory) -> String {
    let sent = String::from_utf8(client.take_sent()).expect("an answer in ASCII");
    sent.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n")
}

pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n").into_bytes()
}

pub(crate) fn post(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST /app HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
    [head.as_bytes(), body].concat()
}

/// The program's environment.
pub(crate) fn variables(program: &FakeProcess) -> BTreeMap<String, String> {
    let told = program.command().environment(std::iter::empty());
    told.into_iter()
        .map(|(name, value)| (name.into_string().unwrap(), value.into_string().unwrap()))
        .collect()
}
