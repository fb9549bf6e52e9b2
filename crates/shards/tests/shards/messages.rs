//! What shards and other threads send each other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::Duration;

use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_shards::{Mailbox, Shards, Unsent};

use crate::kit::{PATIENCE, all_of, any_driver, on_each_driver};

on_each_driver! {
    each_hears_all_that_was_sent_in_order,
    what_was_sent_before_anybody_looks_waits,
    any_number_of_messages_is_one_turn,
}

/// How many messages each sends to the next.
const MANY: u32 = 2_000;

fn each_hears_all_that_was_sent_in_order(kind: DriverKind) {
    let (done, told) = channel();
    let shards = Shards::new(3).driver(kind).signals(false).messages::<u32>(MANY as usize + 2);
    let handle = shards.handle();
    let running = std::thread::Builder::new()
        .spawn(move || {
            shards.run(|shard| {
                let (here, done) = (shard.clone(), done.clone());
                let mut next = 0;
                shard.on_message(move |from, number| {
                    assert_eq!(from, (here.index() + 2) % 3);
                    assert_eq!(number, next, "out of order");
                    next += 1;
                    if next == MANY {
                        done.send(here.index()).unwrap();
                    }
                });
                for number in 0..MANY {
                    shard.send((shard.index() + 1) % 3, number)?;
                }
                Ok(())
            })
        })
        .unwrap();
    let mut heard = all_of(&told, 3);
    heard.sort_unstable();
    assert_eq!(heard, [0, 1, 2]);
    handle.stop();
    running.join().unwrap().unwrap();
}

fn what_was_sent_before_anybody_looks_waits(kind: DriverKind) {
    let reactor = Reactor::with_driver(kind).unwrap();
    let mailbox = Mailbox::new(3);
    for word in ["one", "two", "three"] {
        mailbox.send(word).unwrap();
    }
    let refused = mailbox.send("four").unwrap_err();
    assert_eq!((refused.message, refused.why), ("four", Unsent::Full(3)));
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hears = Rc::clone(&heard);
    mailbox.deliver(&reactor, move |word| hears.borrow_mut().push(word));
    reactor.turn(Duration::ZERO).unwrap();
    assert_eq!(*heard.borrow(), ["one", "two", "three"]);
    mailbox.send("four").unwrap();
    reactor.turn(PATIENCE).unwrap();
    assert_eq!(*heard.borrow(), ["one", "two", "three", "four"]);
}

fn any_number_of_messages_is_one_turn(kind: DriverKind) {
    let reactor = Reactor::with_driver(kind).unwrap();
    let mailbox = Mailbox::new(1_000);
    let heard = Rc::new(RefCell::new(0));
    let hears = Rc::clone(&heard);
    mailbox.deliver(&reactor, move |_: u32| *hears.borrow_mut() += 1);
    reactor.turn(Duration::ZERO).unwrap();
    let sender = mailbox.clone();
    let sending = std::thread::Builder::new()
        .spawn(move || (0..1_000).for_each(|number| sender.send(number).unwrap()))
        .unwrap();
    sending.join().unwrap();
    reactor.turn(PATIENCE).unwrap();
    assert_eq!(*heard.borrow(), 1_000);
}

#[test]
fn who_panics_at_one_message_hears_the_next() {
    let reactor = Reactor::with_driver(any_driver()).unwrap();
    let mailbox = Mailbox::new(8);
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hears = Rc::clone(&heard);
    mailbox.deliver(&reactor, move |number: u32| {
        assert!(number != 1, "one is too much");
        hears.borrow_mut().push(number);
    });
    (0..3).for_each(|number| mailbox.send(number).unwrap());
    reactor.turn(Duration::ZERO).unwrap();
    assert_eq!(*heard.borrow(), [0, 2]);
}

#[test]
fn a_closed_mailbox_gives_messages_back() {
    let mailbox = Mailbox::new(8);
    mailbox.send("kept").unwrap();
    assert_eq!(mailbox.close(), ["kept"]);
    let refused = mailbox.send("late").unwrap_err();
    assert_eq!((refused.message, refused.why), ("late", Unsent::Closed));
}

#[test]
fn who_has_ended_takes_no_messages() {
    let (sender, told) = channel();
    let shards = Shards::new(2).driver(any_driver()).signals(false).messages::<()>(1);
    shards
        .run(|shard| {
            if shard.index() == 0 {
                let here = shard.clone();
                let sender = sender.clone();
                shard.reactor().before_stop(move || {
                    let full = here.send(0, ()).and_then(|()| here.send(0, ()));
                    sender.send(full.unwrap_err().why).unwrap();
                    ropewalk_deferred::Deferred::succeed(())
                });
                shard.reactor().stop();
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(told.recv().unwrap(), Unsent::Full(1));
}
