use std::error::Error;
use std::fmt;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise};
use ropewalk_framing::{BadLine, Ending, FrameConn, FrameProtocol, Framed, LineDecoder};
use ropewalk_protocol::{ClientEndpoint, Disconnect};

use super::{BadReply, LINE_MAX, Owner, Query, Refusal, Reply};
use crate::AskError;
use crate::ask::converse;

/// How long a client waits for an answer once it is connected: as the RFC has it, for a server may be
/// behind a wall that swallows everything.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Asks the Ident server at `endpoint` whose a connection is.
///
/// The deferred fails with an [`IdentError`].
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized), query: Query) -> Deferred<Owner> {
    converse(endpoint, |asker| {
        let client = Client { query, asker: Some(asker) };
        Framed::new(client, LineDecoder::new(Ending::Tolerant).line_max(LINE_MAX))
    })
}

/// Why a client does not know whose a connection is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentError {
    /// The server does not tell.
    Refused(Refusal),
    /// What the server says is no answer.
    Bad(BadReply),
    /// The server says nothing.
    Silent(AskError),
}

impl fmt::Display for IdentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(_) => "the connection's owner is not told",
            Self::Bad(_) => "the server does not speak the protocol",
            Self::Silent(_) => "the server did not answer",
        })
    }
}

impl Error for IdentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Refused(refusal) => refusal,
            Self::Bad(bad) => bad,
            Self::Silent(why) => why,
        })
    }
}

struct Client {
    query: Query,
    asker: Option<Promise<Owner>>,
}

impl Client {
    fn tell(&mut self, result: Result<Owner, IdentError>) {
        if let Some(asker) = self.asker.take() {
            asker.fire(result);
        }
    }

    fn read(&self, line: &[u8]) -> Result<Owner, IdentError> {
        let reply = Reply::decode(line).map_err(IdentError::Bad)?;
        // Servers that cannot read the ports do not know them.
        let is_about_none = reply.ports == (0, 0) && reply.owner.is_err();
        if reply.ports != (self.query.near(), self.query.far()) && !is_about_none {
            return Err(IdentError::Bad(BadReply::OtherPorts));
        }
        reply.owner.map_err(IdentError::Refused)
    }
}

impl FrameProtocol for Client {
    type Decoder = LineDecoder;

    fn connection_made(&mut self, conn: &FrameConn<Self>) {
        conn.write(&self.query.encode());
        conn.call_later(ANSWER_PATIENCE, |this, conn| {
            this.tell(Err(IdentError::Silent(AskError::Late)));
            conn.abort();
        });
    }

    fn frame_received(&mut self, conn: &FrameConn<Self>, line: &[u8]) {
        let result = self.read(line);
        self.tell(result);
        conn.close();
    }

    fn frame_refused(&mut self, conn: &FrameConn<Self>, _: BadLine) {
        self.tell(Err(IdentError::Bad(BadReply::Long)));
        conn.abort();
    }

    fn connection_lost(&mut self, _: &FrameConn<Self>, why: Disconnect) {
        self.tell(Err(IdentError::Silent(AskError::Lost(why))));
    }
}
