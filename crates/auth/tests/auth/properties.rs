//! What holds for any input.

use proptest::prelude::*;
use ropewalk_auth::digest::{Algorithm, DigestProof, Username, ha1, response};
use ropewalk_auth::{CramMd5, HtpasswdUsers, PasswordProof, same_secret};

proptest! {
    #[test]
    fn secrets_are_the_same_if_they_are_equal(one in any::<Vec<u8>>(), other in any::<Vec<u8>>()) {
        prop_assert!(same_secret(&one, &one));
        prop_assert_eq!(same_secret(&one, &other), one == other);
    }

    #[test]
    fn any_bytes_are_a_file_or_an_error(bytes in any::<Vec<u8>>(), text in "[a:$2y5{}\n=,.-z]{0,60}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            if let Ok(users) = HtpasswdUsers::parse(bytes) {
                prop_assert_eq!(users.len(), users.names().count());
            }
        }
    }

    #[test]
    fn proofs_fit_their_password_alone(
        name in ".*", password in ".*", other in ".*", realm in ".*", sha in any::<bool>(),
    ) {
        let algorithm = if sha { Algorithm::Sha256 } else { Algorithm::Md5 };
        let hash = ha1(algorithm, &name, &realm, &password);
        let proof = DigestProof {
            algorithm,
            username: Username::Plain(name.as_str().into()),
            realm,
            nonce: "n".into(),
            count: "00000001".into(),
            cnonce: "c".into(),
            method: "PUT".into(),
            uri: "*".into(),
            body: None,
            response: response(algorithm, &hash, "n", Some(("00000001", "c")), "PUT", "*"),
        };
        prop_assert!(proof.fits_password(&name, &password));
        prop_assert_eq!(proof.fits_password(&name, &other), password == other);
        let cram = CramMd5::read("<x>", &CramMd5::answer("<x>", &name, &password));
        let cram = cram.expect("an answer is of the right form");
        prop_assert!(cram.fits_password(&name, &password));
        prop_assert!(cram.username().is(&name));
    }
}
