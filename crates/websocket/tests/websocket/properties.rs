//! What holds for all bytes and all messages.

use proptest::collection::vec;
use proptest::prelude::*;
use ropewalk_websocket::{Encoder, Limits, Message, OpCode, Role};

use crate::kit::{bare, decode, masked};

fn opcodes() -> impl Strategy<Value = OpCode> {
    prop::sample::select(vec![
        OpCode::Continuation,
        OpCode::Text,
        OpCode::Binary,
        OpCode::Close,
        OpCode::Ping,
        OpCode::Pong,
    ])
}

/// Makes one frame.
type Frame = fn(bool, OpCode, &[u8]) -> Vec<u8>;

proptest! {
    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in vec(any::<u8>(), 0..200),
        size in 1_usize..50,
    ) {
        for role in [Role::Client, Role::Server] {
            let limits = Limits { message_max: 100, frames_max: 4 };
            let whole = decode(role, limits, &bytes, bytes.len().max(1));
            prop_assert_eq!(decode(role, limits, &bytes, size), whole);
        }
    }

    #[test]
    fn any_frames_are_read_the_same_however_they_are_cut(
        frames in vec((any::<bool>(), opcodes(), vec(any::<u8>(), 0..40)), 0..20),
        size in 1_usize..50,
    ) {
        let limits = Limits { message_max: 100, frames_max: 4 };
        for (role, frame) in [(Role::Client, bare as Frame), (Role::Server, masked as Frame)] {
            let bytes: Vec<u8> =
                frames.iter().flat_map(|(last, opcode, payload)| frame(*last, *opcode, payload)).collect();
            let whole = decode(role, limits, &bytes, bytes.len().max(1));
            prop_assert_eq!(decode(role, limits, &bytes, size), whole);
        }
    }

    #[test]
    fn messages_come_back_from_the_wire(
        messages in vec(prop_oneof![".{0,300}".prop_map(Ok), vec(any::<u8>(), 0..60).prop_map(Err)], 0..10),
        size in 1_usize..100,
    ) {
        for (sender, receiver) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let mut encoder = Encoder::new(sender);
            let mut out = Vec::new();
            let mut expected = Vec::new();
            for message in &messages {
                let message = match message {
                    Ok(text) => Message::Text(text),
                    Err(bytes) => Message::Binary(bytes),
                };
                prop_assert_eq!(encoder.message(&mut out, message), Ok(()));
                expected.push(format!("Message({message:?})"));
            }
            prop_assert_eq!(decode(receiver, Limits::default(), &out, size), expected);
        }
    }
}
