//! What a client is told before its answer (RFC 9110 15.2).

use std::fmt;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, LINK};
use http::{StatusCode, Version};
use ropewalk_protocol::Conn;

use super::connection::{Phase, Server};
use super::place::Place;
use super::request::Request;
use crate::codec::{Asked, BodySize, ResponseHead};

/// Tells a client something while its answer is being made; [`Request::interim`] makes one.
///
/// What is told is lost where the answer has begun meanwhile, where the client is gone, and where it does
/// not take what it was sent before.
///
/// ```
/// use http::HeaderValue;
/// use ropewalk_deferred::deferred;
/// use ropewalk_http::{Request, Site};
/// use ropewalk_trial::{Clock, Memory};
///
/// let site = Site::new(|request: Request| {
///     if let Some(interim) = request.interim() {
///         interim.early_hints([HeaderValue::from_static("</style.css>; rel=preload; as=style")]);
///     }
///     let (promise, page) = deferred();
///     // Somebody makes the page meanwhile, and fires the promise.
///     # std::mem::forget(promise);
///     page.map(|page: String| page)
/// });
/// let mut client = Memory::seat(site.server(), &Clock::new());
/// client.push(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
/// client.run();
/// assert_eq!(
///     client.take_sent(),
///     b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload; as=style\r\n\r\n"
/// );
/// ```
#[derive(Clone)]
pub struct Interim {
    place: Place,
}

impl Interim {
    /// Tells which other resources the answer will need (RFC 8297): each is a value of a `Link` field.
    pub fn early_hints(&self, links: impl IntoIterator<Item = HeaderValue>) {
        let links = links.into_iter().map(|link| (LINK, link));
        self.send(StatusCode::EARLY_HINTS, links.collect());
    }

    /// Tells that the request was understood and takes its time (RFC 2518 10.1).
    pub fn processing(&self) {
        self.send(StatusCode::PROCESSING, HeaderMap::new());
    }

    /// Sends an interim response. Fields about a body or the connection are left out, as it has no body.
    ///
    /// # Panics
    ///
    /// If `status` is no interim one (1xx), or is 101, which is an answer: see
    /// [`Body::switch_to`](crate::Body::switch_to).
    pub fn send(&self, status: StatusCode, headers: HeaderMap) {
        let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        assert!(is_interim, "{status} is no interim status");
        match &self.place {
            Place::Serial(conn, serial) => {
                let serial = *serial;
                conn.call_later(Duration::ZERO, move |server, conn| {
                    server.inform(conn, serial, status, &headers);
                });
            }
            Place::Stream(conn, stream) => {
                let stream = *stream;
                conn.call_later(Duration::ZERO, move |server, conn| {
                    server.interim(conn, stream, status, Some(&headers));
                });
            }
        }
    }
}

impl fmt::Debug for Interim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interim").finish_non_exhaustive()
    }
}

impl Request {
    /// What sends interim responses, such as `103 Early Hints`, before the answer, which has to come
    /// [later](crate::Reply::Later). A client of HTTP/1.0 knows none (RFC 9110 15.2), and there is none.
    pub fn interim(&self) -> Option<Interim> {
        let place = self.body().request_place()?;
        (self.version() != Version::HTTP_10).then(|| Interim { place: place.clone() })
    }
}

impl Server {
    fn inform(&mut self, conn: &Conn<Self>, serial: u32, status: StatusCode, headers: &HeaderMap) {
        let Phase::Busy(exchange) = &self.phase else { return };
        if self.serial != serial || exchange.is_answered() || conn.is_writing_paused() {
            return;
        }
        let head = ResponseHead {
            status,
            headers: Some(headers),
            passed: None,
            content_type: None,
            size: BodySize::Unknown,
        };
        conn.write_with(|out| {
            self.site.encode(&head, out, Asked::unread(), conn.now());
        });
    }
}
