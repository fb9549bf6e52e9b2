//! Processes (statements 81 to 86 of Twisted's).

mod bounds;
mod chance;
mod commands;
mod endings;
mod kit;
mod pipes;
mod terminals;
