//! actix-web 4 with one worker, files by actix-files.

use std::io;
use std::time::Duration;

use actix_files::Files;
use actix_web::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, ContentType, HeaderValue};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use futures_util::StreamExt as _;
use peer_common::{
    BODY, FIELDS, LENGTHS, PATIENCE_SECONDS, announce, bytes, folder, is_encrypted, listener, page,
};

async fn hello() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body(BODY)
}

async fn dynamic(request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let english = HeaderValue::from_static("en");
    let language = request.headers().get(ACCEPT_LANGUAGE).unwrap_or(&english);
    let (user, post) = path.into_inner();
    let mut response = HttpResponse::Ok();
    response.content_type(ContentType::plaintext());
    for field in FIELDS {
        response.insert_header(field);
    }
    response.insert_header((CONTENT_LANGUAGE, language.clone()));
    if let Some(id) = request.headers().get("x-request-id") {
        response.insert_header(("x-request-id", id.clone()));
    }
    let language = language.to_str().unwrap_or_default();
    response.body(page(&user, &post, request.query_string(), language))
}

async fn some_bytes(
    path: web::Path<usize>,
    bodies: web::Data<[web::Bytes; LENGTHS.len()]>,
) -> HttpResponse {
    match bodies.iter().find(|body| body.len() == *path) {
        Some(body) => HttpResponse::Ok().content_type(ContentType::plaintext()).body(body.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn upload(mut body: web::Payload) -> actix_web::Result<HttpResponse> {
    let mut count = 0;
    while let Some(piece) = body.next().await {
        count += piece?.len();
    }
    Ok(HttpResponse::Ok().content_type(ContentType::plaintext()).body(count.to_string()))
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let bodies = web::Data::new(LENGTHS.map(|length| web::Bytes::from(bytes(length))));
    let files = folder();
    let server = HttpServer::new(move || {
        let app = App::new()
            .app_data(bodies.clone())
            .route("/", web::get().to(hello))
            .route("/users/{user}/posts/{post}", web::get().to(dynamic))
            .route("/bytes/{length}", web::get().to(some_bytes))
            .route("/upload", web::post().to(upload));
        match &files {
            Some(folder) => app.service(Files::new("/static", folder)),
            None => app,
        }
    })
    .workers(1)
    .keep_alive(Duration::from_secs(PATIENCE_SECONDS.into()));
    let server = match folder().filter(|_| is_encrypted()) {
        Some(folder) => {
            let config = peer_papers::server_config(&folder).map_err(io::Error::other)?;
            server.listen_rustls_0_23(listener()?, config)?
        }
        None => server.listen(listener()?)?,
    };
    announce(server.addrs()[0])?;
    server.run().await
}
