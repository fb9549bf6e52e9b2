//! Quote of the day (RFC 865).

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{ClientEndpoint, Factory};

use crate::ask::{self, ANSWER_MAX};
use crate::say::say;
use crate::text::{lines, printable};

/// The longest quote that a server says, in bytes.
pub const QUOTE_MAX: usize = 512;

/// A server that says what `quote` gives, cut where it is longer than [`QUOTE_MAX`].
pub fn serve(quote: impl Fn() -> String + 'static) -> impl Factory {
    say(move || encode(&quote()))
}

/// Asks the server at `endpoint` for its quote.
///
/// The deferred fails with an [`AskError`](crate::AskError).
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized)) -> Deferred<String> {
    ask::ask(endpoint, Vec::new(), ANSWER_MAX).map(|bytes| printable(&bytes))
}

pub(crate) fn encode(quote: &str) -> Vec<u8> {
    let mut wire = lines(quote);
    if wire.len() > QUOTE_MAX {
        // Neither a character nor the line's end is cut in two.
        let mut end = QUOTE_MAX - 2;
        while wire[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        wire.truncate(end);
        while matches!(wire.last(), Some(b'\r' | b'\n')) {
            wire.pop();
        }
        wire.extend_from_slice(b"\r\n");
    }
    wire
}
