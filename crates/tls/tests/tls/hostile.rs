//! Strangers that mean no good, and sizes that stay small.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ropewalk_protocol::{Layered, seat};
use ropewalk_tls::{HANDSHAKE_MAX, HANDSHAKE_TIMEOUT, Identities, Identity, IdentityFiles, Policy};
use ropewalk_trial::{Clock, Hostile};

use crate::common::{Authority, Talk, on, pair, serving};

/// What a client sends at first.
fn hello() -> Vec<u8> {
    let (client, _) = pair("localhost");
    on(&Clock::new(), client.layer("localhost").unwrap(), Talk::new().0).take_sent()
}

#[test]
fn a_server_puts_up_with_hostile_clients() {
    let server = serving(&Identity::self_signed(["localhost"]).unwrap(), Policy::new());
    let attacked = move |_: &Clock| Layered::seat(server.layer(), seat(Talk::echo().0));
    // A little more than the handshake may take and be long.
    let patience = HANDSHAKE_TIMEOUT + Duration::from_secs(2);
    let kept = HANDSHAKE_MAX as u64 + 16 * 1024;
    Hostile::against(attacked).request(&hello()).patience(patience).kept(kept).assert();
}

#[test]
fn a_client_puts_up_with_hostile_servers() {
    let (client, server) = pair("localhost");
    let mut answers = on(&Clock::new(), server.layer(), Talk::echo().0);
    answers.push(&hello());
    let flight = answers.take_sent();
    assert!(flight.len() > 500, "a whole flight");
    let attacked = move |_: &Clock| {
        Layered::seat(client.layer("localhost").unwrap(), seat(Talk::saying("hello").0))
    };
    let patience = HANDSHAKE_TIMEOUT + Duration::from_secs(2);
    let kept = HANDSHAKE_MAX as u64 + 16 * 1024;
    Hostile::against(attacked).request(&flight).patience(patience).kept(kept).assert();
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Words(String);

impl tracing::field::Visit for Words {
    fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{value:?}");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut words = Words(event.metadata().level().to_string() + " ");
        event.record(&mut words);
        self.0.lock().unwrap().push(words.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn it_is_said_for_how_long_certificates_are_good() {
    use ropewalk_tls::{EXPIRY_TOLD_EVERY, EXPIRY_WARNED_DAYS, RELOAD_EVERY};
    use std::rc::Rc;
    let folder = crate::files::Folder::new("expiry");
    let authority = Authority::new();
    let warned = i64::try_from(EXPIRY_WARNED_DAYS).unwrap();
    for (days, hours, level) in [(90, 0, "INFO"), (warned, 0, "WARN"), (0, 23, "ERROR")] {
        let named = crate::common::Wanted::named("localhost");
        let wanted = crate::common::Wanted { days: (-1, days), hours, ..named };
        let key = rcgen::KeyPair::generate().unwrap();
        let (chain, _) = authority.parts(&wanted, &key);
        let pem = crate::files::pem_of("CERTIFICATE", &chain[0]) + &key.serialize_pem();
        std::fs::write(folder.path("all.pem"), pem).unwrap();
        let files = IdentityFiles::new(folder.path("all.pem"), folder.path("all.pem"));
        let (clock, threads) = (Clock::new(), ropewalk_trial::LaterThreads::new());
        let log = Log::default();
        let said = tracing::subscriber::with_default(log.clone(), || {
            let identities = Identities::new(Policy::new()).unwrap();
            let (on, by) = (Rc::new(clock.clone()), Rc::new(threads.clone()));
            let watch = identities.watch(&files, RELOAD_EVERY, on, by);
            threads.do_all();
            let watch = watch.now_or_never().unwrap().unwrap();
            let first = log.0.lock().unwrap().len();
            // And again each day.
            for _ in 0..=EXPIRY_TOLD_EVERY.as_secs() / RELOAD_EVERY.as_secs() {
                clock.advance(RELOAD_EVERY);
                threads.do_all();
            }
            watch.stop();
            let said = log.0.lock().unwrap().clone();
            assert_eq!((first, said.len()), (1, 2), "{said:?}");
            said
        });
        for line in said {
            assert!(line.starts_with(&format!("{level} the certificate of localhost ")), "{line}");
            // The last of them begins when it is made.
            let ends = [days, days - 1].map(|days| format!("is good for {days} days"));
            let is_over = line.ends_with("ends today, or has");
            assert!(is_over == (days == 0), "{line}");
            assert!(is_over || ends.iter().any(|end| line.ends_with(end)), "{line}");
        }
    }
}
