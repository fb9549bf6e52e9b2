use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderName};

/// How many members of such a field are looked at; those that follow count as absent.
pub const PREFERENCES_MAX: usize = 32;

/// Which of `offers` a client would rather have, by its `Accept`, `Accept-Language`, `Accept-Encoding` or
/// `Accept-Charset` (RFC 9110 12.4 and 12.5): its place among them, or `None` if none is acceptable.
///
/// Of offers that it likes as well, the first is taken; so is the first where the field is absent. The most
/// specific member decides about an offer: `text/html` before `text/*` before `*/*`, `de-CH` before `de`.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::ACCEPT};
/// use ropewalk_http::middleware::preferred;
///
/// let mut headers = HeaderMap::new();
/// headers.insert(ACCEPT, HeaderValue::from_static("text/*;q=0.5, application/json, */*;q=0.1"));
/// let offers = ["text/html", "application/json"];
/// assert_eq!(preferred(&headers, &ACCEPT, &offers), Some(1));
/// assert_eq!(preferred(&HeaderMap::new(), &ACCEPT, &offers), Some(0));
/// ```
pub fn preferred(headers: &HeaderMap, field: &HeaderName, offers: &[&str]) -> Option<usize> {
    let members: Vec<(&str, u16)> = headers
        .get_all(field)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
        .take(PREFERENCES_MAX)
        .filter_map(member)
        .collect();
    if !headers.contains_key(field) {
        return (!offers.is_empty()).then_some(0);
    }
    let mut best: Option<(u16, usize)> = None;
    for (place, offer) in offers.iter().enumerate() {
        let weight = weight(&members, field, offer);
        if weight > best.map_or(0, |(most, _)| most) {
            best = Some((weight, place));
        }
    }
    best.map(|(_, place)| place)
}

/// A member and its weight in thousandths (RFC 9110 12.4.2); `None` if it is malformed.
fn member(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?;
    let mut weight = 1000;
    for part in parts {
        let Some((key, value)) = part.split_once('=') else { continue };
        if key.trim_end().eq_ignore_ascii_case("q") {
            weight = thousandths(value.trim_start())?;
        }
    }
    Some((name, weight))
}

fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 3 || !part.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = part.bytes().chain(*b"00000").take(3);
    let part = part.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1000),
        _ => None,
    }
}

fn weight(members: &[(&str, u16)], field: &HeaderName, offer: &str) -> u16 {
    let fitting = members.iter().filter_map(|(name, weight)| {
        let rank = if field == ACCEPT {
            media_rank(name, offer)
        } else if field == ACCEPT_LANGUAGE {
            language_rank(name, offer)
        } else {
            token_rank(name, offer)
        };
        rank.map(|rank| (rank, *weight))
    });
    // The first of equals, as a later one says the same anew.
    let best = fitting.fold(None, |best: Option<(usize, u16)>, next| match best {
        Some(best) if best.0 >= next.0 => Some(best),
        _ => Some(next),
    });
    match best {
        Some((_, weight)) => weight,
        // What nobody mentioned is acceptable only as it is (RFC 9110 12.5.3).
        None if offer.eq_ignore_ascii_case("identity") => 1,
        None => 0,
    }
}

/// How exactly a media range fits.
fn media_rank(range: &str, offer: &str) -> Option<usize> {
    let offer = offer.split(';').next().unwrap_or_default().trim_end();
    let kind = offer.split('/').next().unwrap_or_default();
    match range.split_once('/') {
        Some(("*", "*")) => Some(0),
        Some((range, "*")) => range.eq_ignore_ascii_case(kind).then_some(1),
        _ => range.eq_ignore_ascii_case(offer).then_some(2),
    }
}

/// How exactly a language range fits, by basic filtering (RFC 4647 3.3.1).
fn language_rank(range: &str, offer: &str) -> Option<usize> {
    if range == "*" {
        return Some(0);
    }
    let begins = offer.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range));
    let is_whole = matches!(offer.as_bytes().get(range.len()), None | Some(b'-'));
    (begins && is_whole).then_some(range.len())
}

fn token_rank(name: &str, offer: &str) -> Option<usize> {
    if name == "*" { Some(0) } else { name.eq_ignore_ascii_case(offer).then_some(1) }
}
