//! HTTP/1.1.
#![forbid(unsafe_code)]

mod codec;

pub use codec::{
    BadBody, BadRequest, BodyDecoder, BodyLength, Excerpt, Head, HeadDecoder, Limits, Piece,
};
