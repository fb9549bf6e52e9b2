//! What `cargo xtask bench shards` runs.
//!
//! - `serve COUNT DEALING` answers hello over HTTP in so many threads, on any free port;
//! - `hyper COUNT` does so with hyper on tokio's multi-thread runtime;
//! - `spread DEALING CONNECTIONS ROUNDS` opens so many connections that stay, to two shards, and prints the
//!   share of whoever has more of them, in a hundred, as a mean and at worst;
//! - `accept DEALING CONNECTIONS` has so many come, say a byte and go, and prints what CPU time one takes
//!   of two shards, in nanoseconds.
//!
//! DEALING is `system`, `even` or `first`.

use std::convert::Infallible;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ropewalk_http::{Request, Site};
use ropewalk_protocol::{Address, Conn, Factory, Port as _, Protocol};
use ropewalk_reactor::TcpListenOptions;
use ropewalk_shards::{Dealing, Shard, Shards};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const BODY: &str = "Hello, World!";

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match word(0) {
        "serve" => serve(word(1).parse()?, dealing(word(2))?),
        "hyper" => hyper(word(1).parse()?),
        "spread" => spread(dealing(word(1))?, word(2).parse()?, word(3).parse()?),
        "accept" => accept(dealing(word(1))?, word(2).parse()?),
        _ => Err("usage: bench-shards serve|hyper|spread|accept …".into()),
    }
}

fn dealing(word: &str) -> Outcome<Dealing> {
    match word {
        "system" => Ok(Dealing::System),
        "even" => Ok(Dealing::default()),
        "first" => Ok(Dealing::FirstCome),
        _ => Err(format!("no dealing {word:?}").into()),
    }
}

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn serve(count: usize, dealing: Dealing) -> Outcome<()> {
    Shards::new(count).dealing(dealing).run(|shard| {
        let site = Site::new(|_: Request| BODY);
        let options = TcpListenOptions::default();
        let port = shard.reactor().listen_tcp(anywhere(), options, Box::new(site))?;
        if shard.index() + 1 == shard.count() {
            println!("listening {}", port.address());
        }
        Ok(())
    })?;
    Ok(())
}

fn hyper(count: usize) -> Outcome<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(count).enable_io().build()?.block_on(async {
        let listener = TcpListener::bind(anywhere())?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        println!("listening {}", listener.local_addr()?);
        // Accepting is a task as the others are, so that it is done by a worker.
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    let hello = service_fn(|_: hyper::Request<Incoming>| async {
                        let body = Full::new(Bytes::from_static(BODY.as_bytes()));
                        Ok::<_, Infallible>(hyper::Response::new(body))
                    });
                    // A client that hangs up is an error here, and the load's way.
                    let _ =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), hello).await;
                });
            }
        })
        .await?
    })
}

/// Says which shard it is, then answers each byte with the same.
struct Numbered(u8);

impl Protocol for Numbered {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&[self.0]);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}

struct Numbers(u8);

impl Factory for Numbers {
    type Protocol = Numbered;

    fn build(&mut self, _: &Address) -> Option<Numbered> {
        Some(Numbered(self.0))
    }
}

fn listen(shard: &Shard, place: &Sender<SocketAddr>) -> Outcome<()> {
    let numbers = Numbers(u8::try_from(shard.index())?);
    let options = TcpListenOptions::default();
    let port = shard.reactor().listen_tcp(anywhere(), options, Box::new(numbers))?;
    place.send(port.address().ip().ok_or("no address")?)?;
    Ok(())
}

/// Two shards that serve numbers, while `client` is at work.
fn while_serving<T>(dealing: Dealing, client: impl FnOnce(SocketAddr) -> Outcome<T>) -> Outcome<T> {
    let shards = Shards::new(2).dealing(dealing).signals(false);
    let handle = shards.handle();
    let (sender, places) = channel();
    let run = move || {
        shards.run(|shard| {
            listen(shard, &sender).map_err(|error| std::io::Error::other(error.to_string()))?;
            Ok(())
        })
    };
    let running = thread::Builder::new().name("shard-0".to_owned()).spawn(run)?;
    let place = places.recv()?;
    places.recv()?;
    let done = client(place);
    handle.stop();
    running.join().map_err(|_| "the shards panicked")??;
    done
}

fn connect(place: SocketAddr) -> Outcome<(TcpStream, u8)> {
    let mut stream = TcpStream::connect(place)?;
    let mut shard = [0];
    stream.read_exact(&mut shard)?;
    Ok((stream, shard[0]))
}

fn spread(dealing: Dealing, connections: u32, rounds: u32) -> Outcome<()> {
    let (mut sum, mut worst) = (0.0, 0.0_f64);
    for _ in 0..rounds {
        let share = while_serving(dealing, |place| {
            let open: Outcome<Vec<_>> = (0..connections).map(|_| connect(place)).collect();
            let first = u32::try_from(open?.iter().filter(|(_, shard)| *shard == 0).count())?;
            let more = first.max(connections - first);
            Ok(f64::from(more) * 100.0 / f64::from(connections))
        })?;
        sum += share;
        worst = worst.max(share);
    }
    println!("{:.1} {worst:.1}", sum / f64::from(rounds));
    Ok(())
}

/// The CPU time that the shards have had, in nanoseconds.
fn shards_time() -> Outcome<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.starts_with("shard-") {
            let times = std::fs::read_to_string(task.join("schedstat"))?;
            sum += times.split_whitespace().next().ok_or("no time")?.parse::<u64>()?;
        }
    }
    Ok(sum)
}

fn accept(dealing: Dealing, connections: u64) -> Outcome<()> {
    let time = while_serving(dealing, |place| {
        let before = shards_time()?;
        for _ in 0..connections {
            let (mut stream, _) = connect(place)?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
        }
        Ok(shards_time()? - before)
    })?;
    println!("{}", time / connections);
    Ok(())
}
