//! Certificates of every kind, protocols that remember, and wires with TLS on them.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Conn, Disconnect, Layered, Protocol, TlsInfo, seat, seat_and_tell};
use ropewalk_tls::{
    Identities, Identity, Policy, Reason, Tls, TlsClient, TlsError, TlsServer, Trust,
};
use ropewalk_trial::{Clock, Memory, Side, Wire};

/// One who vouches for others.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    /// What stands between this one and its root, this one first.
    above: Vec<Vec<u8>>,
}

/// What a certificate is to be.
pub(crate) struct Wanted {
    pub(crate) names: Vec<String>,
    /// From and until when, in days from now.
    pub(crate) days: (i64, i64),
    /// How many hours later its end is.
    pub(crate) hours: u64,
    pub(crate) usages: Vec<ExtendedKeyUsagePurpose>,
}

impl Wanted {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            names: vec![name.to_owned()],
            days: (-1, 90),
            hours: 0,
            usages: vec![ExtendedKeyUsagePurpose::ServerAuth],
        }
    }
}

/// The time of day, so many days away.
#[expect(clippy::disallowed_methods, reason = "certificates are dated by the world's clock")]
fn days_away(days: i64) -> time::OffsetDateTime {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let far = Duration::from_hours(24) * days.unsigned_abs() as u32;
    let there = if days < 0 { now.saturating_sub(far) } else { now + far };
    rcgen::date_time_ymd(1970, 1, 1) + there
}

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(1);
        Self::named(&format!("Root {}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// A root of this name, which others may have too.
    pub(crate) fn named(name: &str) -> Self {
        let (parameters, key) = (Self::parameters(name), KeyPair::generate().unwrap());
        let certificate = parameters.self_signed(&key).unwrap();
        Self {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            issuer: Issuer::new(parameters, key),
            above: Vec::new(),
        }
    }

    /// One for whom this one vouches, and who vouches for others.
    pub(crate) fn deputy(&self, name: &str) -> Self {
        self.deputy_with(name, |_| ())
    }

    /// The same, who may do more or less than others.
    pub(crate) fn deputy_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (mut parameters, key) = (Self::parameters(name), KeyPair::generate().unwrap());
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let der = certificate.der().to_vec();
        let above = std::iter::once(der.clone()).chain(self.above.clone()).collect();
        Self { der, pem: certificate.pem(), issuer: Issuer::new(parameters, key), above }
    }

    /// Its key, and what it shows of itself where it is taken for a server or a client.
    pub(crate) fn itself(&self) -> (Vec<Vec<u8>>, Vec<u8>) {
        (self.above.clone(), self.issuer.key().serialize_der())
    }

    fn parameters(name: &str) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters
    }

    pub(crate) fn parts(&self, wanted: &Wanted, key: &KeyPair) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut parameters = CertificateParams::new(wanted.names.clone()).unwrap();
        parameters.not_before = days_away(wanted.days.0);
        parameters.not_after = days_away(wanted.days.1) + Duration::from_hours(wanted.hours);
        parameters.extended_key_usages.clone_from(&wanted.usages);
        let certificate = parameters.signed_by(key, &self.issuer).unwrap();
        let chain = std::iter::once(certificate.der().to_vec()).chain(self.above.clone());
        (chain.collect(), key.serialize_der())
    }

    pub(crate) fn issue(&self, wanted: &Wanted) -> Identity {
        let (chain, key) = self.parts(wanted, &KeyPair::generate().unwrap());
        Identity::from_der(chain, key).unwrap()
    }

    pub(crate) fn server(&self, name: &str) -> Identity {
        self.issue(&Wanted::named(name))
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        let usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&Wanted { usages, ..Wanted::named(name) })
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::from_der([&self.der[..]]).unwrap()
    }
}

pub(crate) fn serving(identity: &Identity, policy: Policy) -> TlsServer {
    let identities = Identities::new(policy).unwrap();
    identities.add(identity).unwrap();
    TlsServer::new(&identities)
}

/// What a protocol lived through.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) made: usize,
    pub(crate) heard: Vec<u8>,
    /// How many pieces it came in.
    pub(crate) pieces: usize,
    pub(crate) eofs: usize,
    pub(crate) lost: Option<Disconnect>,
    pub(crate) cause: Option<TlsError>,
    pub(crate) tls: Option<TlsInfo>,
}

pub(crate) type Told = Rc<RefCell<Story>>;

/// Says `says` as soon as it can, answers each piece with `answers`, and remembers.
#[derive(Default)]
pub(crate) struct Talk {
    pub(crate) says: Vec<u8>,
    pub(crate) echoes: bool,
    pub(crate) closes_after: Option<usize>,
    pub(crate) story: Told,
}

impl Talk {
    pub(crate) fn new() -> (Self, Told) {
        let talk = Self::default();
        let story = Rc::clone(&talk.story);
        (talk, story)
    }

    pub(crate) fn saying(says: impl Into<Vec<u8>>) -> (Self, Told) {
        let (mut talk, story) = Self::new();
        talk.says = says.into();
        (talk, story)
    }

    pub(crate) fn echo() -> (Self, Told) {
        let (mut talk, story) = Self::new();
        talk.echoes = true;
        (talk, story)
    }

    /// Closes once it has heard so many bytes.
    pub(crate) fn until(mut self, heard: usize) -> Self {
        self.closes_after = Some(heard);
        self
    }
}

impl Protocol for Talk {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let mut story = self.story.borrow_mut();
        story.made += 1;
        story.tls = conn.tls();
        conn.write(&self.says);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let mut story = self.story.borrow_mut();
        story.heard.extend_from_slice(data);
        story.pieces += 1;
        if self.echoes {
            conn.write(data);
        }
        if self.closes_after.is_some_and(|count| story.heard.len() >= count) {
            conn.close();
        }
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.story.borrow_mut().eofs += 1;
        conn.close();
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let mut story = self.story.borrow_mut();
        story.lost = Some(why);
        let cause = conn.cause();
        story.cause = cause.and_then(|cause| cause.check::<TlsError>().cloned());
    }
}

/// A protocol on TLS in memory.
pub(crate) fn on(clock: &Clock, tls: Tls, protocol: impl Protocol) -> Memory {
    Memory::take_seat(Layered::seat(tls, seat(protocol)), clock)
}

/// The same with what its owner is told of the connection.
pub(crate) fn on_told<P: Protocol>(
    clock: &Clock,
    tls: Tls,
    protocol: P,
) -> (Memory, Deferred<Conn<P>>) {
    let (seat, made) = seat_and_tell(protocol);
    (Memory::take_seat(Layered::seat(tls, seat), clock), made)
}

/// A client and a server on TLS.
pub(crate) fn wire(
    (client, ask): (Tls, impl Protocol),
    (server, answer): (Tls, impl Protocol),
) -> Wire {
    let clock = Clock::new();
    Wire::of(&clock, on(&clock, client, ask), on(&clock, server, answer))
}

/// A server of that name, and a client who trusts it.
pub(crate) fn pair(name: &str) -> (TlsClient, TlsServer) {
    let authority = Authority::new();
    let client = TlsClient::new(&authority.trust()).unwrap();
    (client, serving(&authority.server(name), Policy::new()))
}

/// What the two sides say of a handshake that fails.
pub(crate) struct Failed {
    pub(crate) client: TlsError,
    pub(crate) server: TlsError,
}

/// Shakes hands in vain.
#[track_caller]
pub(crate) fn fail(client: Tls, server: Tls) -> Failed {
    let (ask, asked) = Talk::saying("hello");
    let (answer, answered) = Talk::echo();
    let mut wire = wire((client, ask), (server, answer));
    wire.run();
    assert!(wire.ended(Side::Client).is_some() && wire.ended(Side::Server).is_some());
    let (asked, answered) = (asked.take(), answered.take());
    assert!(answered.heard.is_empty(), "nothing goes through");
    Failed {
        client: asked.cause.unwrap_or_else(|| panic!("the client knows why: {:?}", asked.lost)),
        server: answered.cause.unwrap_or_else(|| panic!("the server too: {:?}", answered.lost)),
    }
}

/// The reason of a failure, for whom it is worth reading.
pub(crate) fn reason(error: &TlsError) -> Reason {
    error.reason().clone()
}
