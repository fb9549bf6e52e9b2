//! ntex with one worker, files by ntex-files.

use std::io;

use ntex::SharedCfg;
use ntex::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, HeaderValue};
use ntex::http::{HttpServiceConfig, KeepAlive};
use ntex::time::Seconds;
use ntex::util::Bytes;
use ntex::web::types::{Path, Payload, State};
use ntex::web::{self, App, HttpRequest, HttpResponse, HttpServer};
use ntex_files::Files;
use peer_common::{
    BODY, FIELDS, LENGTHS, PATIENCE_SECONDS, announce, bytes, folder, is_encrypted, listener, page,
};

async fn hello() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body(BODY)
}

async fn dynamic(request: HttpRequest, path: Path<(String, String)>) -> HttpResponse {
    let english = HeaderValue::from_static("en");
    let language = request.headers().get(ACCEPT_LANGUAGE).unwrap_or(&english);
    let mut response = HttpResponse::Ok();
    response.content_type("text/plain");
    for (name, value) in FIELDS {
        response.set_header(name, value);
    }
    response.set_header(CONTENT_LANGUAGE, language.clone());
    if let Some(id) = request.headers().get("x-request-id") {
        response.set_header("x-request-id", id.clone());
    }
    let language = language.to_str().unwrap_or_default();
    response.body(page(&path.0, &path.1, request.query_string(), language))
}

async fn some_bytes(path: Path<usize>, bodies: State<[Bytes; LENGTHS.len()]>) -> HttpResponse {
    match bodies.iter().find(|body| body.len() == *path) {
        Some(body) => HttpResponse::Ok().content_type("text/plain").body(body.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn upload(mut body: Payload) -> Result<HttpResponse, web::Error> {
    let mut count = 0;
    while let Some(piece) = body.recv().await {
        count += piece?.len();
    }
    Ok(HttpResponse::Ok().content_type("text/plain").body(count.to_string()))
}

#[ntex::main]
async fn main() -> io::Result<()> {
    let listener = listener()?;
    let address = listener.local_addr()?;
    let patience = KeepAlive::Timeout(Seconds(PATIENCE_SECONDS));
    let bodies = LENGTHS.map(|length| Bytes::from(bytes(length)));
    let server = HttpServer::new(async move || {
        let app = App::new()
            .state(bodies.clone())
            .route("/", web::get().to(hello))
            .route("/users/{user}/posts/{post}", web::get().to(dynamic))
            .route("/bytes/{length}", web::get().to(some_bytes))
            .route("/upload", web::post().to(upload));
        match folder() {
            Some(folder) => app.service(Files::new("/static", folder)),
            None => app.service(Files::new("/static", ".")),
        }
    })
    .workers(1)
    .config(SharedCfg::new("hello").add(HttpServiceConfig::new().set_keepalive(patience)));
    let server = match folder().filter(|_| is_encrypted()) {
        Some(folder) => {
            let config = peer_papers::server_config(&folder).map_err(io::Error::other)?;
            server.listen_rustls(listener, config)?
        }
        None => server.listen(listener)?,
    };
    announce(address)?;
    server.run().await
}
