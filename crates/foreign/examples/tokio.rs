//! A site of ours and a server of tokio's, on one thread.
//!
//! `cargo run -p ropewalk-foreign --example tokio`, then `curl http://127.0.0.1:8080/` and
//! `curl http://127.0.0.1:8081/`: each tells how often the other was asked.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use ropewalk_foreign::host_in_tokio;
use ropewalk_http::{Request, Site};
use ropewalk_protocol::Address;
use ropewalk_reactor::{DriverKind, Reactor, TcpListenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

fn main() -> Result<(), Box<dyn Error>> {
    let mut ports = std::env::args().skip(1).map(|port| port.parse::<u16>());
    let ours = ports.next().unwrap_or(Ok(8080))?;
    let theirs = ports.next().unwrap_or(Ok(8081))?;
    // One thread: plain counters will do.
    let (asked_us, asked_them) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));

    let reactor = Reactor::with_driver(DriverKind::from_environment()?.unwrap_or_default())?;
    let (us, them) = (Rc::clone(&asked_us), Rc::clone(&asked_them));
    let site = Site::new(move |_: Request| {
        us.set(us.get() + 1);
        format!("tokio's server was asked {} times\n", them.get())
    });
    let factory = Box::new(move |_: &Address| Some(site.server()));
    let address = ([127, 0, 0, 1], ours).into();
    let _port = reactor.listen_tcp(address, TcpListenOptions::default(), factory)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    runtime.block_on(local.run_until(async {
        let listener = TcpListener::bind(("127.0.0.1", theirs)).await?;
        spawn_local(serve(listener, asked_us, asked_them));
        println!("http://127.0.0.1:{ours}/ and http://127.0.0.1:{theirs}/");
        host_in_tokio(&reactor).await?;
        Ok(())
    }))
}

/// As much of a server as this needs.
async fn serve(listener: TcpListener, asked_us: Rc<Cell<u32>>, asked_them: Rc<Cell<u32>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        asked_them.set(asked_them.get() + 1);
        let text = format!("our site was asked {} times\n", asked_us.get());
        let length = text.len();
        spawn_local(async move {
            // What was asked does not matter, and a client that has gone even less.
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n");
            let answer = format!("{head}Connection: close\r\n\r\n{text}");
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}
