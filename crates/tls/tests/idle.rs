//! What an idle connection keeps, counted byte by byte. One test alone: the count is the whole program's.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use ropewalk_protocol::{Conn, Layered, Protocol, seat, seat_and_tell};
use ropewalk_tls::{Identities, Identity, Policy, TlsClient, TlsServer, Trust};
use ropewalk_trial::{Clock, Memory};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many connections share what is counted for each.
const COUNT: usize = 32;
/// What one may take beyond the library's own connection, in bytes.
const EXTRA_MAX: usize = 600;

/// What the lists of calls of both sides may have grown by; a buffer for one record is 16 KiB.
const LISTS_MAX: usize = 512;

/// How many bytes are allocated now.
fn held() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Sends back what comes, each byte twice.
struct Double;

impl Protocol for Double {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
        conn.write(data);
    }
}

/// Counts what comes.
struct Sink(usize);

impl Protocol for Sink {
    fn data_received(&mut self, _: &Conn<Self>, data: &[u8]) {
        self.0 += data.len();
    }
}

/// A client and a server, and the client's handle.
struct Pair {
    client: Memory,
    conn: Conn<Sink>,
    server: Memory,
}

impl Pair {
    fn new(client: &TlsClient, server: &TlsServer, clock: &Clock) -> Self {
        let (sink, made) = seat_and_tell(Sink(0));
        let client = Layered::seat(client.layer("localhost").unwrap(), sink);
        let mut client = Memory::take_seat(client, clock);
        let mut server = Memory::take_seat(Layered::seat(server.layer(), seat(Double)), clock);
        exchange(&mut client, &mut server);
        let conn = made.now_or_never().unwrap().unwrap();
        Self { client, conn, server }
    }
}

/// Carries all that there is, both ways.
fn exchange(client: &mut Memory, server: &mut Memory) {
    loop {
        let (to_server, to_client) = (client.take_sent(), server.take_sent());
        if to_server.is_empty() && to_client.is_empty() {
            return;
        }
        server.push(&to_server);
        client.push(&to_client);
    }
}

/// The library's own connection, with the same identity, and what is above it: nothing.
fn bare(identity: &Identity, key: &[u8]) -> usize {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain: Vec<_> = identity.chain().map(|der| CertificateDer::from(der.to_vec())).collect();
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.to_vec().into()))
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (client, server) = (Arc::new(client), Arc::new(server));
    let each = || {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&client), name).unwrap();
        let mut server = Box::new(ServerConnection::new(Arc::clone(&server)).unwrap());
        client.writer().write_all(b"ping").unwrap();
        let mut wire = Vec::new();
        loop {
            wire.clear();
            while client.wants_write() {
                client.write_tls(&mut wire).unwrap();
            }
            let mut coming = &wire[..];
            while !coming.is_empty() {
                server.read_tls(&mut coming).unwrap();
                server.process_new_packets().unwrap();
            }
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            if wire.is_empty() {
                break;
            }
            let mut coming = &wire[..];
            while !coming.is_empty() {
                client.read_tls(&mut coming).unwrap();
                client.process_new_packets().unwrap();
            }
        }
        let mut heard = [0; 4];
        server.reader().read_exact(&mut heard).unwrap();
        server
    };
    let _first = each();
    let mut servers = Vec::with_capacity(COUNT);
    let before = held();
    servers.extend((0..COUNT).map(|_| each()));
    (held() - before) / COUNT
}

#[test]
fn an_idle_connection_keeps_no_buffer_and_little_else() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::NoCa;
    let certificate = parameters.self_signed(&key).unwrap();
    let der = key.serialize_der();
    let identity = Identity::from_der(vec![certificate.der().to_vec()], der.clone()).unwrap();
    let identities = Identities::new(Policy::new()).unwrap();
    identities.add(&identity).unwrap();
    let server = TlsServer::new(&identities);
    let client = TlsClient::new(&Trust::pinned([identity.pin()])).unwrap().without_resumption();
    let clock = Clock::new();
    let talk = |pair: &mut Pair, bytes: usize| {
        pair.conn.write(&vec![b'x'; bytes]);
        exchange(&mut pair.client, &mut pair.server);
    };

    // What all share is there once one has used it, and the same each time that it is counted.
    let mut first = Pair::new(&client, &server, &clock);
    talk(&mut first, 200_000);
    let mut pairs = Vec::with_capacity(COUNT);
    let before = held();
    pairs.extend((0..COUNT).map(|_| Pair::new(&client, &server, &clock)));
    talk(&mut first, 200_000);
    let fresh = held() - before;

    // Both sides have sent and got much, in pieces of all sizes, and are idle again.
    for pair in &mut pairs {
        for bytes in [1, 100, 16 * 1024, 200_000] {
            talk(pair, bytes);
        }
    }
    talk(&mut first, 200_000);
    let used = held() - before;
    assert!(used <= fresh + COUNT * LISTS_MAX, "{used} bytes, {fresh} before they talked");

    // Half a record is kept until its rest comes, and then no more.
    for pair in &mut pairs {
        pair.conn.write(&[b'x'; 10_000]);
        let record = pair.client.take_sent();
        let before = held();
        pair.server.push(&record[..5_000]);
        let kept = held() - before;
        assert!((5_000..6_000).contains(&kept), "{kept} bytes of half a record");
        pair.server.push(&record[5_000..]);
        exchange(&mut pair.client, &mut pair.server);
    }
    talk(&mut first, 200_000);
    assert!(held() - before <= used, "{} and {used}", held() - before);

    // Of the servers alone, beside the library's own.
    let servers: Vec<_> = pairs.into_iter().map(|pair| pair.server).collect();
    let ours = (held() - before) / COUNT;
    let bare = bare(&identity, &der);
    assert!(ours <= bare + EXTRA_MAX, "{ours} bytes each, the library's own {bare}");
    println!("{ours} bytes each, the library's own {bare}");
    drop(servers);
}
