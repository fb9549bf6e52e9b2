//! New keys in the middle of a connection, and records of each cipher suite.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_protocol::{Conn, Disconnect, Protocol};
use ropewalk_tls::Policy;
use ropewalk_trial::{Clock, Memory, Side, Wire};
use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, default_provider};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite};

use crate::common::{Authority, Talk, on, serving};

/// How often the client says something, with new keys each time.
const ROUNDS: usize = 5;

/// A client of the library's own, who wants new keys on both sides ahead of each thing that it says.
struct Renewing {
    connection: ClientConnection,
    says: Vec<u8>,
    said: usize,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl Renewing {
    fn go_on(&mut self, conn: &Conn<Self>) {
        let heard = self.heard.borrow().len();
        if !self.connection.is_handshaking() && heard == self.said * self.says.len() {
            if self.said == ROUNDS {
                self.connection.send_close_notify();
            } else {
                if self.connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3) {
                    self.connection.refresh_traffic_keys().unwrap();
                }
                self.connection.writer().write_all(&self.says).unwrap();
                self.said += 1;
            }
        }
        while self.connection.wants_write() {
            conn.write_with(|out| {
                self.connection.write_tls(out).unwrap();
            });
        }
    }
}

impl Protocol for Renewing {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.go_on(conn);
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        while !data.is_empty() {
            self.connection.read_tls(&mut data).unwrap();
            self.connection.process_new_packets().unwrap();
            let mut heard = Vec::new();
            // There may be no more for now.
            let _ = self.connection.reader().read_to_end(&mut heard);
            self.heard.borrow_mut().extend_from_slice(&heard);
        }
        self.go_on(conn);
    }
}

#[track_caller]
fn check(suite: SupportedCipherSuite, length: usize) {
    let authority = Authority::new();
    let server = serving(&authority.server("localhost"), Policy::new());
    let mut provider = default_provider();
    provider.cipher_suites = vec![suite];
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone().into()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    connection.set_buffer_limit(None);
    let says: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let client = Renewing { connection, says, said: 0, heard: Rc::clone(&heard) };
    let expected = client.says.repeat(ROUNDS);
    let clock = Clock::new();
    let (answer, answered) = Talk::echo();
    let client = Memory::seat(client, &clock);
    let mut wire = Wire::of(&clock, client, on(&clock, server.layer(), answer));
    wire.run();
    assert!(*heard.borrow() == expected, "{suite:?}: {} bytes", heard.borrow().len());
    assert!(answered.borrow().heard == expected, "{suite:?}");
    assert_eq!(wire.ended(Side::Server), Some(Disconnect::Closed), "{suite:?}");
}

#[test]
fn each_cipher_suite_bears_new_keys_and_records_of_each_length() {
    // The server has no key for RSA.
    let suites = ALL_CIPHER_SUITES.iter().filter(|suite| !format!("{suite:?}").contains("_RSA_"));
    for suite in suites {
        for length in [1, 16 * 1024, 100_001] {
            check(*suite, length);
        }
    }
}
