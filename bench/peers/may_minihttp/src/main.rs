//! `may_minihttp` with one worker. It has no router and no files, and fields that are known beforehand.

use std::io::{self, BufRead as _};

use may_minihttp::{HttpServer, HttpService, Request, Response};
use peer_common::{BODY, FIELDS, announce, bytes, length, listener, page, user_and_post};

#[derive(Clone)]
struct Answers {
    /// Lines of fields, which have to live as long as the program.
    fields: [&'static str; FIELDS.len()],
    large: &'static str,
}

fn dynamic(fields: &[&'static str], request: &Request, response: &mut Response) {
    let (path, query) = request.path().split_once('?').unwrap_or((request.path(), ""));
    let (user, post) = user_and_post(path).unwrap_or_default();
    let field = |name: &str| {
        let mut fields = request.headers().iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| std::str::from_utf8(field.value).ok())
    };
    let language = field("accept-language").unwrap_or("en");
    let text = page(user, post, query, language);
    for line in fields {
        response.header(line);
    }
    // What a request decides cannot be said among the fields: these two stand for it.
    response.header("content-language: en-GB,en;q=0.9");
    if field("x-request-id").is_some() {
        response.header("x-request-id: 00000000000000000000000000000000");
    }
    response.header("Content-Type: text/plain").body_vec(text.into_bytes());
}

impl HttpService for Answers {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        let path = request.path();
        if path == "/upload" {
            let mut body = request.body();
            let mut count = 0;
            loop {
                let piece = body.fill_buf()?.len();
                if piece == 0 {
                    break;
                }
                body.consume(piece);
                count += piece;
            }
            response.header("Content-Type: text/plain").body_vec(count.to_string().into_bytes());
        } else if path.starts_with("/users/") {
            dynamic(&self.fields, &request, response);
        } else if let Some(length) = length(path) {
            response.header("Content-Type: text/plain").body(&self.large[..length]);
        } else {
            response.header("Content-Type: text/plain").body(BODY);
        }
        Ok(())
    }
}

fn main() -> io::Result<()> {
    may::config().set_workers(1);
    // It takes no listener, only an address, and does not tell the port that it got.
    let address = listener()?.local_addr()?;
    let fields = FIELDS.map(|(name, value)| &*format!("{name}: {value}").leak());
    let large = String::from_utf8(bytes(1024 * 1024)).map_err(io::Error::other)?.leak();
    let server = HttpServer(Answers { fields, large }).start(address)?;
    announce(address)?;
    server.join().map_err(|_| io::Error::other("the acceptor panicked"))
}
