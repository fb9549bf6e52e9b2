//! Bodies that are coded piece by piece, as the client takes them.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{FileSlice, Threads, defer_to_threads};

use super::coder::Coder;
use crate::{BodyPiece, BodyStream};

/// How much is coded at a time, so that no other connection waits long.
const SLICE: usize = 16 * 1024;

/// A place among those who may have an encoder at the same time.
pub(super) struct Place(Rc<Cell<usize>>);

impl Place {
    /// One of `max` places, if there is one left.
    pub(super) fn take(count: &Rc<Cell<usize>>, max: usize) -> Option<Self> {
        let taken = count.get();
        (taken < max).then(|| {
            count.set(taken + 1);
            Self(Rc::clone(count))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What is to be coded next.
enum Source {
    Bytes(Bytes),
    File(FileSlice),
}

struct State {
    inner: BodyStream,
    /// Absent while a thread has it, and at the end.
    coder: Option<Coder>,
    /// The rest of the piece in hand.
    source: Option<Source>,
    /// Each piece is to reach the client when it comes.
    flushes: bool,
    /// What the encoder said at its end.
    last: Option<BodyPiece>,
    trailers: Option<BodyPiece>,
    is_over: bool,
    threads: Option<Rc<dyn Threads>>,
    _place: Place,
}

/// The stream `inner` through `coder`, by threads if there are any.
pub(super) fn coded(
    inner: BodyStream,
    coder: Coder,
    flushes: bool,
    threads: Option<Rc<dyn Threads>>,
    place: Place,
) -> BodyStream {
    let state = Rc::new(RefCell::new(State {
        inner,
        coder: Some(coder),
        source: None,
        flushes,
        last: None,
        trailers: None,
        is_over: false,
        threads,
        _place: place,
    }));
    BodyStream::new(move || next(&state))
}

/// Codes until something comes out; each step that is not done at once goes on when it is.
fn next(state: &Rc<RefCell<State>>) -> Deferred<Option<BodyPiece>> {
    loop {
        let step = state.borrow_mut().step();
        let waiting = match step {
            Step::Is(piece) => return Deferred::succeed(piece),
            Step::Again => continue,
            Step::Failed(failure) => return Deferred::ready(Err(failure)),
            Step::Piece(piece) => match piece.try_take() {
                Ok(Ok(piece)) => {
                    if let Err(failure) = state.borrow_mut().take_piece(piece) {
                        return Deferred::ready(Err(failure));
                    }
                    continue;
                }
                Ok(Err(failure)) => return Deferred::ready(Err(failure)),
                Err(later) => {
                    let state = Rc::clone(state);
                    return later.add_callback(move |piece| {
                        let taken = state.borrow_mut().take_piece(piece);
                        match taken {
                            Ok(()) => next(&state),
                            Err(failure) => Deferred::ready(Err(failure)),
                        }
                    });
                }
            },
            Step::Coded(later) => later,
        };
        let state = Rc::clone(state);
        return waiting.add_callback(move |(coder, out): (Coder, Vec<u8>)| {
            state.borrow_mut().coder = Some(coder);
            if out.is_empty() { next(&state) } else { Deferred::succeed(Some(piece(out))) }
        });
    }
}

fn piece(out: Vec<u8>) -> BodyPiece {
    BodyPiece::Bytes(out.into())
}

enum Step {
    /// This comes out.
    Is(Option<BodyPiece>),
    /// More has to go in.
    Piece(Deferred<Option<BodyPiece>>),
    /// A thread is at it.
    Coded(Deferred<(Coder, Vec<u8>)>),
    /// Nothing has come out yet.
    Again,
    Failed(Failure),
}

impl State {
    fn step(&mut self) -> Step {
        let Some(source) = self.source.take() else {
            if self.is_over {
                return Step::Is(self.last.take().or_else(|| self.trailers.take()));
            }
            return Step::Piece(self.inner.next());
        };
        let (now, rest) = cut(source);
        let is_last = rest.is_none();
        self.source = rest;
        let Some(mut coder) = self.coder.take() else {
            return Step::Failed(Failure::new("the encoder is gone"));
        };
        let flushes = self.flushes && is_last;
        let work = move || -> io::Result<(Coder, Vec<u8>)> {
            match &now {
                Source::Bytes(bytes) => coder.write(bytes)?,
                Source::File(slice) => coder.write(&read(slice)?)?,
            }
            if flushes {
                coder.flush()?;
            }
            let out = coder.take();
            Ok((coder, out))
        };
        if let Some(threads) = &self.threads {
            return Step::Coded(defer_to_threads(&**threads, work));
        }
        match work() {
            Ok((coder, out)) => {
                self.coder = Some(coder);
                if out.is_empty() { Step::Again } else { Step::Is(Some(piece(out))) }
            }
            Err(error) => Step::Failed(error.into()),
        }
    }

    /// What was asked for is here.
    fn take_piece(&mut self, piece: Option<BodyPiece>) -> Result<(), Failure> {
        match piece {
            Some(BodyPiece::Bytes(bytes)) => self.source = Some(Source::Bytes(bytes)),
            Some(BodyPiece::File(slice)) => self.source = Some(Source::File(slice)),
            Some(trailers) => self.trailers = Some(trailers),
            None => self.end()?,
        }
        Ok(())
    }

    /// The last bytes come out, and then the trailers.
    fn end(&mut self) -> Result<(), Failure> {
        self.is_over = true;
        let Some(coder) = self.coder.take() else { return Ok(()) };
        let out = coder.finish()?;
        if !out.is_empty() {
            self.last = Some(piece(out));
        }
        Ok(())
    }
}

/// A slice off the front, and what is left.
fn cut(source: Source) -> (Source, Option<Source>) {
    match source {
        Source::Bytes(mut bytes) if bytes.len() > SLICE => {
            let front = bytes.split_to(SLICE);
            (Source::Bytes(front), Some(Source::Bytes(bytes)))
        }
        Source::File(slice) if slice.len > SLICE as u64 => {
            let front = FileSlice { len: SLICE as u64, ..slice.clone() };
            let offset = slice.offset + SLICE as u64;
            let rest = FileSlice { offset, len: slice.len - SLICE as u64, ..slice };
            (Source::File(front), Some(Source::File(rest)))
        }
        whole => (whole, None),
    }
}

/// The bytes of a slice of a file; it is an error if the file has become too short for it.
fn read(slice: &FileSlice) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; slice.len as usize];
    crate::files::read_at(&slice.file, &mut bytes, slice.offset)?;
    Ok(bytes)
}
