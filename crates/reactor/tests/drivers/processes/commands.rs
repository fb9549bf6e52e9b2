//! What a command says is what its program finds.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use ropewalk_protocol::process::{
    ChildDescriptor, Command, Grouping, ProcessEnd, SpawnError, SpawnFault, output_of, status_of,
};
use ropewalk_reactor::DriverKind;

use super::kit::{end_of, run, said, sh, start, start_with};
use crate::kit::{Folder, on_each_driver, reactor};

on_each_driver! {
    programs_get_their_arguments_as_they_are,
    the_environment_is_inherited_unless_it_is_given,
    programs_run_in_the_directory_that_they_are_given,
    programs_are_looked_for_in_the_path_of_their_environment,
    each_descriptor_of_the_map_is_what_it_was_said_to_be,
    descriptors_may_trade_places,
    what_is_not_in_the_map_leads_nowhere,
    files_and_inherited_descriptors_are_handed_on,
    processes_lead_groups_and_sessions,
    root_runs_programs_as_somebody_else,
    ignored_signals_do_what_they_do_by_default,
    what_cannot_be_started_is_told_with_a_next_step,
    a_thousand_failures_leave_nothing_behind,
}

mod counted {
    crate::kit::on_each_driver! { alone no_descriptor_leaks_into_a_child, nothing_is_left_of_a_process }

    use super::{no_descriptor_leaks_into_a_child, nothing_is_left_of_a_process};
}

fn programs_get_their_arguments_as_they_are(kind: DriverKind) {
    let odd = ["", " ", "a b", "$HOME", "\"'\\", "ünï", "-n", "*"];
    let command = Command::new("printf").arg("<%s>").args(odd);
    assert_eq!(said(kind, &command), odd.map(|word| format!("<{word}>")).concat());
    let named = Command::new("sh").arg0("another").args(["-c", "cat /proc/$$/cmdline"]);
    assert!(said(kind, &named).starts_with("another\0"));
}

/// Statement 81. Differs from Twisted: nothing said means inherited, as its interface says and its
/// reactor does not.
fn the_environment_is_inherited_unless_it_is_given(kind: DriverKind) {
    let path = std::env::var("PATH").unwrap();
    assert_eq!(said(kind, &sh("printf %s \"$PATH\"")), path);
    let changed = sh("printf %s:%s \"$PATH\" \"$COLOUR\"").env("COLOUR", "red");
    assert_eq!(said(kind, &changed), format!("{path}:red"));
    let removed = sh("printf %s \"${CARGO-none}\"").env("CARGO", "x").env_remove("CARGO");
    assert_eq!(said(kind, &removed), "none");
    let given =
        Command::new("/usr/bin/env").env("A", "lost").env_clear().env("B", "=2").env("C", "");
    assert_eq!(said(kind, &given), "B==2\nC=\n");
}

fn programs_run_in_the_directory_that_they_are_given(kind: DriverKind) {
    let folder = Folder::new("cwd");
    let path = folder.path("here");
    std::fs::create_dir(&path).unwrap();
    let real = path.canonicalize().unwrap();
    let found = said(kind, &Command::new("pwd").arg("-P").current_dir(&path));
    assert_eq!(found.trim_end(), real.to_str().unwrap());
}

fn programs_are_looked_for_in_the_path_of_their_environment(kind: DriverKind) {
    let folder = Folder::new("path");
    let program = folder.path("only-here");
    std::fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let command = Command::new("only-here").env("PATH", folder.path("."));
    assert_eq!(said(kind, &command), "found\n");
    // A folder in between is no program.
    std::fs::create_dir(folder.path("x")).unwrap();
    std::fs::create_dir(folder.path("x/only-here")).unwrap();
    let path = format!("{}:{}", folder.path("x").display(), folder.path(".").display());
    assert_eq!(said(kind, &Command::new("only-here").env("PATH", path)), "found\n");
}

/// Statement 82.
fn each_descriptor_of_the_map_is_what_it_was_said_to_be(kind: DriverKind) {
    let reactor = reactor(kind);
    let command = sh("cat <&7 >&5; read line <&0; echo \"got $line\" >&9; echo none >&2")
        .without_descriptors()
        .descriptor(0, ChildDescriptor::Input)
        .descriptor(5, ChildDescriptor::Output)
        .descriptor(7, ChildDescriptor::Input)
        .descriptor(9, ChildDescriptor::Output);
    let seen = start_with(&reactor, &command, |process| {
        process.write_to(7, b"through seven");
        process.close_descriptor(7);
        process.write(b"zero\n");
        process.write_to(5, b"nobody reads there");
        process.write_to(8, b"nor is there an eight");
    });
    assert!(end_of(&reactor, &seen).status().unwrap().is_success());
    assert_eq!(seen.text(5), "through seven");
    assert_eq!(seen.text(9), "got zero\n");
    let closed = ["closed 0", "closed 5", "closed 7", "closed 9"];
    let mut events = seen.events();
    events.retain(|event| event.starts_with("closed"));
    events.sort();
    assert_eq!(events, closed);
}

fn descriptors_may_trade_places(kind: DriverKind) {
    let folder = Folder::new("trade");
    // Whatever numbers this process has for them, each is where another is to be, or was.
    let files: Vec<_> = (0..12)
        .map(|number| {
            let mut file = File::create_new(folder.path(&number.to_string())).unwrap();
            write!(file, "{number}").unwrap();
            Arc::new(File::open(folder.path(&number.to_string())).unwrap())
        })
        .collect();
    let mut command = sh("for n in 14 13 12 11 10 9 8 7 6 5 4 3; do eval \"cat <&$n\"; echo; done");
    for (place, file) in files.iter().enumerate() {
        command = command.descriptor(14 - place as u32, ChildDescriptor::Given(Arc::clone(file)));
    }
    let expected: Vec<String> = (0..12).map(|number| number.to_string()).collect();
    // A shell of its own reads two digits as one number and another.
    if !std::path::Path::new("/bin/bash").exists() {
        return eprintln!("passed over: no shell that knows numbers above 9");
    }
    let command = bash(&command);
    let found = said(kind, &command);
    assert_eq!(found.lines().collect::<Vec<_>>(), expected);
}

/// The same command in a shell that knows numbers above 9.
fn bash(command: &Command) -> Command {
    let mut other = Command::new("/bin/bash").args(command.arguments());
    for (number, what) in command.descriptors() {
        other = other.descriptor(*number, what.clone());
    }
    other
}

fn what_is_not_in_the_map_leads_nowhere(kind: DriverKind) {
    let reactor = reactor(kind);
    let command = sh("cat; echo lost; echo lost >&2; echo kept >&3; : >&4")
        .without_descriptors()
        .descriptor(3, ChildDescriptor::Output);
    let seen = start(&reactor, &command);
    // Writing to 4 is an error, as it is not there; to 1 and 2 it is none.
    assert!(!end_of(&reactor, &seen).status().unwrap().is_success());
    assert_eq!(seen.text(3), "kept\n");
}

fn files_and_inherited_descriptors_are_handed_on(kind: DriverKind) {
    let folder = Folder::new("given");
    let mut options = File::options();
    let mut file =
        options.read(true).write(true).create_new(true).open(folder.path("out")).unwrap();
    let given = Arc::new(file.try_clone().unwrap());
    let number = std::os::fd::AsRawFd::as_raw_fd(&file) as u32;
    let command = sh("echo one; echo two >&2")
        .descriptor(1, ChildDescriptor::Given(given))
        .descriptor(2, ChildDescriptor::Inherit(number));
    assert!(run(kind, &command).status.is_success());
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one\ntwo\n");
}

fn processes_lead_groups_and_sessions(kind: DriverKind) {
    // Of itself a program is in the group of who has started it.
    let ask = "cut -d' ' -f5,6 /proc/$$/stat; echo $$";
    let ids = |command: &Command| -> Vec<u32> {
        said(kind, command).split_whitespace().map(|number| number.parse().unwrap()).collect()
    };
    let inherited = ids(&sh(ask));
    assert_ne!(inherited[0], inherited[2]);
    let own = ids(&sh(ask).process_group(Grouping::Own));
    assert_eq!((own[0], own[1]), (own[2], inherited[1]));
    let session = ids(&sh(ask).process_group(Grouping::Session));
    assert_eq!((session[0], session[1]), (session[2], session[2]));

    let reactor = reactor(kind);
    let leader = start(&reactor, &Command::new("cat").process_group(Grouping::Own));
    crate::kit::turn_until(&reactor, || !leader.events().is_empty());
    let group = leader.process().id().unwrap();
    let joined = ids(&sh(ask).process_group(Grouping::Of(group)));
    assert_eq!(joined[0], group);
    leader.process().close_stdin();
    end_of(&reactor, &leader);
    let refused = reactor
        .run_until(status_of(&reactor, &sh("true").process_group(Grouping::Of(group))))
        .unwrap_err();
    let error = refused.check::<SpawnError>().unwrap();
    assert!(matches!(error.fault, SpawnFault::Group(_)), "{error}");
}

fn root_runs_programs_as_somebody_else(kind: DriverKind) {
    let command = sh("id -u; id -g; id -G").uid(65534).gid(65534).current_dir("/");
    if !rustix::process::geteuid().is_root() {
        let reactor = reactor(kind);
        let refused = reactor.run_until(status_of(&reactor, &command)).unwrap_err();
        let error = refused.check::<SpawnError>().unwrap();
        assert!(matches!(error.fault, SpawnFault::Identity(_)), "{error}");
        return;
    }
    assert_eq!(said(kind, &command), "65534\n65534\n65534\n");
    let command = sh("id -u; id -g; id -G").uid(65534).gid(65534).groups([4, 65534]);
    assert_eq!(said(kind, &command.clone().current_dir("/")), "65534\n65534\n65534 4\n");
    // It enters its directory as that user.
    let folder = Folder::new("closed");
    std::fs::create_dir(folder.path("to")).unwrap();
    std::fs::set_permissions(folder.path("to"), PermissionsExt::from_mode(0o700)).unwrap();
    let reactor = reactor(kind);
    let command = command.current_dir(folder.path("to"));
    let refused = reactor.run_until(status_of(&reactor, &command)).unwrap_err();
    let error = refused.check::<SpawnError>().unwrap();
    assert!(matches!(error.fault, SpawnFault::Directory { .. }), "{error}");
}

/// Statement 82.
fn ignored_signals_do_what_they_do_by_default(kind: DriverKind) {
    // This process ignores SIGPIPE, as every program of Rust's does.
    let command = Command::new("grep").args(["-E", "Sig(Ign|Blk)", "/proc/self/status"]);
    let found = said(kind, &command);
    for line in found.lines() {
        let mask = line.split_whitespace().last().unwrap();
        // The C library keeps 32 and 33 for itself.
        let mask = u64::from_str_radix(mask, 16).unwrap() & !(3 << 31);
        assert_eq!(mask, 0, "{found}");
    }
}

/// Statement 83. Differs from Twisted: what goes wrong before the program runs is told to the protocol,
/// not written to the child's standard error.
fn what_cannot_be_started_is_told_with_a_next_step(kind: DriverKind) {
    let folder = Folder::new("faults");
    let file = |name: &str, text: &str, mode| {
        std::fs::write(folder.path(name), text).unwrap();
        std::fs::set_permissions(folder.path(name), PermissionsExt::from_mode(mode)).unwrap();
        folder.path(name)
    };
    let plain = file("plain", "no script", 0o644);
    let text = file("text", "no script", 0o755);
    let orphan = file("orphan", "#!/no/such/interpreter\n", 0o755);
    let huge = Command::new("true").arg("x".repeat(300_000));
    let cases = [
        (Command::new("no-such-program"), SpawnFault::NotFound, "PATH"),
        (Command::new("/no/such/program"), SpawnFault::NotFound, "install"),
        (Command::new(orphan), SpawnFault::NotFound, "no such program"),
        (Command::new(plain), SpawnFault::NotExecutable, "chmod +x"),
        (Command::new(text), SpawnFault::NotAProgram, "#!"),
        (huge, SpawnFault::TooLong, "too long"),
        (Command::new(""), SpawnFault::BadCommand("the program has no name"), "no name"),
        (
            Command::new("true").arg("a\0b"),
            SpawnFault::BadCommand("a zero byte in an argument or a variable"),
            "zero",
        ),
        (
            Command::new("true").descriptor(256, ChildDescriptor::Null),
            SpawnFault::BadCommand("a descriptor has a number above 255"),
            "255",
        ),
        (
            Command::new("true").current_dir("/no/such/place"),
            SpawnFault::Directory {
                path: "/no/such/place".into(),
                kind: std::io::ErrorKind::NotFound,
            },
            "/no/such/place",
        ),
    ];
    for (command, fault, word) in cases {
        let reactor = reactor(kind);
        let seen = start(&reactor, &command);
        assert!(seen.ended.borrow().is_none(), "nobody is told during the call");
        let ProcessEnd::NotStarted(error) = end_of(&reactor, &seen) else {
            panic!("{command:?} was started");
        };
        assert_eq!(error.fault, fault);
        assert_eq!(error.program, command.program());
        let message = error.to_string();
        assert!(message.contains(word), "{message}");
        assert_eq!(seen.events(), ["ended"]);
        let failure = reactor.run_until(output_of(&reactor, &command)).unwrap_err();
        assert_eq!(failure.check::<SpawnError>(), Some(&error));
    }
}

fn a_thousand_failures_leave_nothing_behind(kind: DriverKind) {
    let reactor = reactor(kind);
    for _ in 0..100 {
        let seen = start(&reactor, &Command::new("/no/such/program"));
        end_of(&reactor, &seen);
    }
    assert_eq!(reactor.census().processes, 0);
    assert_eq!(reactor.census().watches, 0);
    assert_eq!(reactor.census().timers, 0);
}

/// Statement 82.
fn no_descriptor_leaks_into_a_child(kind: DriverKind) {
    // Opened by somebody who did not think of children.
    let careless = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).unwrap();
    let reactor = reactor(kind);
    let other = start(&reactor, &Command::new("cat"));
    crate::kit::turn_until(&reactor, || !other.events().is_empty());
    let list = "for each in /proc/self/fd/*; do [ -e $each ] && echo ${each##*/}; done";
    let numbers = |command: &Command| {
        let output = reactor.run_until(output_of(&reactor, command)).unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // What a shell opens to look into a folder is closed again by then.
    assert_eq!(numbers(&sh(list)), "0\n1\n2\n");
    let mapped = sh(list).descriptor(7, ChildDescriptor::Null);
    assert_eq!(numbers(&mapped), "0\n1\n2\n7\n");
    // The other way to start, which copies the whole process.
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            numbers(&sh(list).gid(65534).descriptor(7, ChildDescriptor::Null)),
            "0\n1\n2\n7\n"
        );
    }
    other.process().close_all();
    end_of(&reactor, &other);
}

fn nothing_is_left_of_a_process(kind: DriverKind) {
    let reactor = reactor(kind);
    run(kind, &sh("true"));
    let before = crate::kit::descriptors();
    let census = reactor.census();
    let mut commands = vec![
        sh("echo x; echo y >&2"),
        sh("exit 3"),
        sh("kill -9 $$"),
        sh("cat").descriptor(0, ChildDescriptor::Null),
        Command::new("no-such-program"),
        sh("true").terminal(ropewalk_protocol::process::TerminalSize::default()),
        sh("true").descriptor(100, ChildDescriptor::Input),
    ];
    if rustix::process::geteuid().is_root() {
        commands.push(sh("true").uid(65534).current_dir("/"));
    }
    for command in commands {
        let seen = start_with(&reactor, &command, |process| process.write(b"not read"));
        end_of(&reactor, &seen);
        crate::kit::come_to_rest(&reactor);
        assert_eq!(reactor.census(), census, "{command:?}");
        assert_eq!(crate::kit::descriptors(), before, "{command:?}");
    }
}
