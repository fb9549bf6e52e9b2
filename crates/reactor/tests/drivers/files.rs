//! Files that are read and written while the loop goes on: by the kernel, or by threads.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ropewalk_deferred::{Abandoned, Cancelled, Rest, gather};
use ropewalk_protocol::{FileAction, FileIo, FileOperation};
use ropewalk_reactor::DriverKind;

use crate::kit::{Folder, on_each_driver, reactor, turn_often_until};

on_each_driver!(
    thousands_of_operations_are_done_each_for_itself,
    what_is_cancelled_is_told_to_nobody_and_the_rest_goes_on,
    a_reactor_that_stops_lets_go_of_what_is_under_way,
    what_the_system_refuses_is_told,
    what_never_ends_ends_with_the_reactor,
);

fn file(content: &[u8]) -> (Folder, Arc<File>) {
    let folder = Folder::new("files");
    let path = folder.path("file");
    std::fs::write(&path, content).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    (folder, Arc::new(file))
}

fn read(file: &Arc<File>, offset: u64, length: usize) -> FileOperation {
    let action = FileAction::Read { offset, buffer: vec![0; length] };
    FileOperation { file: Arc::clone(file), action }
}

fn write(file: &Arc<File>, offset: u64, bytes: Vec<u8>) -> FileOperation {
    let action = FileAction::Write { offset, bytes: Bytes::from(bytes) };
    FileOperation { file: Arc::clone(file), action }
}

/// More than the kernel is given at once.
const MANY: u64 = 3000;

fn thousands_of_operations_are_done_each_for_itself(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_folder, file) = file(b"");
    let piece = |number: u64| number.to_le_bytes().repeat(16);
    let writes = (0..MANY).map(|number| reactor.operate(write(&file, number * 128, piece(number))));
    let written = reactor.run_until(gather(writes.collect::<Vec<_>>(), Rest::Leave)).unwrap();
    assert!(written.iter().all(|outcome| outcome.count == 128));
    let sync = FileAction::Sync { data_only: true };
    let synced = reactor.operate(FileOperation { file: Arc::clone(&file), action: sync });
    reactor.run_until(synced).unwrap();
    let reads = (0..MANY).map(|number| reactor.operate(read(&file, number * 128, 128)));
    let found = reactor.run_until(gather(reads.collect::<Vec<_>>(), Rest::Leave)).unwrap();
    for (number, outcome) in (0..).zip(found) {
        assert_eq!((outcome.count, outcome.buffer), (128, piece(number)));
    }
    let at_end = reactor.run_until(reactor.operate(read(&file, MANY * 128 - 8, 128))).unwrap();
    assert_eq!((at_end.count, at_end.buffer.len()), (8, 128));
    let beyond = reactor.run_until(reactor.operate(read(&file, MANY * 128, 128))).unwrap();
    assert_eq!(beyond.count, 0);
    assert!(reactor.under_way().is_empty(), "{:?}", reactor.under_way());
}

fn what_is_cancelled_is_told_to_nobody_and_the_rest_goes_on(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_folder, file) = file(&[7; 4096]);
    for _ in 0..50 {
        let before_it_begins = reactor.operate(read(&file, 0, 4096));
        before_it_begins.cancel();
        let outcome = before_it_begins.now_or_never().unwrap();
        assert!(outcome.unwrap_err().check::<Cancelled>().is_some());
        let under_way = reactor.operate(read(&file, 0, 4096));
        reactor.turn(std::time::Duration::ZERO).unwrap();
        under_way.cancel();
        drop(under_way);
    }
    let kept = reactor.run_until(reactor.operate(read(&file, 0, 4096))).unwrap();
    assert_eq!(kept.buffer, [7; 4096]);
    turn_often_until(&reactor, || reactor.under_way().is_empty());
}

fn a_reactor_that_stops_lets_go_of_what_is_under_way(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_folder, file) = file(&[7; 4096]);
    let abandoned = Rc::new(Cell::new(0));
    for _ in 0..200 {
        let counts = Rc::clone(&abandoned);
        reactor.operate(read(&file, 0, 4096)).on_result(move |outcome| {
            if outcome.is_err_and(|failure| failure.check::<Abandoned>().is_some()) {
                counts.set(counts.get() + 1);
            }
        });
    }
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(abandoned.get(), 200);
    // And it can be used again.
    let again = reactor.run_until(reactor.operate(read(&file, 0, 8))).unwrap();
    assert_eq!(again.buffer, [7; 8]);
}

fn what_the_system_refuses_is_told(kind: DriverKind) {
    let reactor = reactor(kind);
    let (folder, file) = file(b"x");
    let only_read = Arc::new(File::open(folder.path("file")).unwrap());
    let refused = reactor.run_until(reactor.operate(write(&only_read, 0, vec![1])));
    let error = refused.unwrap_err().downcast::<std::io::Error>().unwrap();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
    let kept = reactor.run_until(reactor.operate(read(&file, 0, 1))).unwrap();
    assert_eq!(kept.buffer, b"x");
}

/// Nothing ever comes from a pipe whose other end is open and silent: the kernel waits for it on `io_uring`, and
/// refuses elsewhere, as a pipe has no places.
fn what_never_ends_ends_with_the_reactor(kind: DriverKind) {
    let reactor = reactor(kind);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let silent = Arc::new(File::from(OwnedFd::from(reader)));
    let waiting = reactor.operate(read(&silent, 0, 8));
    reactor.turn(std::time::Duration::ZERO).unwrap();
    drop(reactor);
    assert!(waiting.now_or_never().unwrap().is_err());
    // The driver let go of the file too: nobody reads there any more.
    drop(silent);
    assert_eq!(writer.write(b"x").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}
