use ropewalk_http::{Body, Credentials};

use super::{World, heard, ok, text, value};

#[test]
fn basic_and_bearer_are_told_at_once() {
    let world = World::new();
    let basic =
        world.agent.get("http://a/").credentials(Credentials::basic("Aladdin", "open sesame"));
    basic.send().detach();
    let (_server, request) = world.accept();
    assert!(
        request.contains("\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
        "{request}"
    );
    world.agent.get("http://Aladdin:open%20sesame@b/").send().detach();
    let (_server, request) = world.accept();
    assert!(
        request.contains("\r\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
        "{request}"
    );
    world
        .agent
        .get("http://c/")
        .credentials(Credentials::bearer("mF_9.B5f-4.1JqM"))
        .send()
        .detach();
    let (_server, request) = world.accept();
    assert!(request.contains("\r\nauthorization: Bearer mF_9.B5f-4.1JqM\r\n"), "{request}");
}

#[test]
fn digest_gives_a_proof_when_it_is_asked_for_one() {
    let world = World::new();
    let mufasa = Credentials::digest("Mufasa", "Circle of Life");
    let answer = world.agent.get("http://a/dir/index.html").credentials(mufasa).send();
    let (mut server, request) = world.accept();
    assert!(!request.contains("authorization"));
    server.push(
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\
          WWW-Authenticate: Basic realm=\"b\", Digest realm=\"r, \\\"s\\\"\", qop=\"auth-int, auth\", \
          algorithm=MD5, nonce=\"n1\", opaque=\"o\"\r\n\
          WWW-Authenticate: Digest realm=\"r\", qop=\"auth\", algorithm=SHA-256, nonce=\"n2\"\r\n\r\n",
    );
    let request = heard(&mut server);
    let field = request.lines().find(|line| line.starts_with("authorization: ")).expect("a proof");
    for part in [
        "Digest username=\"Mufasa\"",
        "realm=\"r\"",
        "nonce=\"n2\"",
        "uri=\"/dir/index.html\"",
        "algorithm=SHA-256",
        "qop=auth,",
        "nc=00000001",
    ] {
        assert!(field.contains(part), "{part} in {field}");
    }
    server.push(ok("in").as_bytes());
    assert_eq!(text(answer), "in");
}

#[test]
fn a_proof_that_is_not_taken_is_not_given_again() {
    let world = World::new();
    let answer = world.agent.get("http://a/").credentials(Credentials::digest("u", "p")).send();
    let (mut server, _) = world.accept();
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\
                    WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n";
    server.push(refusal);
    assert!(heard(&mut server).contains("authorization: Digest"));
    server.push(refusal);
    assert_eq!(value(answer).status(), 401);
}

/// What a proof for `body` covers, where a server takes those that it names.
fn covered(qop: &str, body: impl Into<Body>) -> Option<String> {
    let world = World::new();
    let user = Credentials::digest("u", "p");
    world.agent.post("http://a/", body).credentials(user).send().detach();
    let (mut server, _) = world.accept();
    let challenge = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\
         WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"{qop}\"\r\n\r\n"
    );
    server.push(challenge.as_bytes());
    let request = heard(&mut server);
    let field = request.lines().find(|line| line.starts_with("authorization: "))?;
    field.split(", ").find_map(|part| part.strip_prefix("qop=")).map(str::to_owned)
}

#[test]
fn proofs_cover_bodies_where_they_can() {
    for (qop, body, expected) in [
        ("auth", "x", Some("auth")),
        ("auth-int", "x", Some("auth-int")),
        ("AUTH-INT", "", Some("auth-int")),
        ("auth,auth-int", "x", Some("auth-int")),
        ("auth, auth-int", "", Some("auth")),
        ("other", "x", None),
    ] {
        assert_eq!(covered(qop, body).as_deref(), expected, "{qop} {body:?}");
    }
}
