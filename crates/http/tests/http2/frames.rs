//! Frames as they lie on the wire.

use ropewalk_trial::Memory;

/// A frame, whatever it is.
pub(crate) fn raw(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Says something to a server, and calls with kind, flags, stream and length of each frame that it answers until it
/// has no more to say.
pub(crate) fn exchange(
    server: &mut Memory,
    octets: &[u8],
    mut hear: impl FnMut(u8, u8, u32, usize),
) {
    server.push(octets);
    loop {
        server.run();
        let said = server.take_sent();
        if said.is_empty() {
            return;
        }
        let mut rest = &said[..];
        while let [a, b, c, kind, flags, s0, s1, s2, s3, behind @ ..] = rest {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            assert!(*kind != 3 && *kind != 7, "neither a reset nor a farewell");
            hear(*kind, *flags, stream, len);
            rest = &behind[len..];
        }
    }
}
