//! Time: the time, for machines (RFC 868).

use std::time::{Duration, SystemTime};

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{ClientEndpoint, Factory};

use crate::AskError;
use crate::ask;
use crate::say::say;

/// Seconds from the beginning of 1900 to that of 1970.
const TO_1970: u64 = 2_208_988_800;
/// Seconds after which stamps begin again, in 2036 for the first time.
const ERA: u64 = 1 << 32;

/// Seconds since 1900 began, in UTC and modulo 2^32: the whole of an answer.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use ropewalk_small::time::Stamp;
///
/// let moment = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// assert_eq!(Stamp::of(moment), Stamp(3_908_988_800));
/// assert_eq!(Stamp(3_908_988_800).near(moment + Duration::from_secs(99)), moment);
/// // From February 2036 on the count begins again.
/// let later = UNIX_EPOCH + Duration::from_secs(2_100_000_000);
/// assert_eq!(Stamp::of(later).near(later), later);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp(pub u32);

impl Stamp {
    /// The stamp of a moment.
    pub fn of(moment: SystemTime) -> Self {
        let since_1970 = match moment.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_secs(),
            // Rounded down, as all others are.
            Err(before) => {
                let before = before.duration();
                let seconds = before.as_secs() + u64::from(before.subsec_nanos() > 0);
                0_u64.wrapping_sub(seconds)
            }
        };
        Self(TO_1970.wrapping_add(since_1970) as u32)
    }

    /// Of all the moments that have this stamp, 136 years apart, the one nearest to `about`.
    pub fn near(self, about: SystemTime) -> SystemTime {
        // How far ahead of `about` it is, going round.
        let ahead = u64::from(self.0.wrapping_sub(Self::of(about).0));
        let second = Duration::from_secs(1);
        let whole = match about.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => about - Duration::from_nanos(after.subsec_nanos().into()),
            Err(before) => match before.duration().subsec_nanos() {
                0 => about,
                nanos => about + Duration::from_nanos(nanos.into()) - second,
            },
        };
        if ahead < ERA / 2 {
            whole + Duration::from_secs(ahead)
        } else {
            whole - Duration::from_secs(ERA - ahead)
        }
    }

    /// The stamp as it goes over the wire.
    pub fn encode(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Reads a stamp.
    ///
    /// # Errors
    ///
    /// [`AskError::Short`] or [`AskError::Long`] if that is not four bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, AskError> {
        match <[u8; 4]>::try_from(bytes) {
            Ok(bytes) => Ok(Self(u32::from_be_bytes(bytes))),
            Err(_) if bytes.len() > 4 => Err(AskError::Long { max: 4 }),
            Err(_) => Err(AskError::Short { came: bytes.len(), wanted: 4 }),
        }
    }
}

/// A server that says what `now` gives: `SystemTime::now` on a program, anything in a test.
pub fn serve(now: impl Fn() -> SystemTime + 'static) -> impl Factory {
    say(move || Stamp::of(now()).encode().to_vec())
}

/// Asks the server at `endpoint` for the time; [`Stamp::near`] makes a moment of it.
///
/// The deferred fails with an [`AskError`].
#[track_caller]
pub fn ask(endpoint: &(impl ClientEndpoint + ?Sized)) -> Deferred<Stamp> {
    ask::ask(endpoint, Vec::new(), 4).add_callback(|bytes| Stamp::decode(&bytes))
}
