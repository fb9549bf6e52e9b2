//! The protocol of `docs/testing-a-protocol.md`, from nothing to tested.

#[path = "../../examples/gopher.rs"]
#[allow(dead_code, reason = "tests do not run its main function")]
mod gopher;

mod ask;
mod hasty;
mod memory;
mod places;
