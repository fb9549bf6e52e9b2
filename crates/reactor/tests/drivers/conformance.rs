//! Bytes, ends and pauses.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Port, Protocol, call_later, seat};
use ropewalk_reactor::{ConnectOptions, DriverKind, Exit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::kit::{
    Echo, PATIENCE, Seen, Witness, anywhere, bytes, come_to_rest, connect, in_thread, listen, now,
    on_each_driver, plain_listener, reactor, read_all, turn_until,
};

on_each_driver! {
    an_echo_returns_three_megabytes_and_the_end,
    a_thousand_connections_each_get_their_own_bytes,
    close_delivers_ten_megabytes_to_a_slow_reader,
    close_with_unread_input_delivers_what_was_written,
    abort_resets,
    a_reset_by_the_peer_is_told_once,
    nothing_comes_while_reading_is_paused,
    the_end_waits_while_reading_is_paused,
    connecting_to_nobody_is_refused,
    connecting_over_unix_sockets_works,
    a_burst_of_connections_is_accepted,
    many_small_writes_and_a_large_one_keep_their_order,
    a_large_file_arrives_between_bytes,
    a_file_that_is_too_short_ends_the_connection,
    other_threads_wake_the_loop,
    calls_come_in_time,
    nothing_turns_while_idle,
    another_loop_can_host_it,
    a_key_that_is_used_again_gets_nothing_of_the_old_one,
    a_stopped_listener_is_gone_at_once,
}

fn an_echo_returns_three_megabytes_and_the_end(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let handle = reactor.handle();
    let client = in_thread(move || {
        let stream = TcpStream::connect(address).unwrap();
        let sent = bytes(3_000_000);
        let (copy, mut writer) = (sent.clone(), stream.try_clone().unwrap());
        let writing = in_thread(move || {
            writer.write_all(&copy).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let received = read_all(stream).unwrap();
        writing.join().unwrap();
        handle.stop().unwrap();
        sent == received
    });
    assert_eq!(reactor.run_without_signals().unwrap(), Exit::Stopped);
    assert!(client.join().unwrap());
    assert_eq!(reactor.census().connections, 0);
}

fn a_thousand_connections_each_get_their_own_bytes(kind: DriverKind) {
    const COUNT: usize = 1000;
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let seen: Vec<Rc<Seen>> = (0..COUNT).map(|_| Rc::default()).collect();
    for (index, seen) in seen.iter().enumerate() {
        let greeting = index.to_string().repeat(20).into_bytes();
        connect(&reactor, address, Witness { greeting, ..Witness::new(seen) });
    }
    let whole = |(index, seen): (usize, &Rc<Seen>)| {
        *seen.data.borrow() == index.to_string().repeat(20).into_bytes()
    };
    turn_until(&reactor, || seen.iter().enumerate().all(whole));
    for _ in 0..3 {
        for seen in &seen {
            seen.data.borrow_mut().clear();
            seen.conn().write(b"once more");
        }
        turn_until(&reactor, || seen.iter().all(|seen| *seen.data.borrow() == b"once more"));
    }
    assert_eq!(reactor.census().connections, 2 * COUNT);
    for seen in &seen {
        seen.conn().close();
    }
    turn_until(&reactor, || reactor.census().connections == 0);
    assert!(seen.iter().all(|seen| seen.lost.get() == Some(Disconnect::Closed)));
}

fn close_delivers_ten_megabytes_to_a_slow_reader(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let client = in_thread(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let (mut received, mut piece) = (Vec::new(), vec![0; 50_000]);
        loop {
            match stream.read(&mut piece).unwrap() {
                0 => return received,
                count => received.extend_from_slice(&piece[..count]),
            }
            if received.len() < 2_000_000 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    });
    turn_until(&reactor, || seen.made.get() == 1);
    let sent = bytes(10_000_000);
    seen.conn().write(&sent);
    seen.conn().close();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Closed));
    come_to_rest(&reactor);
    assert!(client.join().unwrap() == sent);
}

fn close_with_unread_input_delivers_what_was_written(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let mut stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    seen.conn().pause_reading();
    come_to_rest(&reactor);
    stream.write_all(&bytes(100_000)).unwrap();
    seen.conn().write(b"goodbye");
    seen.conn().close();
    turn_until(&reactor, || seen.lost.get().is_some());
    come_to_rest(&reactor);
    assert_eq!(read_all(stream).unwrap(), b"goodbye");
}

fn abort_resets(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    // More than the kernel takes, so that the end comes in the middle of sending.
    seen.conn().write(&bytes(20_000_000));
    come_to_rest(&reactor);
    seen.conn().abort();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Aborted));
    come_to_rest(&reactor);
    let error = read_all(stream).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

fn a_reset_by_the_peer_is_told_once(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Reset));
    assert!(!seen.ended.get());
}

fn nothing_comes_while_reading_is_paused(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    let sent = bytes(4_000_000);
    let copy = sent.clone();
    let writing = in_thread(move || (&stream).write_all(&copy).map(|()| stream));
    for round in 0..40 {
        let before = seen.count();
        turn_until(&reactor, || seen.count() > before || before == sent.len());
        seen.conn().pause_reading();
        // What was received but not delivered may come with the turn that carries the wish out.
        reactor.turn(Duration::ZERO).unwrap();
        let paused = seen.count();
        for _ in 0..4 {
            reactor.turn(Duration::from_millis(1)).unwrap();
        }
        assert_eq!(seen.count(), paused, "in round {round}");
        seen.conn().resume_reading();
        if round % 3 == 0 {
            seen.conn().pause_reading();
            seen.conn().resume_reading();
        }
    }
    turn_until(&reactor, || seen.count() == sent.len());
    assert!(*seen.data.borrow() == sent);
    drop(writing.join().unwrap().unwrap());
    turn_until(&reactor, || seen.lost.get().is_some());
}

fn the_end_waits_while_reading_is_paused(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (_port, address) = listen(&reactor, move || Witness::new(&witness));
    let mut stream = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || seen.made.get() == 1);
    seen.conn().pause_reading();
    come_to_rest(&reactor);
    stream.write_all(b"the last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    come_to_rest(&reactor);
    assert_eq!((seen.count(), seen.ended.get()), (0, false));
    seen.conn().resume_reading();
    turn_until(&reactor, || seen.ended.get());
    assert_eq!(*seen.data.borrow(), b"the last words");
    turn_until(&reactor, || seen.lost.get() == Some(Disconnect::Closed));
}

fn connecting_to_nobody_is_refused(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    drop(listener);
    let seen = Rc::new(Seen::default());
    connect(&reactor, address, Witness::new(&seen));
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!((seen.lost.get(), seen.made.get()), (Some(Disconnect::Refused), 0));
    assert_eq!(reactor.census().connections, 0);
}

fn connecting_over_unix_sockets_works(kind: DriverKind) {
    let reactor = reactor(kind);
    let path = std::env::temp_dir().join(format!("ropewalk-{}-{kind}", std::process::id()));
    let factory = |_: &ropewalk_protocol::Address| Some(Echo);
    let options = ropewalk_reactor::UnixListenOptions::default();
    let port = reactor.listen_unix(&path, options, Box::new(factory)).unwrap();
    let seen = Rc::new(Seen::default());
    let greeting = b"over a path".to_vec();
    let witness = Witness { greeting, ..Witness::new(&seen) };
    reactor.connect_unix(&path, ConnectOptions::default(), seat(witness));
    turn_until(&reactor, || seen.count() == 11);
    seen.conn().close();
    turn_until(&reactor, || reactor.census().connections == 0);
    drop(port.stop_listening());
    come_to_rest(&reactor);
    assert!(!path.exists());
}

fn a_burst_of_connections_is_accepted(kind: DriverKind) {
    let reactor = reactor(kind);
    let seen = Rc::new(Seen::default());
    let witness = Rc::clone(&seen);
    let (port, address) = listen(&reactor, move || Witness::new(&witness));
    let streams: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(address).unwrap()).collect();
    let before = now();
    let mut turns = 0;
    while seen.made.get() < 500 {
        assert!(before.elapsed() < PATIENCE);
        let made = seen.made.get();
        reactor.turn(PATIENCE).unwrap();
        assert!(seen.made.get() - made <= 64, "one listener takes the turn for itself");
        turns += 1;
    }
    assert!((8..100).contains(&turns), "{turns} turns");
    drop(port.stop_listening());
    come_to_rest(&reactor);
    assert!(TcpStream::connect(address).is_err());
    drop(streams);
}

fn many_small_writes_and_a_large_one_keep_their_order(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let reading = in_thread(move || read_all(listener.accept().unwrap().0).unwrap());
    let seen = Rc::new(Seen::default());
    connect(&reactor, address, Witness::new(&seen));
    turn_until(&reactor, || seen.made.get() == 1);
    let mut sent = Vec::new();
    for round in 0..200 {
        for piece in [3, 5000, 70, 20_000, 1] {
            let piece = bytes(piece + round);
            sent.extend_from_slice(&piece);
            if round % 2 == 0 {
                seen.conn().write(&piece);
            } else {
                seen.conn().write_bytes(piece.into());
            }
        }
        if round % 7 == 0 {
            reactor.turn(Duration::ZERO).unwrap();
        }
    }
    seen.conn().close();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert!(reading.join().unwrap() == sent);
}

fn file_of(content: &[u8]) -> Arc<File> {
    let path = std::env::temp_dir().join(format!(
        "ropewalk-file-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, content).unwrap();
    let file = File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    Arc::new(file)
}

fn a_large_file_arrives_between_bytes(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let reading = in_thread(move || read_all(listener.accept().unwrap().0).unwrap());
    let seen = Rc::new(Seen::default());
    connect(&reactor, address, Witness::new(&seen));
    turn_until(&reactor, || seen.made.get() == 1);
    let content = bytes(12_000_000);
    let file = file_of(&content);
    let conn = seen.conn();
    conn.write(b"before ");
    conn.write_file(Arc::clone(&file), 7, 11_000_000);
    conn.write(b" between ");
    conn.write_file(file, 0, 5);
    conn.write(b" after");
    conn.close();
    turn_until(&reactor, || seen.lost.get().is_some());
    assert_eq!(seen.lost.get(), Some(Disconnect::Closed));
    let (whole, begin) = (&content[7..11_000_007], &content[..5]);
    assert!(
        reading.join().unwrap() == [b"before ", whole, b" between ", begin, b" after"].concat()
    );
}

fn a_file_that_is_too_short_ends_the_connection(kind: DriverKind) {
    let reactor = reactor(kind);
    let (listener, address) = plain_listener();
    let reading = in_thread(move || read_all(listener.accept().unwrap().0));
    let seen = Rc::new(Seen::default());
    connect(&reactor, address, Witness::new(&seen));
    turn_until(&reactor, || seen.made.get() == 1);
    seen.conn().write_file(file_of(b"short"), 0, 100);
    turn_until(&reactor, || seen.lost.get().is_some());
    assert!(matches!(seen.lost.get(), Some(Disconnect::Failed(_))));
    come_to_rest(&reactor);
    assert!(reading.join().unwrap().is_err());
}

fn other_threads_wake_the_loop(kind: DriverKind) {
    let reactor = reactor(kind);
    let handle = reactor.handle();
    let other = in_thread(move || {
        for _ in 0..100 {
            let (asked, answered) = std::sync::mpsc::channel();
            handle.call_from_thread(move |_| asked.send(()).unwrap()).unwrap();
            answered.recv_timeout(PATIENCE).unwrap();
        }
        handle.stop().unwrap();
    });
    assert_eq!(reactor.run().unwrap(), Exit::Stopped);
    other.join().unwrap();
}

fn calls_come_in_time(kind: DriverKind) {
    let reactor = reactor(kind);
    let began = now();
    for delay in [1, 5, 20] {
        let (promise, called) = ropewalk_deferred::deferred();
        call_later(&reactor, Duration::from_millis(delay), move || promise.succeed(()));
        reactor.run_until(called).unwrap();
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(26), "early: {took:?}");
    assert!(took < Duration::from_secs(10), "late: {took:?}");
}

fn nothing_turns_while_idle(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Witness { stays: true, ..Witness::default() });
    let busy = Rc::new(Seen::default());
    let witness = Rc::clone(&busy);
    let (_other_port, other) =
        listen(&reactor, move || Witness { stays: true, ..Witness::new(&witness) });
    let streams: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Every way in which a connection can be half alive.
    streams[..5].iter().for_each(|stream| stream.shutdown(Shutdown::Write).unwrap());
    let paused = TcpStream::connect(other).unwrap();
    turn_until(&reactor, || busy.made.get() == 1 && reactor.census().connections == 21);
    busy.conn().pause_reading();
    busy.conn().write(&bytes(20_000_000));
    (&paused).write_all(b"unread").unwrap();
    for _ in 0..30 {
        reactor.turn(Duration::from_millis(5)).unwrap();
    }
    let (began, mut turns) = (now(), 0);
    while began.elapsed() < Duration::from_millis(200) {
        reactor.turn(Duration::from_millis(200)).unwrap();
        turns += 1;
    }
    assert!(turns <= 3, "{turns} turns for nothing");
    drop(streams);
}

fn another_loop_can_host_it(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let descriptor = reactor.as_fd().try_clone_to_owned().unwrap();
    let client = in_thread(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        for round in 0..50_u8 {
            stream.write_all(&[round; 100]).unwrap();
            let mut back = [0; 100];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, [round; 100]);
        }
        stream.write_all(&bytes(1_000_000)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_all(stream).unwrap().len()
    });
    let (mut turns, began) = (0, now());
    while !client.is_finished() {
        assert!(began.elapsed() < PATIENCE, "stuck after {turns} turns");
        let patience = reactor.next_deadline().unwrap_or(Duration::from_millis(20));
        let patience = Timespec::try_from(patience.min(Duration::from_millis(20))).unwrap();
        let mut asked = [PollFd::new(&descriptor, PollFlags::IN)];
        let found = poll(&mut asked, Some(&patience)).unwrap();
        if found > 0 || reactor.next_deadline() == Some(Duration::ZERO) {
            reactor.turn(Duration::ZERO).unwrap();
            turns += 1;
        }
    }
    assert_eq!(client.join().unwrap(), 1_000_000);
}

/// Aborts as soon as anything comes.
struct Brusque;

impl Protocol for Brusque {
    fn data_received(&mut self, conn: &Conn<Self>, _data: &[u8]) {
        conn.abort();
    }
}

fn a_key_that_is_used_again_gets_nothing_of_the_old_one(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, brusque) = listen(&reactor, || Brusque);
    let (_other_port, echo) = listen(&reactor, || Echo);
    for round in 0..50 {
        let lost: Vec<Rc<Seen>> = (0..8).map(|_| Rc::default()).collect();
        for seen in &lost {
            connect(&reactor, brusque, Witness { greeting: bytes(10_000), ..Witness::new(seen) });
        }
        let kept: Vec<Rc<Seen>> = (0..8).map(|_| Rc::default()).collect();
        for seen in &kept {
            let greeting = vec![round; 2000];
            connect(&reactor, echo, Witness { greeting, ..Witness::new(seen) });
        }
        turn_until(&reactor, || {
            lost.iter().all(|seen| seen.lost.get().is_some())
                && kept.iter().all(|seen| seen.count() == 2000)
        });
        for seen in &kept {
            assert!(seen.data.borrow().iter().all(|byte| *byte == round));
            seen.conn().abort();
        }
        assert!(lost.iter().all(|seen| seen.count() == 0));
    }
    turn_until(&reactor, || reactor.census().connections == 0);
}

fn a_stopped_listener_is_gone_at_once(kind: DriverKind) {
    let reactor = reactor(kind);
    let (port, address) = listen(&reactor, || Echo);
    come_to_rest(&reactor);
    drop(port.stop_listening());
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(reactor.census().listeners, 0);
    let (_port, _) = listen(&reactor, || Echo);
    assert_ne!(address, anywhere());
}
