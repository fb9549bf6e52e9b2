//! The same message to many.

use ropewalk_http::{Request, Site};
use ropewalk_protocol::{Disconnect, Drain, Marks};
use ropewalk_trial::{Clock, Memory};
use ropewalk_websocket::{
    CloseCode, Compression, Group, OpCode, Options, Prepared, Slow, WebSocketResource,
};

use crate::kit::{Scribe, frames, masked, opening};

fn hall(count: usize, options: &Options, fields: &[&str]) -> (Group<Scribe>, Site, Vec<Memory>) {
    let resource = WebSocketResource::new(|_: &Request| Scribe::echoing()).options(options.clone());
    let group = resource.group();
    let site = Site::new(resource);
    let members = (0..count).map(|_| {
        let mut memory = Memory::seat(site.server(), &Clock::new());
        memory.push(&opening(fields));
        memory.take_sent();
        memory
    });
    let members = members.collect();
    (group, site, members)
}

#[test]
fn all_members_get_the_message() {
    let (group, _site, mut members) = hall(100, &Options::new(), &[]);
    assert_eq!(group.len(), 100);
    let sent = group.send(&Prepared::text("news"), Slow::Misses);
    assert_eq!((sent.to, sent.missed, sent.closed), (100, 0, 0));
    for member in &mut members {
        assert_eq!(member.take_sent(), b"\x81\x04news");
    }
    members.truncate(40);
    assert_eq!(group.len(), 40);
    assert_eq!(group.send(&Prepared::binary(b"\xFF"), Slow::Misses).to, 40);
    assert_eq!(members[0].take_sent(), b"\x82\x01\xFF");
}

#[test]
fn a_slow_member_misses_or_is_closed_or_waits() {
    for slow in [Slow::Misses, Slow::Closes, Slow::Waits] {
        let (group, _site, mut members) = hall(2, &Options::new(), &[]);
        for socket in group.members() {
            socket.set_marks(Marks::default().between(10, 100));
        }
        members[0].set_room(0);
        let message = Prepared::binary(&[0; 200]);
        assert_eq!(group.send(&message, slow).to, 2);
        members.iter_mut().for_each(Memory::run);
        let sent = group.send(&message, slow);
        members[0].set_room(u64::MAX);
        let got: Vec<_> =
            frames(&members[0].take_sent()).iter().map(|(head, _)| head.opcode).collect();
        let (expected, counts) = match slow {
            Slow::Closes => (vec![OpCode::Binary, OpCode::Close], (1, 0, 1)),
            Slow::Waits => (vec![OpCode::Binary; 2], (2, 0, 0)),
            _ => (vec![OpCode::Binary], (1, 1, 0)),
        };
        assert_eq!(got, expected);
        assert_eq!((sent.to, sent.missed, sent.closed), counts);
        assert_eq!(frames(&members[1].take_sent()).len(), 2);
    }
}

#[test]
fn a_group_that_closes_tells_when_the_last_is_gone() {
    let (group, site, mut members) = hall(3, &Options::new(), &[]);
    let mut closed = group.close(CloseCode::GOING_AWAY, "restart");
    // One who comes now is told so at once.
    let mut late = Memory::seat(site.server(), &Clock::new());
    late.push(&opening(&[]));
    let bytes = late.take_sent();
    assert!(bytes.ends_with(b"\x88\x09\x03\xE9restart"), "{}", bytes.escape_ascii());
    members.push(late);
    for member in &mut members {
        closed = closed.try_take().expect_err("some are still here");
        member.push(&masked(true, OpCode::Close, b"\x03\xE9"));
        assert_eq!(member.ended(), Some(Disconnect::Closed));
    }
    assert_eq!(closed.now_or_never().map(|done| done.is_ok()), Some(true));
    let nobody: Group<Scribe> = Group::new();
    assert!(nobody.close(CloseCode::NORMAL, "").now_or_never().is_some());
}

#[test]
fn a_server_that_drains_says_that_it_goes_away() {
    let (group, site, mut members) = hall(2, &Options::new(), &[]);
    let drained = Drain::drain(&group).try_take().expect_err("both are still here");
    for member in &mut members {
        assert_eq!(member.take_sent(), b"\x88\x02\x03\xE9");
    }
    members[0].push(&masked(true, OpCode::Close, b"\x03\xE9"));
    assert_eq!(Drain::connections(&group), 1);
    // Who does not answer is cut.
    assert_eq!(Drain::cut(&group), 1);
    members[1].run();
    assert_eq!(members[1].ended(), Some(Disconnect::Aborted));
    assert!(drained.now_or_never().is_some());
    Drain::resume(&group);
    let mut late = Memory::seat(site.server(), &Clock::new());
    late.push(&opening(&[]));
    assert!(late.take_sent().ends_with(b"\r\n\r\n"));
    assert_eq!(group.len(), 1);
}

#[test]
fn a_site_that_drains_says_so_to_its_sockets() {
    let (group, site, mut members) = hall(2, &Options::new(), &[]);
    let mut late = Memory::seat(site.server(), &Clock::new());
    assert_eq!(site.connections(), 3);
    let mut drained = site.drain();
    // One who opens only now is told at once.
    late.push(&opening(&[]));
    assert!(late.take_sent().ends_with(b"\x88\x02\x03\xE9"));
    for member in &mut members {
        assert_eq!(member.take_sent(), b"\x88\x02\x03\xE9");
    }
    for member in [&mut late, &mut members[0]] {
        drained = drained.try_take().expect_err("some are still here");
        member.push(&masked(true, OpCode::Close, b"\x03\xE9"));
        assert_eq!(member.ended(), Some(Disconnect::Closed));
    }
    assert_eq!((group.len(), site.connections()), (1, 1));
    drained = drained.try_take().expect_err("one is still here");
    assert_eq!(site.abort_all(), 1);
    members[1].run();
    assert_eq!(members[1].ended(), Some(Disconnect::Aborted));
    assert!(drained.now_or_never().is_some());
}

#[test]
fn a_prepared_message_is_compressed_once_for_all() {
    let text = "all work and no play makes jack a dull boy ".repeat(20);
    let plain = Options::new().compression(Compression::default());
    let offer = "Sec-WebSocket-Extensions: permessage-deflate";
    let (group, _site, mut members) = hall(2, &plain, &[offer]);
    let message = Prepared::text(&text);
    group.send(&message, Slow::Misses);
    group.send(&message, Slow::Misses);
    for member in &mut members {
        let sent = frames(&member.take_sent());
        assert_eq!(sent.len(), 2);
        assert!(sent[0].0.is_compressed && sent[0].1.len() < 100);
        assert_eq!(sent[0], sent[1]);
    }
    // Where connections keep contexts of their own, it goes as it is.
    let kept = Options::new().compression(Compression::default().with_context());
    let (group, _site, mut members) = hall(1, &kept, &[offer]);
    group.send(&message, Slow::Misses);
    let sent = frames(&members[0].take_sent());
    assert!(!sent[0].0.is_compressed);
    assert_eq!(sent[0].1, text.as_bytes());
}
