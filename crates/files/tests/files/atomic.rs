//! Files that are replaced at once, or not at all.

use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk_files::{AtomicWrite, FileError, FilePath};

use crate::kit::{Folder, INNER, inner};

#[test]
fn mode_and_name_are_kept_and_nothing_else_is_left() {
    let folder = Folder::new();
    folder.put("file", "old");
    let path = folder.path().join("file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o4751)).unwrap();
    let before = std::fs::metadata(&path).unwrap().ino();
    let file = folder.file_path().child("file").unwrap();
    file.write_atomically(b"new", &AtomicWrite::default()).unwrap();
    let after = std::fs::metadata(&path).unwrap();
    assert_eq!((after.mode() & 0o7777, after.ino() == before), (0o4751, false));
    assert_eq!(file.read(10).unwrap(), b"new");
    file.write_atomically(b"own", &AtomicWrite::default().mode(0o600).sync(false)).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    let fresh = folder.file_path().child("fresh").unwrap();
    fresh.write_atomically(b"", &AtomicWrite::default().mode(0o604)).unwrap();
    assert_eq!(fresh.metadata().unwrap().mode() & !0o022, 0o604 & !0o022);
    assert_eq!(folder.names(), ["file", "fresh"]);
    let long = folder.file_path().child("x".repeat(255)).unwrap();
    long.write_atomically(b"long", &AtomicWrite::default()).unwrap();
    assert_eq!(long.read(10).unwrap(), b"long");
}

#[test]
fn a_link_is_itself_replaced() {
    let folder = Folder::new();
    folder.put("file", "old").link("link", "file");
    let link = folder.file_path().child("link").unwrap();
    link.write_atomically(b"new", &AtomicWrite::default()).unwrap();
    assert_eq!(link.read(10).unwrap(), b"new");
    assert_eq!(folder.file_path().child("file").unwrap().read(10).unwrap(), b"old");
}

/// Gives some bytes, then what it is told to.
struct Breaking(usize, fn() -> io::Result<usize>);

impl Read for Breaking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return (self.1)();
        }
        let count = self.0.min(buffer.len());
        buffer[..count].fill(b'x');
        self.0 -= count;
        Ok(count)
    }
}

#[test]
fn a_failure_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new();
    folder.put("file", "old");
    let file = folder.file_path().child("file").unwrap();
    let how = AtomicWrite::default();
    let broken = || Err(io::ErrorKind::ConnectionReset.into());
    let error = file.write_atomically_from(&mut Breaking(100_000, broken), &how).unwrap_err();
    assert_eq!(error.kind(), Some(io::ErrorKind::ConnectionReset));
    assert_eq!(folder.names(), ["file"]);
    let panics = catch_unwind(AssertUnwindSafe(|| {
        file.write_atomically_from(&mut Breaking(100_000, || panic!("on purpose")), &how)
    }));
    assert!(panics.is_err());
    assert_eq!(folder.names(), ["file"]);
    assert_eq!(file.read(10).unwrap(), b"old");
    let nowhere = folder.file_path().below("nowhere/file").unwrap();
    assert!(nowhere.write_atomically(b"", &how).unwrap_err().is_not_found());
    folder.put("full/x", "");
    let over_a_folder = folder.file_path().child("full").unwrap();
    assert!(over_a_folder.write_atomically(b"", &how).is_err());
    assert_eq!(folder.names(), ["file", "full", "full/x"]);
}

#[test]
fn readers_see_all_of_one_or_all_of_the_other() {
    let folder = Folder::new();
    let file = folder.file_path().child("file").unwrap();
    let how = AtomicWrite::default().sync(false);
    file.write_atomically(&vec![0; 50_000], &how).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1..=200 {
                file.write_atomically(&vec![number; 50_000], &how).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            let content = file.read(100_000).unwrap();
            assert_eq!(content.len(), 50_000);
            assert!(content.iter().all(|byte| *byte == content[0]));
        }
    });
    assert_eq!(file.read(100_000).unwrap()[0], 200);
}

#[test]
fn a_process_that_is_killed_leaves_a_whole_file() {
    if let Some(place) = std::env::var_os(INNER) {
        let file = FilePath::new(std::path::PathBuf::from(place)).child("file").unwrap();
        let mut number = 0;
        loop {
            number = u8::wrapping_add(number, 1);
            file.write_atomically(&vec![number; 300_000], &AtomicWrite::default().sync(false))
                .unwrap();
        }
    }
    let folder = Folder::new();
    let file = folder.file_path().child("file").unwrap();
    file.write_atomically(&vec![0; 300_000], &AtomicWrite::default()).unwrap();
    let name = "atomic::a_process_that_is_killed_leaves_a_whole_file";
    for round in 0..12 {
        let before = file.metadata().unwrap().identity();
        let mut writer = inner(name, folder.path(), &[]).stdout(Stdio::null()).spawn().unwrap();
        // It has begun once the file is another; how far it is then is left to chance.
        let mut spins = 0;
        while file.metadata().unwrap().identity() == before || spins < round * 997 {
            spins += 1;
            assert!(writer.try_wait().unwrap().is_none(), "the writer ended");
        }
        writer.kill().unwrap();
        assert_eq!(writer.wait().unwrap().signal(), Some(9));
        let content = file.read(400_000).unwrap();
        assert_eq!(content.len(), 300_000);
        assert!(content.iter().all(|byte| *byte == content[0]));
    }
    // Of each round at most one file that was not finished.
    let left = folder.names();
    assert!(left.len() <= 13, "{left:?}");
    assert!(left.iter().all(|name| name == "file" || name.starts_with(".file.")), "{left:?}");
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    if let Some(place) = std::env::var_os(INNER) {
        let disk = std::path::PathBuf::from(place);
        let mount = ["-t", "tmpfs", "-o", "size=256k", "tmpfs"];
        assert!(Command::new("mount").args(mount).arg(&disk).status().unwrap().success());
        let file = FilePath::new(&*disk).child("file").unwrap();
        let how = AtomicWrite::default();
        file.write_atomically(&vec![1; 100_000], &how).unwrap();
        let error = file.write_atomically(&vec![2; 400_000], &how).unwrap_err();
        assert_eq!(error.kind(), Some(io::ErrorKind::StorageFull), "{error}");
        assert!(matches!(error, FileError::System { .. }));
        assert_eq!(file.read(400_000).unwrap(), vec![1; 100_000]);
        assert_eq!(std::fs::read_dir(&disk).unwrap().count(), 1);
        file.write_atomically(&vec![3; 100_000], &how).unwrap();
        assert_eq!(file.read(400_000).unwrap(), vec![3; 100_000]);
        return;
    }
    let folder = Folder::new();
    let name = "atomic::a_full_disk_leaves_the_old_file";
    let alone = ["unshare", "--user", "--map-root-user", "--mount", "--"];
    let outcome = inner(name, folder.path(), &alone).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    let said_out = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{said}{said_out}");
    assert!(said_out.contains("1 passed"), "{said_out}");
}
