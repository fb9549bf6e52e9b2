use std::process::Command;

use ropewalk::http;
use ropewalk_interop::{Peer, free_port, tool, wait_for_port};

use crate::page;
use crate::servers::{Nginx, local};
use crate::support::reactor;

#[test]
fn both_schemes_go_through_both_kinds_of_proxy() {
    let nginx = Nginx::start();
    let (connect, socks) = (free_port().expect("a port"), free_port().expect("a port"));
    let mut ncat = Command::new(tool("ncat"));
    ncat.args(["-l", "-k", "--proxy-type", "http", "127.0.0.1", &connect.to_string()]);
    let _ncat = Peer::start(&mut ncat).expect("ncat starts");
    let mut microsocks = Command::new(tool("microsocks"));
    microsocks.args(["-i", "127.0.0.1", "-p", &socks.to_string()]);
    let _microsocks = Peer::start(&mut microsocks).expect("microsocks starts");
    wait_for_port(local(connect)).expect("ncat listens");
    wait_for_port(local(socks)).expect("microsocks listens");

    let reactor = reactor();
    let agents = [
        http::agent(&reactor).http_proxy(&format!("tcp:127.0.0.1:{connect}")).expect("a place"),
        http::agent(&reactor).socks5_proxy(&format!("tcp:127.0.0.1:{socks}")).expect("a place"),
    ];
    for agent in agents {
        let agent = agent.tls(nginx.tls()).build();
        let urls = [
            format!("http://127.0.0.1:{}/hello.txt", nginx.port),
            format!("https://localhost:{}/hello.txt", nginx.tls_port),
        ];
        for url in urls {
            let text = page(&reactor, agent.get(&url).send()).expect("a page");
            assert_eq!(text, (200, "hello ".repeat(1000).into()), "{url}");
        }
        assert_eq!(agent.connections(), (2, 2));
    }
}
