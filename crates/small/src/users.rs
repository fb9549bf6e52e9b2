//! Active users: who is there (RFC 866).

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{ClientEndpoint, Factory};

use crate::ask::{self, ANSWER_MAX};
use crate::say::say;
use crate::text::{lines, printable};

/// A server that says the names that `users` gives, one a line.
pub fn serve(users: impl Fn() -> Vec<String> + 'static) -> impl Factory {
    say(move || users().iter().flat_map(|user| line(user)).collect())
}

/// Asks the server at `endpoint` who is there.
///
/// The deferred fails with an [`AskError`](crate::AskError).
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized)) -> Deferred<Vec<String>> {
    let answer = ask::ask(endpoint, Vec::new(), ANSWER_MAX);
    answer.map(|bytes| printable(&bytes).lines().map(str::to_owned).collect())
}

/// A name as a line, which it is whatever it holds.
pub(crate) fn line(user: &str) -> Vec<u8> {
    lines(&user.replace(['\r', '\n'], " "))
}
