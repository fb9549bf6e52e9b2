//! Character generator: the same characters for ever (RFC 864).

use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, ClientEndpoint, Conn, ConnCall, Factory, Protocol};

use crate::ask;
use crate::say::guard;

/// How many bytes are written at a time: 64 lines.
pub const PIECE: usize = LINE * 64;

/// How long a server waits from one piece to the next: no more than 4.7 MB a second go to one peer.
pub const PACE: Duration = Duration::from_millis(1);

/// A line: 72 characters and its end.
const LINE: usize = 74;
/// How many printable characters ASCII has, the space among them.
const CHARACTERS: u8 = 95;

/// A server that says lines of printable characters, each line one character further, as fast as its
/// peer takes them but for [`PACE`], until the peer closes. What it hears it forgets.
pub fn serve() -> impl Factory {
    guard(|_: &Address| Some(Chargen { line: 0, next_call: None }))
}

/// Gives the first `wanted` characters that the server at `endpoint` says.
///
/// The deferred fails with an [`AskError`](crate::AskError).
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized), wanted: usize) -> Deferred<Vec<u8>> {
    ask::ask_for(endpoint, wanted)
}

/// Appends `lines` lines to `out`; `first` says which of the 95 different ones comes first.
pub fn encode(first: usize, lines: usize, out: &mut Vec<u8>) {
    for line in first..first + lines {
        let start = (line % usize::from(CHARACTERS)) as u8;
        out.extend((start..).take(LINE - 2).map(|at| b' ' + at % CHARACTERS));
        out.extend_from_slice(b"\r\n");
    }
}

struct Chargen {
    line: usize,
    /// The call for the next piece; none while writing is paused.
    next_call: Option<ConnCall>,
}

impl Chargen {
    fn go_on(&mut self, conn: &Conn<Self>) {
        self.next_call = None;
        conn.write_with(|out| encode(self.line, PIECE / LINE, out));
        self.line = (self.line + PIECE / LINE) % usize::from(CHARACTERS);
        if !conn.is_writing_paused() {
            self.next_call = Some(conn.call_later(PACE, Self::go_on));
        }
    }
}

impl Protocol for Chargen {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.go_on(conn);
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        if self.next_call.is_none() {
            self.next_call = Some(conn.call_later(PACE, Self::go_on));
        }
    }
}
