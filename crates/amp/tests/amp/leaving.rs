//! Servers that end.

use std::time::Duration;

use ropewalk_amp::serve;
use ropewalk_protocol::{Address, Disconnect, Drain as _, Leaving, SeatFactory as _};
use ropewalk_trial::{Clock, Memory};

use crate::common::{Desk, fields, only_box, wire_box};

#[test]
fn who_is_idle_goes_at_once_and_who_is_busy_when_all_is_answered() {
    let (desk, clock) = (Desk::default(), Clock::new());
    let mut server = Leaving::new(serve(desk.responders()));
    let mut connect = || Memory::take_seat(server.seat(&Address::Unnamed).unwrap(), &clock);
    let (mut idle, mut busy) = (connect(), connect());
    for name in ["first", "second"] {
        busy.push(&wire_box(&[("_ask", name), ("_command", "Wait"), ("name", name)]));
    }
    let drained = server.drain();
    clock.advance(Duration::ZERO);
    idle.run();
    busy.run();
    assert_eq!((idle.ended(), busy.ended()), (Some(Disconnect::Closed), None));
    // What comes while it waits is answered too.
    let (a, b) = ("2", "3");
    busy.push(&wire_box(&[("_ask", "sum"), ("_command", "Sum"), ("a", a), ("b", b)]));
    assert_eq!(only_box(&busy.take_sent()), fields(&[("_answer", "sum"), ("total", "5")]));
    desk.answer("first");
    busy.run();
    assert_eq!(busy.ended(), None);
    desk.answer("second");
    busy.run();
    assert_eq!(busy.ended(), Some(Disconnect::Closed));
    assert!(drained.now_or_never().is_some());
}
