//! Bytes to the part of a whole that a message carries.

use ropewalk_http::files::ContentRange;

/// Nothing panics, the numbers fit each other, and what was read is written the same way.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(range) = ContentRange::parse(bytes) else { return };
    assert!(range.first() < range.end());
    assert_eq!(range.length(), range.end() - range.first());
    assert!(range.total().is_none_or(|total| range.end() <= total));
    assert!(!range.is_last() || range.total() == Some(range.end()));
    assert_eq!(ContentRange::parse(range.to_string().as_bytes()), Ok(range));
}
