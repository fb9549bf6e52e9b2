//! What pages are made of.

use std::borrow::Cow;
use std::fmt;

use ropewalk_deferred::{Deferred, Failure};

type Text = Cow<'static, str>;

/// A piece of a page: an element, text, several of them, or what will be one of these.
pub struct Node(pub(super) Kind);

pub(super) enum Kind {
    Nothing,
    /// Data.
    Text(Text),
    /// Digits and words that mean the same everywhere.
    Plain(Text),
    /// What stands as it is.
    Trusted(Text),
    Comment(Text),
    Element(Box<Element>),
    Many(Vec<Node>),
    Slot(&'static str),
    Later(Box<Deferred<Node>>),
}

/// An element: its name, its attributes, its children.
pub struct Element {
    pub(super) name: &'static str,
    pub(super) attributes: Vec<(&'static str, AttributeValue)>,
    pub(super) children: Vec<Node>,
}

/// What an attribute has, or will have.
pub struct AttributeValue(pub(super) Value);

pub(super) enum Value {
    Absent,
    /// The attribute is there, and that is all.
    Present,
    Text(Text),
    Trusted(Text),
    Later(Box<Deferred<AttributeValue>>),
}

/// An element of this name, with nothing in it.
///
/// # Panics
///
/// If no element can have it: letters, digits and hyphens, a letter first. That is a fault in the program.
#[track_caller]
pub fn tag(name: &'static str) -> Element {
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    assert!(is_name, "{name:?} cannot be the name of an element");
    Element { name, attributes: Vec::new(), children: Vec::new() }
}

/// What stands on a page as it is. It is for text that the program itself has, or that was made safe elsewhere.
pub fn trusted(text: impl Into<Text>) -> Node {
    Node(Kind::Trusted(text.into()))
}

/// The value of an attribute that may be a script, a style, a page or any URL.
pub fn trusted_value(text: impl Into<Text>) -> AttributeValue {
    AttributeValue(Value::Trusted(text.into()))
}

/// A place to be [filled](Element::fill).
pub fn slot(name: &'static str) -> Node {
    Node(Kind::Slot(name))
}

/// A comment. What would end it is taken out.
pub fn comment(text: impl Into<Text>) -> Node {
    Node(Kind::Comment(text.into()))
}

/// A whole page: `<!DOCTYPE html>`, and this element.
pub fn document(element: Element) -> Document {
    Document(element)
}

/// A whole page, which a resource may answer with.
#[derive(Debug)]
pub struct Document(pub(super) Element);

impl Element {
    /// The same with an attribute more.
    ///
    /// # Panics
    ///
    /// If no attribute can have that name, which is a fault in the program.
    #[track_caller]
    pub fn attr(mut self, name: &'static str, value: impl IntoValue) -> Self {
        let is_of =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':' | b'.');
        assert!(
            !name.is_empty() && name.bytes().all(is_of),
            "{name:?} cannot be the name of an attribute"
        );
        self.attributes.push((name, value.into_value()));
        self
    }

    /// The same with a class, in place of none.
    pub fn class(self, class: impl IntoValue) -> Self {
        self.attr("class", class)
    }

    /// The same with a child more.
    pub fn child(mut self, child: impl IntoNode) -> Self {
        self.children.push(child.into_node());
        self
    }

    /// The same with many children more.
    pub fn children<C: IntoNode>(mut self, children: impl IntoIterator<Item = C>) -> Self {
        self.children.extend(children.into_iter().map(IntoNode::into_node));
        self
    }

    /// Puts something into the first [`slot`] of this name that is to be found here. One that is filled by
    /// nobody is an error when the page goes out; where there is no such slot, nothing changes.
    pub fn fill(mut self, name: &'static str, content: impl IntoNode) -> Self {
        let mut content = Some(content.into_node());
        fill(&mut self.children, name, &mut content);
        self
    }
}

fn fill(nodes: &mut [Node], name: &str, content: &mut Option<Node>) {
    for node in nodes {
        match &mut node.0 {
            Kind::Slot(other) if *other == name => {
                if let Some(content) = content.take() {
                    *node = content;
                }
            }
            Kind::Element(element) => fill(&mut element.children, name, content),
            Kind::Many(nodes) => fill(nodes, name, content),
            _ => (),
        }
        if content.is_none() {
            return;
        }
    }
}

/// What can be a piece of a page: text and numbers, elements, none or many of these, and what comes later.
pub trait IntoNode {
    /// The piece.
    fn into_node(self) -> Node;
}

/// What an attribute can have: text and numbers; `true` for one that is just there and `false` for none, as with
/// `disabled`; and what comes later.
pub trait IntoValue {
    /// The value.
    fn into_value(self) -> AttributeValue;
}

impl IntoNode for Node {
    fn into_node(self) -> Node {
        self
    }
}

impl IntoNode for Element {
    fn into_node(self) -> Node {
        Node(Kind::Element(Box::new(self)))
    }
}

impl IntoNode for () {
    fn into_node(self) -> Node {
        Node(Kind::Nothing)
    }
}

impl<N: IntoNode> IntoNode for Option<N> {
    fn into_node(self) -> Node {
        self.map_or(Node(Kind::Nothing), IntoNode::into_node)
    }
}

impl<N: IntoNode> IntoNode for Vec<N> {
    fn into_node(self) -> Node {
        Node(Kind::Many(self.into_iter().map(IntoNode::into_node).collect()))
    }
}

impl<N: IntoNode + 'static> IntoNode for Deferred<N> {
    fn into_node(self) -> Node {
        Node(Kind::Later(Box::new(self.map(IntoNode::into_node))))
    }
}

impl<N: IntoNode, E: Into<Failure>> IntoNode for Result<N, E> {
    fn into_node(self) -> Node {
        match self {
            Ok(node) => node.into_node(),
            Err(error) => Node(Kind::Later(Box::new(Deferred::ready(Err(error.into()))))),
        }
    }
}

impl IntoValue for AttributeValue {
    fn into_value(self) -> AttributeValue {
        self
    }
}

impl IntoValue for bool {
    fn into_value(self) -> AttributeValue {
        AttributeValue(if self { Value::Present } else { Value::Absent })
    }
}

impl<V: IntoValue> IntoValue for Option<V> {
    fn into_value(self) -> AttributeValue {
        self.map_or(AttributeValue(Value::Absent), IntoValue::into_value)
    }
}

impl<V: IntoValue + 'static> IntoValue for Deferred<V> {
    fn into_value(self) -> AttributeValue {
        AttributeValue(Value::Later(Box::new(self.map(IntoValue::into_value))))
    }
}

macro_rules! texts {
    ($($text:ty),*) => {$(
        impl IntoNode for $text {
            fn into_node(self) -> Node {
                Node(Kind::Text(self.into()))
            }
        }

        impl IntoValue for $text {
            fn into_value(self) -> AttributeValue {
                AttributeValue(Value::Text(self.into()))
            }
        }
    )*};
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl IntoNode for $number {
            fn into_node(self) -> Node {
                Node(Kind::Plain(self.to_string().into()))
            }
        }

        impl IntoValue for $number {
            fn into_value(self) -> AttributeValue {
                AttributeValue(Value::Text(self.to_string().into()))
            }
        }
    )*};
}

macro_rules! tuples {
    ($($name:ident),*) => {
        impl<$($name: IntoNode),*> IntoNode for ($($name,)*) {
            fn into_node(self) -> Node {
                #[allow(non_snake_case)]
                let ($($name,)*) = self;
                Node(Kind::Many(vec![$($name.into_node()),*]))
            }
        }
    };
}

texts!(&'static str, String, Cow<'static, str>);
numbers!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);
tuples!(A, B, C, D, E);
tuples!(A, B, C, D, E, F);

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Nothing => f.write_str("Nothing"),
            Kind::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Kind::Plain(text) => f.debug_tuple("Plain").field(text).finish(),
            Kind::Trusted(text) => f.debug_tuple("Trusted").field(text).finish(),
            Kind::Comment(text) => f.debug_tuple("Comment").field(text).finish(),
            Kind::Element(element) => element.fmt(f),
            Kind::Many(nodes) => nodes.fmt(f),
            Kind::Slot(name) => f.debug_tuple("Slot").field(name).finish(),
            Kind::Later(_) => f.write_str("Later"),
        }
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name)
            .field("attributes", &self.attributes)
            .field("children", &self.children)
            .finish()
    }
}

impl fmt::Debug for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Absent => f.write_str("Absent"),
            Value::Present => f.write_str("Present"),
            Value::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Value::Trusted(text) => f.debug_tuple("Trusted").field(text).finish(),
            Value::Later(_) => f.write_str("Later"),
        }
    }
}
