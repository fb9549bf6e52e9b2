/// More fields than this stand in no head, whatever [`Limits`] says.
pub(super) const FIELD_COUNT_MAX: usize = 256;

/// How much a server takes from a stranger before it answers with an error.
///
/// | limit | default | beyond it |
/// |---|--:|---|
/// | `request_line_max` | 8 KiB | 414 |
/// | `header_block_max` | 16 KiB | 431 |
/// | `header_count_max` | 100, and never over 256 | 431 |
/// | `chunk_line_max` | 256 bytes | 400 |
/// | `trailer_block_max` | 4 KiB | 431 |
/// | `body_max` | 10 MiB | 413 |
///
/// ```
/// # use ropewalk_http::Limits;
/// let small = Limits { body_max: Some(1024), ..Limits::default() };
/// assert_eq!(small.header_count_max, 100);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a request line, its end not counted.
    pub request_line_max: usize,
    /// Bytes in all the header fields together, their line ends counted.
    pub header_block_max: usize,
    /// Header fields in one request, and trailer fields after one body.
    pub header_count_max: usize,
    /// Bytes in the line before a chunk, its extensions counted and its end not.
    pub chunk_line_max: usize,
    /// Bytes in all the trailer fields together, their line ends counted.
    pub trailer_block_max: usize,
    /// Bytes in one body. The server hands this on to [`BodyDecoder::new`](crate::BodyDecoder::new),
    /// or another figure where a resource wants one.
    pub body_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line_max: 8 * 1024,
            header_block_max: 16 * 1024,
            header_count_max: 100,
            chunk_line_max: 256,
            trailer_block_max: 4 * 1024,
            body_max: Some(10 * 1024 * 1024),
        }
    }
}

impl Limits {
    pub(super) fn field_count(&self) -> usize {
        self.header_count_max.min(FIELD_COUNT_MAX)
    }
}
