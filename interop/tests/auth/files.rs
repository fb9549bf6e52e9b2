//! Files as htpasswd writes them.

use std::path::Path;
use std::process::Command;

use ropewalk_auth::{Htpasswd, HtpasswdError, Passwords};
use ropewalk_interop::{TempDir, tool};

use crate::house::run;

/// Has htpasswd keep a password, which it is told on its standard input.
#[track_caller]
fn keep(words: &[&str], file: &Path, user: &str, password: &str) {
    let mut htpasswd = Command::new(tool("htpasswd"));
    htpasswd.arg("-i").args(words).arg(file).arg(user);
    let output = run(&mut htpasswd, password.as_bytes()).expect("htpasswd runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn what_htpasswd_keeps_is_known() {
    let folder = TempDir::new("htpasswd").expect("a folder");
    let file = folder.write("users", "").expect("a file");
    // Longer than bcrypt looks at.
    let long = "x".repeat(80);
    let ways: [(&str, &[&str], &str); 8] = [
        ("bcrypt", &["-B", "-C", "4"], "rabbit"),
        ("dearer", &["-B", "-C", "9"], "pass:wörd \"x\" "),
        ("long", &["-B", "-C", "4"], &long),
        ("sha256", &["-2"], "rabbit"),
        ("sha512", &["-5"], "pass:wörd"),
        ("rounds", &["-5", "-r", "1234"], &long),
        ("apr1", &["-m"], "pass:wörd"),
        ("empty", &["-B", "-C", "4"], ""),
    ];
    let users = Htpasswd::open(&file).expect("an empty file");
    for (name, words, password) in ways {
        keep(words, &file, name, password);
        assert!(users.is_password(name, password).expect("it can be told"), "{name}");
        assert!(
            !users.is_password(name, &format!("y{password}")).expect("it can be told"),
            "{name}"
        );
    }
    keep(&["-B", "-C", "4"], &file, "apr1", "changed");
    assert!(users.is_password("apr1", "changed").expect("it can be told"));
    assert!(!users.is_password("apr1", "pass:wörd").expect("it can be told"));
    let mut delete = Command::new(tool("htpasswd"));
    assert!(
        delete.arg("-D").arg(&file).arg("sha256").output().expect("htpasswd runs").status.success()
    );
    assert!(!users.is_password("sha256", "rabbit").expect("it can be told"));
    for weak in ["-s", "-d", "-p"] {
        let file = folder.write("weak", "").expect("a file");
        keep(&[weak], &file, "eve", "rabbit");
        let error = Htpasswd::open(&file).expect_err("it protects nothing");
        assert!(matches!(error, HtpasswdError::BadLine { line: 1, .. }), "{weak}: {error}");
        assert!(error.to_string().contains("htpasswd -B"), "{error}");
    }
}

#[test]
fn apr1_is_the_same_for_passwords_of_every_length() {
    let folder = TempDir::new("apr1").expect("a folder");
    let file = folder.write("users", "").expect("a file");
    let password = |length: usize| {
        "pässword of many lengths, from none to some more".chars().take(length).collect::<String>()
    };
    for length in 1..40 {
        keep(&["-m"], &file, &length.to_string(), &password(length));
    }
    let users = Htpasswd::open(&file).expect("a good file");
    for length in 1..40 {
        let is =
            |shown: &str| users.is_password(&length.to_string(), shown).expect("it can be told");
        assert!(is(&password(length)) && !is(&password(length + 1)), "{length}");
    }
}
