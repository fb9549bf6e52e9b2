//! Programs that do not answer.

use ropewalk_cgi::{CgiError, Patience};
use ropewalk_http::{Request, Resource as _, Tree};
use ropewalk_protocol::Disconnect;
use ropewalk_protocol::process::{Command, ExitStatus, STDOUT, Signal, SpawnFault};

use crate::kit::{Kit, get, post, secs, text};

#[test]
fn programs_that_write_no_answer_are_bad_gateways() {
    let kit = Kit::new();
    for output in
        [&b"hello\n"[..], b"\n", b"X: y\n\n", b"Content-Type: a/b", b"", b"\xff\xfe\x00\n\n"]
    {
        let answer = kit.answer(&get("/app"), output);
        assert!(answer.starts_with("HTTP/1.1 502 Bad Gateway\n"), "{output:?}: {answer}");
        assert!(answer.ends_with("\n502 Bad Gateway"), "{answer}");
    }
    let (mut client, program) = kit.ask(&get("/app"));
    program.exit(ExitStatus::Exited(3));
    kit.turn(&mut client);
    assert!(text(&mut client).starts_with("HTTP/1.1 502 "));
}

#[test]
fn garbage_ends_the_program_that_wrote_it() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(&vec![b'x'; 100_000]);
    kit.turn(&mut client);
    assert!(text(&mut client).starts_with("HTTP/1.1 502 "));
    assert_eq!(program.signals(), [Signal::Terminate]);
    kit.wait(&mut client, secs(5));
    assert_eq!(program.signals(), [Signal::Terminate, Signal::Kill]);
    assert!(program.is_over());
}

#[test]
fn silent_programs_time_out() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    kit.wait(&mut client, secs(59));
    assert_eq!(text(&mut client), "");
    kit.wait(&mut client, secs(1));
    assert!(text(&mut client).starts_with("HTTP/1.1 504 Gateway Timeout\n"));
    assert_eq!(program.signals(), [Signal::Terminate]);
}

#[test]
fn programs_that_fall_silent_break_their_answer_off() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    kit.wait(&mut client, secs(40));
    program.push_out(b"Content-Type: a/b\n\nhi");
    kit.wait(&mut client, secs(40));
    assert!(client.ended().is_none());
    kit.wait(&mut client, secs(20));
    assert!(client.ended().is_some());
    assert_eq!(program.signals(), [Signal::Terminate]);
}

#[test]
fn programs_that_never_end_are_ended() {
    let kit = Kit::with(|cgi| cgi.patience(Patience::default().with_total(Some(secs(100)))));
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: a/b\n\n");
    for _ in 0..9 {
        kit.wait(&mut client, secs(10));
        program.push_out(b"x");
    }
    assert!(program.signals().is_empty() && client.ended().is_none());
    kit.wait(&mut client, secs(10));
    assert_eq!(program.signals(), [Signal::Terminate]);
    assert!(client.ended().is_some());
}

#[test]
fn whoever_waits_for_the_client_is_not_silent() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&post("Content-Length: 100000\r\n", b"x"));
    for _ in 0..12 {
        client.push(&[b'x'; 5000]);
        kit.wait(&mut client, secs(10));
    }
    assert!(program.signals().is_empty());
    let (mut client, program) = kit.ask(&get("/app"));
    client.set_room(0);
    program.push_out(b"Content-Type: a/b\n\n");
    while program.is_reading(STDOUT) {
        program.push_out(&[b'x'; 4096]);
        kit.turn(&mut client);
    }
    for _ in 0..10 {
        client.set_room(5000);
        kit.wait(&mut client, secs(10));
    }
    assert!(program.signals().is_empty() && client.ended().is_none());
}

#[test]
fn a_client_that_goes_takes_its_program_along() {
    let kit = Kit::new();
    for has_begun in [false, true] {
        let (mut client, program) = kit.ask(&get("/app"));
        if has_begun {
            program.push_out(b"Content-Type: a/b\n\nhi");
            kit.turn(&mut client);
        }
        client.lose(Disconnect::Reset);
        kit.clock.advance(secs(0));
        assert_eq!(program.signals(), [Signal::Terminate], "{has_begun}");
        kit.clock.advance(secs(5));
        assert_eq!(program.signals(), [Signal::Terminate, Signal::Kill], "{has_begun}");
    }
}

#[test]
fn a_client_that_goes_before_the_program_starts_has_it_end() {
    let kit = Kit::new();
    let mut client = kit.client();
    client.push(&get("/app"));
    client.lose(Disconnect::Reset);
    kit.clock.advance(secs(0));
    let program = kit.programs.take_next().unwrap();
    assert_eq!(program.signals(), [Signal::Terminate]);
}

#[test]
fn programs_that_cannot_be_started_are_told_of_by_status() {
    let kit = Kit::new();
    for (fault, status) in [
        (SpawnFault::NotFound, 500),
        (SpawnFault::TooLong, 431),
        (SpawnFault::Exhausted(std::io::ErrorKind::OutOfMemory), 503),
    ] {
        kit.programs.refuse_next(fault);
        let mut client = kit.client();
        client.push(&get("/app"));
        kit.turn(&mut client);
        assert!(text(&mut client).starts_with(&format!("HTTP/1.1 {status} ")));
    }
}

#[test]
fn only_so_many_run_at_the_same_time() {
    let kit = Kit::with(|cgi| cgi.programs_max(2));
    let (_one, first) = kit.ask(&get("/app"));
    let (_two, _second) = kit.ask(&get("/app"));
    let mut third = kit.client();
    third.push(&get("/app"));
    kit.turn(&mut third);
    let answer = text(&mut third);
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\n"), "{answer}");
    assert!(answer.contains("\nretry-after: 1\n"));
    first.exit(ExitStatus::SUCCESS);
    third.push(&get("/app"));
    kit.turn(&mut third);
    assert!(kit.programs.take_next().is_some(), "there is room again");
}

#[test]
fn a_child_of_the_program_that_holds_its_pipes_is_not_waited_for() {
    let kit = Kit::with(|cgi| cgi.programs_max(1));
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: a/b\n\nhi");
    program.exit_alone(ExitStatus::SUCCESS);
    program.close(STDOUT);
    kit.turn(&mut client);
    assert!(text(&mut client).ends_with("2\nhi\n0\n"));
    let _ = kit.ask(&get("/app"));
    // It may have complained just before it ended.
    assert!(!program.is_over());
    kit.wait(&mut client, secs(1));
    assert!(program.is_over(), "its standard error is held open by somebody else");
}

#[test]
fn why_lies_among_the_answers_extensions() {
    let kit = Kit::serving(|programs| {
        let cgi = ropewalk_cgi::Cgi::new(Command::new("x"), programs);
        Tree::new().child("app", cgi).wrap(
            |request: Request, inner: &mut dyn ropewalk_http::Resource| {
                inner.render(request).map(|mut response| {
                    let told = response.extensions().get::<CgiError>().map(ToString::to_string);
                    *response.body_mut() = told.unwrap_or_default().into();
                    response
                })
            },
        )
    });
    let (mut client, program) = kit.ask(&get("/app"));
    program.exit(ExitStatus::Exited(2));
    kit.turn(&mut client);
    assert!(text(&mut client).ends_with("the program exited with code 2 before it had answered"));
}

#[test]
fn requests_are_answered_the_same_however_they_are_cut() {
    let requests = [post("Content-Length: 3\r\n", b"abc"), get("/app"), get("/page")].concat();
    let answers: Vec<String> = [usize::MAX, 1, 2, 3, 7, 50]
        .map(|size| {
            let kit = Kit::new();
            kit.programs.program("/srv/app.cgi", |program| {
                for byte in b"Content-Type: a/b\nContent-Length: 2\n\nhi" {
                    program.push_out(&[*byte]);
                }
                program.exit(ExitStatus::SUCCESS);
            });
            let mut client = kit.client();
            for piece in requests.chunks(size) {
                client.push(piece);
                kit.turn(&mut client);
            }
            for _ in 0..5 {
                kit.turn(&mut client);
            }
            text(&mut client)
        })
        .into();
    assert_eq!(answers[0].matches("\n\nhi").count(), 2);
    assert!(answers[0].ends_with("GET /page"));
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}
