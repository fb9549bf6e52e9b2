//! What is no socket, and carries bytes or packets all the same.

#[cfg(target_os = "linux")]
mod frames;
mod line;
mod serial;
mod stand;
#[cfg(target_os = "linux")]
mod tunnel;

use std::error::Error;
use std::fmt;
use std::io;

use rustix::io::Errno;

#[cfg(target_os = "linux")]
pub use frames::{FrameEndpoint, FrameOptions};
pub use serial::{FlowControl, ModemLines, Parity, SerialControl, SerialEndpoint, SerialOptions};
#[cfg(target_os = "linux")]
pub use tunnel::{Tunnel, TunnelEndpoint, TunnelKind, TunnelOptions};

/// Why a device could not be opened.
///
/// Printed with `{}` it names the device, and its source is what the system said; printed with `{:#}` it is one
/// line for an operator, with both and what may help.
#[derive(Debug)]
pub struct CannotOpen {
    /// Which.
    pub device: String,
    /// What the system said.
    pub error: io::Error,
}

impl CannotOpen {
    /// What an operator may want to do, where that shows.
    pub fn advice(&self) -> Option<&'static str> {
        let is_file = self.device.starts_with('/');
        let errno = self.error.raw_os_error().map(Errno::from_raw_os_error)?;
        Some(match errno {
            Errno::ACCESS | Errno::PERM if self.device.starts_with("tun:") => {
                "it takes the capability CAP_NET_ADMIN: run as root, or let somebody who may make the \
                 interface for this user (ip tuntap add NAME mode tun user USER)"
            }
            Errno::ACCESS | Errno::PERM if is_file => {
                "this user may not: whoever is in the device's group may, often that is dialout"
            }
            Errno::ACCESS | Errno::PERM => "it takes the capability CAP_NET_RAW: run as root",
            Errno::NOENT if self.device.starts_with("tun:") => {
                "there is no /dev/net/tun: load the module tun"
            }
            Errno::NOENT => "there is no such device: is it plugged in?",
            Errno::NODEV | Errno::NXIO if !is_file => "there is no such interface (ip link)",
            Errno::BUSY => "somebody has it open already",
            Errno::NOTTY => "it is no serial line",
            Errno::INVAL => "it cannot be set so",
            _ => return None,
        })
    }
}

impl fmt::Display for CannotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot open {}", self.device)?;
        if f.alternate() {
            write!(f, ": {}", self.error)?;
            if let Some(advice) = self.advice() {
                write!(f, " ({advice})")?;
            }
        }
        Ok(())
    }
}

impl Error for CannotOpen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
