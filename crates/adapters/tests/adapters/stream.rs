//! What a stream gives, takes, and holds back.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ropewalk_adapters::{
    READ_MAX, SameThread, Stream, WrongThread, connect_stream, listen_streams,
};
use ropewalk_deferred::Failure;
use ropewalk_protocol::{Address, Disconnect};
use ropewalk_trial::{Clock, Cut, Executor, Memory, MemoryNetwork};

fn memory() -> (Memory, Stream) {
    let (feeder, stream) = Stream::new();
    (Memory::seat(feeder, &Clock::new()), stream)
}

fn now<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn read(stream: &Stream, size: usize) -> Option<io::Result<Vec<u8>>> {
    let mut buf = vec![0; size];
    let count = now(|cx| stream.poll_read(cx, &mut buf))?;
    Some(count.map(|count| buf[..count].to_vec()))
}

fn write(stream: &Stream, bytes: &[u8]) -> Option<io::Result<usize>> {
    now(|cx| stream.poll_write(cx, bytes))
}

#[test]
fn bytes_come_however_they_were_cut() {
    let input: Vec<u8> = (0..200).collect();
    for cut in Cut::all() {
        let (mut memory, stream) = memory();
        for piece in cut.cut(&input) {
            memory.push(piece);
        }
        memory.eof();
        let mut found = Vec::new();
        loop {
            let piece = read(&stream, 7).expect("it is there").expect("it is whole");
            if piece.is_empty() {
                break;
            }
            found.extend(piece);
        }
        assert_eq!(found, input);
    }
}

#[test]
fn what_nobody_reads_makes_the_peer_wait() {
    let (mut memory, stream) = memory();
    while memory.is_reading() {
        memory.push(&[7; 1000]);
    }
    let mut total = 0;
    while !memory.is_reading() {
        total += read(&stream, 500).expect("it is there").expect("it is whole").len();
        memory.run();
    }
    assert!(total <= 2000, "{total} of {READ_MAX} and a piece");
}

#[test]
fn a_peer_that_does_not_read_makes_writing_wait() {
    let (mut memory, stream) = memory();
    memory.set_room(0);
    let mut written = 0;
    while let Some(count) = write(&stream, &[1; 10_000]) {
        written += count.expect("it is open");
        memory.run();
        assert!(written < 1 << 20, "it stops");
    }
    assert!(now(|cx| stream.poll_sent(cx)).is_none());
    memory.set_room(u64::MAX);
    memory.run();
    assert_eq!(memory.take_sent().len(), written);
    assert!(write(&stream, b"more").is_some());
    memory.run();
    assert!(now(|cx| stream.poll_sent(cx)).is_some());
}

#[test]
fn each_end_is_told_as_what_it_is() {
    let (mut memory, stream) = memory();
    memory.push(b"last words");
    memory.lose(Disconnect::Reset);
    assert_eq!(read(&stream, 99).expect("it is there").expect("it is whole"), b"last words");
    let error = read(&stream, 99).expect("it is over").expect_err("it was lost");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let error = write(&stream, b"x").expect("it is over").expect_err("it was lost");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    // One that never was is over too.
    let (feeder, stream) = Stream::new();
    assert!(read(&stream, 1).is_none() && write(&stream, b"x").is_none());
    drop(feeder);
    assert!(read(&stream, 1).expect("it is over").is_err());
}

#[test]
fn shutting_down_leaves_the_other_way_open() {
    let (mut memory, stream) = memory();
    write(&stream, b"question").expect("there is room").expect("it is open");
    assert!(now(|cx| stream.poll_shutdown(cx)).is_some());
    memory.run();
    assert!(memory.is_write_closed() && memory.ended().is_none());
    memory.push(b"answer");
    assert_eq!(read(&stream, 99).expect("it is there").expect("it is whole"), b"answer");
    drop(stream);
    memory.run();
    assert_eq!(
        (memory.take_sent(), memory.ended()),
        (b"question".to_vec(), Some(Disconnect::Closed))
    );
}

#[test]
fn a_stream_dropped_before_its_connection_leaves_none() {
    let (feeder, stream) = Stream::new();
    drop(stream);
    let mut memory = Memory::seat(feeder, &Clock::new());
    memory.run();
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
}

#[test]
fn streams_speak_with_one_another_over_an_endpoint() {
    for size in [1, 7, 1 << 20] {
        let clock = Clock::new();
        let (network, executor) = (MemoryNetwork::new(&clock).in_chunks_of(size), Executor::new());
        let place = network.endpoint("echo");
        let peers: Rc<RefCell<Vec<Address>>> = Rc::default();
        let (tasks, seen) = (executor.clone(), Rc::clone(&peers));
        let port = listen_streams(&place, move |stream, peer| {
            seen.borrow_mut().push(peer);
            ropewalk_protocol::Spawn::spawn(
                &tasks,
                Box::pin(async move {
                    let mut buf = [0; 100];
                    while let Ok(count @ 1..) = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await {
                        let sent = poll_fn(|cx| stream.poll_write(cx, &buf[..count])).await;
                        assert_eq!(sent.ok(), Some(count));
                    }
                }),
            );
        });
        network.run();
        drop(port.now_or_never().expect("it listens"));
        let connected = connect_stream(&place);
        network.run();
        let stream = connected.now_or_never().expect("it is over").expect("it is made");
        write(&stream, b"hello, echo").expect("there is room").expect("it is open");
        assert!(now(|cx| stream.poll_shutdown(cx)).is_some());
        for _ in 0..100 {
            network.run();
            executor.run();
        }
        let mut heard = Vec::new();
        while let Some(Ok(piece)) =
            read(&stream, 99).filter(|piece| !matches!(piece, Ok(piece) if piece.is_empty()))
        {
            heard.extend(piece);
        }
        assert_eq!(heard, b"hello, echo");
        assert_eq!(peers.borrow().len(), 1);
    }
}

#[test]
fn what_belongs_to_one_thread_is_refused_on_another() {
    let mut value = SameThread::new(Rc::new(1));
    assert!(value.is_here());
    *value.get_mut().expect("it is here") = Rc::new(2);
    assert_eq!(**value, 2);
    let (value, refused) = std::thread::scope(|scope| {
        let elsewhere = scope.spawn(move || {
            let refused = value.get().map(|value| **value);
            let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| **value));
            assert!(panics.is_err());
            (value.into_inner().expect_err("it goes home"), refused)
        });
        elsewhere.join().expect("it ends")
    });
    assert_eq!(refused, Err(WrongThread));
    assert_eq!(*value.into_inner().expect("it is home"), 2);
}

#[test]
fn futures_of_one_thread_pass_where_more_is_asked() {
    fn asks_for_more<T>(future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
        future
    }
    let shared = Rc::new(5);
    let future = asks_for_more(SameThread::new(Box::pin(async move { *shared })));
    let (answer, driver) =
        ropewalk_deferred::from_future(async move { Ok::<_, Failure>(future.await) });
    let executor = Executor::new();
    ropewalk_protocol::Spawn::spawn(&executor, Box::pin(driver));
    executor.run();
    assert_eq!(answer.now_or_never().expect("it is over").expect("it went well"), 5);
}
