//! The kit's enemies, and its ways of cutting.

use std::time::Duration;

use ropewalk_amp::Amp;
use ropewalk_protocol::seat;
use ropewalk_trial::{Attack, Hostile, chunked};

use crate::common::{Desk, wire_box};

fn sum() -> Vec<u8> {
    wire_box(&[("_ask", "7"), ("_command", "Sum"), ("a", "1"), ("b", "2")])
}

#[test]
fn no_client_wears_the_server_out() {
    let server = |_: &_| seat(Amp::new(Desk::default().responders()));
    // AMP itself sets no time: whoever wants one puts `Timeouts` around it.
    let mut hostile = Hostile::against(server)
        .request(&sum())
        .patience(Duration::from_mins(1))
        .spare(Attack::HalfOpen)
        .spare(Attack::SlowRead)
        .spare(Attack::Flood)
        .spare(Attack::Slowloris);
    hostile.assert();
}

#[test]
fn calls_are_answered_the_same_however_they_are_cut() {
    let answer = chunked(&sum().repeat(3), || Amp::new(Desk::default().responders()));
    assert_eq!(answer.sent, wire_box(&[("_answer", "7"), ("total", "3")]).repeat(3));
}
