//! A page into bytes.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use ropewalk_deferred::{Deferred, Failure};

use super::element::{AttributeValue, Document, Element, IntoNode as _, Kind, Node, Value};
use super::escape::{self, AttributeKind};
use crate::{Body, BodyPiece, BodyStream, IntoReply, Reply, Response};

/// How many bytes go out at a time, and how long a page may be to go out in one piece.
const PIECE: usize = 16 * 1024;
/// How deep elements may stand within one another.
const DEPTH_MAX: usize = 512;
/// Elements that have no end and nothing in them (HTML 13.1.2).
const VOID: [&str; 13] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr",
];

/// Why a page cannot go out: a fault in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HtmlError {
    /// Nobody has filled this slot.
    UnfilledSlot(&'static str),
    /// Data was put into an element whose text is a style.
    DataInStyle,
    /// Data was put into this attribute, which is a script, a style or a page.
    DataInCode(&'static str),
    /// An element or a comment was put into this element, whose text is code.
    ElementInCode(&'static str),
    /// Something was put into this element, which has nothing in it.
    NotEmpty(&'static str),
    /// What is trusted would end the script or style that it stands in.
    EndsItself,
    /// Elements stand deeper within one another than 512.
    TooDeep,
}

impl fmt::Display for HtmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnfilledSlot(name) => write!(f, "nobody has filled the slot {name:?}"),
            Self::DataInStyle => {
                f.write_str("data was put into a style; only trusted text can stand there")
            }
            Self::DataInCode(name) => {
                write!(
                    f,
                    "data was put into the attribute {name:?}; only trusted text can stand there"
                )
            }
            Self::ElementInCode(name) => {
                write!(f, "an element was put into <{name}>, whose text is code")
            }
            Self::NotEmpty(name) => {
                write!(f, "something was put into <{name}>, which has nothing in it")
            }
            Self::EndsItself => {
                f.write_str("what was trusted would end the script or style that it is in")
            }
            Self::TooDeep => write!(f, "elements stand deeper within one another than {DEPTH_MAX}"),
        }
    }
}

impl Error for HtmlError {}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    Script,
    Style,
}

/// What is still to be written.
enum Step {
    Node(Node, Place),
    Attribute(&'static str, AttributeValue),
    Text(&'static str),
    End(&'static str),
}

struct Flattener {
    /// The next one last.
    steps: Vec<Step>,
    depth: usize,
    out: String,
    /// What is waited for before the steps go on.
    waiting: Option<Deferred<Step>>,
}

/// Why there is a break.
enum Break {
    Over,
    /// Enough for one piece.
    Full,
    /// Something is still to come, and is waited for.
    Later,
}

impl Flattener {
    fn new(node: Node, out: &str) -> Self {
        Self {
            steps: vec![Step::Node(node, Place::Text)],
            depth: 0,
            out: out.to_owned(),
            waiting: None,
        }
    }

    fn go_on(&mut self) -> Result<Break, Failure> {
        loop {
            if let Some(waiting) = self.waiting.take() {
                match waiting.try_take() {
                    Ok(step) => self.steps.push(step?),
                    Err(waiting) => {
                        self.waiting = Some(waiting);
                        return Ok(Break::Later);
                    }
                }
            }
            if self.out.len() >= PIECE && !self.steps.is_empty() {
                return Ok(Break::Full);
            }
            let Some(step) = self.steps.pop() else { return Ok(Break::Over) };
            self.waiting = match step {
                Step::Text(text) => {
                    self.out.push_str(text);
                    None
                }
                Step::End(name) => {
                    self.depth -= 1;
                    self.out.extend(["</", name, ">"]);
                    None
                }
                Step::Attribute(name, value) => self.attribute(name, value)?,
                Step::Node(node, place) => self.node(node, place)?,
            };
        }
    }

    fn attribute(
        &mut self,
        name: &'static str,
        value: AttributeValue,
    ) -> Result<Option<Deferred<Step>>, HtmlError> {
        let text = match value.0 {
            Value::Absent => return Ok(None),
            Value::Later(later) => {
                return Ok(Some(later.map(move |value| Step::Attribute(name, value))));
            }
            Value::Present => {
                self.out.extend([" ", name]);
                return Ok(None);
            }
            Value::Trusted(text) => text,
            Value::Text(text) => match escape::attribute_kind(name) {
                AttributeKind::Text => text,
                AttributeKind::Url => escape::safe_url(&text).to_owned().into(),
                AttributeKind::Urls => escape::safe_urls(&text).to_owned().into(),
                AttributeKind::Code => return Err(HtmlError::DataInCode(name)),
            },
        };
        self.out.extend([" ", name, "=\""]);
        escape::quoted(&mut self.out, &text);
        self.out.push('"');
        Ok(None)
    }

    fn node(&mut self, node: Node, place: Place) -> Result<Option<Deferred<Step>>, HtmlError> {
        match (node.0, place) {
            (Kind::Nothing, _) => (),
            (Kind::Text(text), Place::Text) => escape::text(&mut self.out, &text),
            (Kind::Text(text), Place::Script) => escape::literal(&mut self.out, &text),
            (Kind::Plain(text), Place::Text | Place::Script)
            | (Kind::Trusted(text), Place::Text) => {
                self.out.push_str(&text);
            }
            (Kind::Text(_) | Kind::Plain(_), Place::Style) => return Err(HtmlError::DataInStyle),
            (Kind::Trusted(text), Place::Script | Place::Style) => {
                let lower = text.to_ascii_lowercase();
                if ["</script", "</style", "<!--"].iter().any(|end| lower.contains(end)) {
                    return Err(HtmlError::EndsItself);
                }
                self.out.push_str(&text);
            }
            (Kind::Comment(text), Place::Text) => {
                self.out.push_str("<!-- ");
                escape::comment(&mut self.out, &text);
                self.out.push_str(" -->");
            }
            (Kind::Element(element), Place::Text) => self.element(*element)?,
            (Kind::Comment(_) | Kind::Element(_), Place::Script) => {
                return Err(HtmlError::ElementInCode("script"));
            }
            (Kind::Comment(_) | Kind::Element(_), Place::Style) => {
                return Err(HtmlError::ElementInCode("style"));
            }
            (Kind::Many(nodes), place) => {
                self.steps.extend(nodes.into_iter().rev().map(|node| Step::Node(node, place)));
            }
            (Kind::Slot(name), _) => return Err(HtmlError::UnfilledSlot(name)),
            (Kind::Later(later), place) => {
                return Ok(Some(later.map(move |node| Step::Node(node, place))));
            }
        }
        Ok(None)
    }

    fn element(&mut self, element: Element) -> Result<(), HtmlError> {
        let Element { name, attributes, children } = element;
        self.out.extend(["<", name]);
        if VOID.iter().any(|void| name.eq_ignore_ascii_case(void)) {
            if !children.is_empty() {
                return Err(HtmlError::NotEmpty(name));
            }
            self.steps.push(Step::Text(">"));
        } else {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(HtmlError::TooDeep);
            }
            let place = if name.eq_ignore_ascii_case("script") {
                Place::Script
            } else if name.eq_ignore_ascii_case("style") {
                Place::Style
            } else {
                Place::Text
            };
            self.steps.push(Step::End(name));
            self.steps.extend(children.into_iter().rev().map(|child| Step::Node(child, place)));
            self.steps.push(Step::Text(">"));
        }
        let attributes = attributes.into_iter().rev();
        self.steps.extend(attributes.map(|(name, value)| Step::Attribute(name, value)));
        Ok(())
    }

    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.out).into()
    }
}

/// The next piece of a page; `None` at its end.
fn next_piece(page: Rc<RefCell<Flattener>>) -> Deferred<Option<BodyPiece>> {
    let mut flattener = page.borrow_mut();
    let progress = match flattener.go_on() {
        Err(failure) => return Deferred::ready(Err(failure)),
        Ok(progress) => progress,
    };
    if !flattener.out.is_empty() {
        // What is there goes out while the rest is waited for.
        return Deferred::succeed(Some(flattener.take().into()));
    }
    let Some(waiting) = flattener.waiting.take().filter(|_| matches!(progress, Break::Later))
    else {
        return Deferred::succeed(None);
    };
    drop(flattener);
    waiting.add_callback(move |step| {
        page.borrow_mut().steps.push(step);
        next_piece(page)
    })
}

fn reply(node: Node, begin: &str) -> Reply {
    let mut flattener = Flattener::new(node, begin);
    let body = match flattener.go_on() {
        Err(failure) => return Reply::Later(Deferred::ready(Err(failure))),
        Ok(Break::Over) => Body::from(flattener.take()),
        Ok(Break::Full | Break::Later) => streamed(flattener),
    };
    let mut response = Response::new(body);
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    Reply::Now(response)
}

fn streamed(flattener: Flattener) -> Body {
    let page = Rc::new(RefCell::new(flattener));
    Body::stream(BodyStream::new(move || next_piece(Rc::clone(&page))))
}

impl IntoReply for Document {
    fn into_reply(self) -> Reply {
        reply(self.0.into_node(), "<!DOCTYPE html>")
    }
}

/// A piece of a page.
impl IntoReply for Element {
    fn into_reply(self) -> Reply {
        reply(self.into_node(), "")
    }
}
