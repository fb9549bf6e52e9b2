//! HTTP/2 of hyper 1 and h2, in clear, on one tokio thread.

use std::convert::Infallible;
use std::error::Error;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use peer_common::{BODY, LENGTHS, announce, bytes, length, listener};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

type Answer = Response<Full<Bytes>>;
type Bodies = [Bytes; LENGTHS.len()];

/// Tasks of streams stay on the thread.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

async fn answer(request: Request<Incoming>, bodies: Rc<Bodies>) -> Result<Answer, Infallible> {
    let path = request.uri().path();
    let body = if path == "/" {
        Some(Bytes::from_static(BODY.as_bytes()))
    } else {
        length(path).and_then(|length| bodies.iter().find(|body| body.len() == length).cloned())
    };
    let mut response = Answer::default();
    match body {
        Some(body) => {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            *response.body_mut() = Full::new(body);
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    Ok(response)
}

async fn serve() -> Result<(), Box<dyn Error + Send + Sync>> {
    let listener = listener()?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let bodies = Rc::new(LENGTHS.map(|length| Bytes::from(bytes(length))));
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bodies = Rc::clone(&bodies);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, Rc::clone(&bodies)));
            let served =
                http2::Builder::new(Local).serve_connection(TokioIo::new(stream), service);
            // A client that hangs up is an error here, and the load's way.
            let _ = served.await;
        });
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve())
}
