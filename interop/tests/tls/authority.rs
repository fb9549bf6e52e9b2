//! Certificates, made by OpenSSL.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_interop::{TempDir, tool};
use ropewalk_tls::{Identity, Trust};

/// One who vouches for others, in a folder that goes with it.
pub(crate) struct Authority(TempDir);

impl Authority {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let subject = format!("/CN=Root {}", COUNT.fetch_add(1, Ordering::Relaxed));
        let authority = Self(TempDir::new("tls-suite").expect("a folder"));
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            &subject,
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        authority
    }

    /// Makes `NAME.pem` and `NAME.key`, for the names and the use that `extensions` say.
    pub(crate) fn issue(&self, name: &str, extensions: &str) -> &Self {
        let [key, request, certificate, told] =
            ["key", "csr", "pem", "ext"].map(|end| format!("{name}.{end}"));
        self.0.write(&told, format!("basicConstraints=CA:FALSE\n{extensions}\n")).expect("a file");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-extfile",
            &told,
            "-out",
            &certificate,
        ]);
        self
    }

    /// Makes `localhost.pem`, of a server on this machine.
    pub(crate) fn server(&self) -> &Self {
        self.issue(
            "localhost",
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth",
        )
    }

    /// Makes `alice.pem`, of a client.
    pub(crate) fn client(&self) -> &Self {
        self.issue("alice", "subjectAltName=DNS:alice.example\nextendedKeyUsage=clientAuth")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Where a file of this name is, as an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let [chain, key] = ["pem", "key"].map(|end| self.path(&format!("{name}.{end}")));
        Identity::from_files(chain, key).expect("an identity")
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::from_file(self.path("ca.pem")).expect("a root")
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new(tool("openssl"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("openssl runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
    }
}
