//! TLS on four servers, and the load: `papers`, `serve` and `load`, told by `cargo xtask bench tls`.
//!
//! Each server listens on a free port of `127.0.0.1`, prints `listening ADDRESS`, and answers on one thread.
//! `GET /SIZE/TOTAL` is answered by so many bytes, written in pieces of that size, and the end, `GET
//! /SIZE/TOTAL/shared` the same without a copy where that can be, `GET /SIZE/TOTAL/each` with one piece after
//! the other gone; `GET /keep` by
//! 64 bytes and no end. The cryptography, key, tickets and library are the same for all.

mod bare;
mod epoll;
mod load;
mod ours;
mod papers;
mod request;
mod tokio_server;

use std::error::Error;
use std::path::Path;

const USAGE: &str = "usage: bench-tls papers FOLDER
       bench-tls serve bare|epoll|ropewalk|tokio FOLDER
       bench-tls load ADDRESS FOLDER full|resumed CLIENTS SECONDS
       bench-tls load ADDRESS FOLDER bulk SIZE TOTAL slices|shared|each SECONDS
       bench-tls load ADDRESS FOLDER hold CONNECTIONS";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["papers", folder] => papers::write(Path::new(folder)),
        ["serve", "bare", folder] => bare::serve(Path::new(folder)),
        ["serve", "epoll", folder] => epoll::serve(Path::new(folder)),
        ["serve", "ropewalk", folder] => ours::serve(Path::new(folder)),
        ["serve", "tokio", folder] => tokio_server::serve(Path::new(folder)),
        ["load", address, folder, "full", clients, seconds] => {
            load::shake(address, Path::new(folder), false, clients.parse()?, seconds.parse()?)
        }
        ["load", address, folder, "resumed", clients, seconds] => {
            load::shake(address, Path::new(folder), true, clients.parse()?, seconds.parse()?)
        }
        ["load", address, folder, "bulk", size, total, manner, seconds] => {
            let (size, total, seconds) = (size.parse()?, total.parse()?, seconds.parse()?);
            load::bulk(address, Path::new(folder), size, total, manner, seconds)
        }
        ["load", address, folder, "hold", connections] => {
            load::hold(address, Path::new(folder), connections.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}
