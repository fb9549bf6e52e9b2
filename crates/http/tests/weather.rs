//! The client and the server among hosts, in all weathers.

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{Agent, AgentError, BodyError, Origin, Request, Site};
use ropewalk_protocol::{ClientEndpoint as _, Seat, listen};
use ropewalk_trial::{Link, Random, Simulation};

/// Says back what it is sent.
fn echo(request: Request) -> Deferred<Vec<u8>> {
    request.into_body().collect(1 << 20).map(|body| body.to_vec())
}

/// A client on the host `client` of a server on the host `server`.
fn agent(simulation: &Simulation) -> Agent {
    let place = simulation.client_endpoint("client", "server", 80);
    let dial = move |_: &Origin, seat: Box<dyn Seat>| place.connect_seat(seat);
    Agent::new(dial, simulation.host("client"))
}

fn ask(agent: &Agent, body: &[u8]) -> Deferred<Vec<u8>> {
    let answer = agent.post("http://server/", body.to_vec()).send();
    answer.add_callback(ropewalk_http::Answer::bytes).map(|body| body.to_vec())
}

fn bodies(random: &mut Random) -> Vec<Vec<u8>> {
    let count = random.between(1, 8);
    (0..count).map(|_| (0..random.below(9000)).map(|n| (n ^ (n >> 8)) as u8).collect()).collect()
}

#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn every_request_has_its_own_answer(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let port = listen(&simulation.server_endpoint("server", 80), Site::new(echo)).await?;
    let agent = agent(&simulation);
    simulation.rough_weather();
    let bodies = bodies(&mut random);
    let asked: Vec<_> = bodies.iter().map(|body| ask(&agent, body)).collect();
    for (body, answer) in bodies.iter().zip(asked) {
        assert!(answer.await? == *body, "another answer, or a part of one");
    }
    agent.close_idle();
    port.stop_listening().await
}

/// On connections that break at any byte, what comes is the whole answer or an error that is meant for it.
#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn no_part_of_an_answer_is_taken_for_all(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let port = listen(&simulation.server_endpoint("server", 80), Site::new(echo)).await?;
    let agent = agent(&simulation);
    let breaks = Link::passable(&mut random).reset_after(random.below(12_000));
    let (from, to) = *random.choose(&[("client", "server"), ("server", "client")]);
    simulation.link_from(from, to, breaks);
    let bodies = bodies(&mut random);
    let asked: Vec<_> = bodies.iter().map(|body| ask(&agent, body)).collect();
    for (body, answer) in bodies.iter().zip(asked) {
        match answer.await {
            Ok(answer) => assert!(answer == *body, "another answer, or a part of one"),
            Err(failure) => {
                let is_known = failure.check::<AgentError>().is_some()
                    || failure.check::<BodyError>().is_some();
                assert!(is_known, "{failure:?}");
            }
        }
    }
    agent.close_idle();
    port.stop_listening().await
}
