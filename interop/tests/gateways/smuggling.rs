//! Each case of the corpus goes through the proxy to an origin that tells what it saw. What it saw has to
//! be what the client was answered, one by one and in order: nothing more, nothing less, nothing else.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use ropewalk::http::{Request, Site};
use ropewalk_interop::{TempDir, free_port};

use crate::house::House;
use crate::in_front_of;
use crate::origins::{local, nginx};

#[path = "../../../crates/http/tests/corpus/mod.rs"]
mod corpus;

use corpus::Outcome;

/// The field in which an origin says what it saw.
const SAW: &str = "\r\nx-saw: ";

/// What a client is answered that says this and no more.
fn answered(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    // A server that has heard enough may be gone before all is said.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => answers.extend_from_slice(&piece[..length]),
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the proxy hangs");
                break;
            }
        }
    }
    String::from_utf8_lossy(&answers).into_owned()
}

/// Sends the corpus through; what the answers say that the origin saw, of how many whole requests.
fn send_corpus(address: SocketAddr) -> (Vec<String>, usize) {
    let (mut seen, mut whole) = (Vec::new(), 0);
    for case in corpus::cases() {
        // nginx writes its name in its own way, and so it comes.
        let answers = answered(address, &case.bytes).replace("\r\nX-Saw: ", SAW);
        let told: Vec<_> = answers
            .split(SAW)
            .skip(1)
            .map(|rest| rest.split("\r\n").next().unwrap_or_default().to_owned())
            .collect();
        let fits = case.outcomes.iter().filter(|&&outcome| outcome == Outcome::Whole).count();
        assert!(told.len() <= fits, "{}: {told:?} of {fits}", case.name);
        whole += fits;
        seen.extend(told);
    }
    (seen, whole)
}

#[test]
fn nginx_sees_what_the_proxy_sees() {
    let folder = TempDir::new("smuggling").expect("a folder");
    let (front, back) = (free_port().expect("a port"), free_port().expect("a port"));
    let log = folder.path().join("log");
    // The front one takes a whole request before it asks the back one, and logs what it saw.
    let rules = format!(
        "log_format seen '$status $request_method $request_uri';
        large_client_header_buffers 8 64k; keepalive_requests 10000;
        server {{
          listen 127.0.0.1:{front}; access_log {} seen;
          location / {{ proxy_pass http://127.0.0.1:{back}; }}
        }}
        server {{
          listen 127.0.0.1:{back}; client_max_body_size 0; large_client_header_buffers 8 64k;
          location / {{ add_header X-Saw \"$request_method $request_uri\"; return 200 seen; }}
        }}",
        log.display()
    );
    let _nginx = nginx(&folder, front, &rules);
    let house = in_front_of(local(front));
    let (told, whole) = send_corpus(house.address);
    let log = std::fs::read_to_string(log).expect("a log");
    let seen: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("200 ")).collect();
    assert_eq!(seen, told);
    assert!(seen.len() * 2 > whole, "{} of {whole} came through", seen.len());
    println!("nginx saw {} requests of {whole} that are whole, as the proxy did", seen.len());
}

#[test]
fn our_own_server_sees_what_the_proxy_sees() {
    let (sender, log) = channel();
    let origin = House::start("tcp:0:interface=127.0.0.1", move |_| {
        Site::new(move |request: Request| {
            let (line, sender) =
                (format!("{} {}", request.method(), request.uri()), sender.clone());
            request.into_body().collect(1 << 20).map(move |body| {
                let _ = sender.send((line.clone(), body.len()));
                let saw = ropewalk::http::HeaderValue::try_from(line).expect("it came in a head");
                (ropewalk::http::HeaderMap::from_iter([(SAW_NAME.clone(), saw)]), "seen")
            })
        })
    });
    let house = in_front_of(origin.address);
    let (told, whole) = send_corpus(house.address);
    drop(house);
    drop(origin);
    let seen: Vec<_> = log.try_iter().map(|(line, _)| line).collect();
    assert_eq!(seen, told);
    assert!(seen.len() * 2 > whole, "{} of {whole} came through", seen.len());
    println!("our server saw {} requests of {whole} that are whole, as the proxy did", seen.len());
}

static SAW_NAME: std::sync::LazyLock<ropewalk::http::HeaderName> =
    std::sync::LazyLock::new(|| ropewalk::http::HeaderName::from_static("x-saw"));
