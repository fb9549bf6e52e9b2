//! On networks: in memory, simulated, and the system's own.

use ropewalk::endpoint::{client_from_string, server_from_string};
use ropewalk::protocol::{Address, Factory, listen};
use ropewalk::{Failure, Reactor};
use ropewalk_trial::{Clock, MemoryNetwork, Simulation};

use crate::ask::ask;
use crate::gopher::Gopher;

const HELLO: &str = "Hello, gopher!\r\n.\r\n";

fn gophers() -> impl Factory {
    |_: &Address| Some(Gopher::default())
}

#[test]
fn a_whole_service_runs_in_memory() {
    let network = MemoryNetwork::new(&Clock::new()).in_chunks_of(3);
    listen(&network.endpoint("memory:gopher"), gophers()).detach();
    let answers: Vec<_> =
        (0..100).map(|_| ask(&network.endpoint("memory:gopher"), "/hello\r\n")).collect();
    network.run();
    for answer in answers {
        assert_eq!(answer.now_or_never().expect("it is there").expect("it came"), HELLO);
    }
    assert_eq!(network.connections(), 0);
}

#[ropewalk_trial::test(seeds = 200, deadline = 120)]
async fn it_answers_in_all_weathers(simulation: Simulation) -> Result<(), Failure> {
    let port = listen(&simulation.server_endpoint("server", 70), gophers()).await?;
    let hosts = ["near", "far", "farther"];
    let asked =
        hosts.map(|host| ask(&simulation.client_endpoint(host, "server", 70), "/hello\r\n"));
    simulation.rough_weather();
    for answer in asked {
        assert_eq!(answer.await?, HELLO);
    }
    port.stop_listening().await
}

#[ropewalk_trial::test]
async fn it_answers_on_sockets(reactor: Reactor) -> Result<(), Failure> {
    let place = server_from_string(&reactor, "tcp:0:interface=127.0.0.1")?;
    let port = listen(&*place, gophers()).await?;
    let address = port.address().ip().expect("an address");
    let place = client_from_string(&reactor, &format!("tcp:127.0.0.1:{}", address.port()))?;
    assert_eq!(ask(&*place, "/hello\r\n").await?, HELLO);
    port.stop_listening().await
}
