//! Bytes to a server and to a client of TLS.

use std::cell::RefCell;
use std::rc::Rc;

use ropewalk_protocol::{Conn, Disconnect, Layered, Protocol, seat};
use ropewalk_tls::{
    Identities, Identity, Policy, Reason, Tls, TlsClient, TlsError, TlsServer, Trust,
};
use ropewalk_trial::{Clock, Memory};

use crate::cut::cuts;

thread_local! {
    /// A server and a client, made once: making keys takes longer than all else here.
    static SIDES: (TlsServer, TlsClient) = sides();
}

fn sides() -> (TlsServer, TlsClient) {
    let identities = Identities::new(Policy::new()).expect("random bytes");
    let identity = Identity::self_signed(["localhost"]).expect("a name");
    identities.add(&identity).expect("an identity");
    let client = TlsClient::new(&Trust::pinned([identity.pin()])).expect("a client");
    (TlsServer::new(&identities), client)
}

/// How it ended.
#[derive(Debug, Default, PartialEq)]
struct End {
    why: Option<Disconnect>,
    reason: Option<Reason>,
    has_heard: bool,
}

struct Ear(Rc<RefCell<End>>);

impl Protocol for Ear {
    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {
        self.0.borrow_mut().has_heard = true;
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let mut end = self.0.borrow_mut();
        end.why = Some(why);
        let error = conn.cause().and_then(|cause| cause.check::<TlsError>().cloned());
        end.reason = error.map(|error| error.reason().clone());
    }
}

/// Nothing panics, no stranger is heard, any cut ends the same, and files are read or are not.
pub(crate) fn check(bytes: &[u8]) {
    SIDES.with(|(server, client)| {
        let layers: [&dyn Fn() -> Tls; 2] =
            [&|| server.layer(), &|| client.layer("localhost").expect("a name")];
        for layer in layers {
            let whole = end(layer(), [bytes]);
            assert_ne!(whole.why, Some(Disconnect::Panicked));
            assert!(!whole.has_heard, "there was no handshake");
            for pieces in cuts(bytes) {
                assert_eq!(end(layer(), pieces), whole);
            }
        }
    });
    // The same bytes as a file of certificates and keys.
    let _ = Identity::from_pem(bytes, bytes);
    let _ = Trust::from_pem(bytes);
}

fn end<'p>(layer: Tls, pieces: impl IntoIterator<Item = &'p [u8]>) -> End {
    let story = Rc::default();
    let clock = Clock::new();
    let ear = Layered::seat(layer, seat(Ear(Rc::clone(&story))));
    let mut memory = Memory::take_seat(ear, &clock);
    for piece in pieces {
        memory.push(piece);
    }
    memory.eof();
    drop(memory);
    story.take()
}
