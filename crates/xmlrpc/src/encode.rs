//! Values into XML.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Answer, Call, Unspeakable, Value};

const DECLARATION: &str = "<?xml version=\"1.0\"?>\n";

impl Call {
    /// Its bytes.
    ///
    /// # Errors
    ///
    /// If something in it cannot be said.
    pub fn encode(&self) -> Result<Vec<u8>, Unspeakable> {
        let mut out = String::from(DECLARATION);
        out.push_str("<methodCall><methodName>");
        put_text(&mut out, &self.method)?;
        out.push_str("</methodName><params>");
        for param in &self.params {
            out.push_str("<param>");
            put_value(&mut out, param)?;
            out.push_str("</param>");
        }
        out.push_str("</params></methodCall>\n");
        Ok(out.into_bytes())
    }
}

impl Answer {
    /// Its bytes.
    ///
    /// # Errors
    ///
    /// If something in it cannot be said.
    pub fn encode(&self) -> Result<Vec<u8>, Unspeakable> {
        let mut out = String::from(DECLARATION);
        out.push_str("<methodResponse>");
        match &self.0 {
            Ok(value) => {
                out.push_str("<params><param>");
                put_value(&mut out, value)?;
                out.push_str("</param></params>");
            }
            Err(fault) => {
                let code = ("faultCode", Value::Int(fault.code));
                let text = ("faultString", Value::String(fault.text.clone()));
                out.push_str("<fault>");
                put_value(&mut out, &Value::of([code, text]))?;
                out.push_str("</fault>");
            }
        }
        out.push_str("</methodResponse>\n");
        Ok(out.into_bytes())
    }
}

fn put_value(out: &mut String, value: &Value) -> Result<(), Unspeakable> {
    out.push_str("<value>");
    // Writing to a string does not fail.
    let _ = match value {
        Value::Int(number) => write!(out, "<int>{number}</int>"),
        Value::Long(number) => write!(out, "<i8>{number}</i8>"),
        Value::Bool(is_true) => write!(out, "<boolean>{}</boolean>", u8::from(*is_true)),
        Value::Double(number) if !number.is_finite() => return Err(Unspeakable::NotFinite),
        Value::Double(number) => write!(out, "<double>{number}</double>"),
        Value::DateTime(time) => write!(out, "<dateTime.iso8601>{time}</dateTime.iso8601>"),
        Value::Bytes(bytes) => write!(out, "<base64>{}</base64>", STANDARD.encode(bytes)),
        Value::Nil => write!(out, "<nil/>"),
        Value::String(text) => {
            out.push_str("<string>");
            put_text(out, text)?;
            write!(out, "</string>")
        }
        Value::Array(values) => {
            out.push_str("<array><data>");
            for value in values {
                put_value(out, value)?;
            }
            write!(out, "</data></array>")
        }
        Value::Struct(members) => {
            out.push_str("<struct>");
            for (name, value) in members {
                out.push_str("<member><name>");
                put_text(out, name)?;
                out.push_str("</name>");
                put_value(out, value)?;
                out.push_str("</member>");
            }
            write!(out, "</struct>")
        }
    };
    out.push_str("</value>");
    Ok(())
}

/// XML 1.0, 2.2 and 2.4: what is markup is escaped, and what is none of its characters is not said.
fn put_text(out: &mut String, text: &str) -> Result<(), Unspeakable> {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // As itself, it would be read as a line feed (2.11).
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => return Err(Unspeakable::Control(c)),
            _ => out.push(c),
        }
    }
    Ok(())
}
