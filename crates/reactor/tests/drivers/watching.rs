//! Descriptors of others (statement 49 of Twisted's).
//!
//! Differs from Twisted: a watch is a handle, so nobody removes what another has added, and what was
//! registered twice is told twice.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_reactor::{DriverKind, Reactor, Watch, WatchEnd};
use rustix::event::{EventfdFlags, eventfd};

use crate::kit::{
    Echo, Seen, Witness, come_to_rest, connect, descriptors, listen, now, on_each_driver, reactor,
    turn_until,
};

on_each_driver! {
    a_reader_is_told_while_there_is_something,
    a_writer_is_told_while_there_is_room,
    one_descriptor_can_be_watched_for_both,
    counters_and_sockets_are_watched_as_pipes_are,
    a_paused_watch_says_nothing,
    a_paused_watch_is_not_busy_with_what_hung_up,
    the_other_end_going_is_something_to_read,
    what_is_always_ready_is_told_in_every_turn,
    a_descriptor_closed_by_its_owner_is_reported,
    a_number_that_is_another_file_now_is_reported,
    a_watch_ends_with_its_handle_while_the_descriptor_lives_on,
    watches_change_while_they_are_told,
    one_that_panics_ends_alone,
    watches_end_with_the_reactor,
}

mod counted {
    crate::kit::on_each_driver! { alone nothing_is_left_of_a_watch }

    use super::nothing_is_left_of_a_watch;
}

/// What a watch was told.
#[derive(Default)]
struct Told {
    ready: Cell<usize>,
    ends: RefCell<Vec<String>>,
}

impl Told {
    fn ready(&self) -> usize {
        self.ready.get()
    }

    fn ends(&self) -> Vec<String> {
        self.ends.borrow().clone()
    }
}

/// Counts what it is told, and reads a byte each time if it is told to.
fn reader(reactor: &Reactor, pipe: &PipeReader, reads: bool) -> (Watch, Rc<Told>) {
    let (told, mut own) = (Rc::new(Told::default()), pipe.try_clone().unwrap());
    let tells = Rc::clone(&told);
    let watch = reactor.add_reader(pipe, move |ready| match ready {
        Ok(()) => {
            tells.ready.set(tells.ready.get() + 1);
            if reads {
                let _ = own.read(&mut [0]).unwrap();
            }
        }
        Err(end) => tells.ends.borrow_mut().push(format!("{end:?}")),
    });
    (watch.unwrap(), told)
}

fn writer(reactor: &Reactor, descriptor: &impl AsFd) -> (Watch, Rc<Told>) {
    let told = Rc::new(Told::default());
    let tells = Rc::clone(&told);
    let watch = reactor.add_writer(descriptor, move |ready| match ready {
        Ok(()) => tells.ready.set(tells.ready.get() + 1),
        Err(end) => tells.ends.borrow_mut().push(format!("{end:?}")),
    });
    (watch.unwrap(), told)
}

fn a_reader_is_told_while_there_is_something(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, mut input) = pipe().unwrap();
    let (watch, told) = reader(&reactor, &pipe, true);
    assert_eq!(told.ready(), 0, "nobody is told during the call");
    come_to_rest(&reactor);
    assert_eq!(told.ready(), 0);
    input.write_all(b"five!").unwrap();
    // One byte is read each time, so it is told of the others again.
    turn_until(&reactor, || told.ready() == 5);
    come_to_rest(&reactor);
    assert_eq!(told.ready(), 5);
    assert!(watch.is_active());
    assert_eq!(reactor.census().watches, 1);
}

fn a_writer_is_told_while_there_is_room(kind: DriverKind) {
    let reactor = reactor(kind);
    let (here, mut there) = UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    let (_watch, told) = writer(&reactor, &here);
    turn_until(&reactor, || told.ready() >= 2);
    let mut written = 0;
    while let Ok(count) = (&here).write(&[0; 4096]) {
        written += count;
    }
    come_to_rest(&reactor);
    let full = told.ready();
    come_to_rest(&reactor);
    assert_eq!(told.ready(), full, "there is no room");
    there.read_exact(&mut vec![0; written]).unwrap();
    turn_until(&reactor, || told.ready() > full);
}

fn one_descriptor_can_be_watched_for_both(kind: DriverKind) {
    let reactor = reactor(kind);
    let (here, mut there) = UnixStream::pair().unwrap();
    let (out, written) = writer(&reactor, &here);
    let read = Rc::new(Cell::new(0));
    let (reads, mut own) = (Rc::clone(&read), here.try_clone().unwrap());
    let _in = reactor.add_reader(&here, move |ready| {
        ready.unwrap();
        reads.set(reads.get() + own.read(&mut [0; 64]).unwrap());
    });
    turn_until(&reactor, || written.ready() > 0);
    assert_eq!(read.get(), 0);
    drop(out);
    let before = written.ready();
    there.write_all(b"one way").unwrap();
    turn_until(&reactor, || read.get() == 7);
    assert_eq!(written.ready(), before);
}

fn counters_and_sockets_are_watched_as_pipes_are(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let counter = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let told = Rc::new(RefCell::new(Vec::new()));
    let kept = counter.try_clone().unwrap();
    let kept_stream = stream.try_clone().unwrap();
    let hears = Rc::clone(&told);
    let own = counter.try_clone().unwrap();
    let _counter = reactor.add_reader(&kept, move |ready| {
        ready.unwrap();
        rustix::io::read(&own, &mut [0; 8]).unwrap();
        hears.borrow_mut().push(("counter", true));
    });
    let (hears, own) = (Rc::clone(&told), stream.try_clone().unwrap());
    let _stream = reactor.add_reader(&kept_stream, move |ready| {
        ready.unwrap();
        let _ = (&own).read(&mut [0; 64]).unwrap();
        hears.borrow_mut().push(("socket", true));
    });
    come_to_rest(&reactor);
    assert_eq!(*told.borrow(), []);
    rustix::io::write(&counter, &1_u64.to_ne_bytes()).unwrap();
    turn_until(&reactor, || *told.borrow() == [("counter", true)]);
    (&stream).write_all(b"echo").unwrap();
    turn_until(&reactor, || told.borrow().last() == Some(&("socket", true)));
}

fn a_paused_watch_says_nothing(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, mut input) = pipe().unwrap();
    let (watch, told) = reader(&reactor, &pipe, true);
    watch.pause();
    input.write_all(b"ab").unwrap();
    come_to_rest(&reactor);
    assert_eq!(told.ready(), 0);
    watch.resume();
    turn_until(&reactor, || told.ready() == 2);
    // Whatever is asked last counts.
    for _ in 0..5 {
        watch.pause();
        watch.resume();
        watch.pause();
        input.write_all(b"c").unwrap();
        come_to_rest(&reactor);
        assert_eq!(told.ready(), 2);
    }
    watch.resume();
    watch.resume();
    turn_until(&reactor, || told.ready() == 7);
    assert!(watch.is_active());
}

/// How many turns are made within a tenth of a second in which nothing is to be done.
fn turns_for_nothing(reactor: &Reactor) -> usize {
    come_to_rest(reactor);
    let (began, mut turns) = (now(), 0);
    while began.elapsed() < Duration::from_millis(100) {
        reactor.turn(Duration::from_millis(100)).unwrap();
        turns += 1;
    }
    turns
}

fn a_paused_watch_is_not_busy_with_what_hung_up(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, input) = pipe().unwrap();
    let (watch, told) = reader(&reactor, &pipe, false);
    come_to_rest(&reactor);
    watch.pause();
    drop(input);
    assert!(turns_for_nothing(&reactor) <= 3, "it turns for a watch that is paused");
    assert_eq!(told.ready(), 0);
    watch.resume();
    turn_until(&reactor, || told.ready() > 0);
}

fn the_other_end_going_is_something_to_read(kind: DriverKind) {
    let reactor = reactor(kind);
    let (reading, writing) = (pipe().unwrap(), pipe().unwrap());
    let (_reader, read) = reader(&reactor, &reading.0, false);
    let (_writer, written) = writer(&reactor, &writing.1);
    turn_until(&reactor, || written.ready() > 0);
    assert_eq!(read.ready(), 0);
    drop((reading.1, writing.0));
    let before = written.ready();
    turn_until(&reactor, || read.ready() > 0 && written.ready() > before);
    assert_eq!(rustix::io::read(&reading.0, &mut [0; 8]), Ok(0));
    assert_eq!((read.ends().len(), written.ends().len()), (0, 0));
}

fn what_is_always_ready_is_told_in_every_turn(kind: DriverKind) {
    let reactor = reactor(kind);
    let path = std::env::temp_dir().join(format!("ropewalk-always-{}-{kind}", std::process::id()));
    let file = File::create(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let null = File::open("/dev/null").unwrap();
    let told: Vec<Rc<Cell<usize>>> = (0..2).map(|_| Rc::default()).collect();
    let count = |index: usize| {
        let told = Rc::clone(&told[index]);
        move |ready: Result<(), WatchEnd>| {
            ready.unwrap();
            told.set(told.get() + 1);
        }
    };
    let watches = [
        reactor.add_writer(&file, count(0)).unwrap(),
        reactor.add_reader(&null, count(1)).unwrap(),
    ];
    reactor.turn(Duration::ZERO).unwrap();
    for turn in 1..=20 {
        let before: Vec<usize> = told.iter().map(|told| told.get()).collect();
        reactor.turn(Duration::from_secs(10)).unwrap();
        let after: Vec<usize> = told.iter().map(|told| told.get()).collect();
        let each = before.iter().zip(&after).all(|(before, after)| after - before <= 1);
        assert!(each, "turn {turn}: {before:?} {after:?}");
    }
    // With io_uring it may take a turn to hear of each.
    assert!(told.iter().all(|told| told.get() >= 10), "{told:?}");
    watches.iter().for_each(Watch::pause);
    assert!(turns_for_nothing(&reactor) <= 3);
    watches.iter().for_each(Watch::resume);
    let before = told[0].get();
    turn_until(&reactor, || told[0].get() > before + 2);
    drop(watches);
    assert!(turns_for_nothing(&reactor) <= 3);
    assert_eq!(reactor.census().watches, 0);
}

fn a_descriptor_closed_by_its_owner_is_reported(kind: DriverKind) {
    let reactor = reactor(kind);
    let (_port, address) = listen(&reactor, || Echo);
    let (pipe, mut input) = pipe().unwrap();
    let told = Rc::new(Told::default());
    let tells = Rc::clone(&told);
    let watch = reactor
        .add_reader(&pipe, move |ready| match ready {
            Ok(()) => tells.ready.set(tells.ready.get() + 1),
            Err(end) => tells.ends.borrow_mut().push(format!("{end:?}")),
        })
        .unwrap();
    come_to_rest(&reactor);
    drop(pipe);
    // Whoever gets the number next is none the wiser.
    let seen: Vec<Rc<Seen>> = (0..5).map(|_| Rc::default()).collect();
    for seen in &seen {
        connect(&reactor, address, Witness { greeting: vec![b'x'; 100], ..Witness::new(seen) });
    }
    input.write_all(b"nobody reads this").unwrap();
    turn_until(&reactor, || told.ends() == ["Closed"] && seen.iter().all(|s| s.count() == 100));
    assert_eq!(told.ready(), 0);
    assert!(!watch.is_active());
    // The other end hears of it now, and what is left of the watch does nothing.
    assert!(input.write_all(b"anything").is_err());
    watch.pause();
    watch.resume();
    drop(watch);
    for seen in &seen {
        seen.conn().write(b"more");
    }
    turn_until(&reactor, || seen.iter().all(|seen| seen.count() == 104));
}

fn a_number_that_is_another_file_now_is_reported(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, mut input) = pipe().unwrap();
    let mut descriptor = OwnedFd::from(pipe);
    let ends = Rc::new(RefCell::new(Vec::new()));
    let told = Rc::clone(&ends);
    let _watch = reactor.add_reader(&descriptor, move |ready| {
        told.borrow_mut().push(matches!(ready, Err(WatchEnd::Closed)));
    });
    come_to_rest(&reactor);
    let (other, _end) = UnixStream::pair().unwrap();
    rustix::io::dup2(&other, &mut descriptor).unwrap();
    input.write_all(b"for whoever was there before").unwrap();
    turn_until(&reactor, || *ends.borrow() == [true]);
    come_to_rest(&reactor);
    assert_eq!(ends.borrow().len(), 1);
}

/// The system goes on telling of a file that is open elsewhere too, unless it is told not to.
fn a_watch_ends_with_its_handle_while_the_descriptor_lives_on(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, mut input) = pipe().unwrap();
    input.write_all(b"unread").unwrap();
    for _ in 0..3 {
        let (watch, told) = reader(&reactor, &pipe, false);
        turn_until(&reactor, || told.ready() > 0);
        drop(watch);
        let before = told.ready();
        assert!(turns_for_nothing(&reactor) <= 3, "it turns for a watch that is gone");
        assert_eq!(told.ready(), before);
        assert_eq!((told.ends().len(), reactor.census().watches), (0, 0));
    }
}

fn watches_change_while_they_are_told(kind: DriverKind) {
    let reactor = reactor(kind);
    let pipes: Rc<Vec<_>> = Rc::new((0..4).map(|_| pipe().unwrap()).collect());
    let slots: Rc<RefCell<Vec<Watch>>> = Rc::default();
    let told: Rc<RefCell<Vec<usize>>> = Rc::default();
    for (index, (end, _)) in pipes.iter().enumerate() {
        let (others, tells, all) = (Rc::clone(&slots), Rc::clone(&told), Rc::clone(&pipes));
        let inner = reactor.clone();
        let watch = reactor.add_reader(end, move |ready| {
            ready.unwrap();
            tells.borrow_mut().push(index);
            // Drops itself and the others, and begins anew with one that only counts.
            let dropped = std::mem::take(&mut *others.borrow_mut());
            drop(dropped);
            let tells = Rc::clone(&tells);
            let tell = move |ready: Result<(), WatchEnd>| {
                ready.unwrap();
                tells.borrow_mut().push(100 + index);
            };
            let again = inner.add_reader(&all[index].0, tell);
            others.borrow_mut().push(again.unwrap());
        });
        slots.borrow_mut().push(watch.unwrap());
    }
    for (_, input) in &*pipes {
        let mut input = input.try_clone().unwrap();
        input.write_all(b"x").unwrap();
    }
    turn_until(&reactor, || told.borrow().len() >= 5);
    let told = told.borrow().clone();
    assert!(told[0] < 4 && told[1..].iter().all(|other| *other == 100 + told[0]), "{told:?}");
    assert_eq!(reactor.census().watches, 1);
    slots.borrow_mut().clear();
    assert_eq!(reactor.census().watches, 0);
}

fn one_that_panics_ends_alone(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, mut input) = pipe().unwrap();
    let broken = reactor.add_reader(&pipe, |_| panic!("on purpose")).unwrap();
    let (whole, told) = reader(&reactor, &pipe, false);
    input.write_all(b"x").unwrap();
    turn_until(&reactor, || told.ready() > 3);
    assert!(!broken.is_active() && whole.is_active());
}

fn watches_end_with_the_reactor(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, _input) = pipe().unwrap();
    let (watch, told) = reader(&reactor, &pipe, true);
    let file = File::open("/proc/self/exe").unwrap();
    let always = reactor.add_reader(&file, |_| ()).unwrap();
    reactor.turn(Duration::ZERO).unwrap();
    reactor.stop();
    reactor.run_without_signals().unwrap();
    assert_eq!(told.ends(), ["Stopped"]);
    assert!(!watch.is_active() && !always.is_active());
    assert_eq!(reactor.census().watches, 0);
    // It can be used again, and outlived.
    let (later, _) = reader(&reactor, &pipe, true);
    drop(reactor);
    assert!(!later.is_active());
    later.pause();
    drop((watch, later));
}

fn nothing_is_left_of_a_watch(kind: DriverKind) {
    let reactor = reactor(kind);
    let (pipe, mut input) = pipe().unwrap();
    come_to_rest(&reactor);
    let (before, operations) = (descriptors(), reactor.operations());
    for round in 0..50 {
        let (read, told) = reader(&reactor, &pipe, true);
        let (_write, room) = writer(&reactor, &input);
        if round % 3 > 0 {
            input.write_all(b"x").unwrap();
            turn_until(&reactor, || told.ready() > 0 && room.ready() > 0);
        }
        if round % 2 > 0 {
            read.pause();
        }
    }
    come_to_rest(&reactor);
    assert_eq!((descriptors(), reactor.operations()), (before, operations));
    assert_eq!(reactor.census().watches, 0);
}
