//! Bytes that were right once.

use std::path::Path;

use crate::Difference;

/// The environment variable that has captures written instead of compared.
const VARIABLE: &str = "ROPEWALK_TRIAL_BLESS";

/// Compares `came` with the capture in the file at `path`.
///
/// With `ROPEWALK_TRIAL_BLESS=1` in the environment the file is written instead: to be looked at, and
/// kept beside the test. `concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/NAME")` is a good place.
///
/// # Panics
///
/// If they differ, with both sides shown where they part; or if the file cannot be read or written.
#[track_caller]
pub fn golden(path: impl AsRef<Path>, came: &[u8]) {
    let path = path.as_ref();
    if std::env::var_os(VARIABLE).is_some_and(|value| value == "1") {
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = written.and_then(|()| std::fs::write(path, came)) {
            panic!("the capture {} cannot be written: {error}", path.display());
        }
        return;
    }
    let expected = match std::fs::read(path) {
        Ok(expected) => expected,
        Err(error) => {
            panic!(
                "the capture {} cannot be read ({error}): {VARIABLE}=1 writes it",
                path.display()
            )
        }
    };
    if let Some(difference) = Difference::between(&expected, came) {
        panic!("not as in {} ({VARIABLE}=1 writes it anew): {difference}", path.display());
    }
}
