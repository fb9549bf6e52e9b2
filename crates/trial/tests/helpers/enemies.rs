//! `Hostile`.

use std::time::Duration;

use ropewalk_protocol::{Conn, Protocol, seat};
use ropewalk_trial::{Attack, Hostile};

const REQUEST: &[u8] = b"ask me\n";

/// A server of lines that can leave out each of its defences.
struct Server {
    line: Vec<u8>,
    lacks: Option<Attack>,
}

impl Server {
    fn new(lacks: Option<Attack>) -> Self {
        Self { line: Vec::new(), lacks }
    }

    fn has_time(&self) -> bool {
        let idle = [Attack::HalfOpen, Attack::Slowloris];
        self.lacks.is_none_or(|lacks| !idle.contains(&lacks))
    }

    fn is_patient_with_readers(&self) -> bool {
        matches!(self.lacks, Some(Attack::SlowRead | Attack::Flood))
    }
}

impl Protocol for Server {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        if self.has_time() && !self.is_patient_with_readers() {
            conn.call_later(Duration::from_mins(1), |_, conn| conn.abort());
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        for &byte in data {
            if byte == b'\n' {
                self.line.clear();
                conn.write(&[b'x'; 10_000]);
            } else if self.line.len() < 1000 || self.lacks == Some(Attack::EndlessLine) {
                self.line.push(byte);
            } else {
                conn.abort();
            }
            assert!(byte < 0x80 || self.lacks != Some(Attack::Garbage), "not ASCII");
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        if self.lacks != Some(Attack::EarlyEnd) || self.line.is_empty() {
            conn.close();
        }
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        if !self.is_patient_with_readers() {
            conn.pause_reading();
        }
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        conn.resume_reading();
    }
}

fn hostile(lacks: Option<Attack>) -> Hostile {
    Hostile::against(move |_| seat(Server::new(lacks))).request(REQUEST)
}

#[test]
fn a_server_with_all_its_defences_stands() {
    hostile(None).assert();
}

#[test]
fn each_lack_is_found() {
    let lacks = [
        (Attack::HalfOpen, Duration::from_mins(5)),
        (Attack::Slowloris, Duration::from_mins(5)),
        (Attack::EndlessLine, Duration::from_mins(5)),
        (Attack::SlowRead, Duration::from_mins(5)),
        (Attack::Flood, Duration::from_mins(5)),
        (Attack::Garbage, Duration::from_mins(5)),
        (Attack::EarlyEnd, Duration::from_secs(30)),
    ];
    for (lack, patience) in lacks {
        let harm = hostile(Some(lack)).patience(patience).check();
        assert!(harm.iter().any(|harm| harm.attack == lack), "{lack:?} is not found: {harm:?}");
    }
}

#[test]
fn what_is_spared_is_not_tried() {
    let mut spared =
        hostile(Some(Attack::HalfOpen)).spare(Attack::HalfOpen).spare(Attack::Slowloris);
    let tried: Vec<_> = spared.check().into_iter().map(|harm| harm.attack).collect();
    assert!(!tried.contains(&Attack::HalfOpen), "{tried:?}");
}
