//! Bytes to the users of a file.

use ropewalk_auth::{HtpasswdError, HtpasswdUsers};

/// Nothing panics, each line is a user or says what is wrong with it, and the lines before that are good.
pub(crate) fn check(bytes: &[u8]) {
    match HtpasswdUsers::parse(bytes) {
        Ok(users) => {
            assert_eq!(users.names().count(), users.len());
            assert!(users.weakly_kept().all(|name| users.names().any(|other| other == name)));
            assert!(users.names().all(|name| !name.is_empty() && !name.contains(':')));
        }
        Err(HtpasswdError::BadLine { line, fault }) => {
            assert_eq!(fault.to_string().lines().count(), 1, "{fault}");
            let good: Vec<_> = bytes.split(|&byte| byte == b'\n').take(line - 1).collect();
            assert!(HtpasswdUsers::parse(&good.join(&b'\n')).is_ok());
        }
        Err(error) => panic!("{error}"),
    }
}
