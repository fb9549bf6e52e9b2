//! An axum router on our reactor, without a tokio runtime: `curl http://127.0.0.1:8080/hello/you`.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use ropewalk::Reactor;
use ropewalk::endpoint::server_from_string;
use ropewalk::http::{Request, Site, Tree};
use ropewalk::protocol::listen;
use ropewalk::tower::ServiceResource;

async fn hello(Path(name): Path<String>) -> String {
    format!("hello, {name}\n")
}

fn main() -> Result<(), ropewalk::Failure> {
    let reactor = Reactor::new()?;
    let router = Router::new().route("/hello/{name}", get(hello));
    // What axum does not know, and what it does, in one site.
    let tree = Tree::new()
        .index(|_: Request| "ask for /hello/NAME\n")
        .otherwise(ServiceResource::new(router, reactor.clone()));
    let place = server_from_string(&reactor, "tcp:8080:interface=127.0.0.1")?;
    let port = reactor.run_until(listen(&*place, Site::new(tree)))?;
    println!("listening {}", port.address());
    reactor.run()?;
    Ok(())
}
