//! Hello from ntex with one worker.

use std::io;

use ntex::SharedCfg;
use ntex::http::{HttpServiceConfig, KeepAlive};
use ntex::time::Seconds;
use ntex::web::{self, App, HttpResponse, HttpServer};
use peer_common::{BODY, PATIENCE_SECONDS, announce, listener};

async fn hello() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(BODY)
}

#[ntex::main]
async fn main() -> io::Result<()> {
    let listener = listener()?;
    let address = listener.local_addr()?;
    let patience = KeepAlive::Timeout(Seconds(PATIENCE_SECONDS));
    let server = HttpServer::new(async || App::new().route("/", web::get().to(hello)))
        .workers(1)
        .config(SharedCfg::new("hello").add(HttpServiceConfig::new().set_keepalive(patience)))
        .listen(listener)?;
    announce(address)?;
    server.run().await
}
