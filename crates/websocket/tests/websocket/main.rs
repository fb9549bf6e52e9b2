//! WebSockets in memory, on a clock that the tests move.

mod kit;

mod closing;
mod compression;
mod frames;
mod groups;
mod opening;
mod over_agent;
mod over_http2;
mod patience;
mod properties;
mod streams;
