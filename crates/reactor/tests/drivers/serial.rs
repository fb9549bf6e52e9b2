//! Serial lines, on the two ends of a pseudoterminal.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_protocol::{Address, ClientEndpoint, Conn, Disconnect, Protocol, call_later, seat};
use ropewalk_reactor::{
    DriverKind, FlowControl, Parity, Reactor, SerialControl, SerialEndpoint, SerialOptions,
};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, tcgetattr, tcsetattr,
};

use crate::kit::{on_each_driver, reactor, turn_until};

on_each_driver!(
    bytes_go_both_ways_and_a_hang_up_is_a_loss,
    a_line_is_set_as_asked_and_put_back,
    what_the_other_end_does_not_take_waits,
    reading_pauses_and_calls_come_in_time,
    nobody_hears_of_what_was_aborted,
    what_cannot_be_opened_says_why,
    a_reactor_that_stops_tells_the_line,
);

/// The other end, which a program would have.
fn pair() -> (File, String) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near: OwnedFd = openpt(flags).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let path = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    // Its other end is open once before, so that nothing is lost.
    (File::from(near), path)
}

type Log = Rc<RefCell<Vec<String>>>;

/// Writes down what happens; sends back lines in capitals.
struct Shouts {
    log: Log,
    conn: Rc<RefCell<Option<Conn<Self>>>>,
}

impl Protocol for Shouts {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.log.borrow_mut().push(format!("made {}", conn.peer()));
        self.conn.replace(Some(conn.clone()));
        conn.write(b"ready\n");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.log.borrow_mut().push(String::from_utf8_lossy(data).into_owned());
        conn.write(&data.to_ascii_uppercase());
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.log.borrow_mut().push(format!("lost {why:?}"));
    }
}

struct Open {
    far: File,
    path: String,
    log: Log,
    conn: Conn<Shouts>,
    control: SerialControl,
}

fn open(reactor: &Reactor, options: &SerialOptions) -> Open {
    let (far, path) = pair();
    let (log, conn) = (Log::default(), Rc::default());
    let shouts = Shouts { log: Rc::clone(&log), conn: Rc::clone(&conn) };
    let control = reactor.open_serial(&path, options, seat(shouts)).unwrap();
    assert!(log.borrow().is_empty(), "it is told in a turn to come");
    turn_until(reactor, || conn.borrow().is_some());
    let conn = conn.borrow().clone().unwrap();
    Open { far, path, log, conn, control }
}

fn read(far: &mut File, count: usize) -> String {
    let mut bytes = vec![0; count];
    far.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn bytes_go_both_ways_and_a_hang_up_is_a_loss(kind: DriverKind) {
    let reactor = reactor(kind);
    let Open { mut far, path, log, conn, .. } = open(&reactor, &SerialOptions::default());
    assert_eq!(read(&mut far, 6), "ready\n");
    assert_eq!(conn.local(), Address::Device(path.clone()));
    // Raw: neither line ends nor control characters mean anything.
    far.write_all(b"ab\r\x03\x04\n").unwrap();
    turn_until(&reactor, || log.borrow().len() > 1);
    assert_eq!(read(&mut far, 6), "AB\r\x03\x04\n");
    conn.close_write();
    far.write_all(b"on").unwrap();
    turn_until(&reactor, || log.borrow().len() > 2);
    drop(far);
    turn_until(&reactor, || log.borrow().len() > 3);
    let expected = [format!("made device:{path}"), "ab\r\x03\x04\n".into(), "on".into()];
    assert_eq!(log.borrow()[..3], expected);
    assert_eq!(log.borrow()[3], "lost Reset");
    assert_eq!(reactor.census().watches, 0);
}

fn a_line_is_set_as_asked_and_put_back(kind: DriverKind) {
    let reactor = reactor(kind);
    let (far, path) = pair();
    // Somebody who looks at it as well.
    let looks = File::options().read(true).write(true).open(&path).unwrap();
    let mut before = tcgetattr(&looks).unwrap();
    before.local_modes.insert(LocalModes::ECHO | LocalModes::ICANON);
    before.set_speed(2400).unwrap();
    tcsetattr(&looks, OptionalActions::Now, &before).unwrap();
    let before = tcgetattr(&looks).unwrap();
    let options = SerialOptions::default()
        .baud(115_200)
        .parity(Parity::Even)
        .stop_bits(2)
        .flow_control(FlowControl::Software)
        .exclusive(true);
    let (log, conn) = (Log::default(), Rc::default());
    let shouts = Shouts { log: Rc::clone(&log), conn: Rc::clone(&conn) };
    let control = reactor.open_serial(&path, &options, seat(shouts)).unwrap();
    let set = tcgetattr(&looks).unwrap();
    assert_eq!((set.input_speed(), set.output_speed()), (115_200, 115_200));
    let modes = set.control_modes;
    assert!(modes.contains(ControlModes::CSTOPB | ControlModes::CLOCAL | ControlModes::CREAD));
    assert!(set.input_modes.contains(InputModes::IXON | InputModes::IXOFF));
    assert!(!set.local_modes.intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
    // A speed that has no name of its own.
    control.set(&options.baud(12_345).flow_control(FlowControl::None)).unwrap();
    let set = tcgetattr(&looks).unwrap();
    assert_eq!(set.output_speed(), 12_345);
    assert!(!set.input_modes.contains(InputModes::IXON));
    // A pseudoterminal has no wires beside those of its data.
    let refused = control.modem_lines().unwrap_err();
    assert!(matches!(refused.raw_os_error(), Some(22 | 25)), "{refused}");
    turn_until(&reactor, || conn.borrow().is_some());
    let breaks = control.send_break(Duration::from_millis(1));
    conn.borrow().as_ref().unwrap().abort();
    turn_until(&reactor, || log.borrow().iter().any(|line| line.starts_with("lost")));
    let after = tcgetattr(&looks).unwrap();
    assert_eq!(after.output_speed(), before.output_speed());
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(control.modem_lines().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
    // Over or not, it has an end.
    let _ = reactor.run_until(breaks);
    drop(far);
}

/// Writes much, closes, and counts what it is told.
struct Much(Log);

const MUCH: usize = 1 << 20;

impl Protocol for Much {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&vec![b'x'; MUCH]);
        conn.close();
    }

    fn data_received(&mut self, _: &Conn<Self>, _: &[u8]) {}

    fn writing_paused(&mut self, _: &Conn<Self>) {
        self.0.borrow_mut().push("paused".to_owned());
    }

    fn connection_lost(&mut self, _: &Conn<Self>, why: Disconnect) {
        self.0.borrow_mut().push(format!("lost {why:?}"));
    }
}

fn what_the_other_end_does_not_take_waits(kind: DriverKind) {
    let reactor = reactor(kind);
    let (mut far, path) = pair();
    let log = Log::default();
    let much = seat(Much(Rc::clone(&log)));
    reactor.open_serial(&path, &SerialOptions::default(), much).unwrap();
    let reader = std::thread::Builder::new()
        .spawn(move || {
            let mut count = 0;
            let mut buffer = vec![0; 1 << 16];
            while count < MUCH {
                count += far.read(&mut buffer).unwrap();
            }
            // Until this end has gone, the other one is not hung up.
            (count, far)
        })
        .unwrap();
    turn_until(&reactor, || log.borrow().iter().any(|line| line.starts_with("lost")));
    let (count, _far) = reader.join().unwrap();
    assert_eq!(count, MUCH);
    assert_eq!(log.borrow().last().unwrap(), "lost Closed");
}

fn reading_pauses_and_calls_come_in_time(kind: DriverKind) {
    let reactor = reactor(kind);
    let Open { mut far, log, conn, .. } = open(&reactor, &SerialOptions::default());
    conn.pause_reading();
    reactor.turn(Duration::ZERO).unwrap();
    far.write_all(b"held").unwrap();
    let is_over = Rc::new(std::cell::Cell::new(false));
    let over = Rc::clone(&is_over);
    call_later(&reactor, Duration::from_millis(20), move || over.set(true));
    turn_until(&reactor, || is_over.get());
    assert_eq!(log.borrow().len(), 1);
    conn.call_later(Duration::from_millis(1), |this, conn| {
        this.log.borrow_mut().push("called".to_owned());
        conn.resume_reading();
    });
    turn_until(&reactor, || log.borrow().len() == 3);
    assert_eq!(log.borrow()[1..], ["called", "held"]);
}

fn nobody_hears_of_what_was_aborted(kind: DriverKind) {
    let reactor = reactor(kind);
    let Open { log, conn, far, control, .. } = open(&reactor, &SerialOptions::default());
    conn.abort();
    turn_until(&reactor, || log.borrow().len() == 2);
    assert_eq!(log.borrow()[1], "lost Aborted");
    let over = control.set(&SerialOptions::default()).unwrap_err();
    assert_eq!(over.kind(), std::io::ErrorKind::NotConnected);
    drop(far);
    let census = reactor.census();
    assert_eq!((census.watches, census.calls), (0, 0));
}

fn what_cannot_be_opened_says_why(kind: DriverKind) {
    let reactor = reactor(kind);
    let log = Log::default();
    let shouts = || seat(Shouts { log: Rc::clone(&log), conn: Rc::default() });
    let options = SerialOptions::default();
    let error = reactor.open_serial("/dev/no_such_line", &options, shouts()).unwrap_err();
    assert!(format!("{error:#}").contains("is it plugged in?"), "{error:#}");
    let error = reactor.open_serial("/dev/null", &options, shouts()).unwrap_err();
    assert_eq!(error.advice(), Some("it is no serial line"));
    SerialEndpoint::new(&reactor, "/dev/no_such_line", options).connect_seat(shouts());
    assert_eq!(log.borrow().len(), 3);
    assert!(log.borrow().iter().all(|line| line.starts_with("lost Failed")), "{log:?}");
}

fn a_reactor_that_stops_tells_the_line(kind: DriverKind) {
    let reactor = reactor(kind);
    let Open { log, far, .. } = open(&reactor, &SerialOptions::default());
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(log.borrow().last().unwrap(), "lost Stopped");
    drop(far);
    // Also one that was not yet made.
    let (_far, path) = pair();
    let log = Log::default();
    let shouts = seat(Shouts { log: Rc::clone(&log), conn: Rc::default() });
    reactor.open_serial(&path, &SerialOptions::default(), shouts).unwrap();
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(*log.borrow(), ["lost Stopped"]);
}
