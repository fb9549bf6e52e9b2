//! The tables of what HTTP demands name tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names of functions in all Rust files below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
            names.extend(lines.filter_map(|line| Some(line.split_once('(')?.0.to_owned())));
        }
    }
}

#[test]
fn each_test_that_the_table_names_is_there() {
    check("docs/http-musts.md", 100);
    check("docs/http2-musts.md", 80);
}

#[track_caller]
fn check(table: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = fs::read_to_string(root.join(table)).expect("the table");
    let mut names = BTreeSet::new();
    for room in fs::read_dir(root.join("crates")).expect("the rooms") {
        let tests = room.expect("a room").path().join("tests");
        if tests.is_dir() {
            functions(&tests, &mut names);
        }
    }
    functions(&root.join("interop/tests"), &mut names);
    let mut rows = 0;
    for line in
        table.lines().filter(|line| line.starts_with("| ") && !line.contains("| shown by |"))
    {
        rows += 1;
        let shown = line.trim_end_matches(" |").rsplit(" | ").next().expect("a cell");
        let named: Vec<_> = shown.split('`').skip(1).step_by(2).collect();
        let named: Vec<_> = named.into_iter().filter(|name| !name.contains(':')).collect();
        assert!(!named.is_empty(), "nothing shows this: {line}");
        for name in named {
            assert!(names.contains(name), "there is no test {name}: {line}");
        }
    }
    assert!(rows > least, "only {rows} rows were found");
}
