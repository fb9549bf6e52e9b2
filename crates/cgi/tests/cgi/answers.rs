//! What clients are answered.

use ropewalk_cgi::Cgi;
use ropewalk_http::{Request, Site, Tree};
use ropewalk_protocol::process::{Command, ExitStatus, Signal};

use crate::kit::{Kit, get, post, secs, text};

#[test]
fn a_document_goes_out_as_the_program_writes_it() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: text/plain\nX-Own: 1\n");
    kit.turn(&mut client);
    assert_eq!(text(&mut client), "");
    program.push_out(b"\none");
    kit.turn(&mut client);
    let head =
        "HTTP/1.1 200 OK\ncontent-type: text/plain\nx-own: 1\ntransfer-encoding: chunked\n\n3\none";
    assert_eq!(text(&mut client), head);
    program.push_out(b"two");
    kit.turn(&mut client);
    assert_eq!(text(&mut client), "3\ntwo");
    program.exit(ExitStatus::SUCCESS);
    kit.turn(&mut client);
    assert_eq!(text(&mut client), "0\n");
    client.push(&get("/page"));
    kit.turn(&mut client);
    assert!(text(&mut client).ends_with("GET /page"));
}

#[test]
fn statuses_lengths_and_redirects_are_the_programs() {
    let kit = Kit::new();
    let answer = kit.answer(&get("/app"), b"Status: 404 Gone fishing\nContent-Type: a/b\n\nno");
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\n"), "{answer}");
    let answer = kit.answer(&get("/app"), b"Content-Type: a/b\nContent-Length: 2\n\nhi");
    assert_eq!(answer, "HTTP/1.1 200 OK\ncontent-type: a/b\ncontent-length: 2\n\nhi");
    let answer = kit.answer(&get("/app"), b"Location: http://b.example/x\n\n");
    let expected =
        "HTTP/1.1 302 Found\nlocation: http://b.example/x\ntransfer-encoding: chunked\n\n0\n";
    assert_eq!(answer, expected);
    let answer = kit.answer(&get("/app"), b"Status: 204\n\nnothing of this");
    assert_eq!(answer, "HTTP/1.1 204 No Content\n");
    let head = kit.answer(
        b"HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n",
        b"Content-Type: a/b\nContent-Length: 5\n\nhello",
    );
    assert_eq!(head, "HTTP/1.1 200 OK\ncontent-type: a/b\ncontent-length: 5\n");
}

#[test]
fn more_than_was_promised_is_dropped_and_less_is_seen() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: a/b\nContent-Length: 2\n\nhiHTTP/1.1 200 Forged\r\n\r\n");
    kit.turn(&mut client);
    assert!(text(&mut client).ends_with("\n\nhi"));
    // It is not asked to end at once: it has done nothing wrong yet.
    assert!(program.signals().is_empty());
    program.exit(ExitStatus::SUCCESS);
    client.push(&get("/page"));
    kit.turn(&mut client);
    assert!(text(&mut client).ends_with("GET /page"));

    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: a/b\nContent-Length: 9\n\nhi");
    program.exit(ExitStatus::SUCCESS);
    kit.turn(&mut client);
    assert!(client.ended().is_some(), "the client has to see that something is missing");
}

#[test]
fn a_program_that_is_killed_breaks_its_answer_off() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: a/b\n\nhi");
    kit.turn(&mut client);
    program.exit(ExitStatus::Signaled { signal: Signal::SegmentationFault, core_dumped: false });
    kit.turn(&mut client);
    let sent = text(&mut client);
    assert!(sent.ends_with("\n2\nhi"), "{sent}");
    assert!(client.ended().is_some());
}

#[test]
fn an_answer_ends_when_the_program_closes_its_output() {
    let kit = Kit::new();
    let (mut client, program) = kit.ask(&get("/app"));
    program.push_out(b"Content-Type: a/b\n\nhi");
    program.close(1);
    kit.turn(&mut client);
    let _ = text(&mut client);
    kit.wait(&mut client, secs(1));
    assert_eq!(text(&mut client), "0\n");
    kit.wait(&mut client, secs(3));
    assert!(program.signals().is_empty());
    kit.wait(&mut client, secs(1));
    assert_eq!(program.signals(), [Signal::Terminate]);
    kit.wait(&mut client, secs(5));
    assert_eq!(program.signals(), [Signal::Terminate, Signal::Kill]);
}

#[test]
fn the_site_answers_for_another_place() {
    let kit = Kit::new();
    let answer = kit.answer(&get("/app"), b"Location: /page?a=b\n\n");
    assert!(answer.ends_with("\n\nGET /page?a=b"), "{answer}");
    let answer = kit.answer(&post("Content-Length: 3\r\n", b"abc"), b"Location: /page\n\n");
    assert!(answer.ends_with("\n\nGET /page"), "{answer}");
    let answer = kit.answer(&get("/app"), b"Location: /nowhere\n\n");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn programs_cannot_send_the_site_around_for_ever() {
    let kit = Kit::new();
    kit.programs.program("/srv/app.cgi", |program| {
        program.push_out(b"Location: /app\n\n");
        program.exit(ExitStatus::SUCCESS);
    });
    let mut client = kit.client();
    client.push(&get("/app"));
    for _ in 0..20 {
        kit.turn(&mut client);
    }
    assert!(text(&mut client).starts_with("HTTP/1.1 502 "));
}

#[test]
fn where_there_is_no_connection_the_client_is_redirected() {
    let kit = Kit::new();
    let request = http::Request::get("/app").body(ropewalk_http::Incoming::empty()).unwrap();
    let answer = kit.site.call(Request::from(request));
    kit.clock.advance(secs(0));
    let program = kit.programs.take_next().unwrap();
    program.push_out(b"Location: /page\n\n");
    let response = answer.now_or_never().unwrap().unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"/page".parse::<http::HeaderValue>().unwrap())
    );
}

#[test]
fn nobody_is_confused_by_a_program_within_another_site() {
    let kit = Kit::serving(|programs| {
        let inner = Tree::new().child("in", Cgi::new(Command::new("inner"), programs));
        Tree::new().child("out", inner)
    });
    let (mut client, program) = kit.ask(&get("/out/in/x"));
    assert_eq!(crate::kit::variables(&program)["SCRIPT_NAME"], "/out/in");
    program.push_out(b"Location: /out/in/y\n\n");
    program.exit(ExitStatus::SUCCESS);
    kit.turn(&mut client);
    let program = kit.programs.take_next().expect("the other is started");
    assert_eq!(crate::kit::variables(&program)["PATH_INFO"], "/y");
    let _: &Site = &kit.site;
}
