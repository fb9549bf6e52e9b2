//! What a program writes, to the head of an answer.

use ropewalk_cgi::{Answer, BadResponse, FIELDS_MAX, HEAD_MAX, ResponseDecoder};

/// The answer, and how many bytes of body stand behind its head.
type Read = Result<Option<(Answer, usize)>, BadResponse>;

/// Nothing panics; bytes are read the same however they are cut, and no answer says what is the server's affair.
pub(crate) fn check(bytes: &[u8]) {
    let whole = read(bytes, bytes.len().max(1));
    for size in [1, 2, 7] {
        assert_eq!(read(bytes, size), whole, "in pieces of {size}");
    }
    match whole {
        Ok(Some((Answer::Document { status, headers, length }, body))) => {
            assert!((200..600).contains(&status.as_u16()) && headers.len() <= FIELDS_MAX);
            assert!(bytes.len() - body <= HEAD_MAX);
            assert_eq!(headers.contains_key("content-length"), length.is_some());
            for name in ["connection", "transfer-encoding", "upgrade", "status"] {
                assert!(!headers.contains_key(name), "{name}");
            }
        }
        Ok(Some((Answer::Local(path), _))) => {
            assert!(path.as_str().starts_with('/') && !path.as_str().starts_with("//"));
        }
        Ok(None) | Err(_) => (),
    }
}

fn read(bytes: &[u8], size: usize) -> Read {
    let mut decoder = ResponseDecoder::default();
    let mut fed = 0;
    for piece in bytes.chunks(size) {
        fed += piece.len();
        let mut left = piece;
        if let Some(answer) = decoder.feed(&mut left)? {
            return Ok(Some((answer, bytes.len() - fed + left.len())));
        }
    }
    Ok(None)
}
