use std::fmt;
use std::io::Write;
use std::str::FromStr;

use super::{Value, text};
use crate::BadValue;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// A moment by calendar and clock, to the microsecond, with the distance from UTC.
///
/// ```
/// # use ropewalk_amp::DateTime;
/// let moment = DateTime::new(2024, 1, 2, 3, 4, 5, 6)?;
/// assert_eq!(moment.to_string(), "2024-01-02T03:04:05.000006-00:00");
/// assert_eq!(moment, "2024-01-02T03:04:05.000006+00:00".parse()?);
/// assert_eq!(moment.unix_micros(), 1_704_164_645_000_006);
/// # Ok::<(), ropewalk_amp::BadValue>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    year: u16,
    month: u8,
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    micros: u32,
    /// Minutes to the east of UTC.
    offset: i16,
}

impl DateTime {
    /// A moment in UTC, of a year from 1 to 9999.
    ///
    /// # Errors
    ///
    /// If there is no such moment.
    pub fn new(
        year: u16,
        month: u8,
        day: u8,
        hour: u8,
        minute: u8,
        second: u8,
        micros: u32,
    ) -> Result<Self, BadValue> {
        let is_date = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in(year, month)).contains(&day);
        // Leap seconds have no place in Python's calendar, and so none on the wire.
        let is_time = hour < 24 && minute < 60 && second < 60 && micros < 1_000_000;
        if is_date && is_time {
            Ok(Self { year, month, day, hour, minute, second, micros, offset: 0 })
        } else {
            Err(BadValue::NotDateTime)
        }
    }

    /// The same calendar and clock so many minutes to the east of UTC: another moment.
    ///
    /// # Errors
    ///
    /// If that is a day or more.
    pub fn at_offset(self, minutes: i16) -> Result<Self, BadValue> {
        if minutes.unsigned_abs() < 24 * 60 {
            Ok(Self { offset: minutes, ..self })
        } else {
            Err(BadValue::NotDateTime)
        }
    }

    /// The moment that many microseconds after the beginning of 1970, in UTC.
    ///
    /// # Errors
    ///
    /// If it lies outside the years 1 to 9999.
    pub fn from_unix_micros(micros: i64) -> Result<Self, BadValue> {
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let (year, month, day) = date_of(seconds.div_euclid(SECONDS_PER_DAY));
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        Self::new(
            u16::try_from(year).map_err(|_| BadValue::NotDateTime)?,
            month,
            day,
            (of_day / 3600) as u8,
            (of_day / 60 % 60) as u8,
            (of_day % 60) as u8,
            micros.rem_euclid(MICROS_PER_SECOND) as u32,
        )
    }

    /// Microseconds since the beginning of 1970 in UTC.
    pub fn unix_micros(&self) -> i64 {
        let minutes = i64::from(self.hour) * 60 + i64::from(self.minute) - i64::from(self.offset);
        let seconds = days_to(self.year, self.month, self.day) * SECONDS_PER_DAY
            + minutes * 60
            + i64::from(self.second);
        seconds * MICROS_PER_SECOND + i64::from(self.micros)
    }

    /// Year, month and day.
    pub fn date(&self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// Hour, minute, second and microsecond.
    pub fn time(&self) -> (u8, u8, u8, u32) {
        (self.hour, self.minute, self.second, self.micros)
    }

    /// Minutes to the east of UTC.
    pub fn offset(&self) -> i16 {
        self.offset
    }
}

fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the beginning of year 1 to that of `year`.
fn days_before(year: i64) -> i64 {
    let past = year - 1;
    past * 365 + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}

/// Days from 1970 to this date.
fn days_to(year: u16, month: u8, day: u8) -> i64 {
    let months = (1..month).map(|month| i64::from(days_in(year, month))).sum::<i64>();
    days_before(i64::from(year)) - days_before(1970) + months + i64::from(day) - 1
}

/// The date that many days after the beginning of 1970. Years beyond the calendar come out as they are.
fn date_of(days: i64) -> (i64, u8, u8) {
    let days = days + days_before(1970);
    // 400 years have 146,097 days, so that this guess is a year off at most.
    let mut year = (days * 400).div_euclid(146_097) + 1;
    while days_before(year + 1) <= days {
        year += 1;
    }
    while days_before(year) > days {
        year -= 1;
    }
    let mut rest = days - days_before(year);
    let leap_year = year.rem_euclid(400) as u16 + 400;
    for month in 1..=12 {
        let length = i64::from(days_in(leap_year, month));
        if rest < length {
            return (year, month, rest as u8 + 1);
        }
        rest -= length;
    }
    (year, 12, 31)
}

impl fmt::Display for DateTime {
    /// The form on the wire; UTC is `-00:00` there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, micros, offset } = self;
        let sign = if *offset > 0 { '+' } else { '-' };
        let (hours, minutes) = (offset.unsigned_abs() / 60, offset.unsigned_abs() % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}")?;
        write!(f, "{sign}{hours:02}:{minutes:02}")
    }
}

impl FromStr for DateTime {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const FORM: &[u8; 32] = b"0000-00-00T00:00:00.000000+00:00";
        let bytes: &[u8; 32] = text.as_bytes().try_into().map_err(|_| BadValue::NotDateTime)?;
        let fits = |(byte, form): (&u8, &u8)| match form {
            b'0' => byte.is_ascii_digit(),
            b'+' => matches!(byte, b'+' | b'-'),
            _ => byte == form,
        };
        if !bytes.iter().zip(FORM).all(fits) {
            return Err(BadValue::NotDateTime);
        }
        let number = |at: std::ops::Range<usize>| {
            bytes[at].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
        };
        let short = |at: usize| number(at..at + 2) as u8;
        let moment = Self::new(
            number(0..4) as u16,
            short(5),
            short(8),
            short(11),
            short(14),
            short(17),
            number(20..26),
        )?;
        if short(30) > 59 {
            return Err(BadValue::NotDateTime);
        }
        let minutes = i16::from(short(27)) * 60 + i16::from(short(30));
        moment.at_offset(if bytes[26] == b'-' { -minutes } else { minutes })
    }
}

impl Value for DateTime {
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), BadValue> {
        write!(out, "{self}").map_err(|_| BadValue::NotDateTime)
    }

    fn decode(bytes: &[u8]) -> Result<Self, BadValue> {
        text(bytes).map_err(|_| BadValue::NotDateTime)?.parse()
    }
}
