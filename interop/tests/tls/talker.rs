//! What our side says, as server and as client.

use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Conn, Disconnect, Protocol, TlsInfo};

/// Answers each line: `who` with what was agreed on, `bye` with the end, others with themselves.
#[derive(Default)]
pub(crate) struct Talker {
    line: Vec<u8>,
}

impl Protocol for Talker {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        for byte in data {
            self.line.push(*byte);
            if *byte != b'\n' {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            match line.trim_ascii_end() {
                b"who" => conn.write(told(conn.tls()).as_bytes()),
                b"bye" => {
                    conn.write(b"farewell\n");
                    conn.close();
                }
                _ => conn.write(&line),
            }
        }
    }
}

fn told(info: Option<TlsInfo>) -> String {
    let Some(info) = info else { return "nothing\n".to_owned() };
    let alpn = info.alpn.map_or("-".to_owned(), |alpn| alpn.escape_ascii().to_string());
    format!(
        "agreed {} name={} alpn={alpn} chain={} resumed={}\n",
        info.protocol,
        info.server_name.as_deref().unwrap_or("-"),
        info.peer_chain.len(),
        info.resumed,
    )
}

/// Says one thing, and hears what comes of it to the end.
pub(crate) struct Asker {
    question: &'static [u8],
    until: &'static [u8],
    heard: Vec<u8>,
    info: Option<TlsInfo>,
    told: Option<Promise<Answer>>,
}

/// What an [`Asker`] got.
pub(crate) struct Answer {
    pub(crate) heard: String,
    pub(crate) info: Option<TlsInfo>,
    pub(crate) why: Disconnect,
}

impl Asker {
    /// Closes once it has heard what ends with `until`.
    pub(crate) fn new(question: &'static [u8], until: &'static [u8]) -> (Self, Deferred<Answer>) {
        let (promise, answer) = deferred();
        let told = Some(promise);
        (Self { question, until, heard: Vec::new(), info: None, told }, answer)
    }
}

impl Protocol for Asker {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(self.question);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
        if self.heard.ends_with(self.until) {
            self.info = conn.tls();
            conn.close();
        }
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        if let Some(told) = self.told.take() {
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            told.succeed(Answer { heard, info: self.info.take(), why });
        }
    }
}
