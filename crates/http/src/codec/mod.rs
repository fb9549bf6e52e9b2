//! Messages out of bytes and into bytes; no connection and no clock.
//!
//! | RFC | here |
//! |---|---|
//! | 9112 2.2 lines, 3 request line, 5 fields | [`HeadDecoder`], [`Head`] |
//! | 9112 4 status line, as clients read it | [`AnswerDecoder`], [`AnswerHead`] |
//! | 9112 3.2 request target, 9110 7.2 Host | [`Head::authority`] |
//! | 9112 6.3 body length | [`BodyLength`] |
//! | 9112 7.1 chunked, 9110 6.5 trailers | [`BodyDecoder`], [`Piece`] |
//! | 9112 9.3 persistence | [`Head::keep_alive`], [`Framing`] |
//! | 9112 4 status line, 6 message body | [`encode_head`], [`BodyWriter`] |
//! | 9110 5.6.7 dates | [`DateCache`] |
//! | 9112 11 attacks on framing | [`BadRequest`], [`Limits`] |

mod alike;
mod answer;
mod body;
mod chunked;
mod date;
mod error;
mod fields;
mod framing;
mod head;
mod host;
mod in_place;
mod limits;
mod lines;
mod passed;
mod response;
mod status;
mod syntax;
mod target;

pub(crate) use alike::LastRequests;
pub use answer::{AnswerDecoder, AnswerHead, AnswerTo, BadAnswer};
pub use body::{BodyDecoder, Piece};
pub use date::{Date, DateCache};
pub use error::{BadBody, BadRequest, Excerpt};
pub(crate) use fields::RawFields;
pub use framing::BodyLength;
pub use head::{Head, HeadDecoder};
pub(crate) use head::{Manner, RawHead};
pub(crate) use in_place::read_in_place;
pub use limits::Limits;
pub(crate) use passed::PassedFields;
pub use response::{Asked, BodySize, BodyWriter, CONTINUE, Framing, Out, SentAs, encode_head};
pub(crate) use response::{LastHead, ResponseHead};
pub(crate) use syntax::{is_blank, is_token, members, trimmed};
