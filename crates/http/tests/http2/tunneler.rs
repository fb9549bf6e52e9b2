//! A client in a few lines that has a protocol seated on one stream, which it opens with an extended CONNECT.

use ropewalk_http2::frame::{ErrorCode, StreamId};
use ropewalk_http2::hpack::Pseudo;
use ropewalk_http2::{Connection, Event, Limits};
use ropewalk_protocol::{Channel, Conn, Disconnect, Ending, Protocol, Seat};

pub(crate) struct Tunneler {
    engine: Connection,
    seat: Option<Box<dyn Seat>>,
    stream: Option<StreamId>,
    channel: Option<Channel<Tunneler>>,
    held: usize,
    is_sent: bool,
    is_received: bool,
}

impl Tunneler {
    pub(crate) fn new(seat: Box<dyn Seat>, limits: Limits) -> Self {
        Self {
            engine: Connection::client(limits),
            seat: Some(seat),
            stream: None,
            channel: None,
            held: 0,
            is_sent: false,
            is_received: false,
        }
    }

    fn open(&mut self, conn: &Conn<Self>) {
        assert!(self.engine.has_extended_connect());
        conn.write_with(|out| {
            let opened = self.engine.open(false, out, |head| {
                head.pseudo(Pseudo::Method, b"CONNECT");
                head.pseudo(Pseudo::Protocol, b"witness");
                head.pseudo(Pseudo::Scheme, b"http");
                head.pseudo(Pseudo::Authority, b"example.com");
                head.pseudo(Pseudo::Path, b"/");
            });
            self.stream = opened.ok();
        });
    }

    fn hear(&mut self, conn: &Conn<Self>, mut input: &[u8]) {
        loop {
            let mut event = Ok(None);
            conn.write_with(|out| event = self.engine.next(&mut input, conn.now(), out));
            match event.expect("a server's octets") {
                None => return,
                Some(Event::Settings) if self.stream.is_none() => self.open(conn),
                Some(Event::Response { stream, head, .. }) => {
                    assert_eq!(head.status, 200);
                    let seat = self.seat.take().expect("one answer");
                    let channel = Channel::new(conn, stream.into(), Self::tend, seat);
                    self.channel.insert(channel).made();
                }
                Some(Event::Data { data, is_end, .. }) => {
                    let Some(channel) = &mut self.channel else { continue };
                    self.held += data.len();
                    if !data.is_empty() {
                        channel.data_received(data);
                    }
                    if is_end {
                        self.is_received = true;
                        channel.eof_received();
                    }
                }
                Some(Event::Reset { why, .. }) => {
                    let how = if self.is_sent && why.code() == ErrorCode::NoError {
                        Disconnect::Closed
                    } else {
                        Disconnect::Reset
                    };
                    self.end(conn, how);
                }
                Some(_) => (),
            }
            self.look(conn);
        }
    }

    fn tend(&mut self, conn: &Conn<Self>, _: u64) {
        if let Some(channel) = &mut self.channel {
            channel.tick();
        }
        self.send(conn);
    }

    /// Sends what there is room for.
    fn send(&mut self, conn: &Conn<Self>) {
        for _ in 0..64 {
            self.look(conn);
            let (Some(stream), Some(channel)) = (self.stream, &mut self.channel) else { return };
            let room = self.engine.room(stream) as u64;
            if channel.waiting() == 0 || room == 0 || conn.is_writing_paused() {
                return channel.tell_sent();
            }
            let part = channel.take(room);
            conn.write_with(|out| {
                let head = self.engine.data_head(stream, part.len() as usize, false, out);
                out.extend_from_slice(&head.expect("an open stream"));
            });
            conn.write_outbox(Box::new(part));
            channel.tell_sent();
        }
        conn.call_later(std::time::Duration::ZERO, Self::send);
    }

    /// Carries out what the protocol wishes.
    fn look(&mut self, conn: &Conn<Self>) {
        let (Some(stream), Some(channel)) = (self.stream, &mut self.channel) else { return };
        let wishes = channel.settle();
        if let Some(Ending::Abort(why)) = wishes.ending {
            conn.write_with(|out| self.engine.reset(stream, ErrorCode::Cancel, out));
            return self.end(conn, why);
        }
        conn.write_with(|out| {
            if wishes.reading {
                self.engine.release(stream, std::mem::take(&mut self.held), out);
            }
            if wishes.end_of_stream && !self.is_sent {
                self.is_sent = true;
                if let Some(head) = self.engine.data_head(stream, 0, true, out) {
                    out.extend_from_slice(&head);
                }
            }
        });
        let is_over = self.is_sent && self.is_received && wishes.reading;
        if wishes.ending.is_some() || is_over {
            self.end(conn, Disconnect::Closed);
        }
    }

    fn end(&mut self, conn: &Conn<Self>, why: Disconnect) {
        if let Some(mut channel) = self.channel.take() {
            channel.lose(why);
        }
        // Closed at once, it would take back what is on its way as soon as the server said a word.
        conn.close_write();
    }
}

impl Protocol for Tunneler {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write_with(|out| self.engine.greet(out));
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.hear(conn, data);
        self.send(conn);
    }

    fn eof_received(&mut self, conn: &Conn<Self>) {
        self.end(conn, Disconnect::Reset);
        conn.close();
    }

    fn writing_resumed(&mut self, conn: &Conn<Self>) {
        self.send(conn);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(seat) = &mut self.seat {
            seat.handle(ropewalk_protocol::Event::Lost(why));
        }
        if let Some(channel) = &mut self.channel {
            channel.lose(why);
        }
    }
}
