//! AMP from bytes to conversations.

mod boxes;
mod calls;
mod common;
mod descriptors;
mod enemies;
mod failures;
mod golden;
mod hostile;
mod leaving;
mod limits;
mod switch;
mod tls;
mod values;
