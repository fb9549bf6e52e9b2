//! Fairness, and calls at their time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Clock as _, Conn};

use super::hold;
use super::stage::Stage;
use crate::{Note, Witness};

/// Law 7: who is busy all the time does not keep others from their turn.
pub(super) fn busy_starve_nobody(stage: &Stage) -> Result<(), String> {
    let over = Rc::new(Cell::new(false));
    let (is_over, turns) = (Rc::clone(&over), Rc::new(Cell::new(0_u64)));
    let counter = Rc::clone(&turns);
    let busy = stage.join(
        move |conn, note| {
            if *note == Note::Made {
                spin(conn, &is_over, &counter);
            }
        },
        |conn, note| {
            if *note == Note::Eof {
                conn.close();
            }
        },
    )?;
    hold!(stage.until(|| turns.get() > 10), "a call without delay does not come");
    let mut rounds = 0;
    let asking = stage.join(
        |conn, note| match note {
            Note::Data(data) => conn.write(data),
            Note::Eof => conn.close(),
            _ => (),
        },
        move |conn, note| match note {
            Note::Made => conn.write(b"?"),
            Note::Data(_) if rounds == 4 => conn.close(),
            Note::Data(_) => {
                rounds += 1;
                conn.write(b"?");
            }
            _ => (),
        },
    )?;
    let before = turns.get();
    hold!(stage.until(|| asking.are_over()), "the others never have their turn");
    hold!(turns.get() > before, "the busy one has no turn any more");
    over.set(true);
    hold!(stage.until(|| busy.are_over()), "it does not end: {busy:?}");
    busy.disorder().or_else(|| asking.disorder()).map_or(Ok(()), Err)
}

fn spin(conn: &Conn<Witness>, over: &Rc<Cell<bool>>, turns: &Rc<Cell<u64>>) {
    turns.set(turns.get() + 1);
    if over.get() {
        return conn.close();
    }
    let (over, turns) = (Rc::clone(over), Rc::clone(turns));
    conn.call_later(Duration::ZERO, move |_, conn| spin(conn, &over, &turns));
}

/// Law 11: a call is never made before its time, and comes in the first turn of its millisecond.
pub(super) fn calls_come_in_time(stage: &Stage) -> Result<(), String> {
    let made: Rc<RefCell<Vec<(Duration, Duration)>>> = Rc::default();
    let delays: Vec<u64> = (0..12).map(|_| stage.random().between(1, 60_000)).collect();
    let (writer, count) = (Rc::clone(&made), delays.len());
    let clock = stage.client().clone();
    let joined = stage.join(
        |conn, note| {
            if *note == Note::Eof {
                conn.close();
            }
        },
        move |conn, note| {
            if *note == Note::Made {
                for delay in &delays {
                    let (writer, clock) = (Rc::clone(&writer), clock.clone());
                    let due = conn.now() + Duration::from_micros(*delay);
                    conn.call_later(Duration::from_micros(*delay), move |_, _| {
                        writer.borrow_mut().push((due, clock.now()));
                    });
                }
                let cancelled = conn.call_later(Duration::from_millis(1), |_, conn| conn.abort());
                conn.cancel_call(cancelled);
            }
        },
    )?;
    hold!(stage.until(|| made.borrow().len() == count), "a call never comes: {joined:?}");
    for (due, at) in made.borrow().iter() {
        hold!(at >= due, "a call came at {at:?}, before {due:?}");
        // Nothing else goes on on this host, and its time stands still while it sleeps.
        let next = due.as_nanos().div_ceil(1_000_000) * 1_000_000;
        let late = at.as_nanos().saturating_sub(next);
        hold!(stage.is_alone() || late <= 1, "a call came {late} ns later than it could");
    }
    hold!(joined.client.lost().is_none(), "a call that was cancelled came");
    Ok(())
}

/// Law 11: calls of one clock come in the order of their times, and equal ones as they were asked for.
pub(super) fn calls_keep_order(stage: &Stage) -> Result<(), String> {
    let made: Rc<RefCell<Vec<(u64, u64)>>> = Rc::default();
    let mut asked = Vec::new();
    for order in 0..40 {
        let millis = stage.random().below(8) * 3;
        let writer = Rc::clone(&made);
        let call = move || writer.borrow_mut().push((millis, order));
        drop(stage.client().schedule(Duration::from_millis(millis), Box::new(call)));
        asked.push((millis, order));
    }
    hold!(stage.until(|| made.borrow().len() == asked.len()), "a call never comes");
    asked.sort_unstable();
    let made = made.borrow();
    hold!(stage.is_alone() || *made == asked, "calls came in the order {made:?}");
    // Where time goes on between two askings, only those of one millisecond may change places.
    let is_sorted = made.windows(2).all(|pair| pair[0].0 <= pair[1].0);
    hold!(is_sorted, "calls came in the order {made:?}");
    Ok(())
}
