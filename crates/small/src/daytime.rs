//! Daytime: the time, for people (RFC 867).

use std::time::SystemTime;

use ::time::OffsetDateTime;
use ::time::format_description::BorrowedFormatItem;
use ::time::macros::format_description;
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{ClientEndpoint, Factory};

use crate::ask::{self, ANSWER_MAX};
use crate::say::say;
use crate::text::printable;

/// One of the two forms that the RFC shows: `Tuesday, February 22, 1982 17:37:43-UTC`.
const FORM: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday], [month repr:long] [day padding:none], [year] [hour]:[minute]:[second]-UTC"
);

/// A server that says what `now` gives, in UTC: `SystemTime::now` on a program, anything in a test.
pub fn serve(now: impl Fn() -> SystemTime + 'static) -> impl Factory {
    say(move || line(now()).into_bytes())
}

/// Asks the server at `endpoint` for the time: a line in a form of its own choice.
///
/// The deferred fails with an [`AskError`](crate::AskError).
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized)) -> Deferred<String> {
    let answer = ask::ask(endpoint, Vec::new(), ANSWER_MAX);
    answer.map(|bytes| printable(&bytes).trim().to_owned())
}

/// The line for `now`; an empty one for times that have no year of four digits.
pub(crate) fn line(now: SystemTime) -> String {
    let in_range = |date: &OffsetDateTime| (0..=9999).contains(&date.year());
    let date = Some(now).filter(is_datable).map(OffsetDateTime::from).filter(in_range);
    let mut line = date.and_then(|date| date.format(FORM).ok()).unwrap_or_default();
    line.push_str("\r\n");
    line
}

/// Whether a calendar of four-digit years knows this moment; converting others would panic.
fn is_datable(now: &SystemTime) -> bool {
    const FOUR_DIGITS: u64 = 253_402_300_800;
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.is_ok_and(|since| since.as_secs() < FOUR_DIGITS)
}
