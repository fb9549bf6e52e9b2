//! Streams among hosts, in all weathers.

use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_http::{Agent, Body, BodyPiece, BodyStream, Options, Origin, Request, Site, Tree};
use ropewalk_protocol::{ClientEndpoint, Seat, listen, sleep};
use ropewalk_trial::{Random, Simulation};

fn streamed(count: u8) -> Vec<u8> {
    (0..count).flat_map(|at| vec![b'a' + at; 700]).collect()
}

fn site() -> Site {
    let tree = Tree::new()
        .child("echo", |request: Request| {
            request.into_body().collect(1 << 20).map(|body| body.to_vec())
        })
        .child("stream", |_: Request| {
            let mut at = 0;
            Body::stream(BodyStream::new(move || {
                at += 1;
                let piece = BodyPiece::Bytes(vec![b'a' + at - 1; 700].into());
                ropewalk_deferred::Deferred::succeed((at <= 6).then_some(piece))
            }))
        });
    Site::new(tree)
}

/// Requests side by side, of which some are taken back at any moment: what is answered is answered whole,
/// and in the end nothing is left.
#[ropewalk_trial::test(seeds = 200, deadline = 7200)]
async fn side_by_side_each_answer_is_its_own(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let site = site();
    let port = listen(&simulation.server_endpoint("server", 80), site.clone()).await?;
    let endpoint = simulation.client_endpoint("client", "server", 80);
    let dial = move |_: &Origin, seat: Box<dyn Seat>| endpoint.connect_seat(seat);
    let mut options = Options::default();
    options.http2.has_prior_knowledge = true;
    let agent = Agent::with_options(dial, simulation.host("client"), options);
    simulation.rough_weather();
    for _ in 0..2 {
        let mut expected = Vec::new();
        for at in 0..6_u8 {
            let (answer, body) = if at % 2 == 0 {
                let body: Vec<u8> = (0..random.below(1500)).map(|n| (n as u8) ^ at).collect();
                (agent.post("http://server/echo", body.clone()).send(), body)
            } else {
                (agent.get("http://server/stream").send(), streamed(6))
            };
            expected.push((answer, body));
        }
        for (answer, body) in expected {
            let breaks_off = random.below(4) == 0;
            // In the worst of weathers an answer may not come in time.
            let Ok(answer) = answer.await else { continue };
            if breaks_off {
                drop(answer);
            } else if let Ok(bytes) = answer.bytes().await {
                assert_eq!(bytes, body);
            }
        }
    }
    agent.close_idle();
    sleep(&simulation.host("server"), Duration::from_mins(5)).await?;
    assert_eq!(site.connections(), 0);
    port.stop_listening().await
}
