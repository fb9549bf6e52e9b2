//! From the path of a URI to names below the root.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_encode};

/// How many names a path may have.
pub const DEPTH_MAX: usize = 128;

/// All that is not unreserved (RFC 3986, 2.3): nothing else can change what a link means.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The names that lead from the root to what is asked for, each one safe to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Never empty, `.`, `..`, or with a separator or NUL in it.
    pub(super) names: Vec<Vec<u8>>,
    /// The path ended in a slash: it asks for a folder.
    pub(super) folder: bool,
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPath {
    /// It is no path of a URI: a percent sign without two digits.
    Malformed,
    /// No file can have this name, or none that we would open.
    Nameless,
}

impl Names {
    /// Decodes `path`, once: what then still looks encoded is a literal name.
    pub(super) fn parse(path: &str) -> Result<Self, BadPath> {
        let Some(path) = path.strip_prefix('/') else {
            let root = Self { names: Vec::new(), folder: false };
            return if path.is_empty() { Ok(root) } else { Err(BadPath::Nameless) };
        };
        if path.is_empty() {
            return Ok(Self { names: Vec::new(), folder: true });
        }
        let folder = path.ends_with('/');
        let path = path.strip_suffix('/').unwrap_or(path);
        // Splitting comes before decoding, so an encoded slash cannot make two names of one.
        let names = path.split('/').take(DEPTH_MAX + 1).map(name).collect::<Result<Vec<_>, _>>()?;
        if names.len() > DEPTH_MAX {
            return Err(BadPath::Nameless);
        }
        Ok(Self { names, folder })
    }

    /// Whether one of the names is hidden: it begins with a dot and is not `.well-known` (RFC 8615).
    pub(super) fn is_hidden(&self) -> bool {
        self.names.iter().any(|name| is_hidden(name) && name != b".well-known")
    }

    /// The names with slashes between them.
    pub(super) fn joined(&self) -> Vec<u8> {
        self.names.join(&b'/')
    }
}

/// The path of `name` in the folder at `path`: never one that begins with a slash, which would lead
/// away from the root.
pub(super) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, name].join(&b'/') }
}

/// Whether files of this `name` are kept from view.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}

/// `name` as one segment of a path.
pub(super) fn encode(name: &[u8]) -> PercentEncode<'_> {
    percent_encode(name, RESERVED)
}

/// Whether a file of this name can be asked for on this system.
pub(super) fn is_openable(name: &[u8]) -> bool {
    let plain = !matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0);
    plain && (cfg!(unix) || is_openable_on_windows(name))
}

/// Decodes one segment, undoing nothing of what it decodes to.
pub(super) fn decode(segment: &str) -> Result<Vec<u8>, BadPath> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(BadPath::Malformed) };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(BadPath::Malformed);
        };
        decoded.push(high << 4 | low);
        rest = tail;
    }
    Ok(decoded)
}

fn name(segment: &str) -> Result<Vec<u8>, BadPath> {
    let name = decode(segment)?;
    if is_openable(&name) { Ok(name) } else { Err(BadPath::Nameless) }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Backslashes and colons lead elsewhere there, dots and spaces at the end are dropped in silence,
/// and a few names are devices whatever follows their first dot.
fn is_openable_on_windows(name: &[u8]) -> bool {
    const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
    let Ok(name) = str::from_utf8(name) else { return false };
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = (stem.starts_with("com") || stem.starts_with("lpt"))
        && stem.chars().count() == 4
        && !stem.ends_with(|last: char| last.is_ascii_alphabetic());
    !name.contains(|c: char| c.is_control() || "\\:*?\"<>|".contains(c))
        && !name.ends_with(['.', ' '])
        && !DEVICES.contains(&stem.as_str())
        && !numbered
}
