//! HTTP/1.1.
#![forbid(unsafe_code)]

mod codec;

pub use codec::{
    Asked, BadBody, BadRequest, BodyDecoder, BodyLength, BodySize, BodyWriter, CONTINUE, Date,
    DateCache, Excerpt, Framing, Head, HeadDecoder, Limits, Out, Piece, SentAs, encode_head,
};
