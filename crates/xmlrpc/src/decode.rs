//! XML into values.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::{Answer, BadMessage, Call, Fault, Value};

/// How many characters of what came are shown in an error.
const SHOWN_MAX: usize = 40;

/// How much of a message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of it; 1 MiB.
    pub bytes_max: usize,
    /// Arrays and structs within one another; 64.
    pub depth_max: usize,
    /// Values in it, those within others counted; 100,000.
    pub values_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 1 << 20, depth_max: 64, values_max: 100_000 }
    }
}

impl Call {
    /// Reads a call.
    ///
    /// # Errors
    ///
    /// If the bytes are none, or exceed the limits.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, BadMessage> {
        let mut decoder = Decoder::new(bytes, limits)?;
        decoder.open("methodCall", "<methodCall>")?;
        decoder.open("methodName", "<methodName>")?;
        let method = decoder.text("</methodName>")?;
        let mut params = Vec::new();
        match decoder.tag()? {
            Tag::Close => {
                decoder.end()?;
                return Ok(Self { method, params });
            }
            Tag::Open(name) if name == "params" => (),
            other => return Err(other.unexpected("<params> or </methodCall>")),
        }
        loop {
            match decoder.tag()? {
                Tag::Close => break,
                Tag::Open(name) if name == "param" => {
                    decoder.open("value", "<value>")?;
                    params.push(decoder.value(0)?);
                    decoder.close("</param>")?;
                }
                other => return Err(other.unexpected("<param> or </params>")),
            }
        }
        decoder.close("</methodCall>")?;
        decoder.end()?;
        Ok(Self { method, params })
    }
}

impl Answer {
    /// Reads an answer.
    ///
    /// # Errors
    ///
    /// If the bytes are none, or exceed the limits.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, BadMessage> {
        let mut decoder = Decoder::new(bytes, limits)?;
        decoder.open("methodResponse", "<methodResponse>")?;
        let answer = match decoder.tag()? {
            Tag::Open(name) if name == "params" => {
                decoder.open("param", "<param>")?;
                decoder.open("value", "<value>")?;
                let value = decoder.value(0)?;
                decoder.close("</param>")?;
                decoder.close("</params>")?;
                Ok(value)
            }
            Tag::Open(name) if name == "fault" => {
                decoder.open("value", "<value>")?;
                let value = decoder.value(0)?;
                decoder.close("</fault>")?;
                Err(fault(&value)?)
            }
            other => return Err(other.unexpected("<params> or <fault>")),
        };
        decoder.close("</methodResponse>")?;
        decoder.end()?;
        Ok(Self(answer))
    }
}

fn fault(value: &Value) -> Result<Fault, BadMessage> {
    let bad = || BadMessage::BadValue { of: "fault", got: shown(&format!("{value:?}")) };
    let code = value.member("faultCode").and_then(Value::as_integer).ok_or_else(bad)?;
    let text = value.member("faultString").and_then(Value::as_str).ok_or_else(bad)?;
    Ok(Fault { code: i32::try_from(code).map_err(|_| bad())?, text: text.to_owned() })
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}

/// The beginning or the end of an element.
enum Tag {
    Open(String),
    Close,
    /// The document is over.
    Over,
}

impl Tag {
    fn unexpected(self, expected: &'static str) -> BadMessage {
        let got = match self {
            Self::Open(name) => format!("<{}>", shown(&name)),
            Self::Close => "an element's end".to_owned(),
            Self::Over => "the document's end".to_owned(),
        };
        BadMessage::Unexpected { expected, got }
    }
}

struct Decoder<'b> {
    reader: Reader<&'b [u8]>,
    limits: Limits,
    values: usize,
}

impl<'b> Decoder<'b> {
    fn new(bytes: &'b [u8], limits: &Limits) -> Result<Self, BadMessage> {
        if bytes.len() > limits.bytes_max {
            return Err(BadMessage::TooLong { max: limits.bytes_max });
        }
        let text = str::from_utf8(bytes)
            .map_err(|error| BadMessage::NotXml(error.valid_up_to() as u64))?;
        let mut reader = Reader::from_str(text);
        // An element that is closed at once is one with nothing in it.
        reader.config_mut().expand_empty_elements = true;
        Ok(Self { reader, limits: *limits, values: 0 })
    }

    fn not_xml(&self) -> BadMessage {
        BadMessage::NotXml(self.reader.buffer_position())
    }

    /// The next tag, with the text before it.
    fn step(&mut self) -> Result<(String, Tag), BadMessage> {
        let mut text = String::new();
        loop {
            let event = self.reader.read_event().map_err(|_| self.not_xml())?;
            match event {
                Event::Start(start) => {
                    // A prefix, as in `ex:nil`, does not matter.
                    let name = start.local_name().as_ref().to_owned();
                    return Ok((text, Tag::Open(name)));
                }
                Event::End(_) => return Ok((text, Tag::Close)),
                Event::Eof => return Ok((text, Tag::Over)),
                Event::Text(part) => {
                    text.push_str(&part.xml10_content());
                }
                Event::CData(part) => {
                    text.push_str(&part.xml10_content());
                }
                Event::GeneralRef(entity) => {
                    let number = entity.resolve_char_ref().map_err(|_| self.not_xml())?;
                    text.push(match number {
                        Some(c) => c,
                        None => entity_char(&entity)?,
                    });
                }
                Event::DocType(_) => return Err(BadMessage::DocumentType),
                Event::Decl(declaration) => {
                    let is_known = match declaration.encoding() {
                        None => true,
                        Some(Ok(name)) => {
                            name.eq_ignore_ascii_case("utf-8")
                                || name.eq_ignore_ascii_case("us-ascii")
                        }
                        Some(Err(_)) => false,
                    };
                    if !is_known {
                        return Err(self.not_xml());
                    }
                }
                Event::Comment(_) | Event::PI(_) | Event::Empty(_) => (),
            }
        }
    }

    /// The next tag, before which stands nothing.
    fn tag(&mut self) -> Result<Tag, BadMessage> {
        let (text, tag) = self.step()?;
        blank(&text)?;
        Ok(tag)
    }

    fn open(&mut self, name: &str, shown: &'static str) -> Result<(), BadMessage> {
        match self.tag()? {
            Tag::Open(got) if got == name => Ok(()),
            other => Err(other.unexpected(shown)),
        }
    }

    fn close(&mut self, shown: &'static str) -> Result<(), BadMessage> {
        match self.tag()? {
            Tag::Close => Ok(()),
            other => Err(other.unexpected(shown)),
        }
    }

    fn end(&mut self) -> Result<(), BadMessage> {
        match self.tag()? {
            Tag::Over => Ok(()),
            other => Err(other.unexpected("the document's end")),
        }
    }

    /// The text up to an element's end.
    fn text(&mut self, shown: &'static str) -> Result<String, BadMessage> {
        match self.step()? {
            (text, Tag::Close) => Ok(text),
            (_, other) => Err(other.unexpected(shown)),
        }
    }

    /// A value whose `<value>` has been read, up to its end; `depth` others are around it.
    fn value(&mut self, depth: usize) -> Result<Value, BadMessage> {
        self.values += 1;
        if self.values > self.limits.values_max {
            return Err(BadMessage::TooMany { max: self.limits.values_max });
        }
        let (text, tag) = self.step()?;
        let name = match tag {
            // A value without a type is a text.
            Tag::Close => return Ok(Value::String(text)),
            Tag::Open(name) => name,
            Tag::Over => return Err(Tag::Over.unexpected("</value>")),
        };
        blank(&text)?;
        let value = match name.as_str() {
            "array" | "struct" if depth >= self.limits.depth_max => {
                return Err(BadMessage::TooDeep { max: self.limits.depth_max });
            }
            "array" => self.array(depth)?,
            "struct" => self.members(depth)?,
            name => self.scalar(name)?,
        };
        self.close("</value>")?;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Value, BadMessage> {
        self.open("data", "<data>")?;
        let mut values = Vec::new();
        loop {
            match self.tag()? {
                Tag::Open(name) if name == "value" => values.push(self.value(depth + 1)?),
                Tag::Close => break,
                other => return Err(other.unexpected("<value> or </data>")),
            }
        }
        self.close("</array>")?;
        Ok(Value::Array(values))
    }

    fn members(&mut self, depth: usize) -> Result<Value, BadMessage> {
        let mut members = BTreeMap::new();
        loop {
            match self.tag()? {
                Tag::Open(name) if name == "member" => (),
                Tag::Close => return Ok(Value::Struct(members)),
                other => return Err(other.unexpected("<member> or </struct>")),
            }
            self.open("name", "<name>")?;
            let name = self.text("</name>")?;
            self.open("value", "<value>")?;
            let value = self.value(depth + 1)?;
            self.close("</member>")?;
            if members.insert(name.clone(), value).is_some() {
                return Err(BadMessage::Twice(shown(&name)));
            }
        }
    }

    fn scalar(&mut self, name: &str) -> Result<Value, BadMessage> {
        let of = match name {
            "int" | "i4" => "int",
            "i1" | "i2" => "a short int",
            "i8" => "i8",
            "boolean" => "boolean",
            "string" => "string",
            "double" | "float" => "double",
            "dateTime.iso8601" | "dateTime" => "dateTime.iso8601",
            "base64" => "base64",
            "nil" => "nil",
            other => return Err(BadMessage::UnknownType(shown(other))),
        };
        let text = self.text("the end of a value's type")?;
        let plain = text.trim();
        let value = match of {
            "int" | "a short int" => plain.parse().ok().map(Value::Int),
            "i8" => plain.parse().ok().map(Value::Long),
            "boolean" => match plain {
                "0" => Some(Value::Bool(false)),
                "1" => Some(Value::Bool(true)),
                _ => None,
            },
            "double" => double(plain).map(Value::Double),
            "dateTime.iso8601" => plain.parse().ok().map(Value::DateTime),
            "base64" => {
                let coded: String = plain.split_ascii_whitespace().collect();
                STANDARD.decode(coded).ok().map(|bytes| Value::Bytes(bytes.into()))
            }
            "nil" => plain.is_empty().then_some(Value::Nil),
            _ => return Ok(Value::String(text)),
        };
        value.ok_or_else(|| BadMessage::BadValue { of, got: shown(plain) })
    }
}

fn double(text: &str) -> Option<f64> {
    let is_number =
        text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| is_number && number.is_finite())
}

/// One of the entities that XML itself has.
fn entity_char(name: &str) -> Result<char, BadMessage> {
    Ok(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        other => {
            return Err(BadMessage::UnknownEntity(shown(other)));
        }
    })
}

fn blank(text: &str) -> Result<(), BadMessage> {
    if text.chars().all(|c| matches!(c, ' ' | '\t' | '\r' | '\n')) {
        return Ok(());
    }
    Err(BadMessage::Unexpected { expected: "an element", got: format!("{:?}", shown(text)) })
}
