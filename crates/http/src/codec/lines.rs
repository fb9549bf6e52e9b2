use super::error::BadRequest;
use super::limits::Limits;

/// How far the lines of a head, or of trailers, may go.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    line_max: usize,
    block_max: usize,
    count_max: usize,
    /// What a block that is too long is called.
    too_long: fn(usize) -> BadRequest,
}

impl Bounds {
    pub(super) fn of_head(limits: &Limits) -> Self {
        Self {
            line_max: limits.request_line_max,
            block_max: limits.header_block_max,
            count_max: limits.field_count(),
            too_long: |max| BadRequest::HeadersTooLong { max },
        }
    }

    pub(super) fn of_trailers(limits: &Limits) -> Self {
        Self {
            line_max: 0,
            block_max: limits.trailer_block_max,
            count_max: limits.field_count(),
            too_long: |max| BadRequest::TrailersTooLong { max },
        }
    }
}

/// Walks over lines up to the empty one that ends them, each byte once.
///
/// Whatever the pieces, the first byte that breaks a rule is the one that is reported. What the
/// lines say is looked at only when all of them are there.
#[derive(Debug)]
pub(super) struct Lines {
    /// Lines before this one; the request line has none.
    before: u32,
    /// Bytes of this line.
    length: u32,
    /// Bytes of all fields.
    block: u32,
    /// An empty line came first.
    has_blank: bool,
    after_cr: bool,
}

impl Lines {
    pub(super) const fn of_head() -> Self {
        Self { before: 0, length: 0, block: 0, has_blank: false, after_cr: false }
    }

    pub(super) const fn of_trailers() -> Self {
        Self { before: 1, ..Self::of_head() }
    }

    /// Goes over `bytes`; answers how many of them belong to the lines once these are whole.
    pub(super) fn walk(
        &mut self,
        bytes: &[u8],
        bounds: &Bounds,
    ) -> Result<Option<usize>, BadRequest> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    if self.end_line()? {
                        return Ok(Some(at));
                    }
                }
                _ if self.after_cr => return Err(BadRequest::BareCr),
                b'\n' => return Err(BadRequest::BareLf),
                b'\r' => self.begin_end(bounds)?,
                _ if !is_text(byte) => return Err(BadRequest::ControlByte(byte)),
                _ => {
                    let more = text_length(&bytes[at..]);
                    at += more;
                    self.add(more + 1, bounds)?;
                }
            }
        }
        Ok(None)
    }

    /// So many bytes of text.
    fn add(&mut self, count: usize, bounds: &Bounds) -> Result<(), BadRequest> {
        if self.length == 0 && self.before as usize > bounds.count_max {
            return Err(BadRequest::TooManyHeaders { max: bounds.count_max });
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.length = self.length.saturating_add(count);
        if self.before > 0 {
            return self.add_to_block(count, bounds);
        }
        if self.length as usize > bounds.line_max {
            return Err(BadRequest::RequestLineTooLong { max: bounds.line_max });
        }
        Ok(())
    }

    /// A carriage return; those of fields count.
    fn begin_end(&mut self, bounds: &Bounds) -> Result<(), BadRequest> {
        self.after_cr = true;
        if self.before > 0 && self.length > 0 { self.add_to_block(2, bounds) } else { Ok(()) }
    }

    fn add_to_block(&mut self, count: u32, bounds: &Bounds) -> Result<(), BadRequest> {
        self.block = self.block.saturating_add(count);
        if self.block as usize > bounds.block_max {
            return Err((bounds.too_long)(bounds.block_max));
        }
        Ok(())
    }

    /// Whether the line that ends here is the empty one after the others.
    fn end_line(&mut self) -> Result<bool, BadRequest> {
        if self.length > 0 {
            self.before += 1;
            self.length = 0;
            return Ok(false);
        }
        if self.before > 0 {
            return Ok(true);
        }
        // RFC 9112 2.2: one empty line before a request is to be ignored.
        if self.has_blank {
            return Err(BadRequest::EmptyLines);
        }
        self.has_blank = true;
        Ok(false)
    }
}

/// RFC 9110 5.5: what may stand in a field, and more than may in a request line.
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// How many bytes at the front are text.
pub(super) fn text_length(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = EACH << 7;
    let mut length = 0;
    // Eight at a time. Of the bytes that are below 0x20 or are 0x7f, the first is marked for sure, and
    // nothing before it.
    while let Some(eight) = bytes[length..].first_chunk() {
        let word = u64::from_le_bytes(*eight);
        let del = word ^ (EACH * 0x7f);
        let marks = word.wrapping_sub(EACH * 0x20) & !word | del.wrapping_sub(EACH) & !del;
        let first = ((marks & HIGHEST).trailing_zeros() / 8) as usize;
        length += first;
        if first < eight.len() {
            if eight[first] != b'\t' {
                return length;
            }
            length += 1;
        }
    }
    let rest = &bytes[length..];
    length + rest.iter().position(|&byte| !is_text(byte)).unwrap_or(rest.len())
}

/// Whether carriage returns and line feeds come in pairs only, in lines that begin with neither.
pub(super) fn are_paired(lines: &[u8]) -> bool {
    let after = lines.get(1..).unwrap_or_default();
    let odd = |(&a, &b): (&u8, &u8)| u8::from((a == b'\r') != (b == b'\n'));
    lines.iter().zip(after).map(odd).fold(0, |any, odd| any | odd) == 0
}
