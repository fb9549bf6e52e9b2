//! Identities in files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::identity::{CHAIN_MAX, Pem, read_file, sha256};
use crate::places::{FollowedFolder, Places};
use crate::x509::Facts;
use crate::{Identity, IdentityError, provider};

/// How many files of a folder are read.
pub const FOLDER_FILES_MAX: usize = 10_000;

/// How deep folders in a folder are looked into.
pub const FOLDER_DEPTH_MAX: usize = 8;

/// How many bytes of all files together are read.
pub const FOLDER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where identities stand among the files: a chain and its key, or a folder of both.
///
/// Everything is in PEM form. The answer of an OCSP responder, in DER form, may stand beside a file of
/// certificates under its name and `.ocsp`; it is shown to clients who ask for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Files { chain: Vec<PathBuf>, key: PathBuf },
    Folder(PathBuf),
}

/// What was in the files at one moment, and nothing made of it yet.
#[derive(Default)]
pub(crate) struct Snapshot {
    files: Vec<(PathBuf, Vec<u8>)>,
    bytes: usize,
}

impl IdentityFiles {
    /// A file with a chain, this side's own certificate first, and one with its key; they may be the
    /// same.
    pub fn new(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { place: Place::Files { chain: vec![chain.into()], key: key.into() } }
    }

    /// The same with a further file, of the certificates that follow in the chain.
    pub fn with_chain(mut self, more: impl Into<PathBuf>) -> Self {
        if let Place::Files { chain, .. } = &mut self.place {
            chain.push(more.into());
        }
        self
    }

    /// A folder: each file in it, and in folders in it, whose name ends in `.pem` is read, in the
    /// order of their names. Keys find their certificates, and these the ones that vouch for them,
    /// wherever they stand. Of several certificates for a key and the same names the one counts that
    /// is good for longest; those whose time is over are left out.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { place: Place::Folder(path.into()) }
    }

    /// Reads the identities. It blocks: a program does this before it serves, or on another thread.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or what is in it cannot be used, together and now.
    pub fn load(&self) -> Result<Vec<Identity>, IdentityError> {
        self.read()?.identities(self)
    }

    /// Where a change of them would be seen; nothing, if there are too many places. It blocks.
    pub(crate) fn followed(&self) -> Option<Vec<FollowedFolder>> {
        let mut places = Places::default();
        match &self.place {
            Place::Files { chain, key } => {
                for path in chain.iter().chain([key]) {
                    places.add_file(path);
                }
                places.add_file(&ocsp_path(&chain[0]));
            }
            Place::Folder(folder) => {
                places.add_file(folder);
                let (mut files, mut seen) = (Vec::new(), HashSet::new());
                // What cannot be looked into is told of by whoever reads it.
                let _ = collect(folder, 0, &mut files, &mut seen);
                for folder in &seen {
                    places.add_folder(folder);
                }
                for link in files.iter().filter(|path| path.is_symlink()) {
                    places.add_file(link);
                }
            }
        }
        places.folders()
    }

    /// Reads the files, and does not look at what is in them.
    pub(crate) fn read(&self) -> Result<Snapshot, IdentityError> {
        let mut snapshot = Snapshot::default();
        match &self.place {
            Place::Files { chain, key } => {
                for path in chain.iter().chain([key]) {
                    snapshot.add(path)?;
                }
                snapshot.add_ocsp(&chain[0])?;
            }
            Place::Folder(folder) => {
                for path in files_in(folder)? {
                    snapshot.add(&path)?;
                    snapshot.add_ocsp(&path)?;
                }
            }
        }
        Ok(snapshot)
    }
}

impl std::fmt::Display for IdentityFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Files { chain, .. } => chain[0].display().fmt(f),
            Place::Folder(folder) => folder.display().fmt(f),
        }
    }
}

impl Snapshot {
    fn add(&mut self, path: &Path) -> Result<(), IdentityError> {
        let bytes = read_file(path)?;
        self.bytes += bytes.len();
        if self.bytes > FOLDER_BYTES_MAX {
            return Err(IdentityError::TooLarge(path.to_owned(), FOLDER_BYTES_MAX));
        }
        self.files.push((path.to_owned(), bytes));
        Ok(())
    }

    fn add_ocsp(&mut self, beside: &Path) -> Result<(), IdentityError> {
        let path = ocsp_path(beside);
        if path.is_file() { self.add(&path) } else { Ok(()) }
    }

    /// What tells one content of the files from another.
    pub(crate) fn digest(&self) -> String {
        let mut all = Vec::with_capacity(self.bytes);
        for (path, bytes) in &self.files {
            all.extend_from_slice(path.as_os_str().as_encoded_bytes());
            all.push(0);
            all.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            all.extend_from_slice(bytes);
        }
        sha256(&all)
    }

    /// Makes identities of it.
    pub(crate) fn identities(self, files: &IdentityFiles) -> Result<Vec<Identity>, IdentityError> {
        match &files.place {
            Place::Files { chain, key } => Ok(vec![self.identity(chain, key)?]),
            Place::Folder(folder) => self.all(folder),
        }
    }

    fn content(&self, path: &Path) -> Option<&[u8]> {
        self.files.iter().find(|(other, _)| other == path).map(|(_, bytes)| &bytes[..])
    }

    fn identity(&self, chain: &[PathBuf], key: &Path) -> Result<Identity, IdentityError> {
        let mut certificates = Vec::new();
        for path in chain {
            let pem = Pem::read(self.content(path).unwrap_or_default(), path)?;
            if pem.certificates.is_empty() {
                return Err(IdentityError::NoCertificate(path.clone()));
            }
            certificates.extend(pem.certificates);
        }
        let keys = Pem::read(self.content(key).unwrap_or_default(), key)?.keys;
        let key = keys.into_iter().next().ok_or_else(|| IdentityError::NoKey(key.to_owned()))?;
        Ok(self.stapled(Identity::new(certificates, key)?, &chain[0]))
    }

    fn stapled(&self, identity: Identity, path: &Path) -> Identity {
        match self.content(&ocsp_path(path)) {
            Some(response) => identity.with_ocsp(response.to_vec()),
            None => identity,
        }
    }

    /// Finds for each key its certificates.
    fn all(&self, folder: &Path) -> Result<Vec<Identity>, IdentityError> {
        let now = UnixTime::now().as_secs();
        let mut pool = Vec::new();
        let mut keys = Vec::new();
        for (path, bytes) in &self.files {
            if path.extension().is_some_and(|end| end == "ocsp") {
                continue;
            }
            let pem = Pem::read(bytes, path)?;
            for der in pem.certificates {
                let facts = Facts::of(&der).map_err(IdentityError::Chain)?;
                pool.push(Pooled { facts, der, path });
            }
            keys.extend(pem.keys);
        }
        let mut found: Vec<(usize, Identity)> = Vec::new();
        for key in keys {
            for (place, leaf) in leaves(&pool, &key, now)? {
                let identity = Identity::new(chain(&pool, leaf), key.clone_key())?;
                found.push((place, self.stapled(identity, leaf.path)));
            }
        }
        if found.is_empty() {
            return Err(IdentityError::NoCertificate(folder.to_owned()));
        }
        // The first certificate is the default, wherever its key stands.
        found.sort_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, identity)| identity).collect())
    }
}

/// A certificate and where it was found.
struct Pooled<'s> {
    facts: Facts,
    der: CertificateDer<'static>,
    path: &'s Path,
}

/// The certificates that `key` is for: of those with the same names the one that is good for longest.
fn leaves<'p, 's>(
    pool: &'p [Pooled<'s>],
    key: &PrivateKeyDer<'static>,
    now: u64,
) -> Result<Vec<(usize, &'p Pooled<'s>)>, IdentityError> {
    let signing = provider()
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|error| IdentityError::BadKey(error.to_string()))?;
    let public = signing.public_key();
    let is_ours = |pooled: &Pooled<'_>| {
        // One without names is the certificate of somebody who vouches for others.
        let has_names = !pooled.facts.names.is_empty();
        has_names && public.as_ref().is_some_and(|public| public.as_ref() == pooled.facts.key)
    };
    let mut found: Vec<(usize, &Pooled<'_>)> = Vec::new();
    for (place, pooled) in pool.iter().enumerate().filter(|(_, pooled)| is_ours(pooled)) {
        if let Err(bad) = pooled.facts.check_dates(now) {
            let path = pooled.path.display();
            tracing::warn!(target: "ropewalk::tls", "{path}: a certificate is left out: {bad}");
            continue;
        }
        match found.iter_mut().find(|(_, other)| other.facts.names == pooled.facts.names) {
            Some((_, other)) if other.facts.not_after >= pooled.facts.not_after => (),
            Some(other) => *other = (place, pooled),
            None => found.push((place, pooled)),
        }
    }
    Ok(found)
}

/// The chain that begins with `leaf`, as far as the pool has it. A root is not sent.
fn chain(pool: &[Pooled<'_>], leaf: &Pooled<'_>) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf.der.clone()];
    let mut last = leaf;
    while chain.len() < CHAIN_MAX {
        let mut issuers = pool.iter().filter(|other| last.facts.check_issuer(&other.der).is_ok());
        match issuers.next() {
            Some(issuer) if issuer.facts.is_self_issued => break,
            Some(issuer) if !chain.contains(&issuer.der) => {
                chain.push(issuer.der.clone());
                last = issuer;
            }
            _ => break,
        }
    }
    chain
}

/// The PEM files of a folder, by name.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>, IdentityError> {
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    collect(folder, 0, &mut files, &mut seen)?;
    files.sort();
    Ok(files)
}

fn collect(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    seen: &mut HashSet<PathBuf>,
) -> Result<(), IdentityError> {
    let failed = |error| IdentityError::File(folder.to_owned(), error);
    // A link that leads back up is followed once.
    if depth > FOLDER_DEPTH_MAX || !seen.insert(folder.canonicalize().map_err(failed)?) {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            // Where data is swapped by a link, the versions stand in folders that begin with dots.
            let name = path.file_name().unwrap_or_default();
            if !name.as_encoded_bytes().starts_with(b".") {
                collect(&path, depth + 1, files, seen)?;
            }
        } else if path.extension().is_some_and(|end| end == "pem") {
            if files.len() == FOLDER_FILES_MAX {
                return Err(IdentityError::TooMany(folder.to_owned(), FOLDER_FILES_MAX));
            }
            files.push(path);
        }
    }
    Ok(())
}

fn ocsp_path(beside: &Path) -> PathBuf {
    let mut name = beside.as_os_str().to_owned();
    name.push(".ocsp");
    name.into()
}
