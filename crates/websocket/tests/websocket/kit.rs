//! What the tests share: protocols that write down what they are told, and frames by hand.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_http::{Request, Site};
use ropewalk_trial::{Clock, Memory};
use ropewalk_websocket::{
    Closed, Decoder, FrameHead, Limits, Message, OpCode, Options, Received, Role, WebSocket,
    WebSocketProtocol, WebSocketResource,
};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The opening request of RFC 6455 1.3, with more fields.
pub(crate) fn opening(fields: &[&str]) -> Vec<u8> {
    let mut text = format!(
        "GET / HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for field in fields {
        text += field;
        text += "\r\n";
    }
    text += "\r\n";
    text.into_bytes()
}

/// What a protocol was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Opened,
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Closed),
}

pub(crate) fn text(text: &str) -> Told {
    Told::Text(text.to_owned())
}

/// Where protocols leave what they were told.
#[derive(Clone, Default)]
pub(crate) struct Book(Rc<RefCell<Vec<Told>>>);

impl Book {
    pub(crate) fn note(&self, told: Told) {
        self.0.borrow_mut().push(told);
    }

    pub(crate) fn take(&self) -> Vec<Told> {
        self.0.take()
    }

    #[track_caller]
    pub(crate) fn take_closed(&self) -> Closed {
        match self.take().pop() {
            Some(Told::Closed(closed)) => closed,
            other => panic!("the last that was told is {other:?}, not the end"),
        }
    }
}

/// Writes down what it is told, and echoes messages if asked to.
pub(crate) struct Scribe {
    pub(crate) book: Book,
    pub(crate) echoes: bool,
}

impl Scribe {
    pub(crate) fn new(book: &Book) -> Self {
        Self { book: book.clone(), echoes: false }
    }

    pub(crate) fn echoing() -> Self {
        Self { book: Book::default(), echoes: true }
    }
}

impl WebSocketProtocol for Scribe {
    fn opened(&mut self, _: &WebSocket<Self>) {
        self.book.note(Told::Opened);
    }

    fn message_received(&mut self, socket: &WebSocket<Self>, message: Message<'_>) {
        self.book.note(match message {
            Message::Text(text) => Told::Text(text.to_owned()),
            Message::Binary(bytes) => Told::Binary(bytes.to_vec()),
        });
        if self.echoes {
            socket.send(message);
        }
    }

    fn pong_received(&mut self, _: &WebSocket<Self>, payload: &[u8]) {
        self.book.note(Told::Pong(payload.to_vec()));
    }

    fn closed(&mut self, _: &WebSocket<Self>, how: &Closed) {
        self.book.note(Told::Closed(how.clone()));
    }
}

/// A server whose client is the test.
pub(crate) struct Server {
    pub(crate) memory: Memory,
    pub(crate) book: Book,
    pub(crate) socket: WebSocket<Scribe>,
}

impl Server {
    /// One whose WebSocket is open.
    pub(crate) fn open(options: &Options, fields: &[&str]) -> Self {
        let book = Book::default();
        let its_book = book.clone();
        let resource = WebSocketResource::new(move |_: &Request| Scribe::new(&its_book))
            .options(options.clone());
        let group = resource.group();
        let mut memory = Memory::seat(Site::new(resource).server(), &Clock::new());
        memory.push(&opening(fields));
        let answer = String::from_utf8(memory.take_sent()).expect("it is ASCII");
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(book.take(), [Told::Opened]);
        let socket = group.members().pop().expect("it is open");
        Self { memory, book, socket }
    }

    pub(crate) fn plain() -> Self {
        Self::open(&Options::new(), &[])
    }

    /// What it has sent, frame by frame.
    pub(crate) fn sent(&mut self) -> Vec<(FrameHead, Vec<u8>)> {
        frames(&self.memory.take_sent())
    }
}

/// Cuts bytes into frames, masks taken off.
#[track_caller]
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(FrameHead, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let read = FrameHead::read(bytes).expect("it begins as a frame does");
        let (head, length) = read.expect("its head is whole");
        let (payload, rest) = bytes[length..].split_at(head.length as usize);
        let mut payload = payload.to_vec();
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= head.mask.map_or(0, |mask| mask[index % 4]);
        }
        frames.push((head, payload));
        bytes = rest;
    }
    frames
}

/// One frame as a client sends it.
pub(crate) fn masked(is_final: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xFA, 0x21, 0x3D];
    let length = payload.len() as u64;
    let head = FrameHead { is_final, is_compressed: false, opcode, mask: Some(mask), length };
    let mut out = Vec::new();
    head.encode(&mut out);
    out.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    out
}

/// One frame as a server sends it.
pub(crate) fn bare(is_final: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u64;
    let head = FrameHead { is_final, is_compressed: false, opcode, mask: None, length };
    let mut out = Vec::new();
    head.encode(&mut out);
    out.extend_from_slice(payload);
    out
}

/// What a decoder says of `bytes` in pieces of `size`: each thing as text, the last perhaps an error.
pub(crate) fn decode(role: Role, limits: Limits, bytes: &[u8], size: usize) -> Vec<String> {
    let mut decoder = Decoder::new(role, limits);
    let mut said = Vec::new();
    for mut piece in bytes.chunks(size) {
        loop {
            match decoder.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(received)) => said.push(show(received)),
                Err(bad) => {
                    said.push(format!("{bad:?}"));
                    return said;
                }
            }
        }
    }
    said
}

fn show(received: Received<'_>) -> String {
    match received {
        Received::Message(Message::Binary(bytes)) if bytes.len() > 64 => {
            format!("{} bytes, the last is {:?}", bytes.len(), bytes.last())
        }
        other => format!("{other:?}"),
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A moment less than so many seconds.
pub(crate) fn just_under(seconds: u64) -> Duration {
    secs(seconds).saturating_sub(Duration::from_nanos(1))
}
