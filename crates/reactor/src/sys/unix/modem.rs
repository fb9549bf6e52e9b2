//! The wires of a serial line beside those of its data.

use std::ffi::c_int;

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::ioctl::{Getter, NoArg, Opcode, Setter, ioctl};

/// Some of the wires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModemBits(c_int);

impl ModemBits {
    pub(crate) const DTR: Self = Self(libc::TIOCM_DTR);
    pub(crate) const RTS: Self = Self(libc::TIOCM_RTS);
    pub(crate) const CTS: Self = Self(libc::TIOCM_CTS);
    pub(crate) const DSR: Self = Self(libc::TIOCM_DSR);
    pub(crate) const CARRIER: Self = Self(libc::TIOCM_CAR);
    pub(crate) const RING: Self = Self(libc::TIOCM_RNG);

    pub(crate) fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// Which are on.
pub(crate) fn modem_bits(line: BorrowedFd<'_>) -> Result<ModemBits, Errno> {
    // SAFETY: the operation writes one `int`.
    let bits = unsafe {
        let get = Getter::<{ libc::TIOCMGET as Opcode }, c_int>::new();
        ioctl(line, get)?
    };
    Ok(ModemBits(bits))
}

/// Turns some on or off.
pub(crate) fn set_modem_bits(line: BorrowedFd<'_>, bits: ModemBits, on: bool) -> Result<(), Errno> {
    // SAFETY: both operations read one `int`.
    unsafe {
        if on {
            ioctl(line, Setter::<{ libc::TIOCMBIS as Opcode }, c_int>::new(bits.0))
        } else {
            ioctl(line, Setter::<{ libc::TIOCMBIC as Opcode }, c_int>::new(bits.0))
        }
    }
}

/// Begins or ends a break.
pub(crate) fn set_break(line: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    // SAFETY: neither operation has an argument.
    unsafe {
        if on {
            ioctl(line, NoArg::<{ libc::TIOCSBRK as Opcode }>::new())
        } else {
            ioctl(line, NoArg::<{ libc::TIOCCBRK as Opcode }>::new())
        }
    }
}
