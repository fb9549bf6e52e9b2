//! Programs that answer, and those that do not.

mod answers;
mod bodies;
mod enemies;
mod folders;
mod heads;
mod kit;
mod trouble;
mod variables;
