//! The kit's enemies, on every server.

use std::time::UNIX_EPOCH;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, Factory, SeatFactory as _};
use ropewalk_small::finger::{Directory, Query};
use ropewalk_small::ident::{Asked, Owner, Owners, Refusal};
use ropewalk_small::{IDLE, daytime, discard, echo, finger, ident, qotd, time, users};
use ropewalk_trial::{Attack, Hostile};

use crate::kit::SECOND;

struct Known;

impl Directory for Known {
    fn look_up(&self, query: &Query) -> Deferred<String> {
        Deferred::succeed(format!("{query} is in\n").repeat(100))
    }
}

impl Owners for Known {
    fn look_up(&self, asked: &Asked) -> Deferred<Result<Owner, Refusal>> {
        Deferred::succeed(Owner::new("UNIX", asked.query.to_string()).map_err(|_| Refusal::Unknown))
    }
}

fn check(mut factory: impl Factory, request: &[u8], spared: &[Attack]) {
    let server = move |_: &_| factory.seat(&Address::Unnamed).expect("there is room");
    let hostile = Hostile::against(server).request(request).patience(2 * IDLE + SECOND);
    spared.iter().fold(hostile, |hostile, attack| hostile.spare(*attack)).assert();
}

#[test]
fn those_who_answer_a_line_stand_it() {
    check(finger::serve(Known), b"alice\r\n", &[]);
    check(ident::serve(Known), b"1, 2\r\n", &[]);
}

#[test]
fn those_who_only_say_something_stand_it() {
    check(daytime::serve(|| UNIX_EPOCH), b"", &[]);
    check(time::serve(|| UNIX_EPOCH), b"", &[]);
    check(qotd::serve(|| "To be or not to be.".to_owned()), b"", &[]);
    check(users::serve(|| vec!["alice".to_owned()]), b"", &[]);
}

/// To these, bytes without end are what they are for.
#[test]
fn those_who_listen_for_ever_stand_the_rest() {
    let spared = [Attack::EndlessLine];
    check(echo::serve(), b"hello\r\n", &spared);
    check(discard::serve(), b"hello\r\n", &spared);
}
