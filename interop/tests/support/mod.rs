//! What the suites share.

use ropewalk_reactor::{DriverKind, Reactor};

/// A reactor on the driver that `ROPEWALK_REACTOR` names, or on the default.
pub(crate) fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().expect("a driver's name").unwrap_or_default();
    Reactor::with_driver(kind).expect("a reactor")
}
