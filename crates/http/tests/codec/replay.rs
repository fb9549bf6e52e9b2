use ropewalk_http::{BadRequest, BodyDecoder, BodyLength, HeadDecoder, Limits, Piece};

use crate::corpus::Outcome;

/// What a server would see of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A head, in words.
    Head(String),
    /// All of a body that came before something else.
    Body(Vec<u8>),
    /// The end of a body, its trailers in words.
    End(String),
    Refused(BadRequest),
    Unfinished,
}

impl Event {
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Head(_) | Self::Body(_) => None,
            Self::End(_) => Some(Outcome::Whole),
            Self::Refused(bad) => Some(Outcome::Refused(bad.status().as_u16())),
            Self::Unfinished => Some(Outcome::Unfinished),
        }
    }
}

/// What comes of `bytes` in pieces of `size`.
pub(crate) fn replay(bytes: &[u8], size: usize, limits: &Limits) -> Vec<Event> {
    replay_pieces(bytes.chunks(size.min(bytes.len().max(1))), limits)
}

pub(crate) fn replay_pieces<'p>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
    limits: &Limits,
) -> Vec<Event> {
    let mut reader = Reader { head: HeadDecoder::default(), body: None, events: Vec::new() };
    for piece in pieces {
        if let Err(bad) = reader.feed(piece, limits) {
            reader.events.push(Event::Refused(bad));
            return reader.events;
        }
    }
    if reader.body.is_some() || reader.head.has_begun() {
        reader.events.push(Event::Unfinished);
    }
    reader.events
}

struct Reader {
    head: HeadDecoder,
    body: Option<BodyDecoder>,
    events: Vec<Event>,
}

impl Reader {
    fn feed(&mut self, mut data: &[u8], limits: &Limits) -> Result<(), BadRequest> {
        loop {
            let Some(body) = &mut self.body else {
                let Some(head) = self.head.feed(&mut data, limits)? else {
                    assert!(data.is_empty(), "a head that is not whole takes all");
                    return Ok(());
                };
                self.events.push(Event::Head(format!("{head:?}")));
                self.body = Some(BodyDecoder::new(head.body, limits.body_max)?);
                assert!(head.body != BodyLength::None || !head.expects_continue);
                continue;
            };
            match (body.feed(&mut data, limits)?, self.events.last_mut()) {
                (None, _) => {
                    assert!(data.is_empty(), "a body that is not whole takes all");
                    return Ok(());
                }
                (Some(Piece::Data(more)), Some(Event::Body(bytes))) => bytes.extend(more),
                (Some(Piece::Data(more)), _) => self.events.push(Event::Body(more.to_vec())),
                (Some(Piece::End(trailers)), _) => {
                    assert!(body.is_over());
                    self.events.push(Event::End(format!("{trailers:?}")));
                    self.body = None;
                }
            }
        }
    }
}
