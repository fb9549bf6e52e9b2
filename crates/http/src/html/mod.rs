//! HTML made of elements, some of which may come later.
//!
//! A page is a value: [`tag`]s with attributes and children. What is put into it is data, and is written as the
//! place wants it: text is escaped, a link that would run a script leads nowhere, data in a script becomes a
//! literal. A child or an attribute may be a `Deferred`; what stands before it goes out while it is waited for.
//!
//! ```
//! use ropewalk_deferred::Deferred;
//! use ropewalk_http::html::{document, slot, tag};
//! use ropewalk_http::{Request, Site};
//! use ropewalk_trial::{Clock, Memory};
//!
//! let site = Site::new(|request: Request| {
//!     let asked = request.uri().path().to_owned();
//!     let frame = tag("html").child(tag("title").child("Greeting")).child(tag("p").child(slot("text")));
//!     document(frame.fill("text", ("You asked for ", asked, Deferred::succeed("."))))
//! });
//! let mut client = Memory::seat(site.server(), &Clock::new());
//! client.push(b"GET /a&b HTTP/1.1\r\nHost: a\r\n\r\n");
//! assert!(client.take_sent().ends_with(b"<p>You asked for /a&amp;b.</p></html>"));
//! ```
//!
//! | in | data becomes |
//! |---|---|
//! | the text of an element | text: `&`, `<` and `>` escaped |
//! | an attribute | text: quotes escaped, too |
//! | an attribute that is a URL: `href`, `src`, `action` … | the same; `about:invalid` where its scheme is neither of the web, nor of mail, nor of telephones |
//! | `script` | a literal: a string, or a number |
//! | `style`; attributes that are scripts, styles or pages: `onclick`, `style`, `srcdoc` | nothing: [`HtmlError`] |
//!
//! What is no data but part of the program is [`trusted`] and is written as it is.

mod element;
mod escape;
mod flatten;

pub use element::{
    AttributeValue, Document, Element, IntoNode, IntoValue, Node, comment, document, slot, tag,
    trusted, trusted_value,
};
pub use flatten::HtmlError;
