//! Measures ours against its peers: the servers, the load, what they cost, and the tables of it.

mod amp;
mod contender;
mod database;
mod deferred;
mod echo;
mod framing;
mod hold;
mod http;
mod http2;
mod idle;
mod proc;
mod process;
mod runner;
mod shards;
mod sockets;
mod table;
mod timers;
mod tls;
mod udp;
mod wrk;

use clap::{Args, Subcommand};

use crate::Outcome;
use crate::bench::contender::Contender;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// AMP calls for each second that the server spends on the CPU, beside Twisted.
    ///
    /// Over one connection, with one call in flight and with a hundred.
    Amp,
    /// Connections a second that come, say a byte and go, on a bare loop, ours and its peers.
    Accept(echo::Options),
    /// CPU time a round trip of an echo, and the throughput of one connection.
    ///
    /// A bare epoll loop, ours on epoll and on `io_uring`, tokio, monoio, libuv and Twisted, each on one
    /// thread; measured as `http` is.
    Echo(echo::Options),
    /// CPU time a request and requests a second: pages, bodies, files, TLS, clients, proxies, WebSockets.
    ///
    /// Each server is pinned to one CPU and the load to another; servers take turns within each round,
    /// so that a busy minute of the machine hits them all. Medians are shown, and ratios to the bare
    /// loop and to ours: those are what holds from machine to machine.
    Http(http::Options),
    /// CPU time a request of HTTP/2, at 1, 10 and 100 streams of one connection, with small and large
    /// bodies, beside hyper on h2, nghttpd and nginx; and memory of idle connections.
    ///
    /// In clear, with `h2load` as the load; measured as `http` is.
    Http2(http2::Options),
    /// Memory of the server for each idle keep-alive connection.
    ///
    /// Counted are the pages that the server alone has written (private dirty, and swapped); resident
    /// size is shown beside it. Each connection has made one request before it falls idle.
    Idle(idle::Options),
    /// What a query costs: our pool over bare `rusqlite`, and PostgreSQL beside `tokio-postgres`.
    Database(database::Options),
    /// Instructions and allocations of deferreds, against futures, tokio's oneshot and Twisted.
    ///
    /// Valgrind counts the instructions, so a busy machine changes nothing.
    Deferred(deferred::Options),
    /// Lines for each second on the CPU, in MB, beside tokio-util's `LinesCodec`.
    ///
    /// Both get the same stream in turn; medians are shown.
    Framing(framing::Options),
    /// TLS: CPU time a handshake, full and resumed, and a MiB in writes of 16 KiB and 64 bytes, and memory
    /// of idle connections.
    ///
    /// rustls on a loop that blocks, ours, tokio-rustls, nginx and OpenSSL's `s_server`, each on one
    /// thread; measured as `http` is. OpenSSL's `s_time` is a second load.
    Tls(tls::Options),
    /// UDP echo: datagrams for each second that the server spends on the CPU, on both of its
    /// fast drivers, beside bare loops and tokio.
    Udp(udp::Options),
    /// Processes started and reaped for each second on the CPU, beside tokio, the standard library and
    /// Twisted.
    Process(process::Options),
    /// One shard and two under HTTP hello, beside hyper on tokio's multi-thread runtime and nginx's workers;
    /// and how evenly connections are dealt out.
    Shards(shards::Options),
    /// CPU time a timer, beside a thousand to a million that wait; ours and tokio's.
    Timers(timers::Options),
}

/// Which servers, and how to print what was found.
#[derive(Args)]
pub(crate) struct Common {
    /// The peers to measure, none if none is named; the bare loop and ours always are.
    #[arg(long, num_args = 0.., value_delimiter = ',', value_enum)]
    #[arg(default_values_t = Contender::PEERS)]
    peers: Vec<Contender>,
    /// Print the tables as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// Measures; whether all of it could be measured.
pub(crate) fn run(bench: &Bench) -> Outcome<bool> {
    match bench {
        Bench::Amp => amp::run(),
        Bench::Accept(options) => echo::run_accept(options),
        Bench::Echo(options) => echo::run(options),
        Bench::Http(options) => http::run(options),
        Bench::Http2(options) => http2::run(options),
        Bench::Idle(options) => idle::run(options),
        Bench::Database(options) => database::run(options),
        Bench::Deferred(options) => deferred::run(options).map(|()| true),
        Bench::Framing(options) => framing::run(options).map(|()| true),
        Bench::Udp(options) => udp::run(options),
        Bench::Tls(options) => tls::run(options),
        Bench::Process(options) => process::run(options),
        Bench::Shards(options) => shards::run(options),
        Bench::Timers(options) => timers::run(options),
    }
}
