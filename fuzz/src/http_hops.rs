//! Bytes to the hops that Forwarded and Via tell of, and back.

use ropewalk_http::proxy::{FORWARDED_HOPS_MAX, ForwardedHop, VIA_HOPS_MAX, ViaHop};

/// Nothing panics; whatever was understood is understood the same when it is said again.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok(hops) = ForwardedHop::parse(bytes) {
        assert!(hops.len() <= FORWARDED_HOPS_MAX);
        let said = hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(ForwardedHop::parse(said.as_bytes()), Ok(hops), "{said}");
    }
    if let Ok(hops) = ViaHop::parse(bytes) {
        assert!(hops.len() <= VIA_HOPS_MAX);
        let said = hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(ViaHop::parse(said.as_bytes()), Ok(hops), "{said}");
    }
}
