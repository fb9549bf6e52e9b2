//! Which driver it is.

use ropewalk_reactor::{DriverKind, Reactor};

#[test]
fn names_lead_there_and_back() {
    for kind in DriverKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(kind.to_string(), kind.name());
        assert!(!kind.describe().is_empty());
    }
    assert_eq!("uring".parse(), Ok(DriverKind::IoUring));
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = "kqueue".parse::<DriverKind>().unwrap_err();
    assert_eq!(error.name(), "kqueue");
    let expected =
        "no reactor is called \"kqueue\"; there are epoll, io_uring, poll, select, portable";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn the_default_is_what_a_reactor_takes() {
    let reactor = Reactor::new().unwrap();
    assert_eq!(reactor.driver(), DriverKind::default().name());
    assert!(DriverKind::default().is_available());
}
