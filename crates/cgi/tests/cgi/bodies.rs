//! What programs read, and who waits for whom.

use ropewalk_http::{Limits, Site, Tree};
use ropewalk_protocol::process::{ExitStatus, STDIN, STDOUT, Signal};

use crate::kit::{Kit, get, post, secs, text, variables};

const OK: &[u8] = b"Content-Type: text/plain\n\n";

#[test]
fn a_body_streams_in_as_it_comes() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&post("Content-Length: 6\r\n", b"abc"));
    assert_eq!(variables(&program)["CONTENT_LENGTH"], "6");
    assert_eq!(program.take_written(), b"abc");
    assert!(!program.is_closed(STDIN));
    client.push(b"def");
    kit.turn(&mut client);
    assert_eq!(program.take_written(), b"def");
    assert!(program.is_closed(STDIN));
}

#[test]
fn without_a_body_there_is_nothing_to_read() {
    let (_, program) = Kit::new().ask(&get("/app"));
    assert!(program.is_closed(STDIN));
}

#[test]
fn a_client_that_expects_a_word_gets_it() {
    let kit = Kit::new();
    let (mut client, _program) =
        kit.ask(&post("Content-Length: 3\r\nExpect: 100-continue\r\n", b""));
    kit.turn(&mut client);
    assert_eq!(text(&mut client), "HTTP/1.1 100 Continue\n");
}

#[test]
fn a_body_without_a_length_is_collected_for_it() {
    let kit = Kit::with(|cgi| cgi.collected_max(8));
    let mut client = kit.client();
    client.push(&post("Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n"));
    kit.turn(&mut client);
    assert!(kit.programs.take_next().is_none(), "nobody knows yet how long it will be");
    client.push(b"5\r\ndefgh\r\n0\r\n\r\n");
    kit.turn(&mut client);
    let program = kit.programs.take_next().expect("it is whole");
    assert_eq!(variables(&program)["CONTENT_LENGTH"], "8");
    assert_eq!(program.take_written(), b"abcdefgh");
    assert!(program.is_closed(STDIN));
    program.push_out(OK);
    program.exit(ExitStatus::SUCCESS);
    kit.turn(&mut client);
    assert!(text(&mut client).starts_with("HTTP/1.1 200 "));

    client.push(&post("Transfer-Encoding: chunked\r\n", b"9\r\nabcdefghi\r\n0\r\n\r\n"));
    kit.turn(&mut client);
    assert!(text(&mut client).starts_with("HTTP/1.1 413 "));
    assert!(kit.programs.take_next().is_none());
}

#[test]
fn a_program_that_reads_to_the_end_is_told_no_length() {
    let kit = Kit::with(ropewalk_cgi::Cgi::read_to_end);
    let (mut client, program) = kit.ask(&post("Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n"));
    assert!(!variables(&program).contains_key("CONTENT_LENGTH"));
    assert_eq!(program.take_written(), b"abc");
    client.push(b"0\r\n\r\n");
    kit.turn(&mut client);
    assert!(program.is_closed(STDIN));
}

#[test]
fn a_program_that_does_not_read_has_its_client_wait() {
    let kit = Kit::new();
    let body = vec![b'x'; 1024 * 1024];
    let (mut client, program) = kit.ask(&post(&format!("Content-Length: {}\r\n", body.len()), b""));
    program.set_room(STDIN, 0);
    let mut sent = 0;
    while client.is_reading() && sent < body.len() {
        client.push(&body[sent..sent + 4096]);
        sent += 4096;
        kit.turn(&mut client);
    }
    // What waits here, and what a connection keeps of a body that nobody takes.
    assert!(sent <= 64 * 1024 * 2 + 2 * 4096 * 2, "{sent} bytes were taken");
    program.set_room(STDIN, usize::MAX);
    for piece in body[sent..].chunks(4096) {
        kit.turn(&mut client);
        client.push(piece);
    }
    kit.turn(&mut client);
    assert_eq!(program.take_written().len(), body.len());
}

#[test]
fn a_client_that_does_not_read_has_its_program_wait() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    client.set_room(0);
    program.push_out(OK);
    let mut pushed = 0;
    while program.is_reading(STDOUT) && pushed < 10_000_000 {
        program.push_out(&[b'z'; 4096]);
        pushed += 4096;
        kit.turn(&mut client);
    }
    assert!(pushed < 512 * 1024, "{pushed} bytes were taken");
    client.set_room(u64::MAX);
    for _ in 0..100 {
        kit.turn(&mut client);
    }
    assert!(program.is_reading(STDOUT));
    program.exit(ExitStatus::SUCCESS);
    for _ in 0..100 {
        kit.turn(&mut client);
    }
    let sent = client.take_sent();
    assert_eq!(sent.split(|byte| *byte == b'z').count() - 1, pushed);
    assert!(sent.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_program_may_answer_without_reading() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&post("Content-Length: 6\r\n", b"abc"));
    program.close(STDIN);
    program.push_out(OK);
    program.push_out(b"enough");
    program.exit(ExitStatus::SUCCESS);
    kit.turn(&mut client);
    assert!(text(&mut client).contains("enough"));
    client.push(b"def");
    client.push(&get("/page"));
    kit.turn(&mut client);
    assert!(text(&mut client).ends_with("GET /page"));
}

#[test]
fn a_body_that_breaks_off_ends_the_program() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&post("Content-Length: 6\r\n", b"abc"));
    client.eof();
    kit.turn(&mut client);
    assert_eq!(program.signals(), [Signal::Terminate]);

    let (mut client, program) = kit.ask(&post("Content-Length: 6\r\n", b"abc"));
    client.lose(ropewalk_protocol::Disconnect::Reset);
    kit.clock.advance(secs(0));
    assert_eq!(program.signals(), [Signal::Terminate]);
}

#[test]
fn the_sites_own_limit_holds() {
    let kit = Kit::new();
    let cgi =
        ropewalk_cgi::Cgi::new(ropewalk_protocol::process::Command::new("x"), kit.programs.clone());
    let limits = Limits { body_max: Some(4), ..Limits::default() };
    let site = Site::new(Tree::new().child("app", cgi)).limits(limits);
    let mut client = ropewalk_trial::Memory::seat(site.server(), &kit.clock);
    client.push(&post("Content-Length: 5\r\n", b"abcde"));
    kit.turn(&mut client);
    assert!(text(&mut client).starts_with("HTTP/1.1 413 "));
    assert!(kit.programs.take_next().is_none());
}

#[test]
fn a_program_that_reads_slowly_and_a_client_that_sends_slowly_meet() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&post("Content-Length: 100000\r\n", b""));
    program.set_room(STDIN, 0);
    client.push(&vec![b'x'; 70_000]);
    kit.turn(&mut client);
    for _ in 0..70 {
        program.set_room(STDIN, 1000);
        kit.turn(&mut client);
    }
    program.set_room(STDIN, usize::MAX);
    client.push(&vec![b'x'; 30_000]);
    kit.turn(&mut client);
    assert_eq!((program.take_written().len(), program.signals()), (100_000, vec![]));
    assert!(program.is_closed(STDIN));
}
