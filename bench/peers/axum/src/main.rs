//! Hello from axum 0.8 on one tokio thread.

use std::io;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use peer_common::{BODY, announce, listener};
use tokio::net::TcpListener;

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
    axum::serve(listener, Router::new().route("/", get(async || BODY))).await
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve())
}
