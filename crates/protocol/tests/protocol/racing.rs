//! Names, and races between their addresses (RFC 8305), on a clock that stands still.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_protocol::{
    ATTEMPT_DELAY, ATTEMPT_DELAY_MAX, ATTEMPT_DELAY_MIN, Address, CannotConnect, Disconnect,
    FailedAttempt, HOST_ADDRESSES_MAX, HOST_NAMES_MAX, HostTable, RACERS_MAX, Race, ResolveError,
    Resolver, ResolverChain,
};
use ropewalk_trial::FakeResolver;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// `4.n` is an IPv4 address and `6.n` one of IPv6.
fn address(short: &str) -> SocketAddr {
    match short.split_once('.').unwrap() {
        ("4", n) => format!("192.0.2.{n}:80").parse().unwrap(),
        (_, n) => format!("[2001:db8::{n}]:80").parse().unwrap(),
    }
}

fn addresses(short: &str) -> Vec<SocketAddr> {
    short.split_whitespace().map(address).collect()
}

/// The order in which the addresses start when each fails at once.
fn order(short: &str) -> Vec<SocketAddr> {
    let mut race = Race::new(addresses(short));
    let mut order = Vec::new();
    while let Some(next) = race.next(Duration::ZERO) {
        order.push(next);
        race.fail(Duration::ZERO, next, Disconnect::Refused);
    }
    assert!(race.is_lost());
    order
}

#[test]
fn families_take_turns_from_the_first_addresss_on() {
    for (given, expected) in [
        ("6.1 6.2 6.3 4.1 4.2", "6.1 4.1 6.2 4.2 6.3"),
        ("4.1 4.2 6.1", "4.1 6.1 4.2"),
        ("6.1 6.2", "6.1 6.2"),
        ("4.1", "4.1"),
        ("4.1 4.1 6.1 4.1", "4.1 6.1"),
    ] {
        assert_eq!(order(given), addresses(expected), "{given}");
    }
    assert!(Race::new([]).is_lost());
}

/// Differs from Twisted (72): families take turns, a failure starts the next attempt, 250 ms not 300.
#[test]
fn attempts_start_a_quarter_of_a_second_apart() {
    let mut race = Race::new(addresses("6.1 4.1 6.2"));
    assert_eq!(race.next(ms(1000)), Some(address("6.1")));
    assert_eq!(race.next_at(), Some(ms(1000) + ATTEMPT_DELAY));
    assert_eq!(race.next(ms(1249)), None);
    assert_eq!(race.next(ms(1250)), Some(address("4.1")));
    assert_eq!(race.running(), addresses("6.1 4.1"));
    assert_eq!(race.next(ms(1499)), None);
    assert_eq!(race.next(ms(1700)), Some(address("6.2")));
    assert_eq!(race.next_at(), None);
    assert_eq!(race.next(ms(9000)), None);
    assert!(!race.is_lost());
}

#[test]
fn a_failure_starts_the_next_attempt_at_once() {
    let mut race = Race::new(addresses("6.1 4.1 6.2 4.2"));
    race.next(ms(0)).unwrap();
    race.fail(ms(10), address("6.1"), Disconnect::NetworkUnreachable);
    assert_eq!(race.next_at(), Some(ms(10)));
    assert_eq!(race.next(ms(10)), Some(address("4.1")));
    assert_eq!(race.next(ms(259)), None);
    assert_eq!(race.next(ms(260)), Some(address("6.2")));
    // An earlier attempt counts as well as the last.
    race.fail(ms(300), address("4.1"), Disconnect::Refused);
    assert_eq!(race.next(ms(300)), Some(address("4.2")));
    // Who does not run cannot fail.
    race.fail(ms(301), address("4.1"), Disconnect::Reset);
    race.fail(ms(302), address("4.2"), Disconnect::TimedOut);
    race.fail(ms(303), address("6.2"), Disconnect::Unreachable);
    assert!(race.is_lost());
    let failed: Vec<_> = race.failed().iter().map(|failed| failed.why).collect();
    let expected = [
        Disconnect::NetworkUnreachable,
        Disconnect::Refused,
        Disconnect::TimedOut,
        Disconnect::Unreachable,
    ];
    assert_eq!(failed, expected);
    assert_eq!(race.failed()[0].address, Address::Ip(address("6.1")));
}

#[test]
fn delays_stay_within_their_bounds() {
    for (asked, got) in [
        (ms(1), ATTEMPT_DELAY_MIN),
        (ms(10), ms(10)),
        (ms(500), ms(500)),
        (Duration::MAX, ATTEMPT_DELAY_MAX),
    ] {
        let mut race = Race::new(addresses("4.1 4.2")).with_delay(asked);
        race.next(ms(0)).unwrap();
        assert_eq!(race.next_at(), Some(got), "{asked:?}");
    }
}

#[test]
fn who_gives_up_says_what_still_ran() {
    let mut race = Race::new(addresses("6.1 4.1 6.2"));
    race.next(ms(0)).unwrap();
    race.fail(ms(1), address("6.1"), Disconnect::Refused);
    race.next(ms(1)).unwrap();
    race.time_out();
    assert!(race.is_lost());
    let why = |index: usize| race.failed()[index].why;
    assert_eq!(
        (race.failed().len(), why(0), why(1)),
        (2, Disconnect::Refused, Disconnect::TimedOut)
    );
}

#[test]
fn a_race_has_so_many_runners_and_no_more() {
    let many = |count: usize| (0..count).map(|n| SocketAddr::from(([10, 0, 0, n as u8], 1)));
    for (given, run) in [(RACERS_MAX - 1, RACERS_MAX - 1), (RACERS_MAX + 1, RACERS_MAX)] {
        let mut race = Race::new(many(given));
        let count = (0..).map_while(|n| race.next(ms(n * 250))).count();
        assert_eq!(count, run);
    }
}

#[test]
fn a_failure_names_the_first_reason_and_every_address() {
    let attempts = vec![
        FailedAttempt::new(address("6.1").into(), Disconnect::NetworkUnreachable),
        FailedAttempt::new(address("4.1").into(), Disconnect::Refused),
    ];
    let error = CannotConnect::new(Disconnect::NetworkUnreachable, attempts);
    assert_eq!(
        error.to_string(),
        "no connection was made ([2001:db8::1]:80: the peer's network cannot be reached; \
         192.0.2.1:80: the connection was refused)",
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref(), Some(&Disconnect::NetworkUnreachable));
    let host = "nowhere".to_owned();
    let error = CannotConnect::unresolved(ResolveError::NoAddress { host });
    assert_eq!(error.to_string(), "no connection was made (the host \"nowhere\" has no address)");
    assert_eq!(
        CannotConnect::new(Disconnect::Aborted, vec![]).to_string(),
        "no connection was made"
    );
}

proptest! {
    /// Every address runs exactly once, never two starts within the delay unless something failed,
    /// and the race ends.
    #[test]
    fn every_address_has_its_turn(
        families in proptest::collection::vec(any::<bool>(), 0..20),
        steps in proptest::collection::vec((0..400_u64, any::<bool>()), 100),
    ) {
        let given: Vec<SocketAddr> = families
            .iter()
            .enumerate()
            .map(|(n, six)| address(&format!("{}.{n}", if *six { 6 } else { 4 })))
            .collect();
        let mut race = Race::new(given.clone());
        let (mut now, mut started, mut last, mut failed) = (ms(0), Vec::new(), None, false);
        for (pass, fails) in steps {
            if let Some(next) = race.next(now) {
                let early = last.is_some_and(|last: Duration| now < last + ATTEMPT_DELAY);
                prop_assert!(!early || failed, "too early");
                started.push(next);
                (last, failed) = (Some(now), false);
            }
            if let (true, Some(running)) = (fails, race.running().first().copied()) {
                race.fail(now, running, Disconnect::Refused);
                failed = true;
            }
            now += ms(pass);
        }
        let mut expected = given;
        expected.sort_unstable();
        started.sort_unstable();
        started.dedup();
        if race.next_at().is_none() {
            prop_assert_eq!(started, expected);
        }
        race.time_out();
        prop_assert!(race.is_lost());
    }
}

fn found(resolver: &impl Resolver, host: &str) -> Result<Vec<SocketAddr>, Option<ResolveError>> {
    let answer = resolver.resolve(host, 80).now_or_never().expect("it is known at once");
    answer.map_err(|failure| failure.check::<ResolveError>().cloned())
}

#[test]
fn tables_of_hosts_are_read() {
    let table = HostTable::parse(
        "# comment\n192.0.2.1\tone  One.Example. # and more\n\n192.0.2.2 two one\r\nnonsense here\n\
         2001:db8::1 one\n192.0.2.1 one\n192.0.2.9\n  192.0.2.3 three",
    );
    assert_eq!(table.len(), 4);
    let of = |host| found(&table, host).unwrap_or_default();
    let one: Vec<SocketAddr> =
        ["192.0.2.1:80", "192.0.2.2:80", "[2001:db8::1]:80"].map(|a| a.parse().unwrap()).into();
    assert_eq!(of("one"), one);
    assert_eq!(of("ONE."), one);
    assert_eq!(of("one.example"), one[..1]);
    assert_eq!(of("two"), one[1..2]);
    assert_eq!(of("three").len(), 1);
    let unknown = ResolveError::NoAddress { host: "here".to_owned() };
    assert_eq!(found(&table, "here"), Err(Some(unknown)));
}

#[test]
fn tables_of_hosts_have_bounds() {
    let mut table = HostTable::new();
    for n in 0..=HOST_ADDRESSES_MAX {
        let address = IpAddr::from([10, 0, 0, n as u8]);
        assert_eq!(table.add("crowded", address), n < HOST_ADDRESSES_MAX);
    }
    assert!(table.add("crowded", [10, 0, 0, 0].into()), "it has that one already");
    for n in 1..HOST_NAMES_MAX {
        assert!(table.add(&n.to_string(), [10, 0, 0, 1].into()));
    }
    assert!(!table.add("one too many", [10, 0, 0, 1].into()));
    assert!(table.add("1", [10, 0, 0, 2].into()));
    assert_eq!(table.len(), HOST_NAMES_MAX);
}

#[test]
fn the_second_is_asked_for_what_the_first_does_not_know() {
    let fake = FakeResolver::new();
    fake.knows("elsewhere", ["192.0.2.7".parse().unwrap()]);
    let chain = ResolverChain::new(HostTable::parse("192.0.2.1 here"), fake.clone());
    assert_eq!(found(&chain, "here"), Ok(vec![address("4.1")]));
    assert_eq!(fake.asked(), [] as [&str; 0]);
    assert_eq!(found(&chain, "elsewhere"), Ok(vec![address("4.7")]));
    // A question that nobody could answer is not one whose answer is no.
    let broken = FakeResolver::new();
    let failed = ResolveError::Failed { host: "here".to_owned(), reason: "no network".to_owned() };
    broken.fails("here", failed.clone());
    let chain = ResolverChain::new(broken, HostTable::parse("192.0.2.1 here"));
    assert_eq!(found(&chain, "here"), Err(Some(failed)));
}

#[test]
fn each_failure_of_the_system_is_told_as_what_it_is() {
    use std::io::{Error, ErrorKind};
    for (kind, why) in [
        (ErrorKind::ConnectionRefused, Disconnect::Refused),
        (ErrorKind::HostUnreachable, Disconnect::Unreachable),
        (ErrorKind::NetworkUnreachable, Disconnect::NetworkUnreachable),
        (ErrorKind::TimedOut, Disconnect::TimedOut),
        (ErrorKind::ConnectionReset, Disconnect::Reset),
        (ErrorKind::BrokenPipe, Disconnect::Reset),
        (ErrorKind::AddrNotAvailable, Disconnect::Failed(ErrorKind::AddrNotAvailable)),
    ] {
        assert_eq!(Disconnect::from(&Error::from(kind)), why);
    }
}
