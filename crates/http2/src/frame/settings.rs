//! What the two ends ask of each other (RFC 9113 6.5).

use super::error::{BadFrame, FrameFault};
use super::{ErrorCode, FRAME_SIZE, FRAME_SIZE_MAX, WINDOW_MAX};

/// The settings that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Setting {
    /// Octets of the table that field blocks are read with.
    HeaderTableSize,
    /// Whether requests may be pushed.
    EnablePush,
    /// How many streams the peer may have open at a time.
    MaxConcurrentStreams,
    /// Octets that a new stream can take.
    InitialWindowSize,
    /// Octets of a frame's payload.
    MaxFrameSize,
    /// Octets of a header section once it is read.
    MaxHeaderListSize,
    /// Whether an extended CONNECT is understood (RFC 8441 3).
    EnableConnectProtocol,
    /// Whether the priorities of older times are not used (RFC 9218 2.1).
    NoRfc7540Priorities,
}

impl Setting {
    const ALL: [(Self, u16); 8] = [
        (Self::HeaderTableSize, 0x1),
        (Self::EnablePush, 0x2),
        (Self::MaxConcurrentStreams, 0x3),
        (Self::InitialWindowSize, 0x4),
        (Self::MaxFrameSize, 0x5),
        (Self::MaxHeaderListSize, 0x6),
        (Self::EnableConnectProtocol, 0x8),
        (Self::NoRfc7540Priorities, 0x9),
    ];
}

/// A `SETTINGS` frame's content. What is absent stays as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    values: [Option<u32>; Setting::ALL.len()],
}

impl Settings {
    /// Asks for nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one setting more.
    pub fn with(mut self, setting: Setting, value: u32) -> Self {
        self.values[setting as usize] = Some(value);
        self
    }

    /// What it says of a setting.
    pub fn get(&self, setting: Setting) -> Option<u32> {
        self.values[setting as usize]
    }

    pub(super) fn parse(payload: &[u8]) -> Result<Self, BadFrame> {
        let mut settings = Self::new();
        for entry in payload.chunks_exact(6) {
            let number = u16::from_be_bytes([entry[0], entry[1]]);
            let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
            // RFC 9113 6.5.2: "An endpoint that receives a SETTINGS frame with any unknown or
            // unsupported identifier MUST ignore that setting."
            let Some(&(setting, _)) = Setting::ALL.iter().find(|(_, known)| *known == number)
            else {
                continue;
            };
            check(setting, value)?;
            // A later value replaces an earlier one.
            settings.values[setting as usize] = Some(value);
        }
        Ok(settings)
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for (setting, number) in Setting::ALL {
            if let Some(value) = self.get(setting) {
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(&value.to_be_bytes());
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        6 * self.values.iter().flatten().count()
    }
}

fn check(setting: Setting, value: u32) -> Result<(), BadFrame> {
    let code = match setting {
        Setting::EnablePush | Setting::EnableConnectProtocol | Setting::NoRfc7540Priorities
            if value > 1 =>
        {
            ErrorCode::ProtocolError
        }
        Setting::InitialWindowSize if value > WINDOW_MAX => ErrorCode::FlowControlError,
        Setting::MaxFrameSize if !(FRAME_SIZE..=FRAME_SIZE_MAX).contains(&value) => {
            ErrorCode::ProtocolError
        }
        _ => return Ok(()),
    };
    Err(BadFrame::connection(code, FrameFault::BadSetting { setting, value }))
}
