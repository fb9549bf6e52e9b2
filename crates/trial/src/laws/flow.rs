//! Order, back-pressure and bounds.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Marks};

use super::hold;
use super::stage::{Stage, difference, pattern};
use crate::{Note, Witness};

/// Law 1: what is written first arrives first, whoever writes it and when.
pub(super) fn keeps_order(stage: &Stage) -> Result<(), String> {
    let wanted = pattern(3000);
    let sizes: Vec<usize> = (0..40).map(|_| stage.random().between(1, 75) as usize).collect();
    let mut wanted = wanted[..sizes.iter().sum()].to_vec();
    let kept: Rc<RefCell<Option<Conn<Witness>>>> = Rc::default();
    let (keeper, source) = (Rc::clone(&kept), wanted.clone());
    let joined = stage.join(closing, move |conn, note| {
        if *note == Note::Made {
            keeper.replace(Some(conn.clone()));
            let rest = write_in(conn, &source, &sizes[..20]);
            let sizes = sizes[20..].to_vec();
            let source = source.clone();
            conn.call_later(Duration::from_millis(3), move |_, conn| {
                write_in(conn, &source[rest..], &sizes);
            });
        }
    })?;
    hold!(stage.until(|| joined.server.len() >= 20), "what was written does not come");
    let written = Rc::new(Cell::new(false));
    let flag = Rc::clone(&written);
    let conn = kept.borrow().clone().ok_or("the connection was never made")?;
    conn.call_later(Duration::from_millis(10), move |_, _| flag.set(true));
    hold!(stage.until(|| written.get()), "a call never comes");
    // From outside of every callback.
    conn.write(b"the ");
    conn.write(b"end");
    conn.close_write();
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    wanted.extend_from_slice(b"the end");
    let got = joined.server.data();
    hold!(got == wanted, "{}", difference(&got, &wanted));
    joined.disorder().map_or(Ok(()), Err)
}

/// Writes pieces of those sizes; answers how far that reached.
fn write_in(conn: &Conn<Witness>, source: &[u8], sizes: &[usize]) -> usize {
    let mut at = 0;
    for size in sizes {
        let end = (at + size).min(source.len());
        conn.write(&source[at..end]);
        at = end;
    }
    at
}

/// Closes when the peer has ended its stream.
fn closing(conn: &Conn<Witness>, note: &Note) {
    if *note == Note::Eof {
        conn.close();
    }
}

/// Law 1: two streams that cross do not disturb one another.
pub(super) fn both_ways(stage: &Stage) -> Result<(), String> {
    let len = stage.plenty() / 4;
    let source = pattern(len);
    let write = move |conn: &Conn<Witness>, note: &Note| match note {
        Note::Made => {
            conn.write(&source);
            conn.close_write();
        }
        Note::Eof => conn.close(),
        _ => (),
    };
    let joined = stage.join(write.clone(), write)?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    for notes in [&joined.server, &joined.client] {
        let (got, wanted) = (notes.data(), pattern(len));
        hold!(got == wanted, "{}", difference(&got, &wanted));
        hold!(notes.lost() == Some(Disconnect::Closed), "it ended {:?}", notes.lost());
    }
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 5: while reading is paused, nothing comes, and then everything does.
pub(super) fn pause_is_kept(stage: &Stage) -> Result<(), String> {
    let source = pattern(2000);
    let sent = source.clone();
    let paused = Rc::new(Cell::new(false));
    let broken = Rc::new(Cell::new(false));
    let (is_paused, is_broken) = (Rc::clone(&paused), Rc::clone(&broken));
    let joined = stage.join(
        move |conn, note| match note {
            Note::Data(_) => {
                is_broken.set(is_broken.get() | is_paused.get());
                is_paused.set(true);
                conn.pause_reading();
                let flag = Rc::clone(&is_paused);
                conn.call_later(Duration::from_millis(2), move |_, conn| {
                    flag.set(false);
                    conn.resume_reading();
                });
            }
            Note::Eof => conn.close(),
            _ => (),
        },
        move |conn, note| match note {
            Note::Made => {
                for piece in sent.chunks(100) {
                    conn.write(piece);
                }
                conn.close_write();
            }
            Note::Eof => conn.close(),
            _ => (),
        },
    )?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    hold!(!broken.get(), "bytes came while reading was paused");
    let got = joined.server.data();
    hold!(got == source, "{}", difference(&got, &source));
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 5: who writes to somebody who does not read is told, and told again when that is over.
pub(super) fn pause_reaches_the_writer(stage: &Stage) -> Result<(), String> {
    let reader: Rc<RefCell<Option<Conn<Witness>>>> = Rc::default();
    let keeper = Rc::clone(&reader);
    let left = Rc::new(Cell::new(stage.plenty()));
    let (high, step) = if stage.is_alone() { (64 * 1024, 32 * 1024) } else { (2000, 500) };
    let to_write = Rc::clone(&left);
    // Writes for as long as it may, then waits for the word.
    let produce = move |conn: &Conn<Witness>| {
        while !conn.is_writing_paused() && to_write.get() > 0 {
            let size = step.min(to_write.get());
            to_write.set(to_write.get() - size);
            conn.write(&vec![b'x'; size]);
            if conn.waiting() > 4 * high {
                return;
            }
        }
        if to_write.get() == 0 {
            conn.close_write();
        }
    };
    let total = left.get();
    let joined = stage.join(
        move |conn, note| match note {
            Note::Made => {
                conn.pause_reading();
                keeper.replace(Some(conn.clone()));
            }
            Note::Eof => conn.close(),
            _ => (),
        },
        move |conn, note| match note {
            Note::Made => {
                conn.set_marks(Marks::default().between(high / 2, high));
                produce(conn);
            }
            Note::Resumed => produce(conn),
            Note::Eof => conn.close(),
            _ => (),
        },
    )?;
    hold!(
        stage.until(|| joined.client.has(&Note::Paused) && reader.borrow().is_some()),
        "the writer is not told to pause"
    );
    stage.pass(Duration::from_millis(if stage.is_alone() { 50 } else { 20_000 }));
    if !stage.is_alone() {
        // A simulated kernel takes no more than its link's window.
        hold!(left.get() > 0, "a reader that pauses holds nobody up");
    }
    hold!(joined.server.is_empty(), "bytes came while reading was paused");
    let conn = reader.borrow().clone().ok_or("the connection was never made")?;
    conn.resume_reading();
    hold!(stage.until(|| joined.are_over()), "it does not go on: {} left of {total}", left.get());
    hold!(joined.client.has(&Note::Resumed), "the writer is not told to go on");
    hold!(joined.server.len() == total, "{} bytes came of {total}", joined.server.len());
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 6: a protocol gives the same answers however its input is cut.
pub(super) fn cuts_do_not_matter(stage: &Stage) -> Result<(), String> {
    let questions: Vec<u8> =
        (0..60_u8).flat_map(|n| vec![n % 7 + 1; usize::from(n % 7) + 1]).collect();
    let sent = questions.clone();
    let mut held: Vec<u8> = Vec::new();
    let joined = stage.join(
        move |conn, note| match note {
            // A number, and so many bytes of it in all: each such message has one answer.
            Note::Data(data) => {
                held.extend_from_slice(data);
                while let Some(&size) = held.first()
                    && held.len() >= usize::from(size)
                {
                    let message: Vec<u8> = held.drain(..usize::from(size)).collect();
                    conn.write(&[message.iter().sum()]);
                }
            }
            Note::Eof => conn.close(),
            _ => (),
        },
        move |conn, note| match note {
            Note::Made => {
                conn.write(&sent);
                conn.close_write();
            }
            Note::Eof => conn.close(),
            _ => (),
        },
    )?;
    hold!(stage.until(|| joined.are_over()), "it does not end: {joined:?}");
    let answers: Vec<u8> = (0..60_u8).map(|n| (n % 7 + 1) * (n % 7 + 1)).collect();
    let got = joined.client.data();
    hold!(got == answers, "{}", difference(&got, &answers));
    joined.disorder().map_or(Ok(()), Err)
}

/// Law 8: output that nobody takes ends the connection, and no more of it is kept.
pub(super) fn output_is_bounded(stage: &Stage) -> Result<(), String> {
    let joined = stage.join(
        |conn, note| {
            if *note == Note::Made {
                conn.pause_reading();
            }
        },
        |conn, note| {
            if *note == Note::Made {
                conn.set_marks(Marks::default().between(10_000, 20_000).at_most(400_000));
                flood(conn, FLOOD_MAX);
            }
        },
    )?;
    hold!(stage.until(|| joined.client.lost().is_some()), "output piles up without end");
    let why = joined.client.lost();
    hold!(why == Some(Disconnect::Overflowed), "it ended {why:?}");
    joined.disorder().map_or(Ok(()), Err)
}

/// How much is written to somebody who reads nothing: more than any kernel takes.
const FLOOD_MAX: usize = 50 << 20;

/// Writes again and again, whoever reads.
fn flood(conn: &Conn<Witness>, left: usize) {
    let piece = left.min(50_000);
    conn.write(&vec![b'x'; piece]);
    if left > piece {
        conn.call_later(Duration::from_micros(100), move |_, conn| flood(conn, left - piece));
    }
}
