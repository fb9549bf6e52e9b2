//! Bytes to calls and answers of XML-RPC, and back.

use ropewalk_xmlrpc::{Answer, BadMessage, Call, Limits};

/// Nothing panics, limits hold, and what was understood is understood the same when it is said again.
pub(crate) fn check(bytes: &[u8]) {
    let small = Limits { bytes_max: 4096, depth_max: 3, values_max: 8 };
    for limits in [small, Limits::default()] {
        if let Ok(call) = Call::decode(bytes, &limits) {
            let said = call.encode().map(|said| Call::decode(&said, &Limits::default()));
            // A character that XML does not take may have come as a reference.
            assert!(said.is_err() || said == Ok(Ok(call)));
        }
        match Answer::decode(bytes, &limits) {
            Ok(answer) => {
                let said = answer.encode().map(|said| Answer::decode(&said, &Limits::default()));
                assert!(said.is_err() || said == Ok(Ok(answer)));
            }
            Err(BadMessage::TooLong { max }) => assert!(bytes.len() > max),
            Err(_) => (),
        }
    }
}
