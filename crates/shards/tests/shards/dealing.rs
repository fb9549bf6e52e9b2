//! Who gets which connection.

use ropewalk_reactor::DriverKind;
use ropewalk_shards::Dealing;

use crate::kit::{answers, connect, on_each_driver, while_serving};

on_each_driver! {
    connections_that_stay_are_dealt_out_evenly,
    two_connections_go_to_two_shards,
    who_sleeps_is_given_some_while_another_works,
    a_tolerance_is_kept_to,
    the_system_deals_out_all_of_them,
    who_comes_first_serves,
    a_port_that_the_system_chooses_is_one_for_all,
}

/// Opens so many that stay, each once the one before is served; answers how many each shard has.
fn spread(kind: DriverKind, shards: usize, dealing: Dealing, count: usize) -> Vec<usize> {
    let mut counts = vec![0; shards];
    let made = while_serving(kind, shards, dealing, |places| {
        let mut open: Vec<_> = (0..count).map(|_| connect(places[0])).collect();
        for (stream, shard) in &mut open {
            assert!(answers(stream), "one of shard {shard} is not served");
            counts[usize::from(*shard)] += 1;
        }
    });
    assert_eq!(made, count);
    counts
}

fn difference(counts: &[usize]) -> usize {
    counts.iter().max().unwrap() - counts.iter().min().unwrap()
}

fn connections_that_stay_are_dealt_out_evenly(kind: DriverKind) {
    for shards in [2, 3] {
        let counts = spread(kind, shards, Dealing::default(), 60);
        // What a shard has been given in its present turn is not known to the others yet.
        assert!(difference(&counts) <= 2, "{counts:?}");
    }
}

fn two_connections_go_to_two_shards(kind: DriverKind) {
    for _ in 0..4 {
        assert_eq!(spread(kind, 2, Dealing::default(), 2), [1, 1]);
    }
}

fn who_sleeps_is_given_some_while_another_works(kind: DriverKind) {
    while_serving(kind, 2, Dealing::default(), |places| {
        let open: Vec<_> = (0..12).map(|_| connect(places[0])).collect();
        let (mut idle, ended): (Vec<_>, Vec<_>) = open.into_iter().partition(|open| open.1 == 0);
        assert!(idle.len() >= 5, "{} of twelve", idle.len());
        drop(ended);
        // Once the second has noticed, it has fewer.
        let mut busy = loop {
            let (stream, shard) = connect(places[0]);
            if shard == 1 {
                break stream;
            }
            idle.push((stream, shard));
        };
        assert!((0..2500).all(|_| answers(&mut busy)));
        let (_next, shard) = connect(places[0]);
        assert_eq!(shard, 0, "{} that say nothing are no work", idle.len());
    });
}

fn a_tolerance_is_kept_to(kind: DriverKind) {
    let counts = spread(kind, 2, Dealing::Even { tolerance: 6 }, 60);
    assert!(difference(&counts) <= 8, "{counts:?}");
}

fn the_system_deals_out_all_of_them(kind: DriverKind) {
    let counts = spread(kind, 2, Dealing::System, 60);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

fn who_comes_first_serves(kind: DriverKind) {
    let counts = spread(kind, 2, Dealing::FirstCome, 60);
    assert_eq!(counts.iter().sum::<usize>(), 60);
}

fn a_port_that_the_system_chooses_is_one_for_all(kind: DriverKind) {
    for dealing in [Dealing::default(), Dealing::System, Dealing::FirstCome] {
        while_serving(kind, 3, dealing, |places| {
            assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        });
    }
}
