//! Those who guess have to wait.

use std::net::SocketAddr;
use std::time::Duration;

use ropewalk_auth::{
    AvatarId, Checker, DelayOptions, FailureDelay, InMemory, LoginError, UsernamePassword,
};
use ropewalk_deferred::{Deferred, Failure, deferred};
use ropewalk_protocol::Address;
use ropewalk_trial::Clock;

use crate::{refusal, value};

const MS: Duration = Duration::from_millis(1);

fn peer(text: &str) -> Address {
    text.parse::<SocketAddr>().expect("an address").into()
}

fn guess(password: &str) -> Deferred<AvatarId> {
    let users = InMemory::new().with("alice", "rabbit");
    Checker::<UsernamePassword>::check(&users, UsernamePassword::new("alice", password))
}

/// How long a wrong password is kept back.
#[track_caller]
fn waits(delay: &FailureDelay, clock: &Clock, peer: &Address) -> Duration {
    let begun = ropewalk_protocol::Clock::now(clock);
    let mut waiting = delay.attempt(peer, || guess("hare"));
    loop {
        match waiting.try_take() {
            Ok(result) => {
                let failure = result.expect_err("it is wrong");
                assert_eq!(failure.check(), Some(&LoginError::Unauthorized));
                return ropewalk_protocol::Clock::now(clock).saturating_sub(begun);
            }
            Err(later) => waiting = later,
        }
        let next = clock.next_call().expect("something is to come");
        clock.advance(next.saturating_sub(ropewalk_protocol::Clock::now(clock)));
    }
}

#[test]
fn failures_are_kept_back_longer_and_longer() {
    let clock = Clock::new();
    let delay = FailureDelay::new(clock.clone());
    let (one, other) = (peer("192.0.2.1:1000"), peer("192.0.2.2:1000"));
    let seen: Vec<_> = (0..6).map(|_| waits(&delay, &clock, &one).as_millis()).collect();
    assert_eq!(seen, [500, 1000, 2000, 4000, 8000, 8000]);
    assert_eq!(
        waits(&delay, &clock, &peer("192.0.2.1:2000")).as_millis(),
        8000,
        "ports are no peers"
    );
    assert_eq!(waits(&delay, &clock, &other).as_millis(), 500, "others have done nothing");
    assert_eq!(value(delay.attempt(&one, || guess("rabbit"))), AvatarId::user("alice"), "at once");
    clock.advance(Duration::from_mins(10));
    assert_eq!(waits(&delay, &clock, &one).as_millis(), 500, "it is forgotten");
}

#[test]
fn networks_of_the_sixth_version_are_one_peer() {
    let clock = Clock::new();
    let delay = FailureDelay::new(clock.clone());
    assert_eq!(waits(&delay, &clock, &peer("[2001:db8::1]:1")).as_millis(), 500);
    assert_eq!(waits(&delay, &clock, &peer("[2001:db8::ffff:1]:1")).as_millis(), 1000);
    assert_eq!(waits(&delay, &clock, &peer("[2001:db8:0:1::1]:1")).as_millis(), 500);
    assert_eq!(waits(&delay, &clock, &peer("192.0.2.7:1")).as_millis(), 500);
    assert_eq!(
        waits(&delay, &clock, &peer("[::ffff:192.0.2.7]:1")).as_millis(),
        1000,
        "it is the same"
    );
    let unix = Address::Unix("/run/x".into());
    assert_eq!(waits(&delay, &clock, &unix).as_millis(), 500);
    assert_eq!(waits(&delay, &clock, &unix).as_millis(), 1000);
}

#[test]
fn hanging_up_wins_no_attempt() {
    let clock = Clock::new();
    let options = DelayOptions::default().with_attempts_max(4);
    let delay = FailureDelay::with_options(clock.clone(), options);
    let peer = peer("192.0.2.1:1");
    for _ in 0..4 {
        drop(delay.attempt(&peer, || guess("hare")));
    }
    let mut was_asked = false;
    let refused = delay.attempt(&peer, || {
        was_asked = true;
        guess("rabbit")
    });
    assert_eq!(refusal(refused), LoginError::TooManyAttempts { retry_after: 500 * MS });
    assert!(!was_asked);
    clock.advance(500 * MS);
    assert_eq!(value(delay.attempt(&peer, || guess("rabbit"))), AvatarId::user("alice"));
}

#[test]
fn attempts_that_are_under_way_count_until_they_are_over() {
    let clock = Clock::new();
    let options = DelayOptions::default().with_attempts_max(1);
    let delay = FailureDelay::with_options(clock.clone(), options);
    let peer = Address::Memory("a".into());
    let (promise, waiting) = deferred::<AvatarId>();
    let slow = delay.attempt(&peer, || waiting);
    assert!(matches!(
        refusal(delay.attempt(&peer, || guess("rabbit"))),
        LoginError::TooManyAttempts { .. }
    ));
    assert_eq!(delay.peers(), 1);
    promise.fire(Err(Failure::new("no database")));
    assert!(slow.now_or_never().expect("other failures are told at once").is_err());
    assert_eq!(delay.peers(), 0, "nothing is held against it");
    let (_promise, waiting) = deferred::<AvatarId>();
    let given_up = delay.attempt(&peer, || waiting);
    given_up.cancel();
    assert_eq!(value(delay.attempt(&peer, || guess("rabbit"))), AvatarId::user("alice"));
}

#[test]
fn the_table_of_peers_is_bounded() {
    let clock = Clock::new();
    let options =
        DelayOptions::default().with_peers_max(3).with_forget_after(Duration::from_secs(5));
    let delay = FailureDelay::with_options(clock.clone(), options);
    let named = |index: usize| Address::Memory(index.to_string());
    for index in 0..10 {
        waits(&delay, &clock, &named(index));
        assert!(delay.peers() <= 3);
    }
    assert_eq!(waits(&delay, &clock, &named(9)).as_millis(), 1000, "the latest are remembered");
    assert_eq!(waits(&delay, &clock, &named(0)).as_millis(), 500, "the oldest are not");
    clock.advance(Duration::from_secs(20));
    waits(&delay, &clock, &named(77));
    assert_eq!(delay.peers(), 1, "what is forgotten makes room first");
}
