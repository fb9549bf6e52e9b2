//! How connections begin and end, and what is left of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Port as _};

use super::hold;
use super::stage::{DESCRIPTORS, Joined, Stage, difference, pattern};
use crate::{Note, Witness};

type Act = fn(&Conn<Witness>);

/// How long those who are turned away may wait for that.
const STARVING_MAX: Duration = Duration::from_secs(40);

/// Law 3: whoever ends a connection, and how, each side is told of its beginning first and of its end
/// last, and of each once.
pub(super) fn once(stage: &Stage) -> Result<(), String> {
    let nothing: Act = |_| ();
    let ways: [(Act, Act, Disconnect); 5] = [
        (nothing, |conn| conn.close(), Disconnect::Closed),
        (|conn| conn.close(), nothing, Disconnect::Closed),
        (|conn| conn.close(), |conn| conn.close(), Disconnect::Closed),
        (nothing, |conn| conn.abort(), Disconnect::Aborted),
        (|conn| conn.abort(), nothing, Disconnect::Reset),
    ];
    for (server, client, why) in ways {
        let joined = stage.join(greet_then(server), greet_then(client))?;
        hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
        let told = joined.client.lost();
        let is_expected = told == Some(why) || (why == Disconnect::Closed && told.is_some());
        hold!(is_expected, "the client was told {told:?} for {why:?}");
        stage.pass(Duration::from_millis(20));
        if let Some(disorder) = joined.disorder() {
            return Err(disorder);
        }
        if told == Some(Disconnect::Closed) {
            hold!(joined.client.has(&Note::Made), "it closed and was never made: {joined:?}");
            hold!(joined.server.data() == b"hello", "the greeting is lost: {joined:?}");
        }
    }
    Ok(())
}

/// Sends a greeting, and acts when the peer's has come.
fn greet_then(act: Act) -> impl FnMut(&Conn<Witness>, &Note) {
    let mut heard = 0;
    move |conn, note| match note {
        Note::Made => conn.write(b"hello"),
        Note::Data(data) => {
            heard += data.len();
            if heard == 5 {
                act(conn);
            }
        }
        Note::Eof => conn.close(),
        _ => (),
    }
}

/// Law 3: where no connection is made, its end alone is told.
pub(super) fn never_made(stage: &Stage) -> Result<(), String> {
    let (nobody, _) = Witness::quiet();
    let mut factory = Some(nobody);
    let port = stage.listen(move |_: &ropewalk_protocol::Address| factory.take())?;
    let address = port.address().ip().ok_or("it listens nowhere")?;
    let stopped = port.stop_listening();
    let free = Rc::new(Cell::new(false));
    let flag = Rc::clone(&free);
    stopped.on_result(move |_| flag.set(true));
    hold!(stage.until(|| free.get()), "the place is never free");
    let (client, notes) = Witness::quiet();
    stage.connect(address, client);
    hold!(stage.until(|| notes.lost().is_some()), "it is never told");
    let all = notes.all();
    hold!(all == [Note::Lost(Disconnect::Refused)], "it was told {all:?}");
    Ok(())
}

/// Law 3: a protocol that panics ends its own connection, is told of that, and no other notices.
pub(super) fn panic_ends_one(stage: &Stage) -> Result<(), String> {
    let survivor = stage.join(echo, |conn, note| match note {
        Note::Made => conn.write(b"before"),
        Note::Eof => conn.close(),
        _ => (),
    })?;
    hold!(stage.until(|| survivor.client.data() == b"before"), "an echo does not come back");
    // It is meant to be seen in no log: what panics here does so silently.
    let joined = stage.join(
        |_, note| {
            if let Note::Data(_) = note {
                std::panic::resume_unwind(Box::new("this panic is part of a law"));
            }
        },
        |conn, note| match note {
            Note::Made => conn.write(b"tick"),
            Note::Eof => conn.close(),
            _ => (),
        },
    )?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    let why = joined.server.lost();
    hold!(why == Some(Disconnect::Panicked), "it was told {why:?}");
    hold!(survivor.server.lost().is_none(), "another connection ended with it");
    survivor.disorder().or_else(|| joined.disorder()).map_or(Ok(()), Err)
}

fn echo(conn: &Conn<Witness>, note: &Note) {
    match note {
        Note::Data(data) => conn.write(data),
        Note::Eof => conn.close(),
        _ => (),
    }
}

/// Law 3: one direction ends, and the other goes on.
pub(super) fn half_close(stage: &Stage) -> Result<(), String> {
    let joined = stage.join(
        |conn, note| {
            if *note == Note::Eof {
                conn.call_later(Duration::from_millis(5), |_, conn| {
                    conn.write(b"the answer");
                    conn.close();
                });
            }
        },
        |conn, note| {
            if *note == Note::Made {
                conn.write(b"the question");
                conn.close_write();
                conn.write(b"this comes too late");
            }
        },
    )?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    let (asked, answered) = (joined.server.data(), joined.client.data());
    hold!(asked == b"the question", "asked was {:?}", asked.escape_ascii().to_string());
    hold!(answered == b"the answer", "answered was {:?}", answered.escape_ascii().to_string());
    let ends = [joined.server.lost(), joined.client.lost()];
    hold!(ends == [Some(Disconnect::Closed); 2], "it ended {ends:?}");
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 4: closing delivers all that was written before, also to who reads slowly.
pub(super) fn close_delivers(stage: &Stage) -> Result<(), String> {
    let wanted = pattern(stage.plenty());
    let source = wanted.clone();
    let joined = stage.join(
        |conn, note| match note {
            Note::Data(_) => {
                conn.pause_reading();
                conn.call_later(Duration::from_micros(50), |_, conn| conn.resume_reading());
            }
            Note::Eof => conn.close(),
            _ => (),
        },
        move |conn, note| {
            if *note == Note::Made {
                conn.write(&source);
                conn.close();
                conn.close();
                conn.write(b"too late");
            }
        },
    )?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    let got = joined.server.data();
    hold!(got == wanted, "{}", difference(&got, &wanted));
    let ends = [joined.server.lost(), joined.client.lost()];
    hold!(ends == [Some(Disconnect::Closed); 2], "it ended {ends:?}");
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 4: aborting delivers nothing more, and the peer is told that it was no close.
pub(super) fn abort_does_not(stage: &Stage) -> Result<(), String> {
    let joined = stage.join(echo, |conn, note| match note {
        Note::Made => conn.write(b"x"),
        Note::Data(_) => {
            conn.write(&pattern(5000));
            conn.abort();
            conn.abort();
            conn.close();
            conn.write(b"too late");
        }
        _ => (),
    })?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    hold!(joined.client.lost() == Some(Disconnect::Aborted), "it ended {:?}", joined.client.lost());
    hold!(joined.server.lost() == Some(Disconnect::Reset), "the peer ended {:?}", joined.server);
    hold!(joined.server.data() == b"x", "{} bytes came", joined.server.len());
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 9: out of descriptors, accepting pauses, and goes on when there are some.
///
/// On a real system the descriptors are the whole process's, so that this asks a simulation alone.
pub(super) fn out_of_descriptors(stage: &Stage) -> Result<(), String> {
    let Some(simulation) = stage.simulation() else { return Ok(()) };
    let port = stage.listen(|_: &ropewalk_protocol::Address| Some(Witness::new(echo).0))?;
    let address = port.address().ip().ok_or("it listens nowhere")?;
    let conns: Rc<RefCell<Vec<Conn<Witness>>>> = Rc::default();
    let all: Vec<_> = (0..2 * DESCRIPTORS)
        .map(|_| {
            let keeper = Rc::clone(&conns);
            let (client, notes) = Witness::new(move |conn, note| match note {
                Note::Made => {
                    keeper.borrow_mut().push(conn.clone());
                    conn.write(b"hello");
                }
                Note::Eof => conn.close(),
                _ => (),
            });
            stage.connect(address, client);
            notes
        })
        .collect();
    let settled = || all.iter().filter(|notes| !notes.is_empty() || notes.lost().is_some()).count();
    // Not so long as elsewhere: a loop that spins meanwhile would spin for the test as well.
    simulation.patience(STARVING_MAX);
    hold!(stage.until(|| settled() == all.len()), "who waits is left hanging: {all:?}");
    let served = all.iter().filter(|notes| !notes.is_empty()).count();
    hold!(served < DESCRIPTORS, "{served} connections with {DESCRIPTORS} descriptors");
    for conn in conns.take() {
        conn.close();
    }
    let over = || all.iter().all(|notes| notes.lost().is_some());
    hold!(stage.until(over), "they do not end");
    stage.pass(Duration::from_mins(1));
    let (client, notes) = Witness::new(|conn, note| match note {
        Note::Made => conn.write(b"again"),
        Note::Data(_) | Note::Eof => conn.close(),
        _ => (),
    });
    stage.connect(address, client);
    hold!(stage.until(|| notes.lost().is_some()), "accepting does not go on");
    hold!(!notes.is_empty(), "accepting does not go on: {notes:?}");
    let mut faults = all.iter().filter_map(crate::Notes::disorder);
    faults.next().map_or(Ok(()), |fault| Err(fault.to_owned()))
}

/// Law 10: what a connection held is free when its protocol hears of its end.
pub(super) fn over_is_free(stage: &Stage) -> Result<(), String> {
    let connections = || {
        let one = stage.client().census().connections;
        if stage.is_alone() { one } else { one + stage.server().census().connections }
    };
    // What an earlier law left behind is not this one's matter.
    let before = connections();
    let sockets = || stage.simulation().map(|simulation| simulation.descriptors("client"));
    let sockets_before = sockets();
    for round in 0..6 {
        let Joined { server, client, port } = stage.join(
            move |conn, note| {
                if *note == Note::Eof {
                    conn.close();
                }
            },
            move |conn, note| {
                if *note == Note::Made {
                    conn.call_later(Duration::from_mins(10), |_, _| ());
                    conn.write(b"hello");
                    if round % 2 == 0 { conn.close() } else { conn.abort() }
                }
            },
        )?;
        hold!(stage.until(|| client.lost().is_some()), "it does not end: {client:?}");
        // An aborted one may never have been accepted.
        let _ = stage.until(|| server.lost().is_some() || round % 2 == 1);
        stage.pass(Duration::from_millis(if stage.is_alone() { 20 } else { 200_000 }));
        port.stop_listening().on_result(drop);
        hold!(connections() <= before, "{} connections are left of {before}", connections());
        hold!(sockets() <= sockets_before, "{:?} sockets are left", sockets());
    }
    Ok(())
}
