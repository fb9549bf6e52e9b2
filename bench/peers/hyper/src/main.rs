//! hyper 1 on one tokio thread. It has no router and no files: paths are told apart by hand.

use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use peer_common::{
    BODY, FIELDS, LENGTHS, announce, bytes, folder, is_encrypted, length, listener, page,
    user_and_post,
};
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

type Answer = Response<Full<Bytes>>;
type Bodies = [Bytes; LENGTHS.len()];

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

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

fn text(body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response
}

fn dynamic(request: &Request<Incoming>, user: &str, post: &str) -> Answer {
    let id = request.headers().get("x-request-id").cloned();
    let language = request.headers().get(ACCEPT_LANGUAGE).cloned();
    let language = language.unwrap_or(HeaderValue::from_static("en"));
    let query = request.uri().query().unwrap_or_default();
    let body = page(user, post, query, language.to_str().unwrap_or_default());
    let mut response = Response::new(Full::new(body.into()));
    let mut headers = FIXED.clone();
    headers.insert(CONTENT_TYPE, PLAIN);
    headers.insert(CONTENT_LANGUAGE, language);
    match id {
        Some(id) => headers.insert(REQUEST_ID, id),
        None => headers.remove(REQUEST_ID),
    };
    *response.headers_mut() = headers;
    response
}

async fn upload(mut body: Incoming) -> Result<Answer, hyper::Error> {
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        count += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(text(count.to_string().into()))
}

async fn answer(request: Request<Incoming>, bodies: Rc<Bodies>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    if path == "/" {
        return Ok(text(Bytes::from_static(BODY.as_bytes())));
    }
    if let Some((user, post)) = user_and_post(path) {
        return Ok(dynamic(&request, user, post));
    }
    if let Some(length) = length(path) {
        let body = bodies.iter().find(|body| body.len() == length);
        return Ok(text(body.cloned().unwrap_or_default()));
    }
    if request.method() == Method::POST && path == "/upload" {
        return Ok(upload(request.into_body()).await.unwrap_or_default());
    }
    let mut response = Answer::default();
    *response.status_mut() = StatusCode::NOT_FOUND;
    Ok(response)
}

async fn converse(stream: impl Read + Write + Unpin, bodies: Rc<Bodies>) {
    // Answers to pipelined requests leave together: hyper at its best.
    let connection = http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(stream, service_fn(|request| answer(request, Rc::clone(&bodies))));
    // A client that hangs up in the middle of a request is an error here, and the load's way.
    let _ = connection.await;
}

async fn serve() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let tls = match folder().filter(|_| is_encrypted()) {
        Some(folder) => Some(TlsAcceptor::from(Arc::new(peer_papers::server_config(&folder)?))),
        None => None,
    };
    let bodies = Rc::new(LENGTHS.map(|length| Bytes::from(bytes(length))));
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, bodies) = (tls.clone(), Rc::clone(&bodies));
        tokio::task::spawn_local(async move {
            match tls {
                None => converse(TokioIo::new(stream), bodies).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => converse(TokioIo::new(stream), bodies).await,
                    Err(error) => eprintln!("handshake: {error}"),
                },
            }
        });
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve())
}
