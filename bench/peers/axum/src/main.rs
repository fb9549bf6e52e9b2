//! axum 0.8 on one tokio thread, files by tower-http.

use std::io;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use futures_util::StreamExt as _;
use peer_common::{BODY, FIELDS, LENGTHS, announce, bytes, folder, listener, page};
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

type Bodies = Arc<[Bytes; LENGTHS.len()]>;

/// The fields that no request decides, and a place for each that it does: a copy has no room for more.
static FIXED: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut fixed = HeaderMap::with_capacity(FIELDS.len() + 4);
    for (name, value) in FIELDS {
        fixed.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    for name in [CONTENT_TYPE, CONTENT_LANGUAGE, REQUEST_ID] {
        fixed.insert(name, HeaderValue::from_static(""));
    }
    fixed
});
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

async fn dynamic(
    Path((user, post)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    asked: HeaderMap,
) -> Response {
    let language = asked.get(ACCEPT_LANGUAGE).cloned();
    let language = language.unwrap_or(HeaderValue::from_static("en"));
    let query = query.unwrap_or_default();
    let text = page(&user, &post, &query, language.to_str().unwrap_or_default());
    let mut headers = FIXED.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LANGUAGE, language);
    match asked.get("x-request-id") {
        Some(id) => headers.insert(REQUEST_ID, id.clone()),
        None => headers.remove(REQUEST_ID),
    };
    let mut response = Response::new(Body::from(text));
    *response.headers_mut() = headers;
    response
}

async fn some_bytes(
    Path(length): Path<usize>,
    State(bodies): State<Bodies>,
) -> Result<Bytes, StatusCode> {
    let body = bodies.iter().find(|body| body.len() == length);
    body.cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn upload(body: Body) -> Result<String, StatusCode> {
    let mut pieces = body.into_data_stream();
    let mut count = 0;
    while let Some(piece) = pieces.next().await {
        count += piece.map_err(|_| StatusCode::BAD_REQUEST)?.len();
    }
    Ok(count.to_string())
}

async fn serve() -> io::Result<()> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    announce(listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("connection: {error}");
        }
    });
    let bodies: Bodies = Arc::new(LENGTHS.map(|length| Bytes::from(bytes(length))));
    let router = Router::new()
        .route("/", get(async || BODY))
        .route("/users/{user}/posts/{post}", get(dynamic))
        .route("/bytes/{length}", get(some_bytes))
        .route("/upload", post(upload))
        .with_state(bodies);
    let router = match folder() {
        Some(folder) => router.nest_service("/static", ServeDir::new(folder)),
        None => router,
    };
    axum::serve(listener, router).await
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}
