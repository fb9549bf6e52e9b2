//! HTTP/1.1 ([RFC 9110], [RFC 9112]) and HTTP/2 ([RFC 9113]).
//!
//! A [`Site`] makes a server for each connection out of one [`Resource`]: a closure, a [`Tree`] of
//! resources by path segment, a [`Router`] by path pattern, a folder of [static files](files). What
//! it answers is a [`Reply`]: now, later, or piece by piece.
//!
//! ```
//! use ropewalk_http::{Request, Site};
//! use ropewalk_trial::{Clock, Memory};
//!
//! let mut count = 0;
//! let site = Site::new(move |_: Request| {
//!     count += 1;
//!     format!("I am request #{count}\n")
//! });
//! let mut client = Memory::seat(site.server(), &Clock::new());
//! client.push(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
//! assert!(client.take_sent().ends_with(b"\r\n\r\nI am request #1\n"));
//! ```
//!
//! An [`Agent`] asks: it keeps connections, follows redirects, and gives up in time.
//!
//! | what | here |
//! |---|---|
//! | RFC 9112 2–3 messages and request lines, 5 fields | [`HeadDecoder`], [`Head`] |
//! | RFC 9112 6–7 bodies | [`BodyDecoder`], [`BodyWriter`], [`Incoming`], [`Body`] |
//! | RFC 9112 9 connections: keep-alive, pipelining, closing | [`Server`] |
//! | RFC 9110 10.1.1 `Expect: 100-continue` | [`Incoming`]: sent when the body is first asked for |
//! | RFC 9110 15.2 interim answers, RFC 8297 early hints; 6.5 trailers | [`Interim`]; [`BodySender::finish_with`], [`Incoming::trailers`] |
//! | RFC 9113 HTTP/2, for clients that begin with its preface | [`Site::streams`], the room `http2` |
//! | the same for clients: chosen by TLS, or known; RFC 9113 9.1.1 origins that share a connection | [`Http2Options`], [`Dial`] |
//! | clients: RFC 9112 4 answers, 9 connections | [`Agent`], [`AnswerDecoder`] |
//! | clients: RFC 9218 priorities; RFC 9113 7, servers that want HTTP/1.1 | [`RequestPriority`]; [`Dial::dial_http1`] |
//! | RFC 9110 15.4 redirects, 8.4 codings, 9.2.2 sending again | [`Redirects`], [`Options`], [`Agent`] |
//! | RFC 7617, 7616, 6750 Basic, Digest, Bearer | [`Credentials`] |
//! | the same on a server, with the room `auth` behind it | [`auth`] |
//! | RFC 6265 cookies | [`CookieJar`]; on a server [`session`] |
//! | sessions, and requests that other sites' pages make | [`session`] |
//! | clients: RFC 9110 7.8 upgrades, RFC 8441 the same on a stream of HTTP/2 | [`RequestBuilder::upgrade`], [`Upgrade`] |
//! | RFC 9110 9.3.6, RFC 9113 8.5 `CONNECT`, on clients | [`tunnel`], [`RequestBuilder::tunnel`] |
//! | RFC 9110 3.7 proxies, RFC 7239 Forwarded | [`proxy`] |
//! | functions around resources, hosts, CORS, pages for errors | [`Resource::wrap`], [`middleware`] |
//! | RFC 9110 8.4 content codings, 12.5.3 `Accept-Encoding` | [`compress`], [`Request::decode_body`] |
//! | Server-Sent Events (HTML, 9.2), both ends | [`events`] |
//! | queries and forms (RFC 7578) | [`form`] |
//! | pages, of which parts may come later | [`html`] |
//! | RFC 9110 13 preconditions, 14 ranges | [`Representation`], [`files`] |
//! | 14.5 partial PUT | [`Uploads`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | lines, fields, bodies | [`Limits`] | the status that says so, and the connection's end |
//! | [`Patience::head`], a whole request head | 10 s | 408 |
//! | [`Patience::idle`], between requests | 60 s | closed |
//! | [`Patience::body_rate`], a request body, after [`Patience::body_grace`] | 240 B/s after 5 s | 408 |
//! | [`Patience::reader`], a client that takes nothing of an answer | 30 s | aborted |
//! | [`Patience::goodbye`], a client that was told that it is over, and 1 MiB of its talk | 5 s | aborted |
//! | bodies on a connection of HTTP/2 that go out at once | 256 KiB | the others wait for the next turn |
//! | input kept while an answer is made, or not taken | 64 KiB | the client has to wait |
//! | a request body that its resource does not take | 64 KiB | the client has to wait |
//! | a request body that nobody wants | 256 KiB | the connection's end |
//! | what waits in a [`BodySender`] for a slow client | 256 KiB: [`SENDER_MAX`] | [`SendError::Full`] |
//! | an uploaded file | 1 GiB: [`UPLOAD_MAX`] | 413 |
//! | answers that are compressed at the same time | 256: [`compress::COMPRESSIONS_MAX`] | the others go out as they are |
//! | a client's waits: in all, for a place, to connect, for a head, for more of a body | 5 min, 30 s, 30 s, 60 s, 30 s: [`ClientPatience`] | [`AgentError::TimedOut`], [`BodyError::Slow`] |
//! | a client's connections: to an origin, in all, unused | 8, 256, 64 (for 15 s): [`PoolBounds`] | requests wait |
//! | a client's requests at a time on a connection of HTTP/2 | 100: [`Http2Options::streams_max`], or what the server takes | requests wait |
//! | a silent server of HTTP/2; its answer to a ping | 20 s; 10 s: [`Http2Options::silence`] | [`AgentError::Silent`] |
//! | what a server of HTTP/2 may ask of a client | [`Http2Options::limits`]: the table of the room `http2` | [`AgentError::Connection`] |
//! | a protocol that a client has on a stream: until its server has said that it takes any; what waits unread; until it ends it, too | 30 s: [`ClientPatience::connect`]; the stream's window; 5 s: [`ClientPatience::goodbye`] | [`AgentError::TimedOut`]; the server has to wait; CANCEL |
//! | requests that wait for a connection | 1,024 | [`AgentError::Busy`] |
//! | redirects; interim answers; an answer's fields | 10; 16; 64 KiB | [`AgentError`] |
//! | a decoded body; a collected one | 256 MiB; 10 MiB: [`Options`] | [`BodyError`] |
//! | cookies; those of a domain; bytes of one | [`COOKIES_MAX`], 3,000; 50; 4 KiB | the oldest make room; it is dropped |
//! | a proxy's answer to `CONNECT` | 16 KiB, 100 fields, 8 interim answers, 30 s | [`tunnel::TunnelError`] |
//!
//! [RFC 9110]: https://www.rfc-editor.org/rfc/rfc9110
//! [RFC 9112]: https://www.rfc-editor.org/rfc/rfc9112
//! [RFC 9113]: https://www.rfc-editor.org/rfc/rfc9113

#![forbid(unsafe_code)]

pub mod auth;
mod carried;
mod client;
mod codec;
pub mod compress;
pub mod events;
pub mod files;
pub mod form;
pub mod html;
pub mod middleware;
mod outflow;
pub mod proxy;
mod server;
pub mod session;
pub mod tunnel;

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
pub use ropewalk_http2::Priority;

pub use client::{
    Agent, AgentError, Answer, COOKIE_BYTES_MAX, COOKIES_MAX, COOKIES_PER_DOMAIN_MAX,
    ClientPatience, CookieJar, Credentials, Dial, Http2Options, Options, Origin, PoolBounds,
    Redirects, RequestBuilder, RequestPriority, Scheme, Upgrade, Wait,
};
pub use codec::{
    AnswerDecoder, AnswerHead, AnswerTo, Asked, BadAnswer, BadBody, BadRequest, BodyDecoder,
    BodyLength, BodySize, BodyWriter, CONTINUE, Date, DateCache, Excerpt, Framing, Head,
    HeadDecoder, Limits, Out, Piece, SentAs, encode_head,
};
pub use server::{
    Access, BadParam, BadTag, Body, BodyError, BodyPiece, BodySender, BodyStream, Captures,
    Directory, Incoming, Interim, IntoReply, LocalRedirect, Params, Passed, Patience, Reply,
    Representation, Request, Resource, Response, Router, SENDER_MAX, SendError, Server, Site, Tree,
    UPLOAD_MAX, UnknownCoding, Uploads, Wrapped, client_gone,
};
