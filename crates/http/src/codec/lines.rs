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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        for (at, &byte) in bytes.iter().enumerate() {
            if self.after_cr {
                self.after_cr = false;
                if byte != b'\n' {
                    return Err(BadRequest::BareCr);
                }
                if self.end_line()? {
                    return Ok(Some(at + 1));
                }
            } else {
                self.step(byte, bounds)?;
            }
        }
        Ok(None)
    }

    fn step(&mut self, byte: u8, bounds: &Bounds) -> Result<(), BadRequest> {
        match byte {
            b'\r' => self.after_cr = true,
            b'\n' => return Err(BadRequest::BareLf),
            b'\t' | b' '..=b'~' | 0x80.. => self.length += 1,
            _ => return Err(BadRequest::ControlByte(byte)),
        }
        if self.before == 0 {
            if self.length as usize > bounds.line_max {
                return Err(BadRequest::RequestLineTooLong { max: bounds.line_max });
            }
            return Ok(());
        }
        if self.length == 1 && self.before as usize > bounds.count_max {
            return Err(BadRequest::TooManyHeaders { max: bounds.count_max });
        }
        if self.length > 0 {
            self.block += if byte == b'\r' { 2 } else { 1 };
        }
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

/// Whether carriage returns and line feeds come in pairs only, in lines that begin with neither.
pub(super) fn are_paired(lines: &[u8]) -> bool {
    let after = lines.get(1..).unwrap_or_default();
    let odd = |(&a, &b): (&u8, &u8)| u8::from((a == b'\r') != (b == b'\n'));
    lines.iter().zip(after).map(odd).fold(0, |any, odd| any | odd) == 0
}
