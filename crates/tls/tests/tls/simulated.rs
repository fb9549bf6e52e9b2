//! TLS among hosts, in all weathers.

use std::time::Duration;

use ropewalk_deferred::Failure;
use ropewalk_protocol::{Disconnect, connect, listen, sleep};
use ropewalk_tls::Reason;
use ropewalk_trial::{Link, Random, Simulation};

use crate::common::{Talk, Told, pair};

const NAME: &str = "server.test";

fn said(random: &mut Random) -> Vec<u8> {
    (0..random.between(1, 40_000)).map(|n| (n ^ (n >> 8)) as u8).collect()
}

async fn until_over(simulation: &Simulation, stories: &[&Told]) -> Result<(), Failure> {
    let clock = simulation.host("client");
    while stories.iter().any(|story| story.borrow().lost.is_none()) {
        sleep(&clock, Duration::from_millis(500)).await?;
    }
    Ok(())
}

#[ropewalk_trial::test(seeds = 200, deadline = 600)]
async fn all_that_is_said_comes_and_ends_in_order(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let (client, server) = pair(NAME);
    let (echo, heard) = Talk::echo();
    let mut echo = Some(echo);
    let place = server.over(simulation.server_endpoint("server", 443));
    let port = listen(&place, move |_: &_| echo.take()).await?;
    let says = said(&mut random);
    let (talk, answered) = Talk::saying(says.clone());
    let place = client.over(simulation.client_endpoint("client", "server", 443), NAME)?;
    let made = connect(&place, talk.until(says.len()));
    simulation.rough_weather();
    made.await?;
    until_over(&simulation, &[&heard, &answered]).await?;
    let (heard, answered) = (heard.take(), answered.take());
    for story in [&heard, &answered] {
        assert!(story.heard == says, "{} of {} bytes", story.heard.len(), says.len());
        assert_eq!(story.made, 1);
        assert!(story.tls.is_some());
    }
    assert_eq!((heard.eofs, answered.lost), (1, Some(Disconnect::Closed)));
    // Its own farewell may reach a client that has gone.
    assert!(matches!(heard.lost, Some(Disconnect::Closed | Disconnect::Reset)), "{heard:?}");
    port.stop_listening().await
}

/// Cut off at any byte, in the handshake or after it: whoever heard something heard the truth, nobody
/// takes what was cut off for an end, and nothing is left.
#[ropewalk_trial::test(seeds = 400, deadline = 600)]
async fn what_is_cut_off_is_never_taken_for_whole(simulation: Simulation) -> Result<(), Failure> {
    let mut random = Random::new(simulation.seed());
    let (client, server) = pair(NAME);
    let (echo, heard) = Talk::echo();
    let mut echo = Some(echo);
    let place = server.over(simulation.server_endpoint("server", 443));
    let port = listen(&place, move |_: &_| echo.take()).await?;
    let says = said(&mut random);
    let (talk, answered) = Talk::saying(says.clone());
    let place = client.over(simulation.client_endpoint("client", "server", 443), NAME)?;
    let breaks = Link::passable(&mut random).reset_after(random.below(says.len() as u64));
    let (from, to) = *random.choose(&[("client", "server"), ("server", "client")]);
    simulation.link_from(from, to, breaks);
    connect(&place, talk.until(says.len())).on_result(drop);
    until_over(&simulation, &[&answered]).await?;
    if heard.borrow().made > 0 {
        until_over(&simulation, &[&heard]).await?;
    }
    for story in [heard, answered] {
        let story = story.take();
        assert!(says.starts_with(&story.heard), "something else was heard");
        let is_whole = story.heard.len() == says.len();
        assert!(is_whole || story.lost != Some(Disconnect::Closed), "{story:?}");
        if let Some(cause) = story.cause {
            let is_right = matches!(cause.reason(), Reason::Truncated | Reason::Lost(_));
            assert!(is_right, "{cause:?}");
        }
    }
    port.stop_listening().await
}
