//! HTTP/1.1.
#![forbid(unsafe_code)]

mod codec;

pub use codec::{BadBody, BadRequest, BodyLength, Excerpt, Head, HeadDecoder, Limits};
