//! Bytes that were recorded between two programs of Twisted.

use ropewalk_amp::{Amp, AmpList, DateTime, Responders, Value, record};
use ropewalk_deferred::Failure;
use ropewalk_tls::{Identities, Identity, Policy, TlsClient, TlsServer, Trust};
use ropewalk_trial::{Clock, Memory};

use crate::common::{Divide, DivideError, Strange, Sum, client, error, server, value, wire_box};

record! { X { x: i32 } }

/// Bytes written in hexadecimal digits.
fn bytes(digits: &str) -> Vec<u8> {
    let digits = digits.split_whitespace();
    digits.map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect()
}

const SUM: &str = "00 04 5f 61 73 6b 00 01 31 00 08 5f 63 6f 6d 6d 61 6e 64 00 03 53 75 6d
    00 01 61 00 02 31 33 00 01 62 00 02 38 31 00 00";
const TOTAL: &str = "00 07 5f 61 6e 73 77 65 72 00 01 31 00 05 74 6f 74 61 6c 00 02 39 34 00 00";
const ZERO_DIVISION: &str = "00 06 5f 65 72 72 6f 72 00 01 32
    00 0b 5f 65 72 72 6f 72 5f 63 6f 64 65
    00 0d 5a 45 52 4f 5f 44 49 56 49 53 49 4f 4e
    00 12 5f 65 72 72 6f 72 5f 64 65 73 63 72 69 70 74 69 6f 6e
    00 10 64 69 76 69 73 69 6f 6e 20 62 79 20 7a 65 72 6f 00 00";

#[test]
fn callers_write_and_read_what_was_recorded() {
    let (mut memory, peer) = client();
    let sum = peer.call(&Sum { a: 13, b: 81 });
    assert_eq!(memory.take_sent(), bytes(SUM));
    let quotient = peer.call(&Divide { numerator: 1, denominator: 0 });
    memory.push(&bytes(ZERO_DIVISION));
    memory.push(&bytes(TOTAL));
    assert_eq!(value(sum).total, 94);
    let zero: DivideError = error(quotient);
    assert_eq!(zero, DivideError::ZeroDivision("division by zero".to_owned()));
}

#[test]
fn responders_read_and_write_what_was_recorded() {
    for size in 1..=SUM.len() {
        let (mut memory, _) = server();
        memory.push_in_pieces(&bytes(SUM), size);
        assert_eq!(memory.take_sent(), bytes(TOTAL), "in pieces of {size}");
        let divide =
            [("_ask", "2"), ("_command", "Divide"), ("numerator", "1"), ("denominator", "0")];
        memory.push_in_pieces(&wire_box(&divide), size);
        assert_eq!(memory.take_sent(), bytes(ZERO_DIVISION), "in pieces of {size}");
        assert_eq!(memory.ended(), None);
    }
}

/// Recorded from Twisted's `StartTLS`: the request, and the answer that the handshake follows.
const START_TLS: &str = "00 04 5f 61 73 6b 00 01 31 00 08 5f 63 6f 6d 6d 61 6e 64
    00 08 53 74 61 72 74 54 4c 53 00 00";
const START_TLS_ANSWER: &str = "00 07 5f 61 6e 73 77 65 72 00 01 31 00 00";

#[test]
fn tls_is_asked_for_and_granted_as_it_was_recorded() {
    let identity = Identity::self_signed(["localhost"]).expect("an identity");
    let identities = Identities::new(Policy::new()).expect("a policy");
    identities.add(&identity).expect("it is taken");
    let server = TlsServer::new(&identities);
    let responders = Responders::new().on_start_tls(move |_| Ok::<_, Failure>(server.layer()));
    let mut memory = Memory::seat(Amp::new(responders), &Clock::new());
    memory.push(&bytes(START_TLS));
    assert_eq!(memory.take_sent(), bytes(START_TLS_ANSWER));

    let (mut memory, peer) = client();
    let tls = TlsClient::new(&Trust::pinned([identity.pin()])).expect("a client");
    peer.start_tls(tls.layer("localhost").expect("a name")).detach();
    assert_eq!(memory.take_sent(), bytes(START_TLS));
}

#[test]
fn tags_are_counted_in_hexadecimal_digits_from_one() {
    let (mut memory, peer) = client();
    for tag in 1..300 {
        peer.call(&Strange {}).detach();
        let sent = memory.take_sent();
        assert_eq!(sent, wire_box(&[("_ask", &format!("{tag:x}")), ("_command", "Strange")]));
    }
}

#[test]
fn values_are_written_as_they_were_recorded() {
    #[track_caller]
    fn check(value: &impl Value, expected: &str) {
        let mut written = Vec::new();
        value.encode(&mut written).expect("it has a form");
        assert_eq!(written, bytes(expected));
    }
    check(&vec![1, 20, 500], "00 01 31 00 02 32 30 00 03 35 30 30");
    check(
        &AmpList(vec![X { x: 1 }, X { x: 2 }]),
        "00 01 78 00 01 31 00 00  00 01 78 00 01 32 00 00",
    );
    let mut written = Vec::new();
    DateTime::new(2024, 1, 2, 3, 4, 5, 6).unwrap().encode(&mut written).unwrap();
    assert_eq!(written, b"2024-01-02T03:04:05.000006-00:00");
}
