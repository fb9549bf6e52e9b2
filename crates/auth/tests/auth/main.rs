//! The room through what others see of it.

mod checkers;
mod delays;
mod files;
mod portal;
mod properties;

use ropewalk_auth::LoginError;
use ropewalk_deferred::Deferred;

/// What came of a wait that must be over.
#[track_caller]
fn value<T: 'static>(deferred: Deferred<T>) -> T {
    deferred.now_or_never().expect("it is over").expect("it went well")
}

/// Why a wait that must be over came to nothing.
#[track_caller]
fn refusal<T: 'static>(deferred: Deferred<T>) -> LoginError {
    let Err(failure) = deferred.now_or_never().expect("it is over") else {
        panic!("somebody was let in")
    };
    *failure.check().unwrap_or_else(|| panic!("{failure:?}"))
}

/// Each statement about Twisted is shown by a test that there is.
#[test]
fn every_statement_names_its_test() {
    let tests = [
        ("checkers", include_str!("checkers.rs")),
        ("files", include_str!("files.rs")),
        ("portal", include_str!("portal.rs")),
    ];
    let rows = include_str!("../../src/twisted.md").lines().filter(|line| line.starts_with('|'));
    let mut seen = 0;
    for shown_by in rows.skip(2).filter_map(|row| row.split('|').nth(3)) {
        let Some((module, test)) = shown_by.trim().trim_matches('`').split_once("::") else {
            continue;
        };
        let text = tests.iter().find(|(name, _)| *name == module).expect(module).1;
        assert!(text.contains(&format!("fn {test}()")), "{module} has no test {test}");
        seen += 1;
    }
    assert!(seen > 15, "{seen}");
}
