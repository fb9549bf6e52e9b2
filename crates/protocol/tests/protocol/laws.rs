//! What a protocol may count on, whatever carries it: tried in memory, and through layers.

#![expect(clippy::duplicate_mod, reason = "each way of carrying a seat runs the same scenarios")]

use ropewalk_protocol::{Layer, Layered, Seat};

#[path = "laws/layers.rs"]
mod layers;
#[path = "laws/likeness.rs"]
mod likeness;
#[path = "laws/outbox.rs"]
mod outbox;

/// Passes on all that it is told.
struct Glass;

impl Layer for Glass {
    const PASSES_DESCRIPTORS: bool = true;
}

fn under_glass(seat: Box<dyn Seat>) -> Box<dyn Seat> {
    Layered::seat(Glass, seat)
}

macro_rules! carried {
    ($way:ident, $carry:expr) => {
        #[path = "laws"]
        mod $way {
            fn carry(seat: Box<dyn ropewalk_protocol::Seat>) -> Box<dyn ropewalk_protocol::Seat> {
                let carry: fn(Box<dyn ropewalk_protocol::Seat>) -> _ = $carry;
                carry(seat)
            }

            #[path = "scenarios.rs"]
            mod scenarios;
        }
    };
}

carried!(bare, |seat| seat);
carried!(in_a_layer, super::under_glass);
carried!(in_a_layer_in_a_layer, |seat| super::under_glass(super::under_glass(seat)));
