//! What flows between this process and another.

use ropewalk_protocol::process::{ChildDescriptor, Collect, Command, ExitStatus, ProcessEnd};
use ropewalk_protocol::{Clock as _, Marks};
use ropewalk_reactor::DriverKind;

use super::kit::{end_of, sh, start, start_with};
use crate::kit::{bytes, come_to_rest, on_each_driver, reactor, turn_until};

on_each_driver! {
    what_goes_in_comes_out,
    a_flood_goes_through_in_order,
    programs_answer_the_same_however_their_output_is_cut,
    writers_hear_of_the_marks,
    a_paused_descriptor_says_nothing_and_the_others_go_on,
    what_waits_is_written_before_a_pipe_is_closed,
    the_end_of_a_reader_is_noticed_without_writing,
    writing_to_a_reader_that_is_gone_harms_nobody,
    closed_outputs_end_programs_that_write,
    closing_all_leaves_a_process_to_itself,
    real_programs_are_spoken_with,
}

fn what_goes_in_comes_out(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &Command::new("cat"));
    turn_until(&reactor, || !seen.events().is_empty());
    for word in ["one ", "two ", "three"] {
        seen.process().write(word.as_bytes());
        turn_until(&reactor, || seen.text(1).ends_with(word));
    }
    seen.process().close_stdin();
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::SUCCESS));
    assert_eq!(seen.text(1), "one two three");
    assert_eq!(seen.events()[..2], ["started", "closed 0"]);
}

fn a_flood_goes_through_in_order(kind: DriverKind) {
    let reactor = reactor(kind);
    let sent = bytes(3_000_000);
    let copy = sent.clone();
    let seen = start_with(&reactor, &Command::new("cat"), move |process| {
        for piece in copy.chunks(70_001) {
            process.write(piece);
        }
        process.close_stdin();
    });
    end_of(&reactor, &seen);
    let output = seen.output.borrow();
    let first = output[&1].iter().zip(&sent).position(|(got, sent)| got != sent);
    assert_eq!((output[&1].len(), first), (sent.len(), None), "every byte, in order");
}

/// Law 6.
fn programs_answer_the_same_however_their_output_is_cut(kind: DriverKind) {
    let reactor = reactor(kind);
    let text = "line one\nline two\nünï\n";
    let script = "import os,sys\n\
        for byte in sys.stdin.buffer.read():\n    os.write(1, bytes([byte]))\n    os.write(2, b'.')\n";
    let whole = Collect::new().input(text).output_of(&reactor, &Command::new("cat"));
    let cut = Command::new("python3").args(["-c", script]);
    let cut = Collect::new().input(text).output_of(&reactor, &cut);
    let (whole, cut) = (reactor.run_until(whole).unwrap(), reactor.run_until(cut).unwrap());
    assert_eq!(whole.stdout, cut.stdout);
    assert_eq!(cut.stderr.len(), text.len());
}

fn writers_hear_of_the_marks(kind: DriverKind) {
    let reactor = reactor(kind);
    let command = sh("read line; cat >/dev/null");
    let seen = start_with(&reactor, &command, |process| {
        process.set_marks(0, Marks::default().between(1000, 2000));
        process.write(&vec![b'x'; 1_000_000]);
        assert_eq!(process.waiting(0), 1_000_000);
    });
    turn_until(&reactor, || seen.events().len() == 2);
    assert_eq!(seen.events(), ["started", "paused 0"]);
    come_to_rest(&reactor);
    assert!(seen.process().waiting(0) > 500_000, "the pipe is full");
    assert_eq!(seen.events().len(), 2);
    seen.process().write(b"\n");
    turn_until(&reactor, || seen.events().len() == 3);
    assert_eq!(seen.events()[2], "resumed 0");
    seen.process().close_stdin();
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::SUCCESS));
}

/// Law 5.
fn a_paused_descriptor_says_nothing_and_the_others_go_on(kind: DriverKind) {
    let reactor = reactor(kind);
    let command = sh("echo out; echo err >&2; cat; exit 2");
    let seen = start_with(&reactor, &command, |process| process.pause_reading(1));
    turn_until(&reactor, || seen.text(2) == "err\n");
    seen.process().write(b"more");
    seen.process().close_stdin();
    turn_until(&reactor, || seen.exited.get().is_some());
    come_to_rest(&reactor);
    assert_eq!(seen.text(1), "");
    assert!(seen.ended.borrow().is_none(), "the end waits for what is unread");
    let before = reactor.now();
    come_to_rest(&reactor);
    assert!(reactor.now() > before, "and the loop sleeps");
    seen.process().resume_reading(1);
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::Exited(2)));
    assert_eq!(seen.text(1), "out\nmore");
}

/// Law 4.
fn what_waits_is_written_before_a_pipe_is_closed(kind: DriverKind) {
    let reactor = reactor(kind);
    let command = sh("read go <&3; wc -c").descriptor(3, ChildDescriptor::Input);
    let seen = start_with(&reactor, &command, |process| {
        process.write(&vec![b'x'; 400_000]);
        process.close_stdin();
        process.write(b"too late");
    });
    come_to_rest(&reactor);
    assert_eq!(seen.events(), ["started"]);
    assert!(seen.process().waiting(0) > 0);
    seen.process().write_to(3, b"go\n");
    end_of(&reactor, &seen);
    assert_eq!(seen.text(1).trim(), "400000");
}

/// Statement 86.
fn the_end_of_a_reader_is_noticed_without_writing(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(
        &reactor,
        &sh("exec 0<&-; echo closed; read line <&3").descriptor(3, ChildDescriptor::Input),
    );
    turn_until(&reactor, || seen.events().contains(&"closed 0".to_owned()));
    assert_eq!(seen.exited.get(), None);
    seen.process().write(b"to nobody");
    assert_eq!(seen.process().waiting(0), 0);
    seen.process().close_descriptor(3);
    end_of(&reactor, &seen);
}

fn writing_to_a_reader_that_is_gone_harms_nobody(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start_with(&reactor, &sh("exec 0<&-; exit 6"), |process| {
        process.write(&vec![b'x'; 1_000_000]);
    });
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::Exited(6)));
}

fn closed_outputs_end_programs_that_write(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &Command::new("cat").arg("/dev/zero"));
    turn_until(&reactor, || seen.text(1).len() > 100_000);
    seen.process().close_stdout();
    let end = end_of(&reactor, &seen);
    assert_eq!(end.status().unwrap().signal(), Some(ropewalk_protocol::process::Signal::Pipe));
}

/// Statement 85.
fn closing_all_leaves_a_process_to_itself(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = start(&reactor, &sh("echo up; cat >/dev/null; exit 9"));
    turn_until(&reactor, || seen.text(1) == "up\n");
    seen.process().close_all();
    assert_eq!(end_of(&reactor, &seen), ProcessEnd::Exited(ExitStatus::Exited(9)));
    let mut events = seen.events();
    events.sort();
    assert_eq!(events, ["closed 0", "closed 1", "closed 2", "ended", "exited", "started"]);
}

fn real_programs_are_spoken_with(kind: DriverKind) {
    let reactor = reactor(kind);
    let output = |command: &Command, input: &str| {
        let output = Collect::new().input(input).output_of(&reactor, command);
        let output = reactor.run_until(output).unwrap();
        assert!(output.status.is_success(), "{command:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(output(&Command::new("sort").arg("-n"), "10\n9\n8\n"), "8\n9\n10\n");
    let python = Command::new("python3").args(["-c", "print(sum(map(int, input().split())))"]);
    assert_eq!(output(&python, "1 2 3\n"), "6\n");
    if std::process::Command::new("ssh-keygen").arg("-?").output().is_ok() {
        let folder = crate::kit::Folder::new("keys");
        let key = folder.path("key");
        let make =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        output(&make, "");
        let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        let shown = output(&Command::new("ssh-keygen").args(["-y", "-f"]).arg(&key), "");
        assert!(public.starts_with(shown.trim_end()));
    } else {
        eprintln!("passed over: no ssh-keygen");
    }
}
