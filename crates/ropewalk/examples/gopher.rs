//! Gopher (RFC 1436), one line in and one text out: `cargo run --example gopher`, then
//! `curl gopher://127.0.0.1:7070/0/hello`.

use std::time::Duration;

use ropewalk::protocol::Address;
use ropewalk::{Conn, Protocol};

/// The longest line that asks for a document, in bytes, its ending included.
pub(crate) const LINE_MAX: usize = 257;

/// How long a client may take, over its line and over the text.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Reads one line, says what it asks for, and closes.
#[derive(Default)]
pub(crate) struct Gopher {
    line: Vec<u8>,
}

impl Protocol for Gopher {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.call_later(PATIENCE, |_, conn| conn.abort());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let room = LINE_MAX - self.line.len();
        self.line.extend_from_slice(&data[..room.min(data.len())]);
        let end = self.line.iter().position(|&byte| byte == b'\n');
        if end.is_none() && self.line.len() < LINE_MAX {
            return;
        }
        let selector = end.map(|end| self.line[..end].trim_ascii_end());
        conn.write(document(selector).as_bytes());
        conn.close();
    }
}

/// The text that a selector stands for, as it goes out.
fn document(selector: Option<&[u8]>) -> &'static str {
    match selector {
        Some(b"" | b"/") => "0A greeting\t/hello\tlocalhost\t7070\r\n.\r\n",
        Some(b"/hello") => "Hello, gopher!\r\n.\r\n",
        Some(_) => "3There is no such document\t\t\t\r\n.\r\n",
        None => "3No selector is that long\t\t\t\r\n.\r\n",
    }
}

fn main() -> Result<(), ropewalk::Failure> {
    ropewalk::serve("tcp:7070:interface=127.0.0.1", |_: &Address| Some(Gopher::default()))
}
