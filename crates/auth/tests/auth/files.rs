//! Users in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ropewalk_auth::digest::Username;
use ropewalk_auth::{
    BadHash, Htpasswd, HtpasswdError, HtpasswdUsers, LineFault, PasswordFile, PasswordFileOptions,
    Passwords, PlainPasswords,
};
use tempfile::TempDir;

/// A folder with a file in it.
struct File {
    _folder: TempDir,
    path: PathBuf,
}

impl File {
    fn with(text: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("users");
        fs::write(&path, text).expect("a file");
        Self { _folder: folder, path }
    }

    /// Writes it anew, at a moment of its own.
    fn write(&self, text: impl AsRef<[u8]>, seconds: u64) {
        fs::write(&self.path, text).expect("a file");
        self.touch(UNIX_EPOCH + Duration::from_secs(seconds));
    }

    fn touch(&self, time: SystemTime) {
        let file = fs::File::options().write(true).open(&self.path).expect("the file");
        file.set_modified(time).expect("a time");
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// `rabbit`, kept in each way that is taken; made by other programs: htpasswd, mkpasswd, openssl, argon2.
const KEPT: [(&str, &str); 9] = [
    ("bcrypt", "$2y$05$/59LOl7.O02g89RcvAn2FOfsR/RHsW6oe4QSDViZsOzJaKAqX7P0e"),
    ("bcrypt-2a", "$2a$05$/59LOl7.O02g89RcvAn2FOfsR/RHsW6oe4QSDViZsOzJaKAqX7P0e"),
    ("bcrypt-2b", "$2b$05$/59LOl7.O02g89RcvAn2FOfsR/RHsW6oe4QSDViZsOzJaKAqX7P0e"),
    ("apr1", "$apr1$cbVjGG9S$oo/mLUQ4KoaBaJyx1D/5R0"),
    ("sha256", "$5$sVLCZ3mvMOUjwBWY$yCvU7jLaFDON8wtdtXRn2GLKEIL/N6eBBuhDFR1clTC"),
    (
        "sha512",
        "$6$rounds=1000$U/rChphqptAVJvmw$pLPYKREaslHGcY2x4qA9LfXTK5L1fnh2jq2pBxoOX1ExRxuDGEi6Dy3ZKpV6Bblr2gDkIaw2gT7V.JfJqDcFY1",
    ),
    (
        "sha512-plain",
        "$6$abcdefgh01234567$EsPl1bsOMEegZd0iwL3N5QM.ngpPzMEsWa31FP9dVyWarfNtoB2cos5zsePUlIVOHFO3gNNzEiWu8J2iRU2sJ/",
    ),
    (
        "argon2id",
        "$argon2id$v=19$m=256,t=2,p=1$c2FsdHNhbHRzYWx0$MBZiqvHgJskzEqJWivOgE+AoaBSGqznEYJKg9IfTB7s",
    ),
    (
        "argon2i",
        "$argon2i$v=19$m=256,t=3,p=2$b3RoZXJzYWx0c2FsdA$1OJ6wfP59WtGNqe/YkdYZMwK0z+Zoqq5AQlBh6EAiIo",
    ),
];

#[test]
fn every_way_of_keeping_a_password_is_taken() {
    let text = KEPT.map(|(name, hash)| format!("{name}:{hash}\n")).concat();
    let file = File::with(text);
    let users = Htpasswd::open(file.path()).expect("a good file");
    for (name, _) in KEPT {
        assert!(users.is_password(name, "rabbit").expect("it can be told"), "{name}");
        assert!(users.is_password(name, "rabbit").expect("it can be told"), "{name}, remembered");
        for wrong in ["", "Rabbit", "rabbit ", "rabbi"] {
            assert!(!users.is_password(name, wrong).expect("it can be told"), "{name}: {wrong:?}");
        }
    }
    assert!(!users.is_password("nobody", "rabbit").expect("it can be told"));
    let parsed = HtpasswdUsers::parse(&fs::read(file.path()).expect("the file")).expect("good");
    assert_eq!((parsed.len(), parsed.weakly_kept().collect::<Vec<_>>()), (9, vec!["apr1"]));
    assert_eq!(parsed.names().collect::<Vec<_>>(), KEPT.map(|(name, _)| name));
}

/// What is wrong with this file, if it is only one thing.
#[track_caller]
fn fault(text: impl AsRef<[u8]>) -> (usize, LineFault) {
    match HtpasswdUsers::parse(text.as_ref()) {
        Err(HtpasswdError::BadLine { line, fault }) => (line, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_bad_line_is_passed_over() {
    let good = KEPT[0].1;
    let of = |bad| LineFault::Password("a".to_owned(), bad);
    let broken = |way| of(BadHash::Broken { way });
    let costly = |way| of(BadHash::Costly { way });
    let weak = |way| of(BadHash::Weak { way });
    let argon = |parameters: &str| {
        format!(
            "a:$argon2id$v=19${parameters}$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        )
    };
    for (text, expected) in [
        ("a".to_owned(), LineFault::NoColon),
        (format!(":{good}"), LineFault::NoName),
        (format!("b:{good}\na:{good}\nb:{good}"), LineFault::Twice("b".to_owned())),
        ("a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=".to_owned(), weak("SHA-1 without salt")),
        ("a:rqXexS6ZhobKA".to_owned(), weak("DES or as it is")),
        ("a:rabbit".to_owned(), weak("DES or as it is")),
        ("a:".to_owned(), weak("DES or as it is")),
        ("a:$1$salt$xxxxxxxxxxxxxxxxxxxxxx".to_owned(), of(BadHash::Unknown)),
        ("a:{SSHA}xxxx".to_owned(), of(BadHash::Unknown)),
        ("a:$apr1$toolongsalt$xxxxxxxxxxxxxxxxxxxxxx".to_owned(), broken("apr1")),
        ("a:$apr1$salt$xxx".to_owned(), broken("apr1")),
        ("a:$2y$05$short".to_owned(), broken("bcrypt")),
        (format!("a:{}", good.replace("$05$", "$03$")), broken("bcrypt")),
        (format!("a:{}", good.replace("$05$", "$18$")), costly("bcrypt")),
        ("a:$5$salt$short".to_owned(), broken("SHA-crypt")),
        ("a:$6$rounds=99999999$salt$x".to_owned(), costly("SHA-crypt")),
        ("a:$6$rounds=10$salt$x".to_owned(), broken("SHA-crypt")),
        ("a:$6$rounds=x$salt$x".to_owned(), broken("SHA-crypt")),
        ("a:$argon2id$x".to_owned(), broken("argon2")),
        (argon("m=1048576,t=1,p=1"), costly("argon2")),
        (argon("m=1024,t=1000,p=1"), costly("argon2")),
        (argon("m=1024,t=1,p=0"), broken("argon2")),
    ] {
        let (line, fault) = fault(&text);
        assert_eq!((line, &fault), (text.lines().count(), &expected), "{text}");
        assert_eq!(fault.to_string().lines().count(), 1);
    }
    assert_eq!(fault(b"a:\xff"), (1, LineFault::NotUtf8));
    let read = |text: &str| HtpasswdUsers::parse(text.as_bytes()).map(|users| users.len());
    assert_eq!(
        read(&format!("\n# a comment\r\n a:{good} \r\nb:{good}:more\r\n")).expect("good"),
        2
    );
    assert_eq!(read("").expect("nobody"), 0);
    let error = Htpasswd::open("/no/such/file").expect_err("it is not there");
    assert!(matches!(error, HtpasswdError::Io(_)), "{error}");
}

#[test]
fn a_file_that_changes_is_read_again() {
    let file = File::with("");
    let entry = |name: &str| format!("{name}:{}\n", KEPT[0].1);
    let users = Htpasswd::open(file.path()).expect("an empty file is one");
    let knows = |name: &str| users.is_password(name, "rabbit").expect("it can be told");
    assert!(!knows("alice"));
    file.write(entry("alice"), 1_000_000);
    assert!(knows("alice") && knows("alice"));
    // The same length at the same time: another file took its place.
    let other = file.path().with_extension("new");
    fs::write(&other, entry("carol")).expect("a file");
    fs::rename(&other, file.path()).expect("a new name");
    file.touch(UNIX_EPOCH + Duration::from_secs(1_000_000));
    assert!(knows("carol") && !knows("alice"), "what was remembered is, too, of no use");
    file.write("carol:rabbit\n", 1_000_001);
    assert!(knows("carol"), "a file that means nothing changes nothing");
    fs::remove_file(file.path()).expect("it was there");
    assert!(knows("carol"), "nor does one that is gone");
    file.write("", 1_000_002);
    assert!(!knows("carol"));
}

#[test]
fn what_is_remembered_is_bounded_and_long_passwords_are_wrong() {
    let text = (0..20).map(|index| format!("{index}:{}\n", KEPT[0].1)).collect::<Vec<_>>().concat();
    let file = File::with(text);
    let users = Htpasswd::open(file.path()).expect("a good file").remember(3);
    for index in (0..20).chain(0..20) {
        assert!(users.is_password(&index.to_string(), "rabbit").expect("it can be told"));
        assert!(!users.is_password(&index.to_string(), "hare").expect("it can be told"));
    }
    assert!(!users.is_password("0", &"x".repeat(1_000_000)).expect("it can be told"));
    let none = Htpasswd::open(file.path()).expect("a good file").remember(0);
    assert!(none.is_password("0", "rabbit").expect("it can be told"));
}

/// Whether the file's password of `name` is `password`.
fn is(file: &PasswordFile, name: &str, password: &str) -> bool {
    file.is_password(name, password).expect("it can be told")
}

fn named(name: &str) -> Username {
    Username::Plain(name.into())
}

#[test]
fn lines_are_read_as_they_are_laid_out() {
    let file = File::with("alice:rabbit\n\nBob:hare:more\n");
    let users = PasswordFile::open(file.path()).expect("a good file");
    assert!(is(&users, "alice", "rabbit") && is(&users, "Bob", "hare"));
    assert!(!is(&users, "bob", "hare") && !is(&users, "eve", "") && !is(&users, "alice", "hare"));
    let found = users.find(&named("alice")).expect("it can be told").expect("she is there");
    assert_eq!((&*found.0, found.1.as_str()), ("alice", "rabbit"));

    let lax = PasswordFileOptions::default().any_case().open(file.path()).expect("a good file");
    assert!(is(&lax, "bob", "hare") && is(&lax, "ALICE", "rabbit") && !is(&lax, "alice", "Rabbit"));

    let other = File::with("x|rabbit|alice|y\n");
    let options = PasswordFileOptions::default().delimiter('|').fields(2, 1);
    let users = options.clone().open(other.path()).expect("a good file");
    assert!(is(&users, "alice", "rabbit") && !is(&users, "x", "rabbit"));
    let error = options.open(file.path()).expect_err("it has no such fields");
    assert!(error.to_string().contains("line 1 has 1 fields"), "{error}");
    other.write(b"\xff", 1);
    assert!(PasswordFile::open(other.path()).is_err());
}

#[test]
fn a_file_of_hashes_fits_no_proof() {
    let file = File::with("alice:s-tibbar\n");
    let backwards = |_: &str, password: &str, stored: &str| {
        let salt = stored.split('-').next().unwrap_or_default();
        format!("{salt}-{}", password.chars().rev().collect::<String>())
    };
    let users = PasswordFileOptions::default().hashed(backwards).open(file.path()).expect("good");
    assert!(is(&users, "alice", "rabbit") && !is(&users, "alice", "s-tibbar"));
    assert!(!is(&users, "eve", ""), "a hash of nothing is nobody's");
    assert_eq!(users.find(&named("alice")).expect("it can be told"), None);
}

#[test]
fn huge_files_are_refused() {
    let file = File::with("");
    let handle = fs::File::options().write(true).open(file.path()).expect("the file");
    handle.set_len(ropewalk_auth::FILE_BYTES_MAX + 1).expect("a hole");
    let error = PasswordFile::open(file.path()).expect_err("it is huge");
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
}
