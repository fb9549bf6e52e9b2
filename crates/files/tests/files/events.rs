//! What happens to files while somebody watches.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use ropewalk_deferred::{DeferredQueue, Failure};
use ropewalk_files::{
    AtomicWrite, Disk, FileError, FileEvent, FilePath, FileSystem, FileWatch, FileWatcher,
    Notifier, WatchEnding, WatchOptions,
};
use ropewalk_reactor::Reactor;
use ropewalk_trial::MemoryFiles;

use crate::kit::{Folder, INNER, inner};

/// A watch whose events are read as lines.
struct Heard {
    watch: Option<FileWatch>,
    lines: DeferredQueue<String>,
}

impl Heard {
    async fn watch(
        notifier: &dyn FileWatcher,
        base: &Path,
        path: &FilePath,
        options: WatchOptions,
    ) -> Result<Self, Failure> {
        let lines = DeferredQueue::new(1 << 20);
        let (into, base) = (lines.clone(), base.to_owned());
        let told = move |event| {
            into.put(line(&base, &event)).unwrap();
        };
        let watch = Some(notifier.watch(path, options, Box::new(told)).await?);
        Ok(Self { watch, lines })
    }

    async fn next(&self) -> Result<String, Failure> {
        self.lines.get().await
    }

    #[track_caller]
    fn expect<'a>(&'a self, lines: &'a [&str]) -> impl Future<Output = Result<(), Failure>> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            for expected in lines {
                let line = self.next().await?;
                assert_eq!(line, *expected, "at {caller}");
            }
            Ok(())
        }
    }
}

fn line(base: &Path, event: &FileEvent) -> String {
    let name = |path: &FilePath| {
        let path = path.path();
        path.strip_prefix(base).unwrap_or(&path).display().to_string()
    };
    let slash = |is_folder: bool| if is_folder { "/" } else { "" };
    match event {
        FileEvent::Created { path, is_folder } => {
            format!("created {}{}", name(path), slash(*is_folder))
        }
        FileEvent::Changed { path } => format!("changed {}", name(path)),
        FileEvent::Written { path } => format!("written {}", name(path)),
        FileEvent::Attributes { path } => format!("attributes {}", name(path)),
        FileEvent::Removed { path, is_folder } => {
            format!("removed {}{}", name(path), slash(*is_folder))
        }
        FileEvent::Moved { from, to, is_folder } => {
            format!("moved {} to {}{}", name(from), name(to), slash(*is_folder))
        }
        FileEvent::Overflow => "overflow".to_owned(),
        FileEvent::Unwatched { path, why } => format!("unwatched {}: {why}", name(path)),
        FileEvent::Ended(WatchEnding::Failed(why)) => format!("failed: {why}"),
        FileEvent::Ended(why) => format!("ended: {why}"),
        other => format!("{other:?}"),
    }
}

#[ropewalk_trial::test]
async fn what_happens_in_a_folder_is_told_in_order(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    folder.put("before", "");
    let notifier = Notifier::new(reactor.clone())?;
    let options = WatchOptions::default();
    let heard = Heard::watch(&notifier, folder.path(), &folder.file_path(), options).await?;
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a"), "text")?;
    heard.expect(&["created a", "changed a", "written a"]).await?;
    fs::set_permissions(at("a"), fs::Permissions::from_mode(0o600))?;
    fs::rename(at("a"), at("b"))?;
    fs::create_dir(at("in"))?;
    fs::remove_file(at("b"))?;
    fs::remove_file(at("before"))?;
    heard.expect(&["attributes a", "moved a to b", "created in/", "removed b"]).await?;
    // Not recursive: what is in it is nobody's business.
    fs::write(at("in/x"), "")?;
    fs::remove_dir_all(at("in"))?;
    heard.expect(&["removed before", "removed in/"]).await
}

#[ropewalk_trial::test]
async fn folders_that_come_and_go_are_followed(reactor: Reactor) -> Result<(), Failure> {
    let (folder, outside) = (Folder::new(), Folder::new());
    folder.put("old/x", "");
    outside.put("full/deep/y", "");
    let notifier = Notifier::new(reactor.clone())?;
    let options = WatchOptions::default().recursive();
    let heard = Heard::watch(&notifier, folder.path(), &folder.file_path(), options).await?;
    let at = |name: &str| folder.path().join(name);
    fs::remove_file(at("old/x"))?;
    heard.expect(&["removed old/x"]).await?;
    fs::rename(at("old"), at("new"))?;
    fs::write(at("new/z"), "")?;
    heard.expect(&["moved old to new/", "created new/z", "written new/z"]).await?;
    // From elsewhere, with all that is in it.
    fs::rename(outside.path().join("full"), at("full"))?;
    heard.expect(&["created full/", "created full/deep/", "created full/deep/y"]).await?;
    fs::remove_file(at("full/deep/y"))?;
    heard.expect(&["removed full/deep/y"]).await?;
    // To elsewhere, where it is not watched any more.
    fs::rename(at("full"), outside.path().join("full"))?;
    heard.expect(&["removed full/"]).await?;
    fs::write(outside.path().join("full/deep/unheard"), "")?;
    fs::remove_dir_all(at("new"))?;
    heard.expect(&["removed new/z", "removed new/"]).await?;
    fs::create_dir_all(at("one/two/three"))?;
    heard.expect(&["created one/", "created one/two/", "created one/two/three/"]).await?;
    fs::write(at("one/two/three/four"), "")?;
    heard.expect(&["created one/two/three/four", "written one/two/three/four"]).await
}

#[ropewalk_trial::test]
async fn whatever_comes_in_a_hurry_is_told_of_once(reactor: Reactor) -> Result<(), Failure> {
    const FOLDERS: usize = 150;
    let folder = Folder::new();
    let notifier = Notifier::new(reactor.clone())?;
    let options = WatchOptions::default().recursive();
    let heard = Heard::watch(&notifier, folder.path(), &folder.file_path(), options).await?;
    let base = folder.path().to_owned();
    let made = reactor.defer_to_thread(move || {
        for number in 0..FOLDERS {
            let deep = base.join(format!("{number}/a/b"));
            fs::create_dir_all(&deep)?;
            fs::hard_link(std::env::current_exe()?, deep.join("linked"))
                .or_else(|_| fs::write(deep.join("linked"), ""))?;
            fs::write(base.join(format!("{number}/first")), "")?;
        }
        Ok::<_, std::io::Error>(())
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    while counts.len() < FOLDERS * 5 {
        let line = heard.next().await?;
        if line.starts_with("created ") {
            *counts.entry(line).or_default() += 1;
        }
    }
    made.await?;
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    // All of them are watched.
    for number in 0..FOLDERS {
        let name = format!("{number}/a/b/late");
        fs::write(folder.path().join(&name), "")?;
        let expected = format!("created {name}");
        while heard.next().await? != expected {}
    }
    Ok(())
}

#[ropewalk_trial::test]
async fn a_root_that_is_removed_ends_its_own_watch_alone(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    folder.put("one/x", "").put("two/x", "").put("three/x", "");
    let notifier = Notifier::new(reactor.clone())?;
    let watch = async |name: &str| {
        let path = folder.file_path().child(name)?;
        let options = WatchOptions::default().recursive();
        Heard::watch(&notifier, folder.path(), &path, options).await
    };
    let (one, two, three) = (watch("one").await?, watch("two").await?, watch("three").await?);
    assert_eq!(notifier.watches(), 3);
    fs::remove_dir_all(folder.path().join("one"))?;
    one.expect(&["removed one/x", "ended: what was watched has been removed"]).await?;
    fs::rename(folder.path().join("three"), folder.path().join("four"))?;
    three.expect(&["ended: what was watched has been moved"]).await?;
    assert_eq!(notifier.watches(), 1);
    fs::remove_file(folder.path().join("two/x"))?;
    two.expect(&["removed two/x"]).await?;
    // It may be watched anew.
    fs::create_dir(folder.path().join("one"))?;
    let one = watch("one").await?;
    fs::write(folder.path().join("one/y"), "")?;
    one.expect(&["created one/y", "written one/y"]).await
}

#[ropewalk_trial::test]
async fn what_overlaps_is_told_to_each(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    folder.put("in/x", "");
    let notifier = Notifier::new(reactor.clone())?;
    let recursive = WatchOptions::default().recursive();
    let base = folder.file_path();
    let all = Heard::watch(&notifier, folder.path(), &base, recursive.clone()).await?;
    let part = base.child("in")?;
    let mut part = Heard::watch(&notifier, folder.path(), &part, recursive.clone()).await?;
    let twice = Heard::watch(&notifier, folder.path(), &base, recursive).await?;
    fs::remove_file(folder.path().join("in/x"))?;
    for heard in [&all, &part, &twice] {
        heard.expect(&["removed in/x"]).await?;
    }
    drop(part.watch.take());
    fs::write(folder.path().join("in/y"), "")?;
    for heard in [&all, &twice] {
        heard.expect(&["created in/y", "written in/y"]).await?;
    }
    assert!(part.lines.is_empty());
    fs::remove_dir_all(folder.path().join("in"))?;
    all.expect(&["removed in/y", "removed in/"]).await
}

#[ropewalk_trial::test]
async fn a_file_is_followed_by_its_name(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    folder.put("beside", "");
    let notifier = Notifier::new(reactor.clone())?;
    let file = folder.file_path().child("file")?;
    let heard =
        Heard::watch(&notifier, folder.path(), &file, WatchOptions::default().recursive()).await?;
    fs::write(folder.path().join("beside"), "unheard")?;
    file.write_atomically(b"first", &AtomicWrite::default())?;
    let line = heard.next().await?;
    assert!(line.starts_with("moved .file.") && line.ends_with(".new to file"), "{line}");
    fs::remove_file(file.path())?;
    heard.expect(&["removed file"]).await?;
    fs::create_dir(folder.path().join("beside_folder"))?;
    fs::write(file.path(), "again")?;
    heard.expect(&["created file", "changed file", "written file"]).await?;
    let nowhere = folder.file_path().below("nothing/file")?;
    let told = Box::new(|_| ());
    let refused = notifier.watch(&nowhere, WatchOptions::default(), told).await.unwrap_err();
    assert!(refused.check::<FileError>().unwrap().is_not_found(), "{refused}");
    Ok(())
}

#[ropewalk_trial::test]
async fn lost_events_are_said_to_be_lost(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    let notifier = Notifier::new(reactor.clone())?;
    let options = WatchOptions::default().recursive();
    let heard = Heard::watch(&notifier, folder.path(), &folder.file_path(), options).await?;
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?;
    let limit: usize = limit.trim().parse()?;
    // No event is looked at meanwhile.
    let (even, odd) = (folder.path().join("even"), folder.path().join("odd"));
    fs::write(&even, "")?;
    for _ in 0..limit / 4 + 10 {
        fs::rename(&even, &odd)?;
        fs::rename(&odd, &even)?;
    }
    fs::create_dir_all(folder.path().join("missed/deep"))?;
    while heard.next().await? != "overflow" {}
    // What has come meanwhile is watched all the same.
    let path = folder.file_path();
    let other = Heard::watch(&notifier, folder.path(), &path, WatchOptions::default()).await?;
    fs::write(folder.path().join("missed/deep/file"), "")?;
    heard.expect(&["created missed/deep/file", "written missed/deep/file"]).await?;
    fs::remove_file(even)?;
    other.expect(&["removed even"]).await?;
    heard.expect(&["removed even"]).await
}

#[ropewalk_trial::test]
async fn who_panics_is_told_of_no_more_and_others_are(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    let notifier = Notifier::new(reactor.clone())?;
    let path = folder.file_path();
    let told = Box::new(|_| panic!("on purpose"));
    let _watch = notifier.watch(&path, WatchOptions::default(), told).await?;
    let heard = Heard::watch(&notifier, folder.path(), &path, WatchOptions::default()).await?;
    fs::create_dir(folder.path().join("x"))?;
    heard.expect(&["created x/"]).await?;
    assert_eq!(notifier.watches(), 1);
    fs::remove_dir(folder.path().join("x"))?;
    heard.expect(&["removed x/"]).await
}

#[ropewalk_trial::test]
async fn a_watch_may_end_and_others_begin_while_an_event_is_told(
    reactor: Reactor,
) -> Result<(), Failure> {
    let folder = Folder::new();
    let notifier = Notifier::new(reactor.clone())?;
    let path = folder.file_path();
    let own: Rc<std::cell::RefCell<Option<FileWatch>>> = Rc::default();
    let (ends, begins, place) = (Rc::clone(&own), notifier.clone(), path.clone());
    let next = DeferredQueue::new(8);
    let into = next.clone();
    let told = move |_| {
        ends.borrow_mut().take();
        let begun = begins.watch(&place, WatchOptions::default(), Box::new(|_| ()));
        into.put(begun).unwrap();
    };
    let watch = notifier.watch(&path, WatchOptions::default(), Box::new(told)).await?;
    own.replace(Some(watch));
    fs::write(folder.path().join("x"), "")?;
    let begun = next.get().await?.await?;
    assert_eq!(notifier.watches(), 1);
    drop(begun);
    assert_eq!(notifier.watches(), 0);
    Ok(())
}

/// Does with files what tells of everything; answers what was told, but for names that are chosen by chance.
async fn told_of(
    files: &dyn FileSystem,
    watcher: &dyn FileWatcher,
    base: &Path,
) -> Result<Vec<String>, Failure> {
    let path = FilePath::new(base);
    let at = |name: &str| path.below(name);
    let how = AtomicWrite::default();
    files.create_folders(&at("out")?).await?;
    files.create_folders(&at("in/one")?).await?;
    let recursive = WatchOptions::default().recursive();
    let all = Heard::watch(watcher, base, &at("in")?, recursive).await?;
    let flat = Heard::watch(watcher, base, &at("in")?, WatchOptions::default()).await?;
    let file = Heard::watch(watcher, base, &at("in/one/x")?, WatchOptions::default()).await?;
    let mut lines = Vec::new();
    files.write_atomically(&at("in/one/x")?, "text".into(), &how).await?;
    files.create_folders(&at("in/two/three")?).await?;
    // A machine tells what is in a new folder only if it is still there when that is looked at.
    hear("all", &all, &mut lines, "created in/two/three/").await?;
    files.move_to(&at("in/one/x")?, &at("in/two/y")?).await?;
    files.move_to(&at("in/two")?, &at("out/two")?).await?;
    files.move_to(&at("out/two")?, &at("in/four")?).await?;
    hear("all", &all, &mut lines, "created in/four/y").await?;
    files.remove(&at("in/four/y")?).await?;
    files.remove(&at("in/one")?).await?;
    files.remove(&at("in/four")?).await?;
    files.remove(&at("in")?).await?;
    for (name, heard) in [("all", &all), ("flat", &flat), ("file", &file)] {
        hear(name, heard, &mut lines, "ended").await?;
    }
    files.remove(&path).await?;
    Ok(lines)
}

/// Takes what is told up to a line that begins so.
async fn hear(
    name: &str,
    heard: &Heard,
    lines: &mut Vec<String>,
    last: &str,
) -> Result<(), Failure> {
    loop {
        let line = heard.next().await?;
        let plain = line.split(' ').map(|word| match word.split_once("/.x.") {
            Some((folder, _)) => format!("{folder}/CHANCE"),
            None => word.to_owned(),
        });
        lines.push(format!("{name}: {}", plain.collect::<Vec<_>>().join(" ")));
        if line.starts_with(last) {
            return Ok(());
        }
    }
}

#[ropewalk_trial::test]
async fn what_a_test_makes_up_happens_as_it_does_on_a_machine(
    reactor: Reactor,
) -> Result<(), Failure> {
    let folder = Folder::new();
    let (disk, notifier) = (Disk::new(reactor.clone()), Notifier::new(reactor.clone())?);
    let real = told_of(&disk, &notifier, &folder.path().join("base")).await?;
    let memory = MemoryFiles::new();
    let made_up = told_of(&memory, &memory, Path::new("/base")).await?;
    assert_eq!(made_up, real);
    assert_eq!(memory.watches(), 0);
    Ok(())
}

#[test]
fn a_system_that_watches_no_more_says_so() {
    if std::env::var_os(INNER).is_some() {
        let kind = ropewalk_reactor::DriverKind::from_environment().unwrap().unwrap_or_default();
        let reactor = Reactor::with_driver(kind).unwrap();
        let folder = Folder::new();
        folder.put("1/x", "").put("2/x", "").put("3/x", "").put("4/x", "");
        let notifier = Notifier::new(reactor.clone()).unwrap();
        let path = folder.file_path();
        let options = WatchOptions::default().recursive();
        let base = folder.path().to_owned();
        let test = async move {
            let heard = Heard::watch(&notifier, &base, &path, options).await?;
            for _ in 0..2 {
                let line = heard.next().await?;
                assert!(line.starts_with("unwatched ") && line.contains("max_user_watches"));
            }
            let told = Box::new(|_| ());
            let one_more = path.child("1")?;
            let refused = notifier.watch(&one_more, WatchOptions::default(), told).await;
            drop(heard);
            // One that ends makes room.
            let told = Box::new(|_| ());
            let again = notifier.watch(&one_more, WatchOptions::default(), told).await?;
            drop(again);
            // What is watched already needs no other.
            Ok::<_, Failure>(refused.is_ok())
        };
        reactor.run_until(reactor.spawn(test)).unwrap();
        return;
    }
    let folder = Folder::new();
    let name = "events::a_system_that_watches_no_more_says_so";
    let script = "echo 3 > /proc/sys/user/max_inotify_watches && exec \"$@\"";
    let alone = ["unshare", "--user", "--map-root-user", "--", "sh", "-c", script, "sh"];
    let outcome: std::process::Output = inner(name, folder.path(), &alone).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    let said_out = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{said}{said_out}");
    assert!(said_out.contains("1 passed"), "{said_out}");
}
