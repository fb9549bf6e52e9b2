//! Many connections, and more than there is room for.

use std::env;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use ropewalk_http::Request;
use ropewalk_interop::Peer;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::server::{Server, listen, site};
use crate::strangers::{connect, get};
use crate::support::reactor;

/// Set for the child that a test starts of its own program.
const SERVE: &str = "ROPEWALK_INTEROP_SERVE";

#[test]
fn two_thousand_silent_connections_cost_no_work() {
    const COUNT: usize = 2000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
        .expect("as many descriptors as we may have");
    let server = Server::start();
    let crowd: Vec<TcpStream> = (0..COUNT).map(|_| connect(server.address)).collect();
    let mut client = connect(server.address);
    assert_eq!(get(&mut client).expect("an answer"), 200);
    assert_eq!(server.connections(), COUNT + 1);

    let quiet = server.work_during(Duration::from_secs(1));
    let work = quiet.recv().expect("a measurement");
    assert!(work < Duration::from_millis(20), "{work:?} of a second of silence");
    assert_eq!(get(&mut client).expect("an answer"), 200);
    drop(crowd);
}

/// What the child does.
fn serve() {
    let reactor = reactor();
    let address = listen(&reactor, site(|_: Request| "nothing"));
    // The harness may have begun a line.
    println!("\nlistening {address}");
    reactor.run().expect("a loop that runs");
}

#[test]
fn a_server_without_descriptors_recovers() {
    if env::var_os(SERVE).is_some() {
        return serve();
    }
    let program = env::current_exe().expect("this program");
    let script = r#"ulimit -n 40; exec "$0" --exact "$1" --nocapture"#;
    let test = "crowds::a_server_without_descriptors_recovers";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program).arg(test).env(SERVE, "1");
    let mut server = Peer::start(&mut command).expect("a server");
    let address = server.listening().expect("its address");

    let mut first = connect(address);
    assert_eq!(get(&mut first).expect("an answer"), 200);
    // The system takes them in; the server cannot.
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
    assert_eq!(get(&mut first).expect("those who are in are served"), 200);

    // Whom there is no room for is turned away rather than left waiting: the last one hears so.
    let mut last = crowd.pop().expect("a crowd");
    let heard = last.read(&mut [0; 1]);
    assert!(!matches!(heard, Ok(1..)), "an answer to no question");
    assert_eq!(get(&mut first).expect("those who are in are served"), 200);

    drop(crowd);
    let mut after = connect(address);
    assert_eq!(get(&mut after).expect("there is room again"), 200);
    assert_eq!(server.ended().expect("a state"), None);
}
