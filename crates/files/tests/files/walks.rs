//! Walks.

use ropewalk_deferred::Failure;
use ropewalk_files::{Disk, FileError, FileKind, WalkOptions, Walked};
use ropewalk_reactor::Reactor;

use crate::kit::Folder;

fn tree() -> Folder {
    let folder = Folder::new();
    folder.put("b/2", "").put("b/1", "").put("a", "").put("b/c/x", "");
    folder.link("b/c/back", "../../b").link("d", "b/c");
    folder
}

fn names(folder: &Folder, walked: &[Walked]) -> Vec<String> {
    let base = folder.file_path();
    let name = |walked: &Walked| {
        let names = walked.path.names_from(&base).unwrap();
        let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
        assert_eq!(names.len(), walked.depth);
        names.join("/")
    };
    walked.iter().map(name).collect()
}

#[test]
fn a_folder_comes_before_what_it_holds_and_that_by_name() {
    let folder = tree();
    let walk = folder.file_path().walk(WalkOptions::default());
    let walked: Vec<_> = walk.map(Result::unwrap).collect();
    let expected = ["", "a", "b", "b/1", "b/2", "b/c", "b/c/back", "b/c/x", "d"];
    assert_eq!(names(&folder, &walked), expected);
    assert_eq!(walked[6].kind, FileKind::Link);
}

#[test]
fn links_are_followed_where_asked_for_and_cycles_found() {
    let folder = tree();
    let walk = folder.file_path().walk(WalkOptions::default().follow_links());
    let (walked, errors): (Vec<_>, Vec<_>) = walk.partition(Result::is_ok);
    let walked: Vec<_> = walked.into_iter().map(Result::unwrap).collect();
    let names = names(&folder, &walked);
    assert!(names.contains(&"d/x".to_owned()), "{names:?}");
    let cycles = errors.iter().all(|error| matches!(error, Err(FileError::Cycle { .. })));
    assert!(cycles && !errors.is_empty(), "{errors:?}");
}

#[test]
fn depth_and_width_have_bounds() {
    let folder = tree();
    let check = |options: WalkOptions| {
        let walk = folder.file_path().walk(options);
        walk.filter(|walked| matches!(walked, Err(FileError::TooMany { .. }))).count()
    };
    assert_eq!(check(WalkOptions::default().depth_max(2)), 1);
    assert_eq!(check(WalkOptions::default().depth_max(3)), 0);
    assert_eq!(check(WalkOptions::default().children_max(2)), 1);
    assert_eq!(check(WalkOptions::default().children_max(3)), 0);
}

#[ropewalk_trial::test]
async fn a_large_folder_is_walked_in_parts(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    for number in 0..1000 {
        folder.put(&format!("{}/{number:03}", number % 7), "");
    }
    let disk = Disk::new(reactor.clone());
    let walks = disk.walk(&folder.file_path(), WalkOptions::default());
    let mut sizes = Vec::new();
    loop {
        let part = walks.next().await?;
        if part.is_empty() {
            break;
        }
        assert!(part.iter().all(Result::is_ok));
        sizes.push(part.len());
    }
    assert_eq!(sizes, [256, 256, 256, 240]);
    Ok(())
}
