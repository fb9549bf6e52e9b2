//! Static files: what a server answers when its resources are files in a folder.
//!
//! No connection is needed here. A [`Folder`] is [asked](Ask) and [plans](Folder::plan) an
//! [`Answer`]: a status, the header fields, and a body that is either bytes in memory or parts of
//! an open file, ready for `sendfile`. Planning opens and reads files, so it blocks: call it in a
//! worker thread. All types are [`Send`].
//!
//! ```
//! use std::time::SystemTime;
//!
//! use http::{HeaderMap, Method, StatusCode};
//! use ropewalk_http::files::{Ask, Folder};
//!
//! let folder = Folder::new(env!("CARGO_MANIFEST_DIR"))?;
//! let headers = HeaderMap::new();
//! let ask = Ask::new(&Method::GET, "/Cargo.toml", &headers, SystemTime::now());
//! let answer = folder.plan(&ask);
//! assert_eq!(answer.status, StatusCode::OK);
//! assert_eq!(answer.headers["content-length"], answer.body.length().to_string());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | RFC 9110 | here |
//! |---|---|
//! | 8.3 content type | [`Folder::mime`], [`Folder::default_mime`] |
//! | 8.4 content codings of files that lie beside | [`Folder::precompressed`] |
//! | 8.8 validators | [`Folder::plan`], "Validators" |
//! | 9.3.1, 9.3.2, 9.3.7 methods | GET, HEAD and OPTIONS; 405 with `Allow` for others, 501 for those of no specification |
//! | 13.2.2 order of the preconditions | [`Folder::plan`], "Preconditions" |
//! | 14 ranges, 15.3.7 partial content | [`RANGES_MAX`], [`Part`] |
//! | 14.5 partial PUT | [`ContentRange`], [`Uploads`](crate::Uploads) |
//!
//! | bound | default | when it is exceeded |
//! |---|--:|---|
//! | [`DEPTH_MAX`], names in a path | 128 | 404 |
//! | [`LINKS_MAX`], links followed for one path | 40 | 404 |
//! | [`RANGES_MAX`], ranges in one request | 16 | the ranges are ignored: 200 |
//! | [`LISTING_MAX`], entries in one listing | 10,000 | the page ends with a note |
//! | [`SMALL_MAX`], bytes read into memory | 64 KiB | the answer holds the open file instead |
//! | [`KEPT_FILES_MAX`], [`KEPT_BYTES_MAX`], what a [`Directory`](crate::Directory) keeps of small files | 256; 4 MiB | the one unused for longest makes room |

mod answer;
mod conditional;
mod content;
mod content_range;
mod folder;
mod kept;
mod listing;
mod mime;
mod open;
mod order;
mod page;
mod path;
mod range;
mod upload;

#[cfg(not(unix))]
mod sys_other;
#[cfg(unix)]
mod sys_unix;
#[cfg(not(unix))]
use sys_other as sys;
#[cfg(unix)]
use sys_unix as sys;

pub(crate) use conditional::{Validators, Verdict, judge_as};
pub(crate) use kept::Kept;
pub(crate) use range::{Wanted, parse as parse_ranges};
pub(crate) use sys::read_at;
pub(crate) use upload::{Taken, Upload};

pub use answer::{Answer, Ask, Body, Part};
pub use content::SMALL_MAX;
pub use content_range::{BadContentRange, ContentRange};
pub use folder::Folder;
pub use kept::{KEPT_BYTES_MAX, KEPT_FILES_MAX};
pub use listing::LISTING_MAX;
pub use mime::mime_type;
pub use open::{LINKS_MAX, Links};
pub use path::DEPTH_MAX;
pub use range::RANGES_MAX;
pub use upload::UploadError;
