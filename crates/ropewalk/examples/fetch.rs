//! Gets what is at each URL that it is told, all at once, and says how much there is.

use std::env;

use ropewalk::deferred::{Rest, gather};
use ropewalk::protocol::{Exit, react};
use ropewalk::{Failure, Reactor, http};

fn main() -> Result<Exit, Failure> {
    let reactor = Reactor::new()?;
    Ok(react(&reactor, |reactor| {
        let agent = http::agent(reactor).build();
        let pages = env::args().skip(1).map(|url| {
            agent.get(&url).send().add_callback(|answer| {
                let line = format!("{} {}", answer.status(), answer.url());
                answer.bytes().map(move |body| println!("{line}: {} bytes", body.len()))
            })
        });
        gather(pages, Rest::Cancel).map(|_| ())
    }))
}
