//! Hello from `may_minihttp` with one worker.

use std::io;

use may_minihttp::{HttpServer, HttpService, Request, Response};
use peer_common::{BODY, announce, listener};

#[derive(Clone)]
struct Hello;

impl HttpService for Hello {
    fn call(&mut self, _: Request, response: &mut Response) -> io::Result<()> {
        response.header("Content-Type: text/plain").body(BODY);
        Ok(())
    }
}

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    // It takes no listener, only an address, and does not tell the port that it got.
    let address = listener()?.local_addr()?;
    let server = HttpServer(Hello).start(address)?;
    announce(address)?;
    server.join().map_err(|_| io::Error::other("the acceptor panicked"))
}
