//! What takes away the protection that TLS is there for.

use crate::Trust;

/// Trusts every server, whoever it is and whatever certificate it shows: anybody on the way can read
/// and change all that is said. For looking at broken servers, and for nothing else.
pub fn trust_everybody_without_verification() -> Trust {
    Trust::everybody()
}
