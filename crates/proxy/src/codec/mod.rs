//! Headers to bytes and back.

mod binary;
mod checksum;
mod fields;
mod text;

use ropewalk_protocol::{Address, ProxyFields};

use crate::error::{BadHeader, CannotEncode};

pub use fields::UNIQUE_ID_MAX;
pub use text::LINE_MAX;

/// How many bytes may follow the first 16 of a binary header, unless set.
///
/// Addresses take 216 at most; the rest is for fields, the largest of which is a certificate.
pub const LENGTH_MAX: usize = 4096;

/// What a proxy says of a connection before it passes it on.
///
/// ```
/// use ropewalk_proxy::{Decoder, Header, Version};
///
/// let mut line = &b"PROXY TCP4 192.0.2.1 198.51.100.7 4000 443\r\nGET / HTTP/1.1\r\n"[..];
/// let header = Decoder::default().feed(&mut line)?.unwrap();
/// let ends = header.ends.clone().unwrap();
/// assert_eq!(ends.source.to_string(), "192.0.2.1:4000");
/// assert_eq!(line, b"GET / HTTP/1.1\r\n");
///
/// let mut again = Vec::new();
/// header.encode(Version::V2Checked, &mut again)?;
/// assert_eq!(Decoder::default().feed(&mut &again[..])?, Some(header));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The two ends of the connection at the proxy; `None` where the proxy does not know them, or
    /// connects for its own sake, as to see whether the server lives.
    pub ends: Option<Ends>,
    /// What else the proxy says; version 1 has no room for it.
    pub fields: ProxyFields,
}

/// The two ends of a connection: both Internet addresses of one family, or both Unix sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Where it comes from.
    pub source: Address,
    /// Where it arrived.
    pub destination: Address,
}

/// How a header is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// As a line of text.
    V1,
    /// As bytes.
    #[default]
    V2,
    /// As bytes with a checksum over them (CRC32C).
    V2Checked,
}

impl Header {
    /// That a connection goes between these two ends.
    ///
    /// An IPv4 address beside an IPv6 one is written as an IPv6 one. Ends that are no two of one
    /// kind cannot be told, and the header says nothing of them.
    pub fn new(source: &Address, destination: &Address) -> Self {
        Self { ends: Ends::new(source, destination), ..Self::default() }
    }

    /// Appends the header's bytes to `out`.
    ///
    /// # Errors
    ///
    /// If its fields have no room.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), CannotEncode> {
        match version {
            Version::V1 => {
                text::encode(self.ends.as_ref(), out);
                Ok(())
            }
            Version::V2 => binary::encode(self, false, out),
            Version::V2Checked => binary::encode(self, true, out),
        }
    }
}

impl Ends {
    fn new(source: &Address, destination: &Address) -> Option<Self> {
        let is_path = |address: &Address| matches!(address, Address::Unix(_) | Address::Unnamed);
        match (source.ip(), destination.ip()) {
            (Some(source), Some(destination)) => {
                let (source, destination) = binary::one_family(source, destination);
                Some(Self { source: source.into(), destination: destination.into() })
            }
            _ if is_path(source) && is_path(destination) => {
                Some(Self { source: source.clone(), destination: destination.clone() })
            }
            _ => None,
        }
    }
}

/// Bytes to one [`Header`].
#[derive(Clone, Debug)]
pub struct Decoder {
    length_max: usize,
    /// What came of a header that is not finished.
    rest: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { length_max: LENGTH_MAX, rest: Vec::new() }
    }
}

impl Decoder {
    /// Lets this many bytes follow the first 16 of a binary header; [`LENGTH_MAX`] unless set.
    pub fn length_max(self, length_max: usize) -> Self {
        Self { length_max, ..self }
    }

    /// Takes the header off the front of `data`; all of `data` if the header is not finished yet.
    ///
    /// # Errors
    ///
    /// If what came is no header, as soon as that shows.
    pub fn feed(&mut self, data: &mut &[u8]) -> Result<Option<Header>, BadHeader> {
        if self.rest.is_empty() {
            match self.read(data)? {
                Some((header, length)) => {
                    *data = &data[length..];
                    return Ok(Some(header));
                }
                None => self.rest.extend_from_slice(data),
            }
            *data = &[];
            return Ok(None);
        }
        let before = self.rest.len();
        self.rest.extend_from_slice(data);
        let Some((header, length)) = self.read(&self.rest)? else {
            *data = &[];
            return Ok(None);
        };
        // Without its last bytes there was no header, so some of `data` belong to it.
        *data = &data[length - before..];
        self.rest = Vec::new();
        Ok(Some(header))
    }

    /// The header at the front of `bytes` and its length, if it is there whole.
    fn read(&self, bytes: &[u8]) -> Result<Option<(Header, usize)>, BadHeader> {
        if text::may_begin(bytes) {
            text::read(bytes)
        } else if binary::may_begin(bytes) {
            binary::read(bytes, self.length_max)
        } else {
            Err(BadHeader::Signature)
        }
    }
}
