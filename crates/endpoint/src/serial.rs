//! Serial lines.

use std::fmt;

use crate::description::quote;
use crate::error::{EndpointError, Fault};
use crate::scheme::{Arguments, Scheme};
use crate::{ClientDescription, ServerDescription};

/// How it is written.
const FORM: &str = "serial:PATH[:BAUD][:data=BITS][:parity=none|even|odd][:stop=1|2][:flow=none|hardware|software]";

/// How fast a line is where nothing is said, in bits a second.
pub const BAUD_DEFAULT: u32 = 9600;

/// A serial line: `serial:PATH[:BAUD][:data=BITS][:parity=none|even|odd][:stop=1|2][:flow=none|hardware|software]`.
///
/// It is one connection, which is made when listening or connecting begins. It ends when the line is hung up or
/// its device goes; the stream out has no end of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SerialLine {
    path: String,
    baud: u32,
    data: u8,
    parity: Word,
    stop: u8,
    flow: Word,
}

/// One of the words that an argument may be, by its place among them.
type Word = usize;

/// How bits are checked.
const PARITIES: [&str; 3] = ["none", "even", "odd"];
/// How the other end is told to wait.
const FLOWS: [&str; 3] = ["none", "hardware", "software"];

impl SerialLine {
    /// The line at a path, at 9,600 bits a second with 8 bits a byte, none to check them, and one to end them.
    ///
    /// # Errors
    ///
    /// If the path is empty or has a zero byte in it.
    pub fn new(path: &str) -> Result<Self, Fault> {
        match path {
            "" => Err(Fault::EmptyPath),
            path if path.contains('\0') => Err(Fault::NulInPath),
            path => Ok(Self {
                path: path.to_owned(),
                baud: BAUD_DEFAULT,
                data: 8,
                parity: 0,
                stop: 1,
                flow: 0,
            }),
        }
    }

    /// At so many bits a second.
    pub fn with_baud(self, baud: u32) -> Self {
        Self { baud, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How many bits it carries a second.
    pub fn baud(&self) -> u32 {
        self.baud
    }

    /// How it is set.
    #[cfg(unix)]
    pub(crate) fn options(&self) -> ropewalk_reactor::SerialOptions {
        use ropewalk_reactor::{FlowControl, Parity, SerialOptions};
        let parity = [Parity::None, Parity::Even, Parity::Odd][self.parity];
        let flow = [FlowControl::None, FlowControl::Hardware, FlowControl::Software][self.flow];
        SerialOptions::default()
            .baud(self.baud)
            .data_bits(self.data)
            .parity(parity)
            .stop_bits(self.stop)
            .flow_control(flow)
    }

    pub(crate) fn scheme<T: From<Self> + 'static>() -> Scheme<T> {
        Scheme::new("serial", FORM, |arguments| Ok(read(arguments)?.into()))
            .positional(&["path", "baud"])
            .named(&["data", "parity", "stop", "flow"])
            .alias("baudrate", "baud")
    }
}

fn read(arguments: &Arguments) -> Result<SerialLine, EndpointError> {
    let line = arguments.required("path", SerialLine::new)?;
    Ok(SerialLine {
        baud: arguments.optional("baud", baud)?.unwrap_or(line.baud),
        data: arguments.optional("data", |text| number(text, 5, 8))?.unwrap_or(line.data),
        parity: arguments.optional("parity", |text| word(text, &PARITIES))?.unwrap_or(line.parity),
        stop: arguments.optional("stop", |text| number(text, 1, 2))?.unwrap_or(line.stop),
        flow: arguments.optional("flow", |text| word(text, &FLOWS))?.unwrap_or(line.flow),
        ..line
    })
}

fn baud(text: &str) -> Result<u32, Fault> {
    let baud =
        text.parse().ok().filter(|baud| *baud > 0 && text.bytes().all(|b| b.is_ascii_digit()));
    baud.ok_or_else(|| {
        Fault::Other("this is no number of bits a second, such as 115200".to_owned())
    })
}

fn number(text: &str, least: u8, most: u8) -> Result<u8, Fault> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| Fault::Other(format!("this is no number of bits from {least} to {most}")))
}

fn word(text: &str, words: &[&'static str; 3]) -> Result<Word, Fault> {
    let [first, second, third] = words;
    words
        .iter()
        .position(|word| *word == text)
        .ok_or_else(|| Fault::Other(format!("this is neither {first}, {second} nor {third}")))
}

impl From<SerialLine> for ServerDescription {
    fn from(line: SerialLine) -> Self {
        Self::Serial(line)
    }
}

impl From<SerialLine> for ClientDescription {
    fn from(line: SerialLine) -> Self {
        Self::Serial(line)
    }
}

impl fmt::Display for SerialLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial:{}:{}", quote(&self.path), self.baud)?;
        if self.data != 8 {
            write!(f, ":data={}", self.data)?;
        }
        if self.parity != 0 {
            write!(f, ":parity={}", PARITIES[self.parity])?;
        }
        if self.stop != 1 {
            write!(f, ":stop={}", self.stop)?;
        }
        if self.flow != 0 {
            write!(f, ":flow={}", FLOWS[self.flow])?;
        }
        Ok(())
    }
}
