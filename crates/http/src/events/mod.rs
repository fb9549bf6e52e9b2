//! Server-Sent Events ([HTML, 9.2]): a page that is told what happens, over one answer that does not end.
//!
//! An [`EventSender`] tells one client; an [`EventGroup`] tells many the same, encoded once, and those who
//! come back what they missed. An [`EventDecoder`] reads such a stream, for clients.
//!
//! ```
//! use ropewalk_http::events::{Event, EventGroup};
//! use ropewalk_http::{Request, Site};
//! use ropewalk_trial::{Clock, Memory};
//!
//! let news = EventGroup::new();
//! let joined = news.clone();
//! let site = Site::new(move |request: Request| joined.join(&request));
//! let mut reader = Memory::seat(site.server(), &Clock::new());
//! reader.push(b"GET /news HTTP/1.1\r\nHost: a\r\n\r\n");
//! reader.take_sent();
//!
//! news.send(&Event::new("it rains").named("weather")?);
//! reader.run();
//! assert_eq!(reader.take_sent(), b"1f\r\nevent: weather\ndata: it rains\n\n\r\n");
//! # Ok::<(), ropewalk_http::events::BadEvent>(())
//! ```
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | what waits for one client: [`EventOptions::waiting_max`] | 64 KiB | [`Slow`]: it misses events, or is cut off |
//! | silence: [`EventOptions::keep_alive`] | 15 s | a comment is sent |
//! | clients of a group: [`EventGroup::members_max`] | 65,536 | 503 |
//! | events that a group keeps for those who come back | none: [`EventGroup::keeping`] | the oldest go |
//! | an event, as a client reads it | 1 MiB: [`EventDecoder::with_max`] | [`EventTooLong`] |
//!
//! [HTML, 9.2]: https://html.spec.whatwg.org/multipage/server-sent-events.html

mod decoder;
mod event;
mod group;
mod sender;

pub use decoder::{EVENT_MAX, EventDecoder, EventTooLong, Told};
pub use event::{BadEvent, Event};
pub use group::{EventGroup, Reached};
pub use sender::{EventOptions, EventSender, Slow, last_event_id};
