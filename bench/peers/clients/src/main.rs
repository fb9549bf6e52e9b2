//! HTTP clients on one thread: `peer-clients hyper|reqwest|awc ADDRESS CONCURRENCY SECONDS`.
//!
//! So many tasks ask for `/`, read the whole answer and ask again. At the end `done REQUESTS`.

#![allow(clippy::disallowed_methods, reason = "a load keeps the time of the world")]

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long every answer's body is.
const LENGTH: usize = "Hello, World!".len();

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [kind, address, concurrency, seconds] = words.as_slice() else {
        return Err("usage: peer-clients hyper|reqwest|awc ADDRESS CONCURRENCY SECONDS".into());
    };
    let url = format!("http://{address}/");
    let concurrency: usize = concurrency.parse()?;
    let until = Instant::now() + Duration::from_secs(seconds.parse()?);
    let count = match kind.as_str() {
        "hyper" => {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client = Client::builder(TokioExecutor::new()).build(connector);
            let url: hyper::Uri = url.parse()?;
            let ask = async move || by_hyper(&client, url.clone()).await;
            actix_rt::System::new().block_on(all(concurrency, until, ask))?
        }
        "reqwest" => {
            let client = reqwest::Client::builder().build()?;
            let url: reqwest::Url = url.parse()?;
            let ask = async move || {
                let response = client.get(url.clone()).send().await?;
                Ok(response.bytes().await?.len())
            };
            actix_rt::System::new().block_on(all(concurrency, until, ask))?
        }
        "awc" => actix_rt::System::new().block_on(async move {
            let client = awc::Client::builder().disable_timeout().finish();
            let ask = async move || {
                let mut response =
                    client.get(&url).send().await.map_err(|error| error.to_string())?;
                Ok(response.body().await.map_err(|error| error.to_string())?.len())
            };
            all(concurrency, until, ask).await
        })?,
        _ => return Err("there are hyper, reqwest and awc".into()),
    };
    println!("done {count}");
    Ok(())
}

async fn by_hyper(client: &Client<HttpConnector, Empty<Bytes>>, url: hyper::Uri) -> Outcome<usize> {
    let mut request = hyper::Request::new(Empty::new());
    *request.uri_mut() = url;
    let response = client.request(request).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}

/// Has so many tasks ask until it is time; how many answers came.
async fn all(
    concurrency: usize,
    until: Instant,
    ask: impl AsyncFn() -> Outcome<usize> + 'static,
) -> Outcome<u64> {
    let (count, ask) = (Rc::new(Cell::new(0)), Rc::new(ask));
    let tasks: Vec<_> = (0..concurrency)
        .map(|_| {
            let (count, ask) = (Rc::clone(&count), Rc::clone(&ask));
            actix_rt::spawn(async move {
                while Instant::now() < until {
                    match ask().await {
                        Ok(LENGTH) => count.set(count.get() + 1),
                        Ok(other) => return Err(format!("an answer of {other} bytes")),
                        Err(error) => return Err(error.to_string()),
                    }
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(count.get())
}
