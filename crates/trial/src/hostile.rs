//! Clients that mean no good.

use std::fmt;
use std::time::Duration;

use ropewalk_protocol::{Disconnect, Seat};

use crate::chunked::feed;
use crate::{Clock, Memory, Random};

/// How long a server may put up with a client that does not get on, unless said otherwise.
const PATIENCE_DEFAULT: Duration = Duration::from_mins(5);
/// How much a server may keep of what one client sends or does not take, in bytes, unless said otherwise.
const KEPT_DEFAULT: u64 = 16 << 20;
/// How many strings of garbage are tried.
const GARBAGE_SEEDS: u64 = 64;
const GARBAGE_SIZE: usize = 2048;
/// How many requests a flood is made of.
const FLOOD: usize = 2000;
/// How long a slow client waits between two bytes.
const SLOW: Duration = Duration::from_secs(1);

/// What a hostile client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attack {
    /// Sends one byte a second of a request that never gets whole.
    Slowloris,
    /// Asks, and takes nothing of the answer.
    SlowRead,
    /// Sends a line without an end.
    EndlessLine,
    /// Connects, and never says anything.
    HalfOpen,
    /// Sends requests as fast as it can, and reads none of the answers.
    Flood,
    /// Sends what is no request.
    Garbage,
    /// Ends its stream at every byte of a request.
    EarlyEnd,
    /// Is gone at every byte of a request.
    EarlyLoss,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Slowloris,
        Self::SlowRead,
        Self::EndlessLine,
        Self::HalfOpen,
        Self::Flood,
        Self::Garbage,
        Self::EarlyEnd,
        Self::EarlyLoss,
    ];
}

type MakeServer = Box<dyn FnMut(&Clock) -> Box<dyn Seat>>;

/// A suite of attacks on any server: each must end within the server's own bounds, and none may make it
/// panic.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::{Conn, Protocol, seat};
/// use ropewalk_trial::{Attack, Hostile};
///
/// /// Greets everybody who says anything, and gives nobody more than ten seconds.
/// struct Brief;
/// impl Protocol for Brief {
///     fn connection_made(&mut self, conn: &Conn<Self>) {
///         conn.call_later(Duration::from_secs(10), |_, conn| conn.abort());
///     }
///     fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
///         conn.write(b"hello\n");
///         conn.close();
///     }
/// }
///
/// Hostile::against(|_| seat(Brief)).request(b"hello\n").assert();
/// ```
pub struct Hostile {
    server: MakeServer,
    request: Vec<u8>,
    patience: Duration,
    kept: u64,
    spared: Vec<Attack>,
}

/// What a server let a hostile client do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Harm {
    /// What the client did.
    pub attack: Attack,
    /// What came of it.
    pub what: String,
}

impl Hostile {
    /// Attacks servers that `server` seats, one for each connection, on the clock that it is given.
    pub fn against(server: impl FnMut(&Clock) -> Box<dyn Seat> + 'static) -> Self {
        Self {
            server: Box::new(server),
            request: Vec::new(),
            patience: PATIENCE_DEFAULT,
            kept: KEPT_DEFAULT,
            spared: Vec::new(),
        }
    }

    /// What an honest client would send: attacks begin like it.
    pub fn request(self, request: &[u8]) -> Self {
        Self { request: request.to_vec(), ..self }
    }

    /// How long the server may put up with a client that does not get on; five minutes unless set.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How many bytes the server may take in or keep for one client; 16 MiB unless set.
    pub fn kept(self, bytes: u64) -> Self {
        Self { kept: bytes, ..self }
    }

    /// Leaves out an attack that is none on this protocol: one that waits for ever by design, say.
    pub fn spare(mut self, attack: Attack) -> Self {
        self.spared.push(attack);
        self
    }

    /// Carries all attacks out; answers what harm was done.
    pub fn check(&mut self) -> Vec<Harm> {
        let attacks = Attack::ALL.into_iter().filter(|attack| !self.spared.contains(attack));
        let attacks: Vec<_> = attacks.collect();
        let harm = |attack| self.carry_out(attack).err().map(|what| Harm { attack, what });
        attacks.into_iter().filter_map(harm).collect()
    }

    /// Carries all attacks out.
    ///
    /// # Panics
    ///
    /// If any did harm; all are told.
    #[track_caller]
    pub fn assert(&mut self) {
        let harm: Vec<_> = self.check().iter().map(ToString::to_string).collect();
        assert!(harm.is_empty(), "hostile clients did harm: {}", harm.join("; "));
    }

    /// One attack.
    fn carry_out(&mut self, attack: Attack) -> Result<(), String> {
        match attack {
            Attack::Slowloris => self.slowloris(),
            Attack::SlowRead => self.slow_read(),
            Attack::EndlessLine => self.endless_line(),
            Attack::HalfOpen => {
                let mut server = self.connect();
                self.must_end(&mut server, "after a client that says nothing")
            }
            Attack::Flood => self.flood(),
            Attack::Garbage => self.garbage(),
            Attack::EarlyEnd => self.early(Memory::eof),
            Attack::EarlyLoss => self.early(|server| server.lose(Disconnect::Reset)),
        }
    }

    fn connect(&mut self) -> Memory {
        let clock = Clock::new();
        let seat = (self.server)(&clock);
        Memory::take_seat(seat, &clock)
    }

    fn slowloris(&mut self) -> Result<(), String> {
        let mut server = self.connect();
        let count = self.request.len().saturating_sub(1);
        // A request that is over is followed by the next.
        let bytes: Vec<u8> = self.request[..count].to_vec();
        let mut sent = 0;
        while server.ended().is_none() {
            if server.now() > self.patience {
                return Err(format!("after {sent} bytes in {:?} it still waits", server.now()));
            }
            if let Some(byte) = bytes.get(sent) {
                server.push(&[*byte]);
                sent += 1;
            }
            server.advance(SLOW);
        }
        unharmed(&server)
    }

    fn slow_read(&mut self) -> Result<(), String> {
        let mut server = self.connect();
        server.set_room(0);
        feed(&mut server, &self.request.clone());
        if server.waiting() == 0 {
            // It answered nothing; the others show how long it waits.
            return unharmed(&server);
        }
        self.must_end(&mut server, "while its answer is not taken")
    }

    fn endless_line(&mut self) -> Result<(), String> {
        let mut server = self.connect();
        let piece = [b'a'; 16 * 1024];
        let mut taken = 0;
        // One that has said its last word may hear the rest out, and keeps none of it.
        while server.ended().is_none() && !server.is_write_closed() {
            match server.push(&piece) {
                0 => break,
                count => taken += count as u64,
            }
            if taken > self.kept && server.ended().is_none() && !server.is_write_closed() {
                return Err(format!("it took {taken} bytes of one line and wants more"));
            }
        }
        self.must_end(&mut server, "while a line does not end")
    }

    fn flood(&mut self) -> Result<(), String> {
        let mut server = self.connect();
        server.set_room(0);
        let request = self.request.clone();
        for _ in 0..FLOOD {
            if server.ended().is_some() || server.push(&request) == 0 {
                break;
            }
            let waiting = server.waiting();
            if waiting > self.kept {
                return Err(format!("{waiting} bytes wait for a client that takes none"));
            }
        }
        if server.waiting() == 0 {
            unharmed(&server)
        } else {
            self.must_end(&mut server, "flooded")
        }
    }

    fn garbage(&mut self) -> Result<(), String> {
        for seed in 0..GARBAGE_SEEDS {
            let mut random = Random::new(seed);
            let mut server = self.connect();
            let mut bytes: Vec<u8> = self.request.clone();
            if seed % 2 == 0 || bytes.is_empty() {
                bytes = (0..GARBAGE_SIZE).map(|_| random.number() as u8).collect();
            } else {
                // Almost right is worse than wrong.
                for _ in 0..=seed / 8 {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] = random.number() as u8;
                }
            }
            feed(&mut server, &bytes);
            server.eof();
            self.must_end(&mut server, &format!("after garbage (seed {seed})"))?;
        }
        Ok(())
    }

    fn early(&mut self, end: impl Fn(&mut Memory)) -> Result<(), String> {
        for count in 0..=self.request.len() {
            let mut server = self.connect();
            feed(&mut server, &self.request[..count]);
            end(&mut server);
            self.must_end(&mut server, &format!("at byte {count} of a request"))?;
        }
        Ok(())
    }

    /// The server must end the connection within its patience.
    fn must_end(&self, server: &mut Memory, when: &str) -> Result<(), String> {
        let until = server.now() + self.patience;
        while server.ended().is_none() && server.now() < until {
            server.advance(SLOW);
        }
        match server.ended() {
            None => Err(format!("{when}, it still waits after {:?}", self.patience)),
            Some(Disconnect::Panicked) => Err(format!("{when}, it panics")),
            Some(_) => Ok(()),
        }
    }
}

/// A server may end a connection in any way but one.
fn unharmed(server: &Memory) -> Result<(), String> {
    match server.ended() {
        Some(Disconnect::Panicked) => Err("it panics".to_owned()),
        _ => Ok(()),
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.attack, self.what)
    }
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hostile")
            .field("request", &self.request.escape_ascii().to_string())
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
