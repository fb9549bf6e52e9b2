//! Both sides of each bound.

use ropewalk_protocol::process::{
    Collect, Command, ExitStatus, ProcessEnd, RunError, Signal, SpawnError, SpawnFault, status_of,
};
use ropewalk_protocol::{Disconnect, Marks};
use ropewalk_reactor::DriverKind;

use super::kit::{end_of, sh, start_with};
use crate::kit::{on_each_driver, reactor};

on_each_driver! {
    so_much_output_is_kept_and_no_more,
    so_much_input_may_wait_and_no_more,
}

mod scarce {
    crate::kit::on_each_driver! { alone a_full_table_of_descriptors_is_told_and_gone_over }

    use super::a_full_table_of_descriptors_is_told_and_gone_over;
}

fn so_much_output_is_kept_and_no_more(kind: DriverKind) {
    let reactor = reactor(kind);
    for (script, descriptor) in [("head -c 1000 /dev/zero", 1), ("head -c 1000 /dev/zero >&2", 2)] {
        let fits = Collect::new().at_most(1000).output_of(&reactor, &sh(script));
        let output = reactor.run_until(fits).unwrap();
        assert_eq!(output.stdout.len() + output.stderr.len(), 1000);
        let long = Collect::new().at_most(999).output_of(&reactor, &sh(script));
        let failure = reactor.run_until(long).unwrap_err();
        let expected = RunError::TooLong { descriptor, most: 999 };
        assert_eq!(failure.check::<RunError>(), Some(&expected));
    }
    let endless = reactor
        .run_until(Collect::new().output_of(&reactor, &Command::new("cat").arg("/dev/zero")));
    assert!(endless.unwrap_err().check::<RunError>().is_some());
    assert_eq!(reactor.census().processes, 0);
}

fn so_much_input_may_wait_and_no_more(kind: DriverKind) {
    let reactor = reactor(kind);
    for (most, overflows) in [(1000, false), (999, true)] {
        let seen = start_with(&reactor, &sh("wc -c"), move |process| {
            process.set_marks(0, Marks::default().at_most(most));
            process.write(&[b'x'; 1000]);
            process.close_stdin();
        });
        let end = end_of(&reactor, &seen);
        if overflows {
            let signal = Signal::Kill;
            let status = Some(ExitStatus::Signaled { signal, core_dumped: false });
            assert_eq!(end, ProcessEnd::Abandoned { why: Disconnect::Overflowed, status });
        } else {
            assert_eq!(end, ProcessEnd::Exited(ExitStatus::SUCCESS));
        }
    }
}

fn a_full_table_of_descriptors_is_told_and_gone_over(kind: DriverKind) {
    let reactor = reactor(kind);
    let mut spare = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        spare.push(file);
        if spare.len() == 1 {
            let limits = rustix::process::Rlimit { current: Some(128), maximum: Some(128) };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
        }
    }
    for freed in 0..7 {
        let failure = reactor.run_until(status_of(&reactor, &sh("true")));
        if let Err(failure) = failure {
            let error = failure.check::<SpawnError>().unwrap();
            assert!(
                error.is_temporary() && matches!(error.fault, SpawnFault::Exhausted(_)),
                "{error}"
            );
        } else {
            assert!(freed > 1, "it needs some descriptors");
        }
        assert_eq!(reactor.census().processes, 0, "nothing is left of the attempt");
        spare.pop();
    }
    drop(spare);
    assert!(reactor.run_until(status_of(&reactor, &sh("true"))).unwrap().is_success());
}
