//! Forms: what stands behind a question mark, and what browsers send with POST.
//!
//! [`Fields`] are the short kind, of a query or of a body of `application/x-www-form-urlencoded`.
//! [`Multipart`] gives the parts of `multipart/form-data` (RFC 7578) as they come, and
//! [`FormData`] collects them, files on disk. [`MultipartDecoder`] does it without a request.
//!
//! ```
//! use ropewalk_http::{Request, Site, form::Fields};
//! use ropewalk_trial::{Clock, Memory};
//!
//! let site = Site::new(|request: Request| {
//!     Fields::read(request).map(|fields| format!("hello {}", fields.get("name").unwrap_or("you")))
//! });
//! let mut client = Memory::seat(site.server(), &Clock::new());
//! client.push(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\
//!     Content-Type: application/x-www-form-urlencoded\r\n\r\nname=B%C3%A9");
//! # client.run();
//! # let answer = String::from_utf8(client.take_sent()).unwrap();
//! # assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
//! ```
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | [`FIELDS_MAX`], fields or parts of a form | 1,000 | [`FormError::TooMany`], 413 |
//! | [`FIELDS_LENGTH_MAX`], a body of fields, in bytes | 256 KiB | 413 |
//! | [`PART_HEAD_MAX`], [`PART_FIELDS_MAX`], what stands before a part | 8 KiB, 16 fields | [`FormError::Malformed`], 400 |
//! | [`FormLimits`], fields and files of a [`FormData`] | 256 KiB, 8 MiB a file, 32 files | 413 |

mod data;
mod error;
mod fields;
mod multipart;
mod parameter;
mod part;
mod stream;

pub use data::{FormData, FormLimits, Upload};
pub use error::FormError;
pub use fields::{FIELDS_LENGTH_MAX, FIELDS_MAX, Fields};
pub use multipart::{MultipartDecoder, MultipartPiece};
pub use part::{PART_FIELDS_MAX, PART_HEAD_MAX, PartHead};
pub use stream::Multipart;
