//! One side of TLS without any I/O, and the one place that knows how rustls wants to be driven.
//!
//! [`Session`] has the shape that rustls 0.24 will have: the caller owns the bytes that came and says
//! afterwards how many are used up, plaintext is lent for one call, and what the peer is to get is
//! appended to a vector of the caller's. When 0.24 is there, this file changes and no other.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_protocol::TlsInfo;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use crate::Reason;
use crate::refusal::reason_of;
use crate::seal::sealing;
use crate::sealed::Sealed;

/// The longest piece of plaintext in one record (RFC 8446 5.1).
pub(crate) const RECORD_MAX: usize = 16 * 1024;

/// More than any cipher adds to a record; if one adds more, it says how much it needs.
const RECORD_EXTRA: usize = 64;

/// Who is told what came.
pub(crate) trait Hearer {
    /// The handshake is done.
    fn established(&mut self, agreed: &Agreed<'_>);

    /// This was in a record.
    fn plaintext(&mut self, data: &[u8]);
}

/// What came of some input.
pub(crate) struct Received {
    /// How many bytes at its beginning are used up.
    pub(crate) consumed: usize,
    /// Whether the peer has said that it will send no more.
    pub(crate) is_closed: bool,
    /// Why nothing more can come of this; the peer's alert is in the output.
    pub(crate) failure: Option<Reason>,
}

/// One side of one encrypted connection.
pub(crate) trait Session {
    /// Takes the whole records at the beginning of `input`, which it decrypts where they lie. What
    /// is left has to come again with more behind it, unchanged.
    fn receive(&mut self, input: &mut [u8], hearer: &mut dyn Hearer, out: &mut Vec<u8>)
    -> Received;

    /// Encrypts `plaintext` in as few records as hold it. `rest` is what [`receive`](Self::receive)
    /// left of its input: rustls 0.23 looks at it each time, and does not bear its absence.
    fn send(&mut self, plaintext: &[u8], rest: &mut [u8], out: &mut Sealed) -> Result<(), Reason>;

    /// Says that nothing more will be sent; `rest` as for [`send`](Self::send).
    fn close(&mut self, rest: &mut [u8], out: &mut Vec<u8>);

    /// Whether the handshake is done.
    fn is_established(&self) -> bool;
}

/// A session of the server's side; the name is the one that the client asked for.
pub(crate) fn server(
    config: Arc<ServerConfig>,
    name: Option<String>,
) -> Result<Box<dyn Session>, Reason> {
    let engine = UnbufferedServerConnection::new(config).map_err(|error| internal(&error))?;
    Ok(Box::new(Rustls { engine, name: name.map(Rc::from), is_told: false }))
}

/// A session of the client's side, with the server of this name; `name` is what is shown of it.
pub(crate) fn client(
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
    name: Option<Rc<str>>,
) -> Result<Box<dyn Session>, Reason> {
    let engine =
        UnbufferedClientConnection::new(config, server).map_err(|error| internal(&error))?;
    Ok(Box::new(Rustls { engine, name, is_told: false }))
}

fn internal(error: &rustls::Error) -> Reason {
    Reason::Internal(error.to_string())
}

struct Rustls<E> {
    engine: E,
    name: Option<Rc<str>>,
    is_told: bool,
}

/// The two kinds of connections of rustls, which share no trait there.
trait Engine {
    type Data;

    fn state(&self) -> &CommonState;

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Engine for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn state(&self) -> &CommonState {
        self
    }

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

impl Engine for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn state(&self) -> &CommonState {
        self
    }

    fn process<'c, 'i>(&'c mut self, input: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(input)
    }
}

impl<E: Engine> Session for Rustls<E> {
    fn receive(
        &mut self,
        input: &mut [u8],
        hearer: &mut dyn Hearer,
        out: &mut Vec<u8>,
    ) -> Received {
        let mut received = Received { consumed: 0, is_closed: false, failure: None };
        // Plaintext that came in the same call as the end of the handshake, which is told first.
        let mut early = Vec::new();
        loop {
            let Self { engine, is_told, .. } = self;
            let status = engine.process(&mut input[received.consumed..]);
            let mut consumed = status.discard;
            let mut is_waiting = false;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        consumed += record.discard;
                        if *is_told {
                            hearer.plaintext(record.payload);
                        } else {
                            early.extend_from_slice(record.payload);
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => received.is_closed = true,
                // 0-RTT is not offered and cannot come.
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed
                    | ConnectionState::ReadEarlyData(_),
                ) => is_waiting = true,
                Ok(_) => {
                    received.failure = Some(Reason::Internal("an unknown state".to_owned()));
                    is_waiting = true;
                }
                Err(error) => {
                    received.consumed += consumed;
                    let start = out.len();
                    flush_alert(engine, out);
                    received.failure = Some(reason_of(&error, &out[start..]));
                    return received;
                }
            }
            received.consumed += consumed;
            self.tell(&mut early, hearer);
            if is_waiting {
                return received;
            }
        }
    }

    fn send(&mut self, plaintext: &[u8], rest: &mut [u8], out: &mut Sealed) -> Result<(), Reason> {
        let is_direct = self.engine.state().protocol_version() == Some(ProtocolVersion::TLSv1_3);
        loop {
            match self.engine.process(rest).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let seal = if is_direct { seal_directly } else { seal };
                    let records = plaintext.len().div_ceil(RECORD_MAX).max(1);
                    out.reserve(plaintext.len() + records * RECORD_EXTRA);
                    // One by one: what makes room for a record is in the caches still when it is written.
                    let mut left = plaintext;
                    loop {
                        let (record, rest) = left.split_at(left.len().min(RECORD_MAX));
                        seal(&mut traffic, record, out)?;
                        left = rest;
                        if left.is_empty() {
                            return Ok(());
                        }
                    }
                }
                // An answer that the peer asked for, such as new keys, goes first.
                Ok(ConnectionState::EncodeTlsData(data)) => out.append(|out| encode(data, out)),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => (),
                Ok(_) => return Err(Reason::Internal("nothing can be sent".to_owned())),
                Err(error) => return Err(reason_of(&error, &[])),
            }
        }
    }

    fn close(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self.engine.process(rest).state {
            append(out, RECORD_EXTRA, |out| match traffic.queue_close_notify(out) {
                Ok(count) => Ok(count),
                Err(EncryptError::InsufficientSize(size)) => Err(size.required_size),
                // The connection ends either way.
                Err(EncryptError::EncryptExhausted) => Ok(0),
            });
        }
    }

    fn is_established(&self) -> bool {
        self.is_told
    }
}

impl<E: Engine> Rustls<E> {
    /// Tells that the handshake is done, and what came with its end.
    fn tell(&mut self, early: &mut Vec<u8>, hearer: &mut dyn Hearer) {
        if !self.is_told && !self.engine.state().is_handshaking() {
            self.is_told = true;
            let (state, name) = (self.engine.state(), self.name.as_deref());
            hearer.established(&Agreed { state, name });
        }
        if self.is_told && !early.is_empty() {
            hearer.plaintext(early);
            *early = Vec::new();
        }
    }
}

/// What both sides agreed on.
pub(crate) struct Agreed<'a> {
    state: &'a CommonState,
    name: Option<&'a str>,
}

impl Agreed<'_> {
    /// The same where it may be kept.
    pub(crate) fn info(&self) -> TlsInfo {
        let mut info = TlsInfo::default();
        info.protocol = self.protocol().into_owned();
        info.cipher = self.cipher().concat();
        info.group = self.group().map(Cow::into_owned);
        info.alpn = self.state.alpn_protocol().map(ToOwned::to_owned);
        info.server_name = self.name.map(ToOwned::to_owned);
        info.peer_chain = self.chain().iter().map(|certificate| certificate.to_vec()).collect();
        info.resumed = self.is_resumed();
        info
    }

    /// Whether it is this, which connections with the same peers mostly agree on.
    pub(crate) fn is(&self, info: &TlsInfo) -> bool {
        let [begin, end] = self.cipher();
        info.protocol == self.protocol()
            && info.cipher.strip_prefix(begin) == Some(end)
            && info.group.as_deref() == self.group().as_deref()
            && info.alpn.as_deref() == self.state.alpn_protocol()
            && info.server_name.as_deref() == self.name
            && info.resumed == self.is_resumed()
            && info.peer_chain.iter().eq(self.chain().iter().map(|certificate| &**certificate))
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.state.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    fn protocol(&self) -> Cow<'static, str> {
        match self.state.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".into(),
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".into(),
            other => format!("{other:?}").into(),
        }
    }

    /// The name of the cipher suite in two parts.
    fn cipher(&self) -> [&'static str; 2] {
        let suite = self.state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let name = suite.unwrap_or_default();
        // rustls sets the suites of 1.3 apart from the others; their names do not.
        name.strip_prefix("TLS13_").map_or(["", name], |rest| ["TLS_", rest])
    }

    fn group(&self) -> Option<Cow<'static, str>> {
        let group = self.state.negotiated_key_exchange_group()?.name();
        Some(group.as_str().map_or_else(|| format!("{group:?}").into(), Cow::Borrowed))
    }

    fn chain(&self) -> &[CertificateDer<'_>] {
        self.state.peer_certificates().unwrap_or_default()
    }
}

/// Appends one record of TLS 1.3.
fn seal_directly<D>(
    traffic: &mut WriteTraffic<'_, D>,
    plaintext: &[u8],
    out: &mut Sealed,
) -> Result<(), Reason> {
    match sealing(out, |husks| traffic.encrypt(plaintext, husks)) {
        Some(Ok(())) => Ok(()),
        Some(Err(EncryptError::EncryptExhausted)) => Err(exhausted()),
        Some(Err(EncryptError::InsufficientSize(_))) | None => {
            Err(Reason::Internal("a record went astray".to_owned()))
        }
    }
}

fn exhausted() -> Reason {
    Reason::Internal("the keys are used up".to_owned())
}

/// Appends one record.
fn seal<D>(
    traffic: &mut WriteTraffic<'_, D>,
    plaintext: &[u8],
    out: &mut Sealed,
) -> Result<(), Reason> {
    let mut is_exhausted = false;
    let room = plaintext.len() + RECORD_EXTRA;
    let encrypt = |out: &mut [u8]| match traffic.encrypt(plaintext, out) {
        Ok(count) => Ok(count),
        Err(EncryptError::InsufficientSize(size)) => Err(size.required_size),
        Err(EncryptError::EncryptExhausted) => {
            is_exhausted = true;
            Ok(0)
        }
    };
    out.append(|out| append(out, room, encrypt));
    if is_exhausted {
        return Err(exhausted());
    }
    Ok(())
}

/// Appends what tells the peer why it is refused.
fn flush_alert<E: Engine>(engine: &mut E, out: &mut Vec<u8>) {
    // As long as there is something to write, no input is looked at.
    while engine.state().wants_write() {
        match engine.process(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, out),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while traffic.next_record().is_some() {}
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Vec<u8>) {
    append(out, 0, |out| match data.encode(out) {
        Ok(count) => Ok(count),
        Err(EncodeError::InsufficientSize(size)) => Err(size.required_size),
        // There is nothing to encode twice.
        Err(EncodeError::AlreadyEncoded) => Ok(0),
    });
}

/// Lets `fill` write into `room` bytes at the end of `out`, or into as many as it says it needs.
fn append(out: &mut Vec<u8>, room: usize, mut fill: impl FnMut(&mut [u8]) -> Result<usize, usize>) {
    let start = out.len();
    let mut room = room;
    loop {
        out.resize(start + room, 0);
        match fill(&mut out[start..]) {
            Ok(count) => return out.truncate(start + count),
            Err(needed) if needed > room => room = needed,
            Err(_) => return out.truncate(start),
        }
    }
}
