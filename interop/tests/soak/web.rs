//! Clients of pages.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use ropewalk_interop::tool;

use crate::load::Round;
use crate::program::PATIENCE;

/// How many requests go over one connection.
const KEPT: usize = 20;
/// A connection ended before it was answered.
pub(crate) const PARTED: Round = Round { done: 0, parted: 1 };
/// How long an uploaded file is, in bytes.
const UPLOAD: usize = 100_000;

pub(crate) fn connect(place: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(place).map_err(|error| format!("refused: {error}"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// Reads an answer whole; nothing where there is none at all.
pub(crate) fn answer(
    stream: &mut BufReader<TcpStream>,
) -> Result<Option<(String, Vec<u8>)>, String> {
    let broken = |error: std::io::Error, head: &str| format!("broken: {error}, after {head:?}");
    let mut head = String::new();
    loop {
        let before = head.len();
        match stream.read_line(&mut head) {
            Ok(0) if head.is_empty() => return Ok(None),
            Ok(0) => return Err(format!("cut off after {head:?}")),
            Ok(_) if &head[before..] == "\r\n" => break,
            Ok(_) => (),
            Err(error) if head.is_empty() && is_reset(&error) => return Ok(None),
            Err(error) => return Err(broken(error, &head)),
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
    let length = length.map_or(Ok(0), str::parse::<usize>).map_err(|error| error.to_string())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|error| broken(error, &head))?;
    Ok(Some((head, body)))
}

pub(crate) fn is_reset(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

/// A request on a connection that is kept.
pub(crate) fn kept(
    place: SocketAddr,
    kept: &mut Option<(BufReader<TcpStream>, usize)>,
) -> Result<Round, String> {
    let (mut stream, uses) = match kept.take() {
        Some(kept) => kept,
        None => (BufReader::new(connect(place)?), 0),
    };
    let asked = stream.get_mut().write_all(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n");
    let answered = match asked {
        Ok(()) => answer(&mut stream)?,
        Err(error) if is_reset(&error) => None,
        Err(error) => return Err(format!("broken: {error}")),
    };
    match answered {
        Some((head, body)) if head.starts_with("http/1.1 200 ") && body == b"hello" => {
            if !head.contains("connection: close") && uses < KEPT {
                *kept = Some((stream, uses + 1));
            }
            Ok(Round::of(1))
        }
        Some((head, _)) => Err(format!("broken: {head:?}")),
        // A connection may end while a request is on its way (RFC 9112, 9.5): the next round asks
        // again, and those that ended so are counted.
        None => Ok(PARTED),
    }
}

/// A file that is taken in.
pub(crate) fn upload(place: SocketAddr, number: usize) -> Result<Round, String> {
    let mut stream = BufReader::new(connect(place)?);
    let head = format!(
        "PUT /up-{number}.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {UPLOAD}\r\n\r\n"
    );
    let body = vec![b'u'; UPLOAD];
    let sent = stream.get_mut().write_all(head.as_bytes());
    match sent.and_then(|()| stream.get_mut().write_all(&body)) {
        Err(error) if !is_reset(&error) => Err(format!("broken: {error}")),
        // What was said before the end is still to be read.
        _ => expect_success(&mut stream),
    }
}

pub(crate) fn expect_success(stream: &mut BufReader<TcpStream>) -> Result<Round, String> {
    match answer(stream)? {
        Some((head, _)) if head.starts_with("http/1.1 20") => Ok(Round::of(1)),
        Some((head, _)) => Err(format!("broken: {head:?}")),
        None => Ok(PARTED),
    }
}

/// Four requests at once over HTTP/2.
pub(crate) fn curl(place: SocketAddr) -> Result<Round, String> {
    let url = format!("https://{place}/a.txt");
    let mut curl = Command::new(tool("curl"));
    curl.args(["-sSk", "--http2", "--parallel", "-w", " %{http_version} %{http_code}\n"]);
    let output = curl.args([&url, &url, &url, &url]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.matches("hello").count() == 4 && said.matches(" 2 200\n").count() == 4 {
        return Ok(Round::of(4));
    }
    let why = String::from_utf8_lossy(&output.stderr);
    // Its numbers for connections that ended before a stream was answered; 7 would be one that was refused.
    let is_parted =
        ["(16)", "(18)", "(35)", "(52)", "(55)", "(56)", "(92)"].map(|it| why.contains(it));
    if is_parted.contains(&true) && !said.contains("hello") {
        return Ok(PARTED);
    }
    Err(format!("broken: {said:?}, {why}"))
}

/// A request on a session of TLS that was begun before.
pub(crate) fn resumed(
    place: SocketAddr,
    session: &Path,
    has_session: &mut bool,
) -> Result<Round, String> {
    let mut openssl = Command::new(tool("openssl"));
    openssl.args(["s_client", "-ign_eof", "-connect", &place.to_string()]);
    openssl.arg(if *has_session { "-sess_in" } else { "-sess_out" }).arg(session);
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = openssl.spawn().map_err(|error| error.to_string())?;
    let mut keyboard = child.stdin.take().ok_or("no input")?;
    let request = b"GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    // Where it has ended already, its output says why.
    let _ = keyboard.write_all(request);
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    drop(keyboard);
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("CONNECTED") && !said.contains("HTTP/1.1 ") {
        return Ok(PARTED);
    }
    let begun = if *has_session { "\nReused, TLSv1.3" } else { "\nNew, TLSv1.3" };
    if !said.contains("HTTP/1.1 200 ") || !said.contains("hello") || !said.contains(begun) {
        return Err(format!("broken: {said:?}, {}", String::from_utf8_lossy(&output.stderr)));
    }
    *has_session = true;
    Ok(Round::of(1))
}
