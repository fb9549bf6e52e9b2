//! Files while the loop goes on.

use std::time::Duration;

use ropewalk_deferred::{Cancelled, Failure, Rest, gather};
use ropewalk_files::{AtomicWrite, Disk, FileError, FileSystem, OpenOptions};
use ropewalk_protocol::sleep;
use ropewalk_reactor::Reactor;
use ropewalk_trial::{LaterThreads, MemoryFiles};

use crate::kit::Folder;

#[ropewalk_trial::test]
async fn what_is_written_in_any_order_is_read_in_order(reactor: Reactor) -> Result<(), Failure> {
    const PIECE: usize = 10_007;
    let folder = Folder::new();
    let disk = Disk::new(reactor.clone());
    let path = folder.file_path().child("file")?;
    let file = disk.open(&path, OpenOptions::CREATE_NEW).await?;
    let piece = |number: usize| vec![number as u8; PIECE];
    let order = (0..100).map(|number| number * 37 % 100);
    let writes = order.map(|number| disk.write_at(&file, (number * PIECE) as u64, piece(number)));
    gather(writes.collect::<Vec<_>>(), Rest::Leave).await?;
    disk.sync(&file).await?;
    let whole = disk.read(&path, 100 * PIECE).await?;
    assert!((0..100).all(|number| whole[number * PIECE..][..PIECE] == piece(number)));
    assert_eq!(disk.metadata(&path).await?.length(), (100 * PIECE) as u64);

    let pieces = disk.pieces(&file, 5, 4096);
    let ahead = [pieces.next(), pieces.next()];
    let mut read: Vec<u8> = Vec::new();
    for piece in gather(ahead, Rest::Leave).await? {
        read.extend_from_slice(&piece.unwrap());
    }
    while let Some(piece) = pieces.next().await? {
        assert!(piece.len() <= 4096);
        read.extend_from_slice(&piece);
    }
    assert!(read == whole[5..]);
    assert_eq!(disk.read_at(&file, 7, 0).await?, b"");
    assert_eq!(disk.read_at(&file, 1 << 40, 10).await?, b"");
    let end = (100 * PIECE) as u64;
    assert_eq!(disk.read_at(&file, end - 3, 10).await?, [99; 3]);
    Ok(())
}

#[ropewalk_trial::test]
async fn what_the_system_refuses_names_the_file(reactor: Reactor) -> Result<(), Failure> {
    let folder = Folder::new();
    folder.put("file", "x");
    let disk = Disk::new(reactor.clone());
    let file = folder.file_path().child("file")?;
    let only_read = disk.open(&file, OpenOptions::READ).await?;
    let refused = disk.write_at(&only_read, 0, "y").await.unwrap_err();
    match refused.check::<FileError>() {
        Some(FileError::System { path, error, .. }) => {
            assert_eq!(*path, file.path());
            assert_eq!(error.raw_os_error(), Some(9));
        }
        _ => panic!("{refused:?}"),
    }
    let nothing = disk.read(&folder.file_path().child("nothing")?, 10).await.unwrap_err();
    assert!(nothing.check::<FileError>().unwrap().is_not_found());
    let folder_as_file = disk.open(&folder.file_path(), OpenOptions::READ).await?;
    assert!(disk.read_at(&folder_as_file, 0, 10).await.is_err());
    Ok(())
}

#[ropewalk_trial::test]
async fn the_loop_goes_on_while_work_is_done(reactor: Reactor) -> Result<(), Failure> {
    let disk = Disk::new(reactor.clone());
    let (go_on, waits) = std::sync::mpsc::channel();
    let blocked = disk.run(move || Ok(waits.recv()));
    sleep(&reactor, Duration::from_millis(1)).await?;
    // Only the loop can say so, and it says so after a timer of its own.
    go_on.send(7).unwrap();
    assert_eq!(blocked.await?, Ok(7));
    Ok(())
}

#[test]
fn what_is_too_much_waits_or_is_refused_and_what_is_cancelled_is_not_begun() {
    let folder = Folder::new();
    folder.put("file", "x");
    let threads = LaterThreads::new();
    let disk = Disk::with_bounds(threads.clone(), 1, 2);
    let path = folder.file_path().child("file").unwrap();
    let first = disk.read(&path, 10);
    let second = disk.write_atomically(&path, "y".into(), &AtomicWrite::default());
    let third = disk.read(&path, 10);
    assert_eq!((threads.pending(), disk.waiting()), (1, 2));
    let fourth = disk.read(&path, 10).now_or_never().unwrap().unwrap_err();
    assert!(matches!(fourth.check(), Some(FileError::Crowded { waiting_max: 2 })));
    second.cancel();
    assert!(second.now_or_never().unwrap().unwrap_err().check::<Cancelled>().is_some());
    // What is under way keeps its place until it is over.
    first.cancel();
    assert!(first.now_or_never().unwrap().unwrap_err().check::<Cancelled>().is_some());
    assert_eq!((threads.pending(), disk.waiting()), (1, 1));
    threads.do_all();
    assert_eq!(third.now_or_never().unwrap().unwrap(), b"x");
}

#[ropewalk_trial::test]
async fn a_program_does_with_files_what_it_needs(reactor: Reactor) -> Result<(), Failure> {
    async fn program(files: &dyn FileSystem, base: &str) -> Result<Vec<String>, Failure> {
        let base = ropewalk_files::FilePath::new(base);
        let (a, b) = (base.below("in/a")?, base.below("in/b")?);
        files.create_folders(&a.parent()).await?;
        files.write_atomically(&a, "text".into(), &AtomicWrite::default()).await?;
        files.move_to(&a, &b).await?;
        assert_eq!(files.read(&b, 4).await?, b"text");
        assert!(files.read(&b, 3).await.is_err());
        assert!(files.metadata(&a).await.is_err());
        let children = files.children(&b.parent()).await?;
        files.remove(&base.child("in")?).await?;
        assert!(files.children(&base).await?.is_empty());
        Ok(children.iter().map(|child| child.name().to_str().unwrap().to_owned()).collect())
    }
    let folder = Folder::new();
    let disk = Disk::new(reactor.clone());
    assert_eq!(program(&disk, folder.path().to_str().unwrap()).await?, ["b"]);
    // Those that a test makes up are no others.
    let files = MemoryFiles::new();
    files.put("/base/x", "");
    files.remove(&ropewalk_files::FilePath::new("/base/x")).await?;
    assert_eq!(program(&files, "/base").await?, ["b"]);
    Ok(())
}
