//! What a program is told.

use ropewalk_auth::{InMemory, Portal, UsernamePassword, Users};
use ropewalk_cgi::Cgi;
use ropewalk_http::auth::Guard;
use ropewalk_http::{Resource as _, Tree};
use ropewalk_protocol::process::{ChildDescriptor, Command, Grouping};

use crate::kit::{Kit, get, variables};

#[track_caller]
fn told(kit: &Kit, request: &[u8], expected: &[(&str, Option<&str>)]) {
    let (_, program) = kit.ask(request);
    let all = variables(&program);
    for (name, value) in expected {
        assert_eq!(all.get(*name).map(String::as_str), *value, "{name} in {all:#?}");
    }
}

#[test]
fn meta_variables_are_those_of_the_specification() {
    let kit = Kit::with(|cgi| cgi.document_root("/srv/www").variable("LANG", "C"));
    let request = b"POST /app/a%20b/c?x=1&y HTTP/1.1\r\nHost: A.example:8080\r\n\
        Content-Type: text/plain\r\nContent-Length: 3\r\nAccept: a/b\r\naccept: c/d\r\n\
        Cookie: a=1\r\nCookie: b=2\r\nX-Forwarded-For: evil\r\n\r\nabc";
    told(
        &kit,
        request,
        &[
            ("GATEWAY_INTERFACE", Some("CGI/1.1")),
            ("SERVER_PROTOCOL", Some("HTTP/1.1")),
            ("SERVER_NAME", Some("A.example")),
            ("SERVER_PORT", Some("8080")),
            ("REQUEST_METHOD", Some("POST")),
            ("REQUEST_URI", Some("/app/a%20b/c?x=1&y")),
            ("REQUEST_SCHEME", Some("http")),
            ("HTTPS", None),
            ("SCRIPT_NAME", Some("/app")),
            ("SCRIPT_FILENAME", Some("/srv/app.cgi")),
            ("PATH_INFO", Some("/a b/c")),
            ("PATH_TRANSLATED", Some("/srv/www/a b/c")),
            ("DOCUMENT_ROOT", Some("/srv/www")),
            ("QUERY_STRING", Some("x=1&y")),
            ("CONTENT_TYPE", Some("text/plain")),
            ("CONTENT_LENGTH", Some("3")),
            ("HTTP_CONTENT_LENGTH", None),
            ("HTTP_HOST", Some("A.example:8080")),
            ("HTTP_ACCEPT", Some("a/b, c/d")),
            ("HTTP_COOKIE", Some("a=1; b=2")),
            ("HTTP_X_FORWARDED_FOR", Some("evil")),
            ("REMOTE_USER", None),
            ("AUTH_TYPE", None),
            ("REDIRECT_STATUS", Some("200")),
            ("LANG", Some("C")),
            ("HOME", None),
        ],
    );
}

#[test]
fn requests_without_anything_still_tell_what_they_must() {
    let expected = [
        ("QUERY_STRING", Some("")),
        ("PATH_INFO", None),
        ("PATH_TRANSLATED", None),
        ("CONTENT_LENGTH", None),
        ("CONTENT_TYPE", None),
        ("SERVER_PROTOCOL", Some("HTTP/1.0")),
        ("SERVER_PORT", Some("80")),
        ("REMOTE_ADDR", Some("unix:")),
    ];
    told(&Kit::with(|cgi| cgi.document_root("/srv/www")), b"GET /app HTTP/1.0\r\n\r\n", &expected);
    told(
        &Kit::new(),
        b"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        &[("CONTENT_LENGTH", Some("0"))],
    );
}

#[test]
fn no_field_becomes_what_a_program_misreads() {
    let request = b"GET /app HTTP/1.1\r\nHost: a\r\nProxy: http://evil/\r\nX_Real: forged\r\nX-Real: true\r\n\
        Authorization: Basic eDp5\r\nProxy-Authorization: Basic eDp5\r\nConnection: close\r\nTE: trailers\r\n\r\n";
    let nothing = [
        "HTTP_PROXY",
        "HTTP_AUTHORIZATION",
        "HTTP_PROXY_AUTHORIZATION",
        "HTTP_CONNECTION",
        "HTTP_TE",
    ];
    let mut expected: Vec<_> = nothing.map(|name| (name, None)).into();
    expected.push(("HTTP_X_REAL", Some("true")));
    told(&Kit::new(), request, &expected);
}

#[test]
fn queries_are_never_arguments_and_no_shell_is_asked() {
    let (_, program) = Kit::new().ask(&get("/app?-s+%3Bid"));
    assert_eq!(program.command().program(), "/srv/app.cgi");
    assert!(program.command().arguments().is_empty());
    assert_eq!(variables(&program)["QUERY_STRING"], "-s+%3Bid");
}

#[test]
fn programs_run_in_their_own_folder_and_group() {
    let (_, program) = Kit::new().ask(&get("/app"));
    let command = program.command();
    assert_eq!(command.directory(), Some("/srv".as_ref()));
    assert_eq!(command.grouping(), Grouping::Own);
    assert!(command.is_killed_on_drop());
    let numbers: Vec<u32> = command.descriptors().keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert!(matches!(command.descriptors()[&2], ChildDescriptor::Output));
}

#[test]
fn places_that_lead_elsewhere_are_no_places() {
    let kit = Kit::new();
    for target in ["/app/../x", "/app/%2e%2e/x", "/app/a%2Fb", "/app/%00", "/app/..%5cx"] {
        let mut client = kit.client();
        client.push(&get(target));
        kit.turn(&mut client);
        assert!(client.take_sent().starts_with(b"HTTP/1.1 404 "), "{target}");
        assert!(kit.programs.take_next().is_none());
    }
}

#[test]
fn programs_learn_whom_a_guard_has_let_in() {
    let kit = Kit::serving(|programs| {
        let cgi = Cgi::new(Command::new("/srv/app.cgi"), programs);
        let users = InMemory::new().with("alice", "secret");
        let portal = Portal::new(Users).checker::<UsernamePassword>(users);
        Tree::new().child("app", Guard::new(portal).basic("here").around(cgi))
    });
    let mut request = get("/app");
    let at = request.len() - 2;
    request.splice(at..at, *b"Authorization: Basic YWxpY2U6c2VjcmV0\r\n");
    told(&kit, &request, &[("REMOTE_USER", Some("alice")), ("AUTH_TYPE", Some("Basic"))]);
}

#[test]
fn a_wrapped_program_is_told_the_same() {
    let kit = Kit::serving(|programs| {
        let cgi = Cgi::new(Command::new("tool"), programs).at("/deep/tool/");
        cgi.wrap(|request, inner: &mut dyn ropewalk_http::Resource| inner.render(request))
    });
    told(
        &kit,
        &get("/deep/tool/x"),
        &[("SCRIPT_NAME", Some("/deep/tool")), ("PATH_INFO", Some("/x"))],
    );
    let mut client = kit.client();
    client.push(&get("/deep/toolbox"));
    kit.turn(&mut client);
    assert!(client.take_sent().starts_with(b"HTTP/1.1 404 "));
}
