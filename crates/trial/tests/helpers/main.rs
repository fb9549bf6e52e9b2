//! The helpers that make good tests short: what they let pass, and what they do not.

mod cuts;
mod dialogues;
mod enemies;
mod places;
mod processes;
