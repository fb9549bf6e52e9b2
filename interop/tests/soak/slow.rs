//! Clients that are slow, rude, or no clients of pages.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::load::Round;
use crate::program::PATIENCE;
use crate::web::{PARTED, connect, expect_success, is_reset};

/// Between two pieces of who is slow.
const PAUSE: Duration = Duration::from_millis(100);

fn broken(error: impl std::fmt::Display) -> String {
    format!("broken: {error}")
}

/// The first byte of an answer; nothing where the other side has ended the connection instead.
fn first_byte(stream: &mut TcpStream) -> Result<Option<u8>, String> {
    let mut first = [0];
    match stream.read(&mut first) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(first[0])),
        Err(error) if is_reset(&error) => Ok(None),
        Err(error) => Err(broken(error)),
    }
}

/// A body of ten bytes that comes one by one.
pub(crate) fn upload(place: SocketAddr) -> Result<Round, String> {
    let mut stream = BufReader::new(connect(place)?);
    let head =
        b"PUT /slow.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n";
    stream.get_mut().write_all(head).map_err(broken)?;
    for _ in 0..10 {
        std::thread::sleep(PAUSE);
        if stream.get_mut().write_all(b"s").is_err() {
            // What was said before the end is still to be read.
            break;
        }
    }
    expect_success(&mut stream)
}

/// A mebibyte that is read a sixteenth at a time.
pub(crate) fn reader(place: SocketAddr) -> Result<Round, String> {
    let mut stream = connect(place)?;
    let request = b"GET /long.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request).map_err(broken)?;
    if first_byte(&mut stream)?.is_none() {
        return Ok(PARTED);
    }
    let mut some = vec![0; 1 << 16];
    let mut count = 1;
    loop {
        std::thread::sleep(PAUSE / 4);
        match stream.read(&mut some).map_err(|error| format!("{error}, after {count} bytes"))? {
            0 if count > 1 << 20 => return Ok(Round::of(1)),
            0 => return Err(format!("cut off after {count} bytes")),
            more => count += more,
        }
    }
}

/// Asks for much and goes without having read it, which the other side hears as a reset.
pub(crate) fn reset(place: SocketAddr) -> Result<Round, String> {
    let mut stream = connect(place)?;
    stream.write_all(b"GET /long.bin HTTP/1.1\r\nHost: a\r\n\r\n").map_err(broken)?;
    Ok(first_byte(&mut stream)?.map_or(PARTED, |_| Round::of(1)))
}

/// Ten thousand bytes there and back.
pub(crate) fn echo(place: SocketAddr) -> Result<Round, String> {
    let mut stream = connect(place)?;
    stream.write_all(&[b'e'; 10_000]).map_err(broken)?;
    if first_byte(&mut stream)?.is_none() {
        return Ok(PARTED);
    }
    let mut back = vec![0; 9_999];
    stream.read_exact(&mut back).map_err(broken)?;
    if back.iter().all(|byte| *byte == b'e') {
        Ok(Round::of(1))
    } else {
        Err(broken("other bytes"))
    }
}

/// Ten messages there and back; a close in order is how a stream inside of WebSockets ends.
pub(crate) fn websocket(place: SocketAddr) -> Result<Round, String> {
    let mut stream = connect(place)?;
    let request = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let Some(first) = first_byte(&mut stream)? else { return Ok(PARTED) };
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        let read = stream.read_exact(&mut byte);
        read.map_err(|error| format!("{error}, after {:?}", String::from_utf8_lossy(&head)))?;
        head.extend(byte);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        return Err(format!("broken: {:?}", String::from_utf8_lossy(&head)));
    }
    let mut done = 0;
    for _ in 0..10 {
        std::thread::sleep(PAUSE / 4);
        let masked = b"hello".iter().zip([1, 2, 3, 4].iter().cycle()).map(|(a, b)| a ^ b);
        let frame: Vec<u8> = [0x82, 0x85, 1, 2, 3, 4].into_iter().chain(masked).collect();
        // Who has gone is found out by reading.
        let written = stream.write_all(&frame);
        let mut back = Vec::new();
        while back.len() < 5 {
            let (kind, data) = match frame_of(&mut stream) {
                Ok(frame) => frame,
                Err(error) => return Err(format!("{error}, after {done}, written: {written:?}")),
            };
            match kind {
                0x2 => back.extend(data),
                0x8 if data == 1000_u16.to_be_bytes() => {
                    return Ok(Round { done, parted: 1 });
                }
                _ => return Err(format!("broken: a frame of kind {kind}, {data:?}")),
            }
        }
        if back != b"hello" {
            return Err(format!("broken: {back:?}"));
        }
        done += 1;
    }
    Ok(Round::of(done))
}

/// The next frame, which is a short one.
fn frame_of(stream: &mut TcpStream) -> Result<(u8, Vec<u8>), String> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).map_err(broken)?;
    let mut data = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut data).map_err(broken)?;
    Ok((head[0] & 0xf, data))
}

/// A sum, by AMP.
pub(crate) fn amp(place: SocketAddr) -> Result<Round, String> {
    let mut stream = connect(place)?;
    let mut asked = Vec::new();
    for (key, value) in [("_ask", "1"), ("_command", "Sum"), ("a", "2"), ("b", "3")] {
        for text in [key, value] {
            asked.extend((text.len() as u16).to_be_bytes());
            asked.extend(text.as_bytes());
        }
    }
    asked.extend([0, 0]);
    stream.write_all(&asked).map_err(broken)?;
    let mut answer = Vec::new();
    while !answer.ends_with(&[0, 0]) {
        let mut byte = [0];
        stream.read_exact(&mut byte).map_err(broken)?;
        answer.extend(byte);
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    if text.contains("_answer") && text.contains("total\0\u{1}5") {
        Ok(Round::of(1))
    } else {
        Err(format!("broken: {text:?}"))
    }
}

/// A datagram there and back.
pub(crate) fn datagrams(place: SocketAddr) -> Result<Round, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(broken)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    socket.send_to(b"hello", place).map_err(broken)?;
    let mut back = [0; 16];
    let (count, from) = socket.recv_from(&mut back).map_err(broken)?;
    if from == place && &back[..count] == b"hello" {
        Ok(Round::of(1))
    } else {
        Err(broken("other"))
    }
}
