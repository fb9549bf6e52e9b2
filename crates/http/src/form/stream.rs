use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Failure};

use super::error::FormError;
use super::fields::check_type;
use super::multipart::{MultipartDecoder, MultipartPiece};
use crate::{Incoming, Request};

/// The parts of a request's form as they come, with back-pressure to the client.
///
/// ```
/// use ropewalk_http::{Request, Site, form::{FormError, Multipart, MultipartPiece}};
///
/// async fn count(request: Request) -> Result<String, ropewalk_deferred::Failure> {
///     let mut form = Multipart::of(request)?;
///     let mut bytes = 0;
///     while let Some(piece) = form.next_piece().await? {
///         if let MultipartPiece::Data(data) = piece {
///             bytes += data.len();
///         }
///     }
///     Ok(format!("{bytes} bytes"))
/// }
/// # let _ = count;
/// ```
pub struct Multipart {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    decoder: MultipartDecoder,
    body: Incoming,
}

impl Multipart {
    /// The form in a request's body.
    ///
    /// # Errors
    ///
    /// [`FormError::OtherType`] if there is none, [`FormError::Malformed`] if its type names no boundary.
    pub fn of(request: Request) -> Result<Self, FormError> {
        let content_type = check_type(request.headers(), "multipart/form-data")?;
        let decoder = MultipartDecoder::new(content_type.as_bytes())?;
        let body = request.into_body();
        Ok(Self { inner: Rc::new(RefCell::new(Inner { decoder, body })) })
    }

    /// The next piece, once it is there; `None` at the end.
    ///
    /// The deferred fails with a [`FormError`], or a [`BodyError`](crate::BodyError) where the body does not
    /// come whole.
    pub fn next_piece(&mut self) -> Deferred<Option<MultipartPiece>> {
        next(&self.inner)
    }
}

fn next(inner: &Rc<RefCell<Inner>>) -> Deferred<Option<MultipartPiece>> {
    loop {
        let mut borrowed = inner.borrow_mut();
        match borrowed.decoder.next() {
            Ok(None) => (),
            ready => return Deferred::ready(ready.map_err(Failure::from)),
        }
        let came = borrowed.body.next_piece();
        match came.try_take() {
            Ok(Ok(Some(data))) => borrowed.decoder.push(&data),
            Ok(Ok(None)) => {
                return Deferred::ready(
                    borrowed.decoder.finish().map(|()| None).map_err(Into::into),
                );
            }
            Ok(Err(failure)) => return Deferred::ready(Err(failure)),
            Err(waiting) => {
                drop(borrowed);
                let inner = Rc::clone(inner);
                return waiting.add_callback(move |data: Option<Bytes>| {
                    let mut borrowed = inner.borrow_mut();
                    match data {
                        Some(data) => borrowed.decoder.push(&data),
                        None => {
                            let finished = borrowed.decoder.finish();
                            return Deferred::ready(finished.map(|()| None).map_err(Into::into));
                        }
                    }
                    drop(borrowed);
                    next(&inner)
                });
            }
        }
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart").finish_non_exhaustive()
    }
}
