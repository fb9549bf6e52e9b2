//! Memory for each idle connection.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::subject::Subject;
use crate::Outcome;
use crate::bench::idle::connect;
use crate::bench::proc::{Memory, allow_descriptors};
use crate::bench::table::{Table, ratio};

/// Descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 100;
/// Requests before anything is counted, so that code and first buffers are there.
const WARM_UP: usize = 100;
/// How many bytes ours may use for an idle connection.
const ALLOWANCE: f64 = 2048.0;

/// The preface, settings that say nothing, and `GET /` of `localhost` on stream 1.
const REQUEST: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x0e\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x09localhost";
/// That the server's settings were heard.
const ACK: &[u8] = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00";

/// Bytes for each connection: those that the server alone has written, and by resident size.
struct Weight {
    subject: Subject,
    private: f64,
    resident: f64,
}

/// Weighs and prints; what went wrong.
pub(super) fn run(subjects: &[Subject], count: usize, markdown: bool) -> Outcome<Vec<String>> {
    allow_descriptors(count as u64 + OTHER_DESCRIPTORS)?;
    let (mut weights, mut faults) = (Vec::new(), Vec::new());
    for &subject in subjects {
        eprintln!("{}, idle", subject.name());
        match weigh(subject, count) {
            Ok(weight) => weights.push(weight),
            Err(error) => faults.push(format!("{}: {error}", subject.name())),
        }
    }
    let ours = weights.iter().find(|weight| weight.subject == Subject::Ours);
    let ours = ours.map_or(f64::NAN, |weight| weight.private);
    weights.sort_by(|one, other| one.private.total_cmp(&other.private));
    let mut table = Table::new(&["server", "bytes/connection", "÷ ours", "by resident size"]);
    for weight in &weights {
        table.row(vec![
            weight.subject.name().into(),
            format!("{:.0}", weight.private),
            ratio(Some(weight.private / ours)),
            format!("{:.0}", weight.resident),
        ]);
    }
    println!(
        "Bytes for each of {count} idle connections of HTTP/2, each with one request behind it\n"
    );
    println!("{}", table.text(markdown));
    let word = if ours <= ALLOWANCE { "within" } else { "MISSED" };
    println!("ropewalk: {ours:.0} bytes ({word} {ALLOWANCE:.0})");
    Ok(faults)
}

fn weigh(subject: Subject, count: usize) -> Outcome<Weight> {
    let server = subject.start(count)?;
    for index in 0..WARM_UP {
        ask(server.address, index)?;
    }
    let before = Memory::settled(server.id())?;
    let mut connections = Vec::with_capacity(count);
    for index in 0..count {
        connections.push(ask(server.address, index)?);
    }
    let after = Memory::settled(server.id())?;
    for connection in &connections {
        connection.set_nonblocking(true)?;
        let is_open = connection
            .peek(&mut [0])
            .map_or_else(|error| error.kind() == std::io::ErrorKind::WouldBlock, |read| read > 0);
        if !is_open {
            return Err("it closed idle connections".into());
        }
    }
    let each = |after: u64, before: u64| (after as f64 - before as f64) / count as f64;
    Ok(Weight {
        subject,
        private: each(after.private, before.private),
        resident: each(after.resident, before.resident),
    })
}

/// A connection, with one request and its whole answer behind it.
fn ask(address: SocketAddr, index: usize) -> Outcome<TcpStream> {
    let mut connection = connect(address, index)?;
    connection.write_all(REQUEST)?;
    let mut has_settings = false;
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head)?;
        let [high, middle, low, kind, flags, _, _, _, stream] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        connection.read_exact(&mut payload)?;
        if kind == 4 && flags & 1 == 0 && !has_settings {
            has_settings = true;
            connection.write_all(ACK)?;
        }
        let is_message = matches!(kind, 0 | 1);
        if is_message && stream == 1 && flags & 1 != 0 {
            return Ok(connection);
        }
    }
}
