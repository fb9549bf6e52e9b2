//! Bytes to Server-Sent Events.

use ropewalk_http::events::{Event, EventDecoder, EventTooLong, Told};

use crate::cut::cuts;

/// Nothing panics, any cut gives the same events, and an event that was read can be sent again.
pub(crate) fn check(bytes: &[u8]) {
    let whole = replay([bytes]);
    for pieces in cuts(bytes) {
        assert_eq!(replay(pieces), whole);
    }
    for told in &whole.0 {
        let event = Event::new(told.data.clone()).named(told.name.clone()).expect("one line");
        let event = event.with_id(told.id.clone()).expect("one line");
        let (again, end) = replay([&event.encode()[..]]);
        // The names of its fields make it a little longer.
        if end.is_ok() {
            assert_eq!(again.as_slice(), std::slice::from_ref(told));
        }
    }
}

fn replay<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Told>, Result<(), EventTooLong>) {
    let mut decoder = EventDecoder::with_max(256);
    let mut told = Vec::new();
    for piece in pieces {
        let pushed = decoder.push(piece);
        told.extend(std::iter::from_fn(|| decoder.next()));
        if pushed.is_err() {
            return (told, pushed);
        }
    }
    (told, Ok(()))
}
