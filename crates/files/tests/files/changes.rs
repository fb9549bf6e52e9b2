//! Making, moving, copying and removing.

use std::os::unix::fs::PermissionsExt;

use ropewalk_files::{FileError, FileKind, OpenOptions};

use crate::kit::Folder;

#[test]
fn folders_are_made_and_removed_with_all_that_they_hold() {
    let (folder, outside) = (Folder::new(), Folder::new());
    outside.put("kept", "");
    let base = folder.file_path();
    let deep = base.below("a/b/c").unwrap();
    assert!(deep.create_folder().unwrap_err().is_not_found());
    deep.create_folders().unwrap();
    deep.create_folders().unwrap();
    assert!(deep.is_folder().unwrap());
    folder.put("a/b/file", "x").put("a/b/c/other", "x").link("a/b/link", outside.path());
    base.child("a").unwrap().remove().unwrap();
    assert!(folder.names().is_empty());
    assert_eq!(outside.names(), ["kept"]);
    folder.put("file", "");
    let under = base.below("file/x").unwrap();
    assert!(matches!(under.create_folders(), Err(FileError::System { .. })));
    assert!(!under.exists().unwrap());
}

#[test]
fn copies_are_whole_and_keep_modes_and_links() {
    let folder = Folder::new();
    folder.put("from/a", "one").put("from/in/b", "two").link("from/link", "a");
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(folder.path().join("from/a"), mode).unwrap();
    let base = folder.file_path();
    let (from, to) = (base.child("from").unwrap(), base.child("to").unwrap());
    from.copy_to(&to).unwrap();
    assert_eq!(to.below("in/b").unwrap().read(10).unwrap(), b"two");
    assert_eq!(to.child("a").unwrap().metadata().unwrap().mode(), 0o640);
    assert_eq!(to.child("link").unwrap().link_metadata().unwrap().kind(), FileKind::Link);
    assert_eq!(to.child("link").unwrap().link_target().unwrap(), "a");
    let inside = from.child("in").unwrap().child("again").unwrap();
    assert!(matches!(from.copy_to(&inside), Err(FileError::System { .. })));
    from.move_to(&base.child("moved").unwrap()).unwrap();
    assert!(!from.exists().unwrap());
    assert_eq!(base.below("moved/a").unwrap().read(10).unwrap(), b"one");
}

#[test]
fn files_are_opened_as_asked_and_read_within_bounds() {
    let folder = Folder::new();
    let file = folder.file_path().child("file").unwrap();
    assert!(file.open(OpenOptions::READ).unwrap_err().is_not_found());
    file.touch().unwrap();
    assert_eq!(file.read(0).unwrap(), b"");
    let again = file.open(OpenOptions::CREATE_NEW).unwrap_err();
    assert_eq!(again.kind(), Some(std::io::ErrorKind::AlreadyExists));
    folder.put("file", "12345");
    assert_eq!(file.read(5).unwrap(), b"12345");
    assert!(matches!(file.read(4), Err(FileError::TooLong { bytes_max: 4, .. })));
    file.set_mode(0o600).unwrap();
    let metadata = file.metadata().unwrap();
    assert_eq!((metadata.length(), metadata.mode(), metadata.is_file()), (5, 0o600, true));
    file.open(OpenOptions::REPLACE).unwrap();
    assert_eq!(file.metadata().unwrap().length(), 0);
}

#[test]
fn a_pipe_that_nobody_writes_to_keeps_nobody_waiting() {
    let folder = Folder::new();
    let path = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let pipe = folder.file_path().child("pipe").unwrap();
    assert_eq!(pipe.metadata().unwrap().kind(), FileKind::Other);
    assert_eq!(pipe.read(10).unwrap(), b"");
}
