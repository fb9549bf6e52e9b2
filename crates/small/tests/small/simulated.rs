//! Finger among hosts, in all weathers.

use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{listen, sleep};
use ropewalk_small::finger::{self, Directory, Query};
use ropewalk_small::{AskError, echo};
use ropewalk_trial::{Link, Random, Simulation};

/// Knows everybody after some thought.
struct Slow<C>(C);

impl<C: ropewalk_protocol::Clock + 'static> Directory for Slow<C> {
    fn look_up(&self, query: &Query) -> Deferred<String> {
        let answer = about(query.user_name().unwrap_or("everyone"));
        let thinks = Duration::from_millis(query.user_name().map_or(0, str::len) as u64 * 100);
        sleep(&self.0, thinks).map(move |()| answer)
    }
}

/// More or less about a user.
fn about(name: &str) -> String {
    format!("{name} is in\n").repeat(name.len() * 20)
}

const NAMES: [&str; 4] = ["al", "alice", "bartholomew", "constantinople-on-the-hill"];

#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn every_query_is_answered(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let place = simulation.server_endpoint("server", 79);
    let port = listen(&place, finger::serve(Slow(simulation.host("server")))).await?;
    let mut answers = Vec::new();
    for client in ["one", "two", "three"] {
        let place = simulation.client_endpoint(client, "server", 79);
        for _ in 0..random.between(1, 3) {
            let name = *random.choose(&NAMES);
            answers.push((name, finger::ask(&place, &Query::user(name)?)));
        }
    }
    simulation.rough_weather();
    for (name, answer) in answers {
        assert_eq!(answer.await?, about(name));
    }
    port.stop_listening().await
}

/// A connection that breaks at any byte is told as one, or its answer had come.
#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn no_half_answer_is_taken_for_one(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let place = simulation.server_endpoint("server", 79);
    let port = listen(&place, finger::serve(Slow(simulation.host("server")))).await?;
    let name = *random.choose(&NAMES);
    let place = simulation.client_endpoint("client", "server", 79);
    let most = about(name).len() as u64 + 100;
    let breaks = Link::passable(&mut random).reset_after(random.below(most));
    let (from, to) = *random.choose(&[("client", "server"), ("server", "client")]);
    simulation.link_from(from, to, breaks);
    match finger::ask(&place, &Query::user(name)?).await {
        Ok(answer) => assert_eq!(answer, about(name)),
        Err(failure) => assert!(failure.check::<AskError>().is_some(), "{failure:?}"),
    }
    port.stop_listening().await
}

#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn an_echo_comes_back(simulation: Simulation) -> Result<(), Failure> {
    let port = listen(&simulation.server_endpoint("server", 7), echo::serve()).await?;
    let place = simulation.client_endpoint("client", "server", 7);
    simulation.rough_weather();
    let words = b"anybody? ".repeat(100);
    let took = echo::ask(&place, words).await?;
    assert!(took < simulation.now());
    port.stop_listening().await
}
