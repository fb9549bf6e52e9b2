//! A site over TLS: `cargo run --example https`, then `curl -k https://127.0.0.1:8443/`.
//!
//! It speaks HTTP/2 with those who can and HTTP/1.1 with everybody else; nothing has to be said for that.
//! Another place can be named: `https tls:443:certs=/etc/certificates`.

use ropewalk::http::{Request, Site};

const HERE: &str = "tls:8443:self-signed:interface=127.0.0.1";

fn main() -> Result<(), ropewalk::Failure> {
    let place = std::env::args().nth(1);
    let site = Site::new(|request: Request| format!("You speak {:?}.\n", request.version()));
    ropewalk::serve(place.as_deref().unwrap_or(HERE), site)
}
