//! Client, proxy and origin among hosts, in all weathers.

use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::proxy::{ReverseProxy, upstream_options};
use ropewalk_http::{Agent, Body, BodyPiece, BodyStream, Options, Origin, Request, Site, Tree};
use ropewalk_protocol::{ClientEndpoint, Seat, listen, sleep};
use ropewalk_trial::{Link, Random, Simulation};

const PIECE: usize = 1500;

/// Answers with what it was sent, and with a stream of pieces.
fn origin() -> Site {
    let tree = Tree::new()
        .child("echo", |request: Request| {
            request.into_body().collect(1 << 20).map(|body| body.to_vec())
        })
        .child("stream", |_: Request| {
            let mut left = 20_u8;
            Body::stream(BodyStream::new(move || {
                left -= 1;
                let piece = BodyPiece::Bytes(vec![b'a' + left; PIECE].into());
                Deferred::succeed((left > 0).then_some(piece))
            }))
        });
    Site::new(tree)
}

fn streamed() -> Vec<u8> {
    (1..20).rev().flat_map(|left| vec![b'a' + left; PIECE]).collect()
}

/// An agent on a host, all of whose connections lead to another.
fn agent(simulation: &Simulation, from: &str, to: &str, options: Options) -> Agent {
    let endpoint = simulation.client_endpoint(from, to, 80);
    let dial = move |_: &Origin, seat: Box<dyn Seat>| endpoint.connect_seat(seat);
    Agent::with_options(dial, simulation.host(from), options)
}

#[ropewalk_trial::test(seeds = 100, deadline = 600)]
async fn every_answer_comes_through_whole(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let there = listen(&simulation.server_endpoint("origin", 80), origin()).await?;
    let upstream = agent(&simulation, "proxy", "origin", upstream_options());
    let proxy = ReverseProxy::to(&upstream, "http://origin")?;
    let port = listen(&simulation.server_endpoint("proxy", 80), Site::new(proxy)).await?;
    let client = agent(&simulation, "client", "proxy", Options::default());
    simulation.rough_weather();
    for _ in 0..4 {
        let body: Vec<u8> = (0..random.below(6000)).map(|n| b'a' + (n % 26) as u8).collect();
        let echoed = client.post("http://proxy/echo", body.clone()).send();
        let stream = client.get("http://proxy/stream").send();
        assert_eq!(echoed.await?.bytes().await?, body);
        assert_eq!(stream.await?.bytes().await?, streamed());
    }
    client.close_idle();
    upstream.close_idle();
    port.stop_listening().await?;
    there.stop_listening().await
}

/// The way to the origin breaks at any byte: the client has its answer whole, or hears that it has not.
#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn what_breaks_off_is_never_taken_for_whole(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let there = listen(&simulation.server_endpoint("origin", 80), origin()).await?;
    let upstream = agent(&simulation, "proxy", "origin", upstream_options());
    let proxy = ReverseProxy::to(&upstream, "http://origin")?;
    let port = listen(&simulation.server_endpoint("proxy", 80), Site::new(proxy)).await?;
    let client = agent(&simulation, "client", "proxy", Options::default());
    let breaks = Link::passable(&mut random).reset_after(random.below(40_000));
    simulation.link_from("origin", "proxy", breaks);
    let answer = client.get("http://proxy/stream").send().await?;
    let status = answer.status().as_u16();
    match answer.bytes().await {
        Ok(body) if status == 200 => assert_eq!(body, streamed()),
        Ok(_) => assert_eq!(status, 502),
        Err(_) => assert_eq!(status, 200),
    }
    client.close_idle();
    upstream.close_idle();
    sleep(&simulation.host("client"), Duration::from_secs(1)).await?;
    port.stop_listening().await?;
    there.stop_listening().await
}
