//! The small protocols with the programs that have spoken them for decades: Finger, Ident, the family of
//! RFC 862 to 868, and memcached.

#[path = "support/answers.rs"]
mod answers;
#[path = "support/house.rs"]
mod base;
mod support;

#[path = "small/family.rs"]
mod family;
#[path = "small/finger.rs"]
mod finger;
#[path = "small/ident.rs"]
mod ident;
#[path = "small/kit.rs"]
mod kit;
#[path = "small/memcached.rs"]
mod memcached;
