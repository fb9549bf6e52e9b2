//! Serial lines.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Address, ClientEndpoint, Disconnect, Event, Seat, defer_later};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{
    ControlModes, InputModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios,
    ioctl_tiocexcl, tcdrain, tcflush, tcgetattr, tcsetattr,
};

use super::CannotOpen;
use super::line::Line;
use crate::Reactor;
use crate::sys::os::{self, ModemBits};

/// Whether a bit is sent along that makes a byte's bits an even or odd number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parity {
    /// None is.
    #[default]
    None,
    /// Even.
    Even,
    /// Odd.
    Odd,
}

/// How the other end is told that there is no room for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlowControl {
    /// Not at all.
    #[default]
    None,
    /// By the lines RTS and CTS.
    Hardware,
    /// By the bytes XON and XOFF, which cannot be data then.
    Software,
}

/// How a serial line is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialOptions {
    baud: u32,
    data_bits: u8,
    parity: Parity,
    stop_bits: u8,
    flow: FlowControl,
    is_exclusive: bool,
}

impl Default for SerialOptions {
    fn default() -> Self {
        Self {
            baud: 9600,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: 1,
            flow: FlowControl::None,
            is_exclusive: true,
        }
    }
}

impl SerialOptions {
    /// Bits a second, any number that the device can do; 9,600 unless set.
    pub fn baud(self, baud: u32) -> Self {
        Self { baud, ..self }
    }

    /// How many bits a byte has, 5 to 8; 8 unless set.
    pub fn data_bits(self, data_bits: u8) -> Self {
        Self { data_bits: data_bits.clamp(5, 8), ..self }
    }

    /// None unless set.
    pub fn parity(self, parity: Parity) -> Self {
        Self { parity, ..self }
    }

    /// How many bits end a byte, 1 or 2; 1 unless set.
    pub fn stop_bits(self, stop_bits: u8) -> Self {
        Self { stop_bits: stop_bits.clamp(1, 2), ..self }
    }

    /// None unless set.
    pub fn flow_control(self, flow: FlowControl) -> Self {
        Self { flow, ..self }
    }

    /// Whether others are kept from opening the line meanwhile, which root is not; they are unless set.
    pub fn exclusive(self, is_exclusive: bool) -> Self {
        Self { is_exclusive, ..self }
    }

    /// Sets a terminal so: raw, whatever it was before.
    fn apply(&self, termios: &mut Termios) -> Result<(), Errno> {
        termios.make_raw();
        let controls = &mut termios.control_modes;
        controls.remove(
            ControlModes::CSIZE
                | ControlModes::PARENB
                | ControlModes::PARODD
                | ControlModes::CSTOPB
                | ControlModes::CRTSCTS
                | ControlModes::HUPCL,
        );
        // Without a modem there is no carrier to wait for.
        controls.insert(ControlModes::CREAD | ControlModes::CLOCAL);
        controls.insert(match self.data_bits {
            5 => ControlModes::CS5,
            6 => ControlModes::CS6,
            7 => ControlModes::CS7,
            _ => ControlModes::CS8,
        });
        controls.insert(match self.parity {
            Parity::None => ControlModes::empty(),
            Parity::Even => ControlModes::PARENB,
            Parity::Odd => ControlModes::PARENB | ControlModes::PARODD,
        });
        controls.set(ControlModes::CSTOPB, self.stop_bits == 2);
        controls.set(ControlModes::CRTSCTS, self.flow == FlowControl::Hardware);
        let software = self.flow == FlowControl::Software;
        termios.input_modes.set(InputModes::IXON | InputModes::IXOFF, software);
        termios.input_modes.remove(InputModes::IXANY);
        termios.input_modes.set(InputModes::INPCK, self.parity != Parity::None);
        termios.special_codes[SpecialCodeIndex::VMIN] = 1;
        termios.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios.set_speed(self.baud)
    }
}

/// The lines of a serial line beside those of its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a wire")]
pub struct ModemLines {
    /// This end is ready (DTR).
    pub data_terminal_ready: bool,
    /// This end has room (RTS).
    pub request_to_send: bool,
    /// The other end has room (CTS).
    pub clear_to_send: bool,
    /// The other end is ready (DSR).
    pub data_set_ready: bool,
    /// It has somebody on the line (DCD).
    pub carrier: bool,
    /// Somebody calls (RI).
    pub ring: bool,
}

/// What a serial line can do beside carrying bytes. Clones are of the same line, which they do not keep open.
#[derive(Clone)]
pub struct SerialControl {
    reactor: Reactor,
    line: Weak<Line>,
}

impl SerialControl {
    fn with<T>(
        &self,
        ask: impl FnOnce(rustix::fd::BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> std::io::Result<T> {
        let line = self.line.upgrade();
        let asked = line.and_then(|line| line.stand.with(ask)).unwrap_or(Err(Errno::NOTCONN));
        Ok(asked?)
    }

    /// Sets the line otherwise, once what was written so far has gone out of this process.
    ///
    /// # Errors
    ///
    /// If it is over, or the device cannot do that.
    pub fn set(&self, options: &SerialOptions) -> std::io::Result<()> {
        self.with(|line| set(line, options))
    }

    /// How the lines beside the data are.
    ///
    /// # Errors
    ///
    /// If it is over, or the device has none, as a terminal of a program's.
    pub fn modem_lines(&self) -> std::io::Result<ModemLines> {
        let bits = self.with(os::modem_bits)?;
        Ok(ModemLines {
            data_terminal_ready: bits.contains(ModemBits::DTR),
            request_to_send: bits.contains(ModemBits::RTS),
            clear_to_send: bits.contains(ModemBits::CTS),
            data_set_ready: bits.contains(ModemBits::DSR),
            carrier: bits.contains(ModemBits::CARRIER),
            ring: bits.contains(ModemBits::RING),
        })
    }

    /// Says whether this end is ready (DTR).
    ///
    /// # Errors
    ///
    /// As for [`modem_lines`](Self::modem_lines).
    pub fn set_data_terminal_ready(&self, on: bool) -> std::io::Result<()> {
        self.with(|line| os::set_modem_bits(line, ModemBits::DTR, on))
    }

    /// Says whether this end has room (RTS).
    ///
    /// # Errors
    ///
    /// As for [`modem_lines`](Self::modem_lines).
    pub fn set_request_to_send(&self, on: bool) -> std::io::Result<()> {
        self.with(|line| os::set_modem_bits(line, ModemBits::RTS, on))
    }

    /// Breaks the line for so long; the deferred tells when it is over.
    pub fn send_break(&self, length: Duration) -> Deferred<()> {
        if let Err(error) = self.with(|line| os::set_break(line, true)) {
            return Deferred::fail(error);
        }
        let this = self.clone();
        defer_later(&self.reactor, length, move || this.with(|line| os::set_break(line, false)))
    }
}

impl fmt::Debug for SerialControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialControl").finish_non_exhaustive()
    }
}

impl Reactor {
    /// Carries a connection over a serial line.
    ///
    /// The seat is told that it is made in a turn to come. The connection is lost with
    /// [`Disconnect::Reset`] when the line is hung up or its device goes. A closing one has what was written
    /// go out in a thread, an aborting one forgets it; either way the line is then set as it was before. A
    /// serial line has no end of what is sent: closing the stream out has no effect.
    ///
    /// # Errors
    ///
    /// If there is no such device, it is somebody else's or no serial line, or cannot be set so. The seat hears
    /// of its end with [`Disconnect::Failed`] as well.
    pub fn open_serial(
        &self,
        path: impl AsRef<Path>,
        options: &SerialOptions,
        seat: Box<dyn Seat>,
    ) -> Result<SerialControl, CannotOpen> {
        let path = path.as_ref();
        let device = path.display().to_string();
        let refuse = |error: std::io::Error, mut seat: Box<dyn Seat>| {
            seat.handle(Event::Lost(Disconnect::from(&error)));
            CannotOpen { device: device.clone(), error }
        };
        let (descriptor, before) = match open(path, options) {
            Ok(opened) => opened,
            Err(errno) => return Err(refuse(errno.into(), seat)),
        };
        let inner = Rc::downgrade(self.inner());
        let farewell = Box::new(move |descriptor: OwnedFd, in_order: bool| {
            if !in_order {
                // What cannot be forgotten goes out.
                let _ = tcflush(&descriptor, QueueSelector::IOFlush);
                return put_back(&descriptor, &before);
            }
            // A device that is held up may take its time.
            let work = move || {
                let _ = tcdrain(&descriptor);
                put_back(&descriptor, &before);
                Ok::<(), std::io::Error>(())
            };
            match inner.upgrade() {
                Some(inner) => Reactor::of(inner).defer_to_thread(work).detach(),
                None => drop(work()),
            }
        });
        let address = Address::Device(device.clone());
        match Line::open(self, descriptor, address, seat, farewell) {
            Ok(line) => Ok(SerialControl { reactor: self.clone(), line: Rc::downgrade(&line) }),
            Err((error, seat)) => Err(refuse(error, seat)),
        }
    }
}

/// Opens a line and sets it; answers how it was set before.
fn open(path: &Path, options: &SerialOptions) -> Result<(OwnedFd, Termios), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let descriptor = rustix::fs::open(path, flags, Mode::empty())?;
    let before = tcgetattr(&descriptor)?;
    if options.is_exclusive {
        ioctl_tiocexcl(&descriptor)?;
    }
    set(descriptor.as_fd(), options)?;
    // What came before is not for this connection.
    tcflush(&descriptor, QueueSelector::IFlush)?;
    Ok((descriptor, before))
}

fn set(line: rustix::fd::BorrowedFd<'_>, options: &SerialOptions) -> Result<(), Errno> {
    let mut termios = tcgetattr(line)?;
    options.apply(&mut termios)?;
    tcsetattr(line, OptionalActions::Now, &termios)
}

fn put_back(line: &OwnedFd, before: &Termios) {
    // A device that is gone is not set to anything any more.
    let _ = tcsetattr(line, OptionalActions::Now, before);
    let _ = rustix::termios::ioctl_tiocnxcl(line);
}

/// A serial line as a place to connect to.
#[derive(Clone)]
pub struct SerialEndpoint {
    reactor: Reactor,
    path: PathBuf,
    options: SerialOptions,
}

impl SerialEndpoint {
    /// The line at a path, such as `/dev/ttyUSB0`.
    pub fn new(reactor: &Reactor, path: impl Into<PathBuf>, options: SerialOptions) -> Self {
        Self { reactor: reactor.clone(), path: path.into(), options }
    }
}

impl ClientEndpoint for SerialEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        if let Err(error) = self.reactor.open_serial(&self.path, &self.options, seat) {
            // The seat has heard of it too.
            tracing::error!(target: "ropewalk::reactor", "{error:#}");
        }
    }
}

impl fmt::Debug for SerialEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SerialEndpoint").field("path", &self.path).finish_non_exhaustive()
    }
}
