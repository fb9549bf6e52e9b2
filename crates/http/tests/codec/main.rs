//! The codec from outside: tables, the corpus, and what must hold for all bytes.

#[path = "../corpus/mod.rs"]
mod corpus;

mod bodies;
mod heads;
mod properties;
mod replay;
mod responses;

use replay::{Event, replay};
use ropewalk_http::Limits;

#[test]
fn every_case_of_the_corpus_comes_out_as_it_says() {
    let cases = corpus::cases();
    assert!(cases.len() >= 80, "the corpus has {} cases", cases.len());
    for case in cases {
        for size in [usize::MAX, 1, 2, 3, 7, 64, 1000] {
            let events = replay(&case.bytes, size, &Limits::default());
            let outcomes: Vec<_> = events.iter().filter_map(Event::outcome).collect();
            assert_eq!(outcomes, case.outcomes, "{}, in pieces of {size}", case.name);
        }
    }
}
