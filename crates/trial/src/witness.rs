//! A protocol that writes down what it is told.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ropewalk_protocol::{Conn, Descriptor, Disconnect, Protocol};

/// What a protocol is told.
#[derive(Clone, PartialEq, Eq)]
pub enum Note {
    /// The connection was made.
    Made,
    /// Bytes arrived.
    Data(Vec<u8>),
    /// A descriptor arrived: [`Notes::take_descriptors`] has it.
    Descriptor,
    /// The peer ended its stream.
    Eof,
    /// More output waits than the high mark.
    Paused,
    /// Output has drained to the low mark.
    Resumed,
    /// The connection is over, or was never made.
    Lost(Disconnect),
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made => f.write_str("Made"),
            Self::Data(data) if data.len() > 64 => {
                write!(f, "Data({} bytes from \"{}\")", data.len(), data[..16].escape_ascii())
            }
            Self::Data(data) => write!(f, "Data(\"{}\")", data.escape_ascii()),
            Self::Descriptor => f.write_str("Descriptor"),
            Self::Eof => f.write_str("Eof"),
            Self::Paused => f.write_str("Paused"),
            Self::Resumed => f.write_str("Resumed"),
            Self::Lost(why) => write!(f, "Lost({why:?})"),
        }
    }
}

type React = Box<dyn FnMut(&Conn<Witness>, &Note)>;

/// A protocol that does what the test wants about each thing it is told, and writes it down.
///
/// ```
/// use ropewalk_trial::{Clock, Memory, Note, Witness};
///
/// let (greeter, notes) = Witness::new(|conn, note| match note {
///     Note::Made => conn.write(b"hello"),
///     Note::Data(_) => conn.close(),
///     _ => (),
/// });
/// let mut memory = Memory::seat(greeter, &Clock::new());
/// memory.push(b"bye");
/// assert_eq!(memory.take_sent(), b"hello");
/// assert_eq!(notes.data(), b"bye");
/// assert!(notes.lost().is_some());
/// ```
pub struct Witness {
    notes: Notes,
    react: React,
}

/// What a [`Witness`] wrote down so far.
#[derive(Clone, Default)]
pub struct Notes(Rc<RefCell<Vec<Note>>>, Rc<RefCell<Vec<Descriptor>>>);

impl Witness {
    /// A witness, and where it writes.
    pub fn new(react: impl FnMut(&Conn<Self>, &Note) + 'static) -> (Self, Notes) {
        let notes = Notes::default();
        (Self { notes: notes.clone(), react: Box::new(react) }, notes)
    }

    /// A witness that writes where others do: one story of several connections.
    pub fn sharing(notes: &Notes, react: impl FnMut(&Conn<Self>, &Note) + 'static) -> Self {
        Self { notes: notes.clone(), react: Box::new(react) }
    }

    /// Where it writes.
    pub fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// One that does nothing of its own, and closes when the peer does.
    pub fn quiet() -> (Self, Notes) {
        Self::new(|conn, note| {
            if *note == Note::Eof {
                conn.close();
            }
        })
    }

    fn note(&mut self, conn: &Conn<Self>, note: Note) {
        // Written down first: what it does about it may end the test.
        self.notes.0.borrow_mut().push(note);
        let last = self.notes.0.borrow().last().cloned();
        if let Some(note) = last {
            (self.react)(conn, &note);
        }
    }
}

impl Notes {
    /// Everything, in order.
    pub fn all(&self) -> Vec<Note> {
        self.0.borrow().clone()
    }

    /// Takes the descriptors that came, in order.
    pub fn take_descriptors(&self) -> Vec<Descriptor> {
        self.1.take()
    }

    /// All bytes that came, however they were cut.
    pub fn data(&self) -> Vec<u8> {
        let notes = self.0.borrow();
        let data = notes.iter().filter_map(|note| match note {
            Note::Data(data) => Some(data.as_slice()),
            _ => None,
        });
        data.collect::<Vec<_>>().concat()
    }

    /// How many bytes came.
    pub fn len(&self) -> usize {
        let notes = self.0.borrow();
        let sizes = notes.iter().map(|note| match note {
            Note::Data(data) => data.len(),
            _ => 0,
        });
        sizes.sum()
    }

    /// Whether no byte came.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it was told that.
    pub fn has(&self, note: &Note) -> bool {
        self.0.borrow().contains(note)
    }

    /// How the connection ended, if it has.
    pub fn lost(&self) -> Option<Disconnect> {
        self.0.borrow().iter().find_map(|note| match note {
            Note::Lost(why) => Some(*why),
            _ => None,
        })
    }

    /// What contradicts the order that every protocol may count on, if anything does.
    pub fn disorder(&self) -> Option<&'static str> {
        let notes = self.0.borrow();
        let losses = notes.iter().filter(|note| matches!(note, Note::Lost(_))).count();
        let first_loss = notes.iter().position(|note| matches!(note, Note::Lost(_)));
        let made = notes.iter().filter(|note| **note == Note::Made).count();
        let eof = notes.iter().position(|note| *note == Note::Eof);
        let last_data =
            notes.iter().rposition(|note| matches!(note, Note::Data(_) | Note::Descriptor));
        if losses > 1 {
            return Some("connection_lost came more than once");
        }
        if first_loss.is_some_and(|loss| loss + 1 != notes.len()) {
            return Some("something came after connection_lost");
        }
        if made > 1 {
            return Some("connection_made came more than once");
        }
        match notes.first() {
            None | Some(Note::Made) => (),
            Some(Note::Lost(_)) if made == 0 => (),
            Some(_) => return Some("something came before connection_made"),
        }
        if eof.zip(last_data).is_some_and(|(eof, data)| eof < data) {
            return Some("bytes came after the end of the stream");
        }
        None
    }
}

impl Protocol for Witness {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.note(conn, Note::Made);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.note(conn, Note::Data(data.to_vec()));
    }

    fn descriptor_received(&mut self, conn: &Conn<Self>, descriptor: Descriptor) {
        self.notes.1.borrow_mut().push(descriptor);
        self.note(conn, Note::Descriptor);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.note(conn, Note::Eof);
    }

    fn writing_paused(&mut self, conn: &Conn<Self>) {
        self.note(conn, Note::Paused);
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.note(conn, Note::Resumed);
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        self.note(conn, Note::Lost(why));
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&*self.0.borrow()).finish()
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Witness").field("notes", &self.notes).finish_non_exhaustive()
    }
}
