//! Bytes to what a client would rather have.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderValue};
use ropewalk_http::compress::{Coding, negotiate};
use ropewalk_http::middleware::preferred;

/// Nothing panics, what is chosen was offered and not refused by name, and the order of codings that nobody
/// tells apart alone decides between them.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    for name in [ACCEPT, ACCEPT_LANGUAGE, ACCEPT_ENCODING] {
        headers.insert(name, value.clone());
    }
    for name in [ACCEPT, ACCEPT_LANGUAGE] {
        let offers = ["text/html", "de-CH", "de"];
        if let Some(place) = preferred(&headers, &name, &offers) {
            assert!(place < offers.len());
        }
    }
    let offers = [Coding::Zstd, Coding::Brotli, Coding::Gzip];
    let chosen = negotiate(&headers, &offers);
    if let Ok(Some(coding)) = chosen {
        // Alone, it is better than nothing too, or it would not have been better than all.
        assert_eq!(negotiate(&headers, &[coding]), Ok(Some(coding)));
    }
    if chosen.is_err() {
        for coding in offers {
            assert!(negotiate(&headers, &[coding]).is_err(), "{coding} was refused");
        }
    }
}
