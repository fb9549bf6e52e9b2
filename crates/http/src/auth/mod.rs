//! Who asks: Basic and Digest on a server.
//!
//! | what | here |
//! |---|---|
//! | a resource for those who are let in | [`Guard`] before it, with a portal of the room `auth` behind |
//! | who it is | [`user`], or the realm's avatar among the request's extensions |
//! | proofs instead of passwords (RFC 7616) | [`Digest`] |
//! | the field itself (RFC 9110 11.6.2) | [`Authorization`] |
//! | the same before a proxy (407) | [`Guard::proxy`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | how long a nonce is good | [`NONCE_LIFETIME`], 5 min | another, with `stale=true` |
//! | used nonces that are remembered | [`NONCES_MAX`], 4,096 | the oldest are good no longer |
//! | parameters of a Digest | 32 | 400 |
//!
//! What a client proves for other origins is [`Credentials`](crate::Credentials).

mod authorization;
mod digest;
mod guard;
pub(crate) mod inner;
pub(crate) mod params;

pub use authorization::{Authorization, BadAuthorization, DigestAuthorization};
pub use digest::{Digest, NONCE_LIFETIME, NONCES_MAX};
pub use guard::{Guard, Guarded, user};
