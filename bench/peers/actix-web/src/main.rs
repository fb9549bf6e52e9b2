//! Hello from actix-web 4 with one worker.

use std::io;
use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::{App, HttpResponse, HttpServer, web};
use peer_common::{BODY, PATIENCE_SECONDS, announce, listener};

async fn hello() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body(BODY)
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let server = HttpServer::new(|| App::new().route("/", web::get().to(hello)))
        .workers(1)
        .keep_alive(Duration::from_secs(PATIENCE_SECONDS.into()))
        .listen(listener()?)?;
    announce(server.addrs()[0])?;
    server.run().await
}
