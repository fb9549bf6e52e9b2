//! Descriptors that are no sockets, as one connection.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk_reactor::RawTerminal;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};
use rustix::stdio;
use rustix::termios::isatty;

/// How much is passed on at a time, in bytes.
const PIECE: usize = 64 << 10;

/// The standard streams have been taken over.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// What the standard streams are.
pub(crate) enum Standard {
    /// A socket that goes both ways.
    Socket(OwnedFd),
    /// A way in and a way out.
    Pipes(OwnedFd, OwnedFd, Option<RawTerminal>),
}

/// Takes the standard input and output away from the rest of the process; a terminal becomes raw, if asked for.
pub(crate) fn take(is_raw: bool) -> io::Result<Standard> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        let taken = "the standard input and output are in use already";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, taken));
    }
    let input = stdio::stdin().try_clone_to_owned()?;
    let output = stdio::stdout().try_clone_to_owned()?;
    let nothing = File::open("/dev/null")?;
    stdio::dup2_stdin(&nothing)?;
    stdio::dup2_stdout(stdio::stderr())?;
    if is_one_socket(&input, &output)? {
        return Ok(Standard::Socket(input));
    }
    let terminal = (is_raw && isatty(&input)).then(|| RawTerminal::new(&input)).transpose()?;
    Ok(Standard::Pipes(input, output, terminal))
}

fn is_one_socket(input: &OwnedFd, output: &OwnedFd) -> io::Result<bool> {
    let place = |descriptor: &OwnedFd| fstat(descriptor).map(|stat| (stat.st_dev, stat.st_ino));
    let is_stream = sockopt::socket_type(input) == Ok(SocketType::STREAM);
    Ok(is_stream && place(input)? == place(output)?)
}

/// Passes what comes in on to `inner`, until the input ends or nobody takes it any more.
pub(crate) fn pass_in(input: OwnedFd, mut inner: UnixStream) -> io::Result<()> {
    let mut input = File::from(input);
    let mut piece = vec![0; PIECE];
    loop {
        if !wait_for_input(input.as_fd(), &inner)? {
            return Ok(());
        }
        match input.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => match inner.write_all(&piece[..length]) {
                // The connection is over: what comes is nobody's.
                Err(error) if is_over(&error) => return Ok(()),
                passed => passed?,
            },
            Err(error) if is_for_now(&error) => (),
            // A terminal that is gone, or a peer: there is no more input.
            Err(error) => {
                tracing::debug!(target: "ropewalk::endpoint", "the input broke off: {error}");
                break;
            }
        }
    }
    match inner.shutdown(Shutdown::Write) {
        Err(error) if is_over(&error) => Ok(()),
        ended => ended,
    }
}

/// Passes what comes from `inner` out, until that ends; if it cannot be passed on, the connection is
/// broken.
pub(crate) fn pass_out(
    output: OwnedFd,
    mut inner: UnixStream,
    terminal: Option<RawTerminal>,
) -> io::Result<()> {
    // Put back when all that was written is out.
    let _terminal = terminal;
    let mut output = File::from(output);
    let mut piece = vec![0; PIECE];
    loop {
        let length = match inner.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if is_over(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Err(error) = write_all(&mut output, &piece[..length]) {
            // Whoever writes on learns of it.
            let ended = inner.shutdown(Shutdown::Both);
            return if is_over(&error) { Ok(()) } else { ended.and(Err(error)) };
        }
    }
}

/// Writes also where whoever shares the output has made it not block.
fn write_all(output: &mut File, mut piece: &[u8]) -> io::Result<()> {
    while !piece.is_empty() {
        match output.write(piece) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => piece = &piece[length..],
            Err(error) if is_for_now(&error) => wait(&mut [of(output.as_fd(), PollFlags::OUT)])?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for input; false if the connection is over before.
fn wait_for_input(input: BorrowedFd<'_>, inner: &UnixStream) -> io::Result<bool> {
    let mut both = [of(input, PollFlags::IN), of(inner.as_fd(), PollFlags::empty())];
    wait(&mut both)?;
    Ok(!both[1].revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

fn of(descriptor: BorrowedFd<'_>, flags: PollFlags) -> PollFd<'_> {
    PollFd::from_borrowed_fd(descriptor, flags)
}

fn wait(descriptors: &mut [PollFd<'_>]) -> io::Result<()> {
    loop {
        match poll(descriptors, None) {
            Err(Errno::INTR) => (),
            waited => return waited.map(drop).map_err(io::Error::from),
        }
    }
}

fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn is_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected
    )
}
