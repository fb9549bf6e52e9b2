//! Clients that mean no good.

use ropewalk_cgi::Cgi;
use ropewalk_http::Site;
use ropewalk_protocol::process::{Command, ExitStatus, STDIN};
use ropewalk_protocol::seat;
use ropewalk_trial::{Clock, FakeProcesses, Hostile};

use crate::kit::{get, post, secs};

/// Answers with what it read, once it is whole.
fn echo(clock: &Clock) -> FakeProcesses {
    let programs = FakeProcesses::new(clock);
    programs.program("echo", |program| {
        program.push_out(b"Content-Type: text/plain\n\n");
        if program.is_closed(STDIN) {
            program.push_out(&vec![b'x'; 1 << 20]);
            return program.exit(ExitStatus::SUCCESS);
        }
        program.on_input(|program, _, data| {
            program.push_out(data);
        });
    });
    programs
}

#[test]
fn no_client_wears_a_program_out() {
    for request in [
        get("/"),
        post("Content-Length: 10\r\n", b"0123456789"),
        post("Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let server = |clock: &Clock| {
            let cgi = Cgi::new(Command::new("echo"), echo(clock));
            seat(Site::new(cgi).server())
        };
        Hostile::against(server).request(&request).patience(secs(100)).kept(2 << 20).assert();
    }
}
