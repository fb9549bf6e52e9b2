//! Bytes to what a client says of itself.

use ropewalk_http::auth::Authorization;

/// Nothing panics, blanks around it change nothing, and a login is what was encoded.
pub(crate) fn check(bytes: &[u8]) {
    let read = Authorization::read(bytes);
    assert_eq!(Authorization::read(&[b" \t", bytes, b" "].concat()), read);
    match &read {
        Ok(Authorization::Basic(login)) => {
            assert!(!login.username.contains(':'));
            assert_eq!(read.as_ref().map(Authorization::username), Ok(Some(&*login.username)));
        }
        Ok(Authorization::Digest(digest)) => {
            assert!(digest.count > 0);
            assert_eq!(u32::from_str_radix(&digest.count_text, 16), Ok(digest.count));
        }
        Ok(Authorization::Bearer(token)) => assert!(!token.is_empty() && token.is_ascii()),
        Ok(_) => (),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
