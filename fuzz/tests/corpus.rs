//! Each target holds for each file of its corpus, for every beginning of it, and for two of them in a
//! row.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ropewalk_fuzz::TARGETS;

/// A file longer than this is tried whole, not beginning by beginning.
const CUT_MAX: usize = 2000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The files in a folder, in their order.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

#[test]
fn what_must_hold_holds_for_the_corpus() {
    for target in TARGETS {
        let files = files(&corpus().join(target.name));
        assert!(!files.is_empty(), "{} has no corpus", target.name);
        for (path, bytes) in &files {
            // The name of the file is what is to be known of a failure.
            println!("{}", path.display());
            (target.check)(bytes);
            let beginnings = if bytes.len() <= CUT_MAX { bytes.len() } else { 0 };
            for end in 0..beginnings {
                (target.check)(&bytes[..end]);
            }
        }
        for pair in files.windows(2) {
            println!("{} and {}", pair[0].0.display(), pair[1].0.display());
            (target.check)(&[&pair[0].1[..], &pair[1].1[..]].concat());
        }
    }
}

#[test]
fn every_corpus_has_its_target() {
    let named: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    let entries = fs::read_dir(corpus()).expect("a folder");
    let found: BTreeSet<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
        .collect();
    assert_eq!(found, named);
}
