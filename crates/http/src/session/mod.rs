//! Cookies and sessions on a server.
//!
//! | what | here |
//! |---|---|
//! | what is kept of a client between requests | [`Session`], from [`Sessions`] around a resource |
//! | where it is kept | [`MemorySessions`], [`SignedSessions`]; [`SessionStore`] for others |
//! | cookies (RFC 6265) | [`cookies`], [`cookie`], [`SetCookie`] |
//! | requests that pages of others have browsers make | [`SameOrigin`], [`Session::csrf_token`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | a session that nobody uses; any session | [`SESSION_IDLE`], 15 min; [`SESSION_LIFETIME`], 24 h | it is forgotten |
//! | sessions in memory | [`SESSIONS_MAX`], 10,000 | those used longest ago make room |
//! | bytes of one; of one that the client keeps | [`SESSION_BYTES_MAX`], 64 KiB; [`SIGNED_SESSION_BYTES_MAX`], 2,600 | [`SessionFull`] |
//! | cookies of a request that are read | [`COOKIES_READ_MAX`], 100 | passed over |

mod cookie;
mod origin;
mod sessions;
mod state;
mod store;

pub use cookie::{BadCookie, COOKIES_READ_MAX, SameSite, SetCookie, cookie, cookies};
pub use origin::SameOrigin;
pub use sessions::{Sessions, WithSessions};
pub use state::{CsrfTokenError, Session, SessionData, SessionFull};
pub use store::{
    Loaded, MemorySessions, SESSION_BYTES_MAX, SESSION_IDLE, SESSION_LIFETIME, SESSIONS_MAX,
    SIGNED_SESSION_BYTES_MAX, SessionStore, SignedSessions,
};
