//! The clients, each a thread that asks again and again.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::program::Program;
use crate::{slow, web};

/// How long a client rests after what it has done, so that all take their part of a machine.
const REST: Duration = Duration::from_millis(20);

/// What one round of a client came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Round {
    pub(crate) done: usize,
    /// The other side ended a connection in order before it had said a word of an answer, as whoever drains may; the
    /// request is good to be asked again.
    pub(crate) parted: usize,
}

impl Round {
    pub(crate) fn of(done: usize) -> Self {
        Self { done, parted: 0 }
    }
}

/// A client: what it does in a round, or what was wrong.
type Client = Box<dyn FnMut() -> Result<Round, String> + Send>;

pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    broken: Arc<Mutex<Vec<String>>>,
    clients: Vec<(String, JoinHandle<Round>)>,
}

impl Load {
    pub(crate) fn on(programs: &[Program]) -> Self {
        let mut load =
            Self { is_over: Arc::default(), broken: Arc::default(), clients: Vec::new() };
        for program in &programs[..2] {
            let [web, tls, echo, socket] = program.places[..] else {
                panic!("{:?}", program.places);
            };
            let session = program.folder.join("session");
            load.start_all(&program.name, web, tls, echo, socket, session);
        }
        let amp = programs[2].places[3];
        load.start("AMP", Box::new(move || slow::amp(amp)));
        let datagrams = programs[3].places.clone();
        load.start("UDP", Box::new(move || slow::datagrams(datagrams[0])));
        load
    }

    fn start_all(
        &mut self,
        program: &str,
        web: SocketAddr,
        tls: SocketAddr,
        echo: SocketAddr,
        socket: SocketAddr,
        session: PathBuf,
    ) {
        let name = |what: &str| format!("{what}, {program}");
        for _ in 0..2 {
            let mut kept = None;
            self.start(&name("HTTP/1.1"), Box::new(move || web::kept(web, &mut kept)));
        }
        let mut number = 0;
        let upload = move || {
            number = (number + 1) % 4;
            web::upload(web, number)
        };
        self.start(&name("uploads"), Box::new(upload));
        self.start(&name("slow uploads"), Box::new(move || slow::upload(web)));
        self.start(&name("slow readers"), Box::new(move || slow::reader(web)));
        self.start(&name("resets"), Box::new(move || slow::reset(web)));
        self.start(&name("HTTP/2 over TLS"), Box::new(move || web::curl(tls)));
        let mut has_session = false;
        let resumed = move || web::resumed(tls, &session, &mut has_session);
        self.start(&name("TLS, resumed"), Box::new(resumed));
        self.start(&name("TCP echo"), Box::new(move || slow::echo(echo)));
        self.start(&name("WebSocket"), Box::new(move || slow::websocket(socket)));
    }

    fn start(&mut self, name: &str, mut client: Client) {
        let (is_over, broken) = (Arc::clone(&self.is_over), Arc::clone(&self.broken));
        let (named, thread) = (name.to_owned(), std::thread::Builder::new().name(name.to_owned()));
        let ask = move || {
            let mut all = Round::default();
            while !is_over.load(Ordering::SeqCst) {
                match client() {
                    Ok(round) => {
                        all.done += round.done;
                        all.parted += round.parted;
                    }
                    Err(why) => {
                        let mut broken = broken.lock().unwrap_or_else(PoisonError::into_inner);
                        broken.push(format!("{named}, after {}: {why}", all.done));
                    }
                }
                std::thread::sleep(REST);
            }
            all
        };
        self.clients.push((name.to_owned(), thread.spawn(ask).expect("a thread")));
    }

    /// Whether so much is broken that more would tell nothing new.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).len() > 20
    }

    /// Ends it: what each kind of client did, and what was wrong.
    pub(crate) fn end(self) -> (Vec<(String, usize, usize)>, Vec<String>) {
        self.is_over.store(true, Ordering::SeqCst);
        let mut counts: Vec<(String, usize, usize)> = Vec::new();
        for (name, client) in self.clients {
            let round = client.join().expect("a client");
            match counts.iter_mut().find(|(known, ..)| *known == name) {
                Some(known) => {
                    known.1 += round.done;
                    known.2 += round.parted;
                }
                None => counts.push((name, round.done, round.parted)),
            }
        }
        let broken =
            std::mem::take(&mut *self.broken.lock().unwrap_or_else(PoisonError::into_inner));
        (counts, broken)
    }
}
