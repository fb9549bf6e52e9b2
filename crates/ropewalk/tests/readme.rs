//! What README shows is what is there.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_counter_in_readme_is_the_example() {
    let example = read("crates/ropewalk/examples/counter.rs");
    assert!(example.lines().count() <= 20, "the counter is a server in a few lines");
    let code = example.split_once("\n\n").map(|(_, code)| code).expect("a comment, then code");
    assert!(read("README.md").contains(code), "README shows another counter");
}

/// Each piece of code stands word for word in the file that the page has linked to last.
#[track_caller]
fn check_code(page: &str, least: usize) {
    let page = read(page);
    let mut checked = 0;
    for (at, _) in page.match_indices("```") {
        let (before, block) = (&page[..at], &page[at + 3..]);
        let Some((language, code)) = block.split_once('\n').filter(|(name, _)| !name.is_empty())
        else {
            continue;
        };
        if language == "sh" {
            continue;
        }
        let code = code.split_once("```").map(|(code, _)| code).expect("an end");
        let link = before.rsplit_once("](../").map(|(_, rest)| rest).expect("a link before code");
        let file = link.split_once(')').map(|(file, _)| file).expect("a link ends");
        assert!(read(file).contains(code), "{file} has other code than:\n{code}");
        checked += 1;
    }
    assert!(checked >= least, "{checked} pieces of code");
}

#[test]
fn the_code_in_testing_a_protocol_is_code_that_is_tested() {
    check_code("docs/testing-a-protocol.md", 8);
}

#[test]
fn the_code_in_writing_a_protocol_is_the_code_of_finger() {
    check_code("docs/writing-a-protocol.md", 20);
}

#[test]
fn the_pages_link_to_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "docs/dependencies.md",
        "docs/testing-a-protocol.md",
        "docs/writing-a-protocol.md",
    ] {
        let text = read(page);
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let beside = root.join(page).parent().map(|folder| folder.join(target));
            assert!(beside.is_some_and(|path| path.exists()), "{page} links to {target}");
        }
    }
}

#[test]
fn every_room_is_in_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = read("README.md");
    for room in fs::read_dir(root).expect("the rooms") {
        let name = room.expect("a room").file_name().into_string().expect("a plain name");
        assert!(readme.contains(&format!("](crates/{name})")), "README does not name {name}");
    }
}
