//! Back-pressure, both ways, and who gets his turn.

use std::cell::{Cell, RefCell};
use std::io::{Read, Seek, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_protocol::{Conn, Disconnect, Marks};

use crate::kit::{
    Count, Echo, Note, Notes, PATIENCE, Witness, connect, fill, held, is_quiet, listener, pattern,
    reactor, serve, settle, turn_until, with_plain_peer, witness,
};

#[test]
fn a_peer_feels_that_reading_is_paused() {
    let reactor = reactor();
    let (conn, notes, stream) = held(&reactor, |conn, note| {
        if let Note::Data(_) = note {
            conn.pause_reading();
        }
    });
    let mut sent = fill(&stream);
    assert!(sent > 0);
    settle(&reactor);
    let received = notes.data().len();
    assert!(received <= 64 * 1024, "one receive, and then no more: {received}");
    // The kernel's buffers may take a little more; then the peer is stuck.
    while let more @ 1.. = fill(&stream) {
        sent += more;
        settle(&reactor);
    }
    assert_eq!(notes.data().len(), received, "nothing comes while reading is paused");
    assert!(is_quiet(&reactor));

    conn.resume_reading();
    turn_until(&reactor, || {
        conn.resume_reading();
        notes.data().len() == sent
    });
    assert!(fill(&stream) > 0, "the peer can go on");
}

#[test]
fn the_end_of_a_paused_stream_waits_behind_its_bytes() {
    let reactor = reactor();
    let (conn, notes, mut stream) = held(&reactor, |conn, note| match note {
        Note::Made => conn.pause_reading(),
        Note::Eof => conn.close(),
        _ => (),
    });
    settle(&reactor);
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    settle(&reactor);
    assert_eq!(notes.all(), [Note::Made]);
    conn.resume_reading();
    turn_until(&reactor, || notes.lost().is_some());
    let words = Note::Data(b"last words".to_vec());
    assert_eq!(notes.all()[1..], [words, Note::Eof, Note::Lost(Disconnect::Closed)]);
}

#[test]
fn the_end_of_both_streams_is_quiet_while_reading_is_paused() {
    let reactor = reactor();
    let (conn, notes, mut stream) = held(&reactor, |conn, note| {
        if *note == Note::Made {
            conn.pause_reading();
            conn.close_write();
        }
    });
    settle(&reactor);
    stream.read_to_end(&mut Vec::new()).unwrap();
    stream.write_all(b"last words").unwrap();
    drop(stream);
    // Here `epoll` says again and again that the socket hung up.
    settle(&reactor);
    assert!(is_quiet(&reactor));
    assert_eq!(notes.lost(), None);
    conn.resume_reading();
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.data(), b"last words");
}

#[test]
fn a_reset_is_noticed_while_reading_is_paused() {
    let reactor = reactor();
    if reactor.driver() == "select" {
        // It is told of nothing that it does not ask for, and says so of itself.
        return;
    }
    let (_conn, notes, stream) = held(&reactor, |conn, note| {
        if *note == Note::Made {
            conn.pause_reading();
        }
    });
    settle(&reactor);
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.lost(), Some(Disconnect::Reset));
    settle(&reactor);
}

#[test]
fn a_producer_hears_of_the_marks() {
    let reactor = reactor();
    let (conn, notes, mut stream) = held(&reactor, |conn, note| {
        if *note == Note::Made {
            conn.set_marks(Marks::default().between(10_000, 100_000));
        }
    });
    // The kernel takes some of it; what is above that waits here.
    let mut written = 0;
    while !notes.has(&Note::Paused) {
        conn.write(&vec![b'x'; 50_000]);
        written += 50_000;
        settle(&reactor);
        assert_eq!(notes.has(&Note::Paused), conn.waiting() > 100_000, "{}", conn.waiting());
    }
    assert!(conn.is_writing_paused());
    let mut buffer = vec![0; 5_000];
    let mut read = 0;
    while !notes.has(&Note::Resumed) {
        assert!(conn.waiting() > 10_000 || read == 0, "the low mark was missed");
        read += stream.read(&mut buffer).unwrap();
        settle(&reactor);
    }
    assert!(conn.waiting() <= 10_000);
    conn.close();
    while notes.lost().is_none() {
        read += stream.read(&mut buffer).unwrap();
        settle(&reactor);
    }
    read += stream.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(read, written);
    assert_eq!(
        notes.all(),
        [Note::Made, Note::Paused, Note::Resumed, Note::Lost(Disconnect::Closed)]
    );
}

/// One that is over its mark with each piece, and has the next ready whenever the last has gone: it
/// gets no end of turns, and no less than it needs.
#[test]
fn a_producer_that_lives_by_the_marks_gets_through() {
    const PIECES: usize = 200;
    let reactor = reactor();
    let pieces = Count::default();
    let produced = pieces.clone();
    let (_conn, notes, mut stream) = held(&reactor, move |conn, note| {
        if *note == Note::Made {
            conn.set_marks(Marks::default().between(0, 100));
        }
        if matches!(note, Note::Made | Note::Resumed) {
            conn.write(&[b'x'; 500]);
            if produced.add() == PIECES {
                conn.close();
            }
        }
    });
    let begun = pieces.get();
    reactor.turn(PATIENCE).unwrap();
    // Small pieces have 32 rounds a turn.
    assert!(pieces.get() <= begun + 33, "{} pieces in one turn", pieces.get() - begun);
    turn_until(&reactor, || notes.lost().is_some());
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!((received.len(), pieces.get()), (500 * PIECES, PIECES));
}

#[test]
fn a_stop_does_not_pass_a_part_off_as_the_whole() {
    let reactor = reactor();
    let (conn, notes, mut stream) = held(&reactor, |_, _| ());
    let (_idle, _, mut other) = held(&reactor, |_, _| ());
    conn.write(&vec![b'x'; 8_000_000]);
    settle(&reactor);
    assert_eq!(notes.lost(), None);
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(notes.lost(), Some(Disconnect::Stopped));
    assert!(stream.read_to_end(&mut Vec::new()).is_err(), "half an answer ends in a reset");
    assert_eq!(other.read(&mut [0; 8]).unwrap(), 0, "where nothing was left, the end is an end");
}

#[test]
fn output_beyond_its_bound_ends_the_connection() {
    let reactor = reactor();
    let (conn, notes, mut stream) = held(&reactor, |conn, note| {
        if *note == Note::Made {
            conn.set_marks(Marks::default().at_most(200_000));
        }
    });
    conn.write(&vec![b'x'; 200_000]);
    settle(&reactor);
    assert_eq!(notes.lost(), None);
    conn.write(&vec![b'x'; 8_000_000]);
    turn_until(&reactor, || notes.lost().is_some());
    assert_eq!(notes.lost(), Some(Disconnect::Overflowed));
    assert!(stream.read_to_end(&mut Vec::new()).is_err(), "half an answer ends in a reset");
}

#[test]
fn files_are_sent_between_bytes_and_must_be_as_long_as_promised() {
    let folder = crate::kit::Folder::new("files");
    let content = pattern(3_000_000);
    std::fs::write(folder.path("file"), &content).unwrap();
    let mut file = std::fs::File::open(folder.path("file")).unwrap();
    file.seek(std::io::SeekFrom::Start(7)).unwrap();
    let file = Arc::new(file);
    let reactor = reactor();

    let (conn, notes, mut stream) = held(&reactor, |_, _| ());
    conn.write(b"before ");
    conn.write_file(Arc::clone(&file), 1000, 2_900_000);
    conn.write(b" after");
    conn.close();
    let reader = std::thread::Builder::new().spawn(move || {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    turn_until(&reactor, || notes.lost().is_some());
    let received = reader.unwrap().join().unwrap();
    let expected = [b"before ", &content[1000..2_901_000], b" after"].concat();
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());

    let (conn, notes, mut stream) = held(&reactor, |_, _| ());
    conn.write_file(file, 2_999_990, 11);
    conn.close();
    turn_until(&reactor, || notes.lost().is_some());
    assert!(matches!(notes.lost(), Some(Disconnect::Failed(_))), "{:?}", notes.lost());
    assert!(stream.read_to_end(&mut Vec::new()).is_err(), "half a file ends in a reset");
}

/// Law 7, counted in turns: each flooded connection gets its share of a turn, and a ping among them
/// gets through as fast as without them.
#[test]
fn a_flood_does_not_hold_up_a_ping() {
    const FLOODS: usize = 8;
    const PINGS: usize = 50;
    let reactor = reactor();
    let turn = Rc::new(Cell::new(0_usize));
    // What the kernel has received by itself is told in one turn, all of it.
    // Others receive once, in larger pieces where nobody answers.
    let share = if reactor.driver() == "io_uring" { 1 << 20 } else { 256 * 1024 };
    let floods: Vec<TcpStream> = (0..FLOODS)
        .map(|_| {
            let (now, mut last, mut received) = (Rc::clone(&turn), usize::MAX, 0);
            let (client, notes) = witness(move |_, note| {
                if let Note::Data(data) = note {
                    if std::mem::replace(&mut last, now.get()) != now.get() {
                        received = 0;
                    }
                    received += data.len();
                    assert!(received <= share, "{received} bytes in one turn");
                }
            });
            with_plain_peer(&reactor, client, &notes)
        })
        .collect();
    let (_port, echo) = serve(&reactor, || Echo);
    let pongs = Count::default();
    let counted = pongs.clone();
    let (pinger, made) = witness(move |conn, note| {
        if matches!(note, Note::Made | Note::Data(_)) {
            counted.add();
            conn.write(b"ping");
        }
    });
    connect(&reactor, echo, pinger);
    turn_until(&reactor, || made.has(&Note::Made));
    let begun = pongs.get();
    while pongs.get() < begun + PINGS {
        for flood in &floods {
            fill(flood);
        }
        turn.set(turn.get() + 1);
        reactor.turn(PATIENCE).unwrap();
    }
    // There and back are two turns at most, or three where the kernel lets an event wait.
    assert!(turn.get() <= 3 * PINGS, "{PINGS} pings took {} turns", turn.get());
}

#[test]
fn connections_that_keep_themselves_busy_leave_the_others_their_turn() {
    fn again(conn: &Conn<Witness>) {
        conn.call_later(Duration::ZERO, |_, conn| again(conn));
    }
    let reactor = reactor();
    let (conn, _, _stream) = held(&reactor, |_, _| ());
    again(&conn);
    // Two that wake one another for ever.
    let pair: Rc<RefCell<Vec<Conn<Witness>>>> = Rc::default();
    for index in 0..2 {
        let (conn, _, stream) = held(&reactor, |_, _| ());
        let others = Rc::clone(&pair);
        wake_other(&conn, &others, 1 - index);
        pair.borrow_mut().push(conn);
        std::mem::forget(stream);
    }
    let (_port, echo) = serve(&reactor, || Echo);
    let (client, notes) = witness(|conn, note| {
        if *note == Note::Made {
            conn.write(b"through");
        }
    });
    connect(&reactor, echo, client);
    let mut turns = 0;
    while notes.data() != b"through" {
        turns += 1;
        assert!(turns < 50, "the others starve");
        reactor.turn(PATIENCE).unwrap();
    }
}

fn wake_other(conn: &Conn<Witness>, all: &Rc<RefCell<Vec<Conn<Witness>>>>, other: usize) {
    let all = Rc::clone(all);
    conn.call_later(Duration::ZERO, move |_, _| {
        let next = all.borrow().get(other).cloned();
        if let Some(next) = next {
            wake_other(&next, &all, 1 - other);
        }
    });
}

/// With nothing to do the loop sleeps until somebody speaks: no descriptor is ready, no time is set.
#[test]
fn two_thousand_silent_clients_cost_no_turn() {
    const CLIENTS: usize = 2000;
    let reactor = reactor();
    let (_port, address) = serve(&reactor, || Echo);
    let all: Vec<Notes> = (0..CLIENTS)
        .map(|_| {
            let (client, notes) = listener();
            connect(&reactor, address, client);
            settle(&reactor);
            notes
        })
        .collect();
    turn_until(&reactor, || all.iter().all(|notes| notes.has(&Note::Made)));
    turn_until(&reactor, || reactor.census().connections == 2 * CLIENTS);
    settle(&reactor);
    assert!(is_quiet(&reactor));
    assert_eq!(reactor.next_deadline(), None);
    assert!(all.iter().all(|notes| notes.all() == [Note::Made]));
}
