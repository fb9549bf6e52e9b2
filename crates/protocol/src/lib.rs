//! What a protocol and a transport agree on.
