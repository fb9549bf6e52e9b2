//! Processes with a terminal (statements 81, 82 and 85).

use ropewalk_protocol::process::{
    ChildDescriptor, Command, ExitStatus, ProcessEnd, Signal, TerminalSize,
};
use ropewalk_reactor::DriverKind;

use super::kit::{end_of, sh, start};
use crate::kit::{on_each_driver, reactor, turn_until};

on_each_driver! {
    a_terminal_is_one_and_controls_its_session,
    a_terminal_has_a_size_that_can_change,
    keys_that_mean_signals_do,
    a_terminal_and_pipes_can_stand_together,
    a_terminal_that_is_closed_hangs_its_process_up,
}

fn a_terminal_is_one_and_controls_its_session(kind: DriverKind) {
    let reactor = reactor(kind);
    let script = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo to >/dev/tty; \
        echo err >&2; ps -o tty= -p $$ 2>/dev/null";
    let seen = start(&reactor, &sh(script).terminal(TerminalSize::default()));
    let end = end_of(&reactor, &seen);
    assert_eq!(end, ProcessEnd::Exited(ExitStatus::SUCCESS));
    let text = seen.text(1);
    let lines: Vec<_> = text.split("\r\n").collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{text}");
    assert_eq!(lines[1..4], ["all", "to", "err"]);
    assert_eq!(seen.text(2), "", "all comes from one descriptor");
    let mut events = seen.events();
    events.sort();
    assert_eq!(events, ["closed 0", "closed 1", "ended", "exited", "started"]);
}

fn a_terminal_has_a_size_that_can_change(kind: DriverKind) {
    let reactor = reactor(kind);
    let script =
        "stty size; trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done";
    let seen = start(&reactor, &sh(script).terminal(TerminalSize { rows: 30, columns: 100 }));
    turn_until(&reactor, || seen.text(1) == "30 100\r\nready\r\n");
    seen.process().resize(TerminalSize { rows: 12, columns: 34 }).unwrap();
    end_of(&reactor, &seen);
    assert_eq!(seen.text(1), "30 100\r\nready\r\n12 34\r\n");
}

fn keys_that_mean_signals_do(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &Command::new("cat").terminal(TerminalSize::default()));
    turn_until(&reactor, || !seen.events().is_empty());
    seen.process().write(b"hello\n");
    // Echoed by the terminal, and said by the program.
    turn_until(&reactor, || seen.text(1) == "hello\r\nhello\r\n");
    seen.process().write(b"\x03");
    let end = end_of(&reactor, &seen);
    assert_eq!(end.status().unwrap().signal(), Some(Signal::Interrupt));
}

/// Differs from Twisted, which refuses a map of descriptors beside a terminal.
fn a_terminal_and_pipes_can_stand_together(kind: DriverKind) {
    let reactor = reactor(kind);
    let command =
        sh("test -t 1 && echo screen; test -t 2 || echo complaint >&2; read x <&5; echo $x >&2")
            .terminal(TerminalSize::default())
            .descriptor(2, ChildDescriptor::Output)
            .descriptor(5, ChildDescriptor::Input);
    let seen = start(&reactor, &command);
    turn_until(&reactor, || seen.text(2) == "complaint\n");
    seen.process().write_to(5, b"five\n");
    end_of(&reactor, &seen);
    assert_eq!(seen.text(1), "screen\r\n");
    assert_eq!(seen.text(2), "complaint\nfive\n");
}

/// Statement 85.
fn a_terminal_that_is_closed_hangs_its_process_up(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &Command::new("cat").terminal(TerminalSize::default()));
    turn_until(&reactor, || !seen.events().is_empty());
    seen.process().close_stdin();
    let end = end_of(&reactor, &seen);
    assert_eq!(end.status().unwrap().signal(), Some(Signal::Hangup));
}
