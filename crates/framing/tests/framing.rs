//! Frames, and the policies that connections are kept under.

#[path = "framing/enemies.rs"]
mod enemies;
#[path = "framing/frames.rs"]
mod frames;
#[path = "framing/policies.rs"]
mod policies;
#[path = "framing/protocols.rs"]
mod protocols;
#[path = "framing/traffic.rs"]
mod traffic;
