//! A sandbox for the program while it serves: files by Landlock, system calls by seccomp.
//!
//! It is put up in two steps. Landlock's rules hold for the thread that asks for them and for those that it
//! starts, so it comes first, while there is one thread. The filter of system calls is laid on all threads at
//! once, so it comes last, when every place is taken and privileges are gone.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod files;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod linux;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod nowhere;

use std::fs;
use std::path::{Path, PathBuf};

use ropewalk::endpoint::{ServerDescription, TlsIdentity};

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use linux::Sandbox;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) use nowhere::Sandbox;

/// What a program in a sandbox goes on needing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs {
    /// Files, and folders with all in them, that are read.
    reads: Vec<PathBuf>,
    /// Folders in which files are made, written, renamed and removed.
    writes: Vec<PathBuf>,
    /// Whether it connects to other servers.
    connects: bool,
    /// Whether it becomes another user.
    changes_user: bool,
}

impl Needs {
    /// A file, or a folder with all that is in it, is read.
    pub(crate) fn read(&mut self, path: impl Into<PathBuf>) {
        self.reads.push(path.into());
    }

    /// A folder is written in.
    pub(crate) fn write(&mut self, folder: impl Into<PathBuf>) {
        self.writes.push(folder.into());
    }

    /// A file is followed: another may take its place, or that of what it is a link to.
    pub(crate) fn follow(&mut self, file: &Path) {
        self.reads.push(file.to_owned());
        self.reads.extend(folder_of(file));
        self.reads.extend(file.canonicalize().ok().and_then(|file| folder_of(&file)));
    }

    /// A file is made, written, renamed or removed.
    pub(crate) fn write_file(&mut self, file: &Path) {
        self.writes.extend(folder_of(file));
    }

    /// It connects to other servers, whose names may have to be looked up, and who may have to be vouched for.
    pub(crate) fn connect(&mut self) {
        self.connects = true;
        // Where the machine's roots are can be said so.
        for path in ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os) {
            self.read(path);
        }
    }

    /// It becomes another user.
    pub(crate) fn change_user(&mut self) {
        self.changes_user = true;
    }

    /// What serving at a place needs: the files of TLS are followed, and a Unix socket is made and removed.
    pub(crate) fn serve_at(&mut self, place: &ServerDescription) {
        match place {
            ServerDescription::Unix(unix) => self.write_file(unix.path()),
            ServerDescription::Tls(tls) => {
                match tls.identity() {
                    TlsIdentity::Files { cert, key, chain } => {
                        let files = [Some(cert), Some(key), chain.as_ref()];
                        for file in files.into_iter().flatten() {
                            self.follow(Path::new(file));
                        }
                    }
                    TlsIdentity::Folder(folder) => self.follow_all(Path::new(folder)),
                    _ => (),
                }
                for file in [tls.client_roots(), tls.tickets()].into_iter().flatten() {
                    self.follow(Path::new(file));
                }
                self.serve_at(tls.inner());
            }
            ServerDescription::Haproxy(haproxy) => self.serve_at(haproxy.server()),
            ServerDescription::WebSocket(websocket) => self.serve_at(websocket.server()),
            _ => (),
        }
    }

    /// All files in a folder are followed.
    fn follow_all(&mut self, folder: &Path) {
        self.read(folder);
        // One that cannot be read is told of by who reads it.
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        for link in files.filter(|file| file.file_type().is_ok_and(|kind| kind.is_symlink())) {
            self.follow(&link.path());
        }
    }
}

/// The folder of a file, unless that is the root of all.
fn folder_of(file: &Path) -> Option<PathBuf> {
    let file = std::path::absolute(file).ok()?;
    let folder = file.parent()?;
    (folder != Path::new("/")).then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Needs;

    fn needs_of(place: &str) -> Needs {
        let mut needs = Needs::default();
        needs.serve_at(&place.parse().unwrap());
        needs
    }

    #[test]
    fn places_tell_their_files() {
        let needs = needs_of("unix:/run/x/web.sock:mode=660");
        assert_eq!(needs.writes, [Path::new("/run/x")]);
        assert!(needs.reads.is_empty());
        let needs = needs_of("tls:8443:cert=/etc/x/cert.pem:key=/etc/y/key.pem:tickets=/var/x/t");
        for path in ["/etc/x", "/etc/x/cert.pem", "/etc/y", "/etc/y/key.pem", "/var/x"] {
            assert!(needs.reads.iter().any(|read| read == Path::new(path)), "{path}: {needs:?}");
        }
        assert!(needs.writes.is_empty(), "{needs:?}");
        assert_eq!(needs_of("tls:8443:certs=/etc/certs").reads, [Path::new("/etc/certs")]);
        let behind =
            needs_of(r"haproxy:tls:endpoint=unix\:/run/y/a.sock:cert=/etc/x/cert.pem:key=/etc/x/k");
        assert_eq!(behind.writes, [Path::new("/run/y")]);
        assert!(behind.reads.iter().any(|read| read == Path::new("/etc/x")), "{behind:?}");
        let plain = needs_of("tcp:80:interface=127.0.0.1");
        assert!(plain.reads.is_empty() && plain.writes.is_empty());
    }

    #[test]
    fn the_root_of_all_is_no_folder_to_open() {
        let mut needs = Needs::default();
        needs.follow(Path::new("/users"));
        needs.write_file(Path::new("/log"));
        assert_eq!(needs.reads, [Path::new("/users")]);
        assert!(needs.writes.is_empty());
    }
}
