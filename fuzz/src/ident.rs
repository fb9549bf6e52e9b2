//! Bytes to Ident's queries and replies and back.

use ropewalk_small::ident::{LINE_MAX, Query, Reply};

/// Nothing panics, and what is read can be written.
pub(crate) fn check(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(query) = Query::decode(line) {
            let wire = query.encode();
            assert_eq!(Query::decode(wire.trim_ascii_end()), Ok(query));
        }
        if let Ok(reply) = Reply::decode(line) {
            let wire = reply.encode();
            assert!(wire.len() <= LINE_MAX);
            let line = wire.strip_suffix(b"\r\n").expect("a reply is a line");
            assert!(!line.contains(&b'\n'));
            assert_eq!(Reply::decode(line), Ok(reply.clone()));
            if let Ok(owner) = reply.owner {
                assert!(!owner.name().contains(char::is_control));
            }
        }
    }
}
