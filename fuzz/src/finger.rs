//! Bytes to Finger's queries and back.

use ropewalk_small::finger::Query;
use ropewalk_small::printable;

/// Nothing panics, what is read can be written, and nothing that is shown drives a terminal.
pub(crate) fn check(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(query) = Query::decode(line) else { continue };
        let wire = query.encode();
        let line = wire.strip_suffix(b"\r\n").expect("a query is a line");
        assert!(line.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' '));
        assert_eq!(Query::decode(line), Ok(query.clone()));
        if let Some((_, rest)) = query.next_hop() {
            assert!(rest.encode().len() < wire.len());
        }
    }
    let shown = printable(bytes);
    assert!(shown.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
}
