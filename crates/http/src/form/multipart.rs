use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memmem::Finder;

use super::error::FormError;
use super::fields::FIELDS_MAX;
use super::parameter::parameter;
use super::part::{PART_HEAD_MAX, PartHead};

/// How long a boundary is at most (RFC 2046 5.1.1), in bytes.
const BOUNDARY_MAX: usize = 70;
/// How much white space may follow a boundary.
const PADDING_MAX: usize = 64;

/// One piece of a form in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MultipartPiece {
    /// A part begins.
    Begin(PartHead),
    /// More of it.
    Data(Bytes),
    /// It ends.
    End,
}

/// Takes `multipart/form-data` (RFC 7578) apart as it comes, however it is cut.
///
/// ```
/// use ropewalk_http::form::{MultipartDecoder, MultipartPiece};
///
/// let mut decoder = MultipartDecoder::new("multipart/form-data; boundary=xx".as_bytes())?;
/// decoder.push(b"--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\n--xx--\r\n");
/// assert!(matches!(decoder.next()?, Some(MultipartPiece::Begin(head)) if head.name == "a"));
/// assert_eq!(decoder.next()?, Some(MultipartPiece::Data("hello".into())));
/// assert_eq!(decoder.next()?, Some(MultipartPiece::End));
/// assert_eq!(decoder.next()?, None);
/// decoder.finish()?;
/// # Ok::<(), ropewalk_http::form::FormError>(())
/// ```
#[derive(Debug)]
pub struct MultipartDecoder {
    /// `CR LF -- boundary`.
    delimiter: Finder<'static>,
    held: BytesMut,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Preamble,
    /// A delimiter came: what follows says whether a part begins.
    Delimited,
    Head,
    Data,
    /// Whatever comes now is nobody's.
    Epilogue,
}

impl MultipartDecoder {
    /// For the body of a message with this Content-Type.
    ///
    /// # Errors
    ///
    /// [`FormError::Malformed`] if it names no boundary of 1 to 70 letters.
    pub fn new(content_type: &[u8]) -> Result<Self, FormError> {
        let boundary = parameter(content_type, "boundary").filter(|text| is_boundary(text));
        let boundary = boundary.ok_or(FormError::Malformed("its type names no boundary"))?;
        let delimiter = [b"\r\n--", &boundary[..]].concat();
        // The first delimiter may stand at the very beginning, as if a line had ended before it.
        let held = BytesMut::from(&b"\r\n"[..]);
        let delimiter = Finder::new(&delimiter).into_owned();
        Ok(Self { delimiter, held, state: State::Preamble, parts: 0 })
    }

    /// Takes more of the body. Little of it stays here once [`next`](Self::next) has given all it can.
    pub fn push(&mut self, data: &[u8]) {
        if self.state != State::Epilogue {
            self.held.extend_from_slice(data);
        }
    }

    /// The next piece; `None` where more of the body is needed, or all was given.
    ///
    /// # Errors
    ///
    /// [`FormError`] if a rule is broken or a bound reached; nothing good comes after that.
    // It is no iterator: `None` is not the end.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<MultipartPiece>, FormError> {
        loop {
            match self.state {
                State::Preamble => match self.delimiter.find(&self.held) {
                    Some(at) => self.delimited(at),
                    None => {
                        let spare = self.held.len() - self.begun_delimiter();
                        self.held.advance(spare);
                        return Ok(None);
                    }
                },
                State::Delimited => {
                    if !self.read_delimiter()? {
                        return Ok(None);
                    }
                }
                State::Head => return Ok(self.read_head()?.map(MultipartPiece::Begin)),
                State::Data => {
                    let (ready, is_end) = match self.delimiter.find(&self.held) {
                        Some(at) => (at, true),
                        None => (self.held.len() - self.begun_delimiter(), false),
                    };
                    if ready > 0 {
                        return Ok(Some(MultipartPiece::Data(self.held.split_to(ready).freeze())));
                    }
                    if !is_end {
                        return Ok(None);
                    }
                    self.delimited(0);
                    return Ok(Some(MultipartPiece::End));
                }
                State::Epilogue => {
                    self.held.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// Says that the body has ended.
    ///
    /// # Errors
    ///
    /// [`FormError::CutShort`] if the form has not.
    pub fn finish(&self) -> Result<(), FormError> {
        if self.state == State::Epilogue { Ok(()) } else { Err(FormError::CutShort) }
    }

    fn delimited(&mut self, at: usize) {
        self.held.advance(at + self.delimiter.needle().len());
        self.state = State::Delimited;
    }

    /// How many bytes at the end may turn out to be the begin of a delimiter.
    fn begun_delimiter(&self) -> usize {
        let needle = self.delimiter.needle();
        let tail = self.held.len().saturating_sub(needle.len() - 1);
        let tail = &self.held[tail..];
        memchr::memchr_iter(b'\r', tail)
            .find(|at| needle.starts_with(&tail[*at..]))
            .map_or(0, |at| tail.len() - at)
    }

    /// Reads what follows a boundary: two hyphens at the end, else white space and the line's end.
    fn read_delimiter(&mut self) -> Result<bool, FormError> {
        if self.held.starts_with(b"--") {
            self.state = State::Epilogue;
            return Ok(true);
        }
        let blank = self.held.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match self.held[blank..] {
            _ if blank > PADDING_MAX => {
                Err(FormError::Malformed("a boundary is not followed by its line's end"))
            }
            [b'\r', b'\n', ..] => {
                self.held.advance(blank + 2);
                if self.parts == FIELDS_MAX {
                    return Err(FormError::TooMany { max: FIELDS_MAX });
                }
                self.parts += 1;
                self.state = State::Head;
                Ok(true)
            }
            [] | [b'\r'] => Ok(false),
            [b'-'] if blank == 0 => Ok(false),
            _ => Err(FormError::Malformed("a boundary is not followed by its line's end")),
        }
    }

    fn read_head(&mut self) -> Result<Option<PartHead>, FormError> {
        // A part without any field has its empty line at once.
        let end = if self.held.starts_with(b"\r\n") {
            Some(2)
        } else {
            memchr::memmem::find(&self.held, b"\r\n\r\n").map(|at| at + 4)
        };
        match end {
            Some(end) if end <= PART_HEAD_MAX => {
                let head = PartHead::parse(&self.held[..end])?;
                self.held.advance(end);
                self.state = State::Data;
                Ok(Some(head))
            }
            None if self.held.len() < PART_HEAD_MAX => Ok(None),
            _ => Err(FormError::Malformed("what stands before a part is too long")),
        }
    }
}

/// Whether this is a boundary (RFC 2046 5.1.1).
fn is_boundary(text: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
    (1..=BOUNDARY_MAX).contains(&text.len()) && text.iter().all(is_letter) && !text.ends_with(b" ")
}
