//! The same seed, the same story.

use std::time::Duration;

use ropewalk_trial::{Link, Random, Simulation};

use crate::kit::{Note, connect, echo_at, pattern, witness};

fn story(seed: u64) -> (u64, u64, Vec<String>) {
    let simulation = Simulation::new(seed);
    let mut random = Random::new(seed);
    simulation.weather(&Link::rough(&mut random));
    let server = simulation.host("server");
    let address = simulation.address("server", 7);
    echo_at(&server, address);
    for name in ["a", "b", "c"] {
        let (asker, _) = witness(|conn, note| match note {
            Note::Made => {
                conn.write(&pattern(500));
                conn.close_write();
            }
            Note::Eof => conn.close(),
            _ => (),
        });
        connect(&simulation.host(name), address, asker);
    }
    simulation.after(Duration::from_millis(300), |simulation| simulation.partition("a", "server"));
    simulation.after(Duration::from_secs(3), |simulation| simulation.heal("a", "server"));
    simulation.run_for(Duration::from_mins(10));
    (simulation.hash(), simulation.happenings(), simulation.log())
}

#[test]
fn the_same_seed_tells_the_same_story_event_by_event() {
    for seed in 0..20 {
        let (one, other) = (story(seed), story(seed));
        assert_eq!(one, other);
        assert!(one.1 > 10);
    }
}

#[test]
fn another_seed_tells_another_story() {
    let hashes: std::collections::BTreeSet<u64> = (0..20).map(|seed| story(seed).0).collect();
    assert_eq!(hashes.len(), 20);
}
