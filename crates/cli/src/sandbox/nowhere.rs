//! Systems that have no sandbox that this program knows.

use ropewalk::reactor::DriverKind;

use super::Needs;

/// None.
pub(crate) struct Sandbox(std::convert::Infallible);

impl Sandbox {
    /// Says that there is none.
    pub(crate) fn begin(_: &Needs, _: DriverKind) -> Result<Self, String> {
        Err("--sandbox: this system has none; leave it out".to_owned())
    }

    /// Never called.
    pub(crate) fn close(self) -> Result<(), String> {
        match self.0 {}
    }
}
