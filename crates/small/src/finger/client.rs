use ropewalk_deferred::Deferred;
use ropewalk_protocol::ClientEndpoint;

use super::Query;
use crate::ask::{self, ANSWER_MAX};
use crate::text::printable;

/// Asks the finger server at `endpoint`; the answer is fit to be shown on a terminal.
///
/// The deferred fails with an [`AskError`](crate::AskError).
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized), query: &Query) -> Deferred<String> {
    ask::ask(endpoint, query.encode(), ANSWER_MAX).map(|bytes| printable(&bytes))
}
