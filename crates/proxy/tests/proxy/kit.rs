//! What the tests have in common.

use ropewalk_protocol::{
    Above, Address, Below, Conn, Identity, Layer, Layered, ProxyFields, ProxyTls, Seat,
};
use ropewalk_proxy::{BadHeader, Decoder, Ends, Header};

/// A header of version 2: command, family and what follows its length.
pub(crate) fn binary(kind: u8, family: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[kind, family]);
    bytes.extend_from_slice(&u16::try_from(data.len()).expect("a short header").to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// 192.0.2.1:4000 to 198.51.100.7:443, as version 2 writes it.
pub(crate) const ENDS: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0x0f, 0xa0, 0x01, 0xbb];

pub(crate) fn ip(text: &str) -> Address {
    Address::Ip(text.parse().expect("an address and a port"))
}

pub(crate) fn ends(source: &str, destination: &str) -> Ends {
    Ends { source: ip(source), destination: ip(destination) }
}

pub(crate) fn plain(source: &str, destination: &str) -> Header {
    Header { ends: Some(ends(source, destination)), ..Header::default() }
}

/// A header with all that can be said in it.
pub(crate) fn wordy() -> Header {
    let mut tls = ProxyTls::default();
    tls.protocol = Some("TLSv1.3".to_owned());
    tls.cipher = Some("TLS_AES_128_GCM_SHA256".to_owned());
    tls.common_name = Some("alice".to_owned());
    tls.signature_algorithm = Some("SHA256".to_owned());
    tls.key_algorithm = Some("EC256".to_owned());
    (tls.has_certificate, tls.had_certificate, tls.is_verified) = (true, true, true);
    let mut fields = ProxyFields::default();
    fields.authority = Some("example.org".to_owned());
    fields.alpn = Some(b"h2".to_vec());
    fields.unique_id = Some(b"request-7".to_vec());
    fields.tls = Some(tls);
    fields.other = vec![(0xea, b"\x01vpce-1".to_vec()), (0x30, b"blue".to_vec())];
    Header { ends: Some(ends("192.0.2.1:4000", "198.51.100.7:443")), fields }
}

/// What comes of these pieces: a header and the bytes behind it, or what is wrong.
pub(crate) fn read<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Option<(Header, Vec<u8>)>, BadHeader> {
    let mut decoder = Decoder::default();
    let mut found: Option<(Header, Vec<u8>)> = None;
    for mut piece in pieces {
        if let Some((_, rest)) = &mut found {
            rest.extend_from_slice(piece);
        } else if let Some(header) = decoder.feed(&mut piece)? {
            found = Some((header, piece.to_vec()));
        } else {
            assert!(piece.is_empty(), "all is taken where no header is finished");
        }
    }
    Ok(found)
}

/// Has its connection come from an address.
pub(crate) struct From(pub(crate) Address);

impl Layer for From {
    fn connection_made(&mut self, _: &Below<Self>, above: &mut Above<Self>) {
        above.set_peer(self.0.clone());
        above.set_local(ip("10.0.0.9:8080"));
        above.made();
    }
}

pub(crate) fn from(peer: &Address, seat: Box<dyn Seat>) -> Box<dyn Seat> {
    Layered::seat(From(peer.clone()), seat)
}

/// Says back what it hears, after a line that says who the peer is, and where it arrived.
pub(crate) struct Greeter;

impl ropewalk_protocol::Protocol for Greeter {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let identity: Identity = conn.identity();
        let fields = identity.proxy.as_ref().map(|info| info.fields.clone()).unwrap_or_default();
        let authority = fields.authority.unwrap_or_default();
        conn.write(format!("{identity} to {} {authority}\n", conn.local()).as_bytes());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }
}
