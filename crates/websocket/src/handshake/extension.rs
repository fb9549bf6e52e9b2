//! Agreeing on compression (RFC 7692 5, 7.1).

use std::fmt::Write;

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_EXTENSIONS;

use super::members;
use crate::Compression;
use crate::codec::{Deflate, Window};

const NAME: &str = "permessage-deflate";
/// The smallest window that can be kept to when compressing, in bits: zlib has no smaller one.
const SENT_BITS_MIN: u8 = 9;
/// What is agreed on where nothing is said, in bits.
const BITS_MAX: u8 = 15;

/// One offer, or the answer to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: ClientBits,
}

/// What is said of the window that a client compresses with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ClientBits {
    #[default]
    Nothing,
    /// In an offer: that the client can keep to a bound.
    Any,
    AtMost(u8),
}

impl Parameters {
    /// Reads a member of the list; `None` if it is another extension or a broken offer.
    fn read(member: &str) -> Option<Self> {
        let mut parts = member.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut parameters = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim().trim_matches('"'))),
                None => (part, None),
            };
            let bits = || match value.map(|value| (value, value.parse::<u8>())) {
                // RFC 7692 7.1.2.1: no leading zero.
                Some((text, Ok(bits @ 8..=15))) if !text.starts_with(['0', '+']) => Some(bits),
                _ => None,
            };
            let is_first = match name.to_ascii_lowercase().as_str() {
                "server_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut parameters.server_no_context_takeover, true)
                }
                "client_no_context_takeover" if value.is_none() => {
                    !std::mem::replace(&mut parameters.client_no_context_takeover, true)
                }
                "server_max_window_bits" => {
                    parameters.server_max_window_bits.replace(bits()?).is_none()
                }
                "client_max_window_bits" => {
                    let bits = match value {
                        Some(_) => ClientBits::AtMost(bits()?),
                        None => ClientBits::Any,
                    };
                    let before = std::mem::replace(&mut parameters.client_max_window_bits, bits);
                    before == ClientBits::Nothing
                }
                _ => return None,
            };
            if !is_first {
                return None;
            }
        }
        Some(parameters)
    }

    fn write(self) -> String {
        let mut text = NAME.to_owned();
        if self.server_no_context_takeover {
            text += "; server_no_context_takeover";
        }
        if self.client_no_context_takeover {
            text += "; client_no_context_takeover";
        }
        if let Some(bits) = self.server_max_window_bits {
            let _ = write!(text, "; server_max_window_bits={bits}");
        }
        match self.client_max_window_bits {
            ClientBits::AtMost(bits) => {
                let _ = write!(text, "; client_max_window_bits={bits}");
            }
            ClientBits::Any => text += "; client_max_window_bits",
            ClientBits::Nothing => (),
        }
        text
    }
}

/// What a server answers to a client's offers: the first that it can take.
pub(super) fn accept(headers: &HeaderMap, ours: &Compression) -> Option<(Deflate, String)> {
    let offers = members(headers, &SEC_WEBSOCKET_EXTENSIONS).filter_map(Parameters::read);
    offers.into_iter().find_map(|offer| accept_one(offer, ours))
}

fn accept_one(offer: Parameters, ours: &Compression) -> Option<(Deflate, String)> {
    let sent = offer.server_max_window_bits.unwrap_or(BITS_MAX).min(ours.bits());
    if sent < SENT_BITS_MIN {
        return None;
    }
    let received = match offer.client_max_window_bits {
        ClientBits::AtMost(bits) => bits.min(ours.bits()),
        ClientBits::Any => ours.bits(),
        ClientBits::Nothing => BITS_MAX,
    };
    let answer = Parameters {
        server_no_context_takeover: offer.server_no_context_takeover || !ours.keeps_context,
        client_no_context_takeover: offer.client_no_context_takeover || !ours.keeps_context,
        server_max_window_bits: (sent < BITS_MAX || offer.server_max_window_bits.is_some())
            .then_some(sent),
        client_max_window_bits: at_most(received, ClientBits::Nothing),
    };
    let deflate = ours.deflate(
        Window { bits: sent, keeps_context: !answer.server_no_context_takeover },
        Window {
            bits: received.max(SENT_BITS_MIN),
            keeps_context: !answer.client_no_context_takeover,
        },
    );
    Some((deflate, answer.write()))
}

/// What a client offers.
pub(super) fn offer(ours: &Compression) -> String {
    let bits = ours.bits();
    let offer = Parameters {
        server_no_context_takeover: !ours.keeps_context,
        client_no_context_takeover: !ours.keeps_context,
        server_max_window_bits: (bits < BITS_MAX).then_some(bits),
        client_max_window_bits: at_most(bits, ClientBits::Any),
    };
    offer.write()
}

fn at_most(bits: u8, otherwise: ClientBits) -> ClientBits {
    if bits < BITS_MAX { ClientBits::AtMost(bits) } else { otherwise }
}

/// What a server has agreed to; `Err` if that was not offered.
pub(super) fn agreed(
    headers: &HeaderMap,
    ours: Option<&Compression>,
) -> Result<Option<Deflate>, ()> {
    let mut answers = members(headers, &SEC_WEBSOCKET_EXTENSIONS);
    let Some(answer) = answers.next() else { return Ok(None) };
    let (Some(ours), None) = (ours, answers.next()) else { return Err(()) };
    let answer = Parameters::read(answer).ok_or(())?;
    let received = answer.server_max_window_bits.unwrap_or(BITS_MAX);
    let sent = match answer.client_max_window_bits {
        ClientBits::Nothing => BITS_MAX,
        ClientBits::AtMost(bits) => bits,
        ClientBits::Any => return Err(()),
    };
    if received > ours.bits() || (!ours.keeps_context && !answer.server_no_context_takeover) {
        return Err(());
    }
    let keeps_context = ours.keeps_context && !answer.client_no_context_takeover;
    let mut deflate = ours.deflate(
        Window { bits: sent.min(ours.bits()).max(SENT_BITS_MIN), keeps_context },
        Window {
            bits: received.max(SENT_BITS_MIN),
            keeps_context: !answer.server_no_context_takeover,
        },
    );
    if sent < SENT_BITS_MIN {
        // What cannot be kept to is not used: messages go out as they are.
        deflate.shortest = usize::MAX;
    }
    Ok(Some(deflate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(offers: &str, ours: Compression, answer: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_EXTENSIONS, offers.parse().expect("it is a field's value"));
        let accepted = accept(&headers, &ours).map(|(_, answer)| answer);
        assert_eq!(accepted.as_deref(), answer, "{offers}");
    }

    const BARE: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    #[test]
    fn a_server_takes_the_first_offer_that_it_can() {
        let plain = Compression::default();
        let kept = plain.with_context();
        check("permessage-deflate", plain, Some(BARE));
        check("permessage-deflate", kept, Some("permessage-deflate"));
        check("x-other, permessage-deflate; client_max_window_bits", plain, Some(BARE));
        check(
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
            kept,
            Some("permessage-deflate; server_max_window_bits=10"),
        );
        check(
            "permessage-deflate; client_max_window_bits=\"12\"; client_no_context_takeover",
            kept,
            Some("permessage-deflate; client_no_context_takeover; client_max_window_bits=12"),
        );
        let small = Compression { window_bits: 11, ..kept };
        let answer = "permessage-deflate; server_max_window_bits=11; client_max_window_bits=11";
        check("permessage-deflate; client_max_window_bits", small, Some(answer));
        check("permessage-deflate", small, Some("permessage-deflate; server_max_window_bits=11"));
    }

    #[test]
    fn a_broken_offer_is_none() {
        for offer in [
            "x-webkit-deflate-frame",
            "permessage-deflate; unheard_of",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; client_max_window_bits=x",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        ] {
            check(offer, Compression::default(), None);
        }
    }

    #[test]
    fn a_client_takes_nothing_that_it_did_not_offer() {
        let answer = |text: &str, ours: Option<Compression>| {
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, text.parse().expect("it is a field's value"));
            agreed(&headers, ours.as_ref())
        };
        let plain = Compression::default();
        assert_eq!(agreed(&HeaderMap::new(), Some(&plain)), Ok(None));
        assert!(answer(BARE, Some(plain)).is_ok_and(|deflate| deflate.is_some()));
        for (text, ours) in [
            (BARE, None),
            ("x-other", Some(plain)),
            ("permessage-deflate", Some(plain)),
            ("permessage-deflate, permessage-deflate", Some(plain.with_context())),
            ("permessage-deflate; client_max_window_bits", Some(plain.with_context())),
            (
                "permessage-deflate; server_max_window_bits=15",
                Some(Compression { window_bits: 10, ..plain.with_context() }),
            ),
        ] {
            assert_eq!(answer(text, ours), Err(()), "{text}");
        }
        let tiny = "permessage-deflate; client_max_window_bits=8";
        let deflate = answer(tiny, Some(plain.with_context())).ok().flatten();
        assert_eq!(deflate.map(|deflate| deflate.shortest), Some(usize::MAX));
    }
}
