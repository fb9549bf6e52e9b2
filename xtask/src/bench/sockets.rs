//! Memory for each idle WebSocket.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;

use ropewalk_interop::Peer;

use crate::Outcome;
use crate::bench::idle::connect;
use crate::bench::proc::{Memory, allow_descriptors};
use crate::cargo::{cargo, root};

/// Descriptors beside the connections.
const OTHER_DESCRIPTORS: u64 = 100;
/// Sockets that are opened before anything is counted, so that code and first buffers are there.
const WARM_UP: usize = 100;
/// After so many more, those that are open are looked after: a server asks whether they live.
const ROUND: usize = 2000;
/// How many bytes ours may use for an idle socket.
const ALLOWANCE: f64 = 700.0;

const OPENING: &[u8] =
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\n\r\n";
/// A text of two letters under a mask of zeros, and the same as it comes back.
const HI: &[u8] = b"\x81\x82\0\0\0\0hi";
const BACK: &[u8] = b"\x81\x02hi";
/// A ping without anything in it, and what it is answered with.
const PING: &[u8] = b"\x89\x00";
const PONG: &[u8] = b"\x8a\x80\0\0\0\0";

/// Measures and prints; whether every socket stood to the end.
pub(crate) fn run(count: u32) -> Outcome<bool> {
    let mut building = cargo();
    building.args(["build", "--release", "-p", "ropewalk", "--example", "echoes"]);
    if !building.arg("--target-dir").arg(root().join("target")).status()?.success() {
        return Err("the server does not build".into());
    }
    allow_descriptors(u64::from(count) + OTHER_DESCRIPTORS)?;
    let mut server =
        Peer::start(Command::new(root().join("target/release/examples/echoes")).arg("0"))?;
    let address = server.listening()?;
    let mut open = Vec::with_capacity(count as usize);
    for index in 0..WARM_UP {
        open.push(socket(connect(address, index)?)?);
    }
    open.clear();
    let before = Memory::settled(server.id())?;
    for index in 0..count as usize {
        open.push(socket(connect(address, index)?)?);
        if index % ROUND == 0 {
            look_after(&mut open)?;
        }
    }
    look_after(&mut open)?;
    let after = Memory::settled(server.id())?;
    look_after(&mut open)?;
    let each = |after: u64, before: u64| (after as f64 - before as f64) / f64::from(count);
    let private = each(after.private, before.private);
    let word = if private <= ALLOWANCE { "within" } else { "MISSED" };
    println!(
        "Each of {count} idle WebSockets: {private:.0} bytes ({word} {ALLOWANCE:.0}), by resident size {:.0}",
        each(after.resident, before.resident)
    );
    Ok(true)
}

/// Opens a WebSocket and has one message echoed.
fn socket(mut connection: TcpStream) -> Outcome<TcpStream> {
    connection.write_all(OPENING)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 512];
        let read = connection.read(&mut byte)?;
        if read == 0 {
            return Err("it hung up before its answer was whole".into());
        }
        answer.extend_from_slice(&byte[..read]);
    }
    if !answer.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("it answered {}", answer.escape_ascii()).into());
    }
    connection.write_all(HI)?;
    let mut back = [0; BACK.len()];
    connection.read_exact(&mut back)?;
    if back != BACK {
        return Err(format!("its echo is {}", back.escape_ascii()).into());
    }
    Ok(connection)
}

/// Answers what asks whether they live; an error if one does not.
fn look_after(open: &mut [TcpStream]) -> Outcome<()> {
    for connection in open {
        connection.set_nonblocking(true)?;
        let mut asked = [0; PING.len()];
        match connection.read(&mut asked) {
            Ok(read) if asked[..read] == *PING => connection.write_all(PONG)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Ok(0) => return Err("it closed an idle WebSocket".into()),
            Ok(read) => return Err(format!("it said {}", asked[..read].escape_ascii()).into()),
            Err(error) => return Err(error.into()),
        }
        connection.set_nonblocking(false)?;
    }
    Ok(())
}
