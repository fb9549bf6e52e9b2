//! The small protocols in memory, under a clock that the tests move.

#[path = "small/datagrams.rs"]
mod datagrams;
#[path = "small/enemies.rs"]
mod enemies;
#[path = "small/family.rs"]
mod family;
#[path = "small/finger.rs"]
mod finger;
#[path = "small/hostile.rs"]
mod hostile;
#[path = "small/ident.rs"]
mod ident;
#[path = "small/kit.rs"]
mod kit;
#[path = "small/simulated.rs"]
mod simulated;
