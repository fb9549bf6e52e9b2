//! Apache's own variant of MD5-crypt, which `htpasswd` writes unless told otherwise.

use md5::{Digest, Md5};

/// The letters that stand for six bits each.
const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// How often the hash is hashed again.
const ROUNDS: usize = 1000;
/// Which bytes of the hash stand together, the highest first.
const GROUPS: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];

/// How many letters a hash has.
pub(super) const HASH_LENGTH: usize = 22;
/// How many letters of salt there are at most.
pub(super) const SALT_MAX: usize = 8;

/// What stands behind the salt for this password.
pub(super) fn hash(password: &[u8], salt: &[u8]) -> String {
    let mut hash = begin(password, salt);
    for round in 0..ROUNDS {
        let mut next = Md5::new();
        let is_odd = round % 2 == 1;
        next.update(if is_odd { password } else { &hash[..] });
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        next.update(if is_odd { &hash[..] } else { password });
        hash = next.finalize().into();
    }
    let mut out = String::with_capacity(HASH_LENGTH);
    for [high, middle, low] in GROUPS {
        let group = [hash[high], hash[middle], hash[low]].map(u32::from);
        push(&mut out, group[0] << 16 | group[1] << 8 | group[2], 4);
    }
    push(&mut out, hash[11].into(), 2);
    out
}

fn begin(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let alternate = Md5::new().chain_update(password).chain_update(salt).chain_update(password);
    let alternate: [u8; 16] = alternate.finalize().into();
    let mut first = Md5::new().chain_update(password).chain_update(b"$apr1$").chain_update(salt);
    for piece in password.chunks(alternate.len()) {
        first.update(&alternate[..piece.len()]);
    }
    let mut bits = password.len();
    while bits != 0 {
        first.update([if bits & 1 == 1 { 0 } else { password[0] }]);
        bits >>= 1;
    }
    first.finalize().into()
}

fn push(out: &mut String, mut value: u32, letters: usize) {
    for _ in 0..letters {
        out.push(LETTERS[(value & 63) as usize].into());
        value >>= 6;
    }
}
