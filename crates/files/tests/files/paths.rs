//! What can be reached from a path, and what cannot.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use ropewalk_files::{FileError, FilePath, OpenOptions};

use crate::kit::Folder;

#[test]
fn a_child_is_one_name() {
    let base = FilePath::new("/base");
    for name in ["a", ".a", "..a", "a..", "...", "a b", "ä", "-", "*"] {
        let child = base.child(name).unwrap();
        assert_eq!(child.path(), Path::new("/base").join(name));
        assert_eq!(child.parent(), base);
        assert_eq!(child.name(), name);
    }
    for name in ["", ".", "..", "a/b", "/", "/a", "a/", "../a", "a\0", "\0"] {
        assert!(matches!(base.child(name), Err(FileError::InsecureName { .. })), "{name:?}");
    }
}

#[test]
fn what_is_below_never_leads_above() {
    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        let found = FilePath::new("/base").child("in").unwrap().below(path);
        match expected {
            Some(expected) => assert_eq!(found.unwrap().path(), Path::new(expected)),
            None => assert!(matches!(found, Err(FileError::InsecureName { .. })), "{path}"),
        }
    }
    check("", Some("/base/in"));
    check(".", Some("/base/in"));
    check("a/b", Some("/base/in/a/b"));
    check("a//./b/", Some("/base/in/a/b"));
    check("a/../b", Some("/base/in/b"));
    check("..", None);
    check("a/../..", None);
    check("../in", None);
    check("../insecure", None);
    check("/base/in/a", None);
    check("/etc/passwd", None);
    check("a\0b", None);
}

#[test]
fn relatives_are_found_by_name() {
    let folder = Folder::new();
    folder.put("page.html", "").put("page.txt", "").put("deep/er/x", "");
    let base = folder.file_path();
    let page = base.child("page").unwrap();
    let found = page.first_sibling_extension([".pdf", ".html", ".txt"]).unwrap();
    assert_eq!(found, Some(base.child("page.html").unwrap()));
    assert_eq!(page.first_sibling_extension(["", ".pdf"]).unwrap(), None);
    let found = base.first_below(["nothing", "page.txt/x", "deep/er"]).unwrap();
    assert_eq!(found, Some(base.descendant(["deep", "er"]).unwrap()));
    assert!(base.first_below(["../x"]).is_err());
    let x = base.below("deep/er/x").unwrap();
    assert_eq!(x.names_from(&base).unwrap(), ["deep", "er", "x"]);
    assert_eq!(base.names_from(&x), None);
    assert_eq!(base.parent().path(), folder.path().parent().unwrap());
    assert_eq!(FilePath::new("/").parent(), FilePath::new("/"));
    assert_eq!(FilePath::new("a").parent(), FilePath::new("."));
    let html: Vec<_> = base.glob_children("*.h*").unwrap();
    assert_eq!(html, [base.child("page.html").unwrap()]);
}

#[test]
fn links_lead_anywhere_below_the_base_and_nowhere_else() {
    let (folder, outside) = (Folder::new(), Folder::new());
    outside.put("secret", "secret");
    folder.put("in/file", "mine").link("in/up", "../in/file").link("way", "in");
    folder.link("out", outside.path()).link("in/out", outside.path().join("secret"));
    folder.link("above", "..").link("loop", "loop");
    let base = folder.file_path();
    for inside in ["in/file", "in/up", "way/file", "way/up"] {
        assert_eq!(base.below(inside).unwrap().read(100).unwrap(), b"mine", "{inside}");
    }
    let name = outside.path().file_name().unwrap();
    for escape in ["out/secret", "in/out", "way/out", "out"] {
        let path = base.below(escape).unwrap();
        let opened = path.open(OpenOptions::READ);
        assert!(matches!(opened, Err(FileError::Escapes { .. })), "{escape}: {opened:?}");
        assert!(matches!(path.exists(), Err(FileError::Escapes { .. })), "{escape}");
    }
    let above = base.child("above").unwrap().child(name).unwrap().child("secret").unwrap();
    assert!(matches!(above.read(100), Err(FileError::Escapes { .. })));
    let made = base.below("out/new").unwrap();
    let write = made.write_atomically(b"x", &ropewalk_files::AtomicWrite::default());
    assert!(matches!(write, Err(FileError::Escapes { .. })), "{write:?}");
    assert!(matches!(made.create_folder(), Err(FileError::Escapes { .. })));
    assert!(matches!(made.touch(), Err(FileError::Escapes { .. })));
    assert_eq!(outside.names(), ["secret"]);
    assert!(matches!(base.child("loop").unwrap().read(1), Err(FileError::System { .. })));
    // The link itself is of the folder, wherever it leads.
    base.child("out").unwrap().remove().unwrap();
    base.below("in/out").unwrap().remove_file().unwrap();
    assert_eq!(outside.names(), ["secret"]);
}

#[test]
fn a_link_that_is_swapped_in_at_any_moment_leads_nowhere() {
    let (folder, outside) = (Folder::new(), Folder::new());
    outside.put("file", "secret");
    folder.put("real/file", "mine");
    std::fs::rename(folder.path().join("real"), folder.path().join("way")).unwrap();
    folder.link("link", outside.path());
    let is_over = AtomicBool::new(false);
    let (mut mine, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let at = |name: &str| folder.path().join(name);
            while !is_over.load(Ordering::Relaxed) {
                std::fs::rename(at("way"), at("kept")).unwrap();
                std::fs::rename(at("link"), at("way")).unwrap();
                std::fs::rename(at("way"), at("link")).unwrap();
                std::fs::rename(at("kept"), at("way")).unwrap();
            }
        });
        let path = folder.file_path().below("way/file").unwrap();
        for _ in 0..1_000_000 {
            match path.read(100) {
                Ok(content) => {
                    assert_eq!(content, b"mine");
                    mine += 1;
                }
                Err(FileError::Escapes { .. }) => refused += 1,
                Err(error) => assert!(error.is_not_found(), "{error}"),
            }
            if mine > 200 && refused > 50 {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(mine > 200 && refused > 50, "{mine} {refused}");
}

proptest! {
    #[test]
    fn nothing_that_strangers_write_leads_above(path in "([a-c./]|\\.\\.|/){0,12}") {
        if let Ok(below) = FilePath::new("/base").below(&path) {
            let whole = below.path();
            prop_assert!(whole.starts_with("/base"), "{}", whole.display());
            prop_assert!(!whole.iter().any(|name| name == ".."));
        }
        if let Ok(child) = FilePath::new("/base").child(&path) {
            prop_assert_eq!(child.parent(), FilePath::new("/base"));
        }
    }
}
