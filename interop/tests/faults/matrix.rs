//! Each call with each error: what it means, and that it does mean that.

use crate::calls::{ACCEPTING, Dice, EXCHANGES, RECEIVING, SENDING, try_with, waiting};
use crate::support::reactor;

/// What becomes of connections while a call fails now and then.
#[derive(Clone, Copy)]
enum Meaning {
    /// It is made again, and nobody loses a byte.
    Again,
    /// The connection that it was made for breaks, and no other.
    Breaks,
    /// Who connects is served later, or turned away.
    Later,
    /// No kernel answers this call so: an answer that nobody knows ends the loop, by an error.
    Never,
}
use Meaning::{Again, Breaks, Later, Never};

/// Errors, and what each means to those who accept, receive, send and wait.
const MATRIX: [(&str, [Meaning; 4]); 6] = [
    ("EINTR", [Again, Again, Again, Again]),
    ("EAGAIN", [Again, Again, Again, Again]),
    ("ENOBUFS", [Later, Again, Again, Again]),
    ("ENOMEM", [Later, Again, Again, Again]),
    ("ECONNRESET", [Again, Breaks, Breaks, Never]),
    ("EMFILE", [Later, Breaks, Breaks, Never]),
];

/// Tries one column of it. In none does anything hang, spin or die: the exchanges have a time-out, the
/// server is counted the calls of when it has nothing to do, and then ends in order.
fn check(column: usize, calls: &'static str) {
    let mut dice = Dice::new();
    // With `io_uring` only waiting is a system call; the others are where a closing connection is read to
    // its end, and what is sent or accepted at once.
    let is_made = reactor().driver() != "io_uring" || column == 3;
    for (error, meanings) in MATRIX {
        let fault = match meanings[column] {
            Never => continue,
            Breaks => dice.blow(calls, error),
            Again | Later => dice.fault(calls, error),
        };
        let Some(broken) = try_with(&[fault]) else { return };
        match meanings[column] {
            Again => assert_eq!(broken, 0, "{error} broke connections"),
            Breaks if is_made => {
                assert!((1..EXCHANGES).contains(&broken), "{error} broke {broken}");
            }
            _ => assert!(broken < EXCHANGES, "{error}: nobody was served"),
        }
    }
}

#[test]
fn accepting_with_each_error() {
    check(0, ACCEPTING);
}

#[test]
fn receiving_with_each_error() {
    check(1, RECEIVING);
}

#[test]
fn sending_with_each_error() {
    check(2, SENDING);
}

#[test]
fn waiting_with_each_error() {
    check(3, waiting());
}
