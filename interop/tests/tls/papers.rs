//! Certificates of all kinds, in files for everybody.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CrlDistributionPoint, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use ropewalk_endpoint::quote;
use ropewalk_interop::TempDir;

/// From 2020 on, for a long time.
pub(crate) const ALWAYS: (u64, u64) = (18_262, 741_442);

/// A folder with a root, and files of a key and a certificate that it vouches for.
pub(crate) struct Papers {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Papers {
    /// Those of a server called `localhost`, and of a client called `alice`.
    pub(crate) fn new() -> Self {
        let folder = TempDir::new("papers").expect("a folder");
        let mut root = CertificateParams::default();
        // Each has a name of its own.
        let name = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        root.distinguished_name.push(DnType::CommonName, name);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = root.self_signed(&key).expect("a root");
        folder.write("root.pem", certificate.pem()).expect("a file");
        let papers = Self { folder, issuer: Issuer::new(root, key) };
        papers.issue("server", &["localhost", "127.0.0.1"], ALWAYS, true);
        papers.issue("alice", &["alice"], ALWAYS, false);
        papers
    }

    /// Writes `FILE.crt`, `FILE.key`, and `FILE.pem` with both, for these names, good from and
    /// until these days since 1970.
    pub(crate) fn issue(&self, file: &str, names: &[&str], days: (u64, u64), is_server: bool) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut wanted = CertificateParams::new(names.clone()).expect("names");
        wanted.distinguished_name.push(DnType::CommonName, names[0].as_str());
        let day = |days| date_time_ymd(1970, 1, 1) + Duration::from_hours(24 * days);
        wanted.not_before = day(days.0);
        wanted.not_after = day(days.1);
        wanted.use_authority_key_identifier_extension = true;
        wanted.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        wanted.extended_key_usages = vec![if is_server {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        // Nobody asks there; scanners want it to be said.
        let uris = vec!["http://localhost/root.crl".to_owned()];
        wanted.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        let key = KeyPair::generate().expect("a key");
        let certificate = wanted.signed_by(&key, &self.issuer).expect("a certificate").pem();
        let key = key.serialize_pem();
        let write = |end: &str, content: &str| {
            self.folder.write(&format!("{file}.{end}"), content).expect("a file");
        };
        write("crt", &certificate);
        write("key", &key);
        write("pem", &(certificate + &key));
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Where a file is, as text.
    pub(crate) fn text(&self, file: &str) -> String {
        self.path(file).to_str().expect("a plain path").to_owned()
    }

    /// Where a file is, as an endpoint string has it.
    pub(crate) fn quoted(&self, file: &str) -> String {
        quote(&self.text(file))
    }

    /// A place for our server on TLS, with what else there is to say of it.
    pub(crate) fn server(&self, more: &str) -> String {
        format!("tls:0:interface=127.0.0.1:cert={}{more}", self.quoted("server.pem"))
    }

    /// A place of a server called `localhost` at this port, for our client.
    pub(crate) fn client(&self, port: u16, more: &str) -> String {
        format!("tls:127.0.0.1:{port}:name=localhost:trust={}{more}", self.quoted("root.pem"))
    }
}
