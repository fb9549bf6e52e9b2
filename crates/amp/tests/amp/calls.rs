//! Calls that go well, or are given up by their caller.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_amp::{Amp, AmpList, CallError, Decimal, Peer, Responders, command, record, serve};
use ropewalk_deferred::{Cancelled, from_future};
use ropewalk_protocol::{Address, Disconnect, Factory};
use ropewalk_trial::{Side, Wire};

use crate::common::{
    Desk, Note, Sum, Total, Wait, boxes, client, error, fields, join, only_box, server, value,
    wire_box,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn answers_come_in_any_order_each_to_its_own_call() {
    for size in [1, 2, 7, 4096] {
        let (peer, desk, wire) = join();
        let mut wire = wire.in_chunks_of(size);
        let names: Vec<_> = (0..100).map(|number| format!("call {number}")).collect();
        let waiting: Vec<_> =
            names.iter().map(|name| peer.call(&Wait { name: name.clone() })).collect();
        wire.run();
        assert_eq!(desk.waiting(), 100);
        for name in names.iter().rev() {
            desk.answer(name);
        }
        wire.run();
        for (name, answer) in names.iter().zip(waiting) {
            assert_eq!(value(answer).name, *name);
        }
    }
}

#[test]
fn quick_calls_overtake_slow_ones() {
    let (peer, desk, mut wire) = join();
    let slow = peer.call(&Wait { name: "slow".to_owned() });
    let quick = peer.call(&Sum { a: 1, b: 2 });
    wire.run();
    assert_eq!(value(quick).total, 3);
    desk.answer("slow");
    wire.run();
    assert_eq!(value(slow).name, "slow");
}

#[test]
fn both_sides_may_call_and_a_responder_may_call_back() {
    command! {
        Twice { number: i64 } -> Doubled { double: i64 };
    }
    let asking = Responders::new().on(|sum: Sum| Total { total: sum.a + sum.b });
    let answering = Responders::new().on_with_peer(|twice: Twice, peer: &Peer| {
        let sum = peer.call(&Sum { a: twice.number, b: twice.number });
        sum.map(|sum| Doubled { double: sum.total })
    });
    let client = Amp::new(asking);
    let peer = client.peer();
    let mut wire = Wire::join(client, Amp::new(answering)).in_chunks_of(3);
    let doubled = peer.call(&Twice { number: 21 });
    wire.run();
    assert_eq!(value(doubled).double, 42);
}

#[test]
fn calls_from_within_an_answer_are_sent() {
    let (peer, _, mut wire) = join();
    let again = peer.clone();
    let first = peer.call(&Sum { a: 1, b: 2 });
    let second = first.add_callback(move |first| again.call(&Sum { a: first.total, b: 10 }));
    wire.run();
    assert_eq!(value(second).total, 13);
}

#[test]
fn responders_may_be_async() {
    let responders = Responders::new().on(|sum: Sum| {
        let (answer, driver) =
            from_future(async move { Ok::<_, CallError>(Total { total: sum.a * sum.b }) });
        let mut driver = Box::pin(driver);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(driver.as_mut().poll(&mut cx).is_ready());
        answer
    });
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let product = peer.call(&Sum { a: 6, b: 7 });
    Wire::join(client, Amp::new(responders)).run();
    assert_eq!(value(product).total, 42);
}

#[test]
fn any_argument_name_works() {
    record! { Row { x: i32 } }
    command! {
        Odd as "odd name" {
            f: i64,
            r#type: String,
            dashed as "a-b": Option<bool>,
            selfish as "self": Decimal,
            key: AmpList<Row>,
            fields: Vec<u16>,
            writer: f64,
        } -> OddAnswer { f: i64, args: Vec<String> };
    }
    let responders = Responders::new().on(|odd: Odd| OddAnswer {
        f: odd.f,
        args: vec![odd.r#type, format!("{:?}", odd.dashed), odd.selfish.to_string()],
    });
    let client = Amp::new(Responders::new());
    let peer = client.peer();
    let call = Odd {
        f: 1,
        r#type: "t".to_owned(),
        dashed: Some(true),
        selfish: Decimal::from(2),
        key: AmpList(vec![Row { x: 1 }]),
        fields: vec![1, 2],
        writer: 0.5,
    };
    let answer = peer.call(&call);
    let mut wire = Wire::join(client, Amp::new(responders));
    wire.run();
    assert_eq!(value(answer).args, ["t", "Some(true)", "2"]);
    let sent = boxes(wire.sent_by(Side::Client));
    let keys: Vec<_> = sent[0].iter().map(|(key, _)| key.escape_ascii().to_string()).collect();
    assert_eq!(keys, ["_ask", "_command", "a-b", "f", "fields", "key", "self", "type", "writer"]);
}

#[test]
fn absent_arguments_are_not_sent() {
    command! { Perhaps { a: Option<i64>, b: Option<i64> } -> (); }
    let (mut memory, peer) = client();
    peer.call(&Perhaps { a: None, b: Some(1) }).detach();
    let expected = fields(&[("_ask", "1"), ("_command", "Perhaps"), ("b", "1")]);
    assert_eq!(only_box(&memory.take_sent()), expected);
}

#[test]
fn told_commands_consume_a_number_and_get_no_answer() {
    let (mut memory, peer) = client();
    peer.tell(&Note { text: "hello".to_owned() }).unwrap();
    assert_eq!(only_box(&memory.take_sent()), fields(&[("_command", "Note"), ("text", "hello")]));
    peer.call(&Sum { a: 1, b: 2 }).detach();
    assert_eq!(only_box(&memory.take_sent())[0].1, "2");

    let (peer, desk, mut wire) = join();
    peer.tell(&Note { text: "hello".to_owned() }).unwrap();
    peer.tell(&Sum { a: 1, b: 2 }).unwrap();
    wire.run();
    assert_eq!(desk.notes(), ["hello"]);
    assert_eq!(wire.sent_by(Side::Server), b"");
    assert_eq!(wire.ended(Side::Server), None);
}

#[test]
fn who_asks_for_an_answer_to_a_note_gets_an_empty_one() {
    let (mut memory, desk) = server();
    memory.push(&wire_box(&[("_ask", "a tag"), ("_command", "Note"), ("text", "x")]));
    assert_eq!(only_box(&memory.take_sent()), fields(&[("_answer", "a tag")]));
    assert_eq!(desk.notes(), ["x"]);
}

#[test]
fn calls_wait_for_the_connection() {
    let amp = Amp::new(Responders::new());
    let peer = amp.peer();
    assert!(peer.conn().is_none());
    let sum = peer.call(&Sum { a: 1, b: 2 });
    let mut wire = Wire::join(amp, Amp::new(Desk::default().responders()));
    wire.run();
    assert_eq!(value(sum).total, 3);
    assert!(peer.conn().is_some());
}

#[test]
fn calls_run_out_of_time_to_the_second() {
    let (peer, desk, mut wire) = join();
    let wait = |seconds: u64| {
        peer.call_within(SECOND * seconds as u32, &Wait { name: seconds.to_string() })
    };
    let (three, one, two) = (wait(3), wait(1), wait(2));
    let ever = peer.call(&Wait { name: "ever".to_owned() });
    wire.advance(Duration::from_millis(999));
    let one = one.try_take().expect_err("there is time left");
    wire.advance(Duration::from_millis(1));
    assert_eq!(error::<_, CallError>(one), CallError::TimedOut);
    desk.answer("2");
    wire.run();
    assert_eq!(value(two).name, "2");
    wire.advance(SECOND * 2);
    assert_eq!(error::<_, CallError>(three), CallError::TimedOut);

    // Answers that come too late are dropped, and the connection goes on.
    desk.answer("1");
    desk.answer("3");
    wire.advance(SECOND * 1000);
    desk.answer("ever");
    wire.run();
    assert_eq!(value(ever).name, "ever");
    assert_eq!(wire.ended(Side::Client), None);
}

#[test]
fn time_limits_of_early_calls_count_from_the_connection() {
    let desk = Desk::default();
    let amp = Amp::new(Responders::new());
    let peer = amp.peer();
    let wait = peer.call_within(SECOND, &Wait { name: "early".to_owned() });
    let mut wire = Wire::join(amp, Amp::new(desk.responders()));
    wire.advance(Duration::from_millis(999));
    assert_eq!(desk.waiting(), 1);
    let wait = wait.try_take().expect_err("there is time left");
    wire.advance(Duration::from_millis(1));
    assert_eq!(error::<_, CallError>(wait), CallError::TimedOut);
}

#[test]
fn cancelled_calls_are_let_go_of() {
    let (peer, desk, mut wire) = join();
    let gone = peer.call(&Wait { name: "gone".to_owned() });
    let timed = peer.call_within(SECOND, &Wait { name: "timed".to_owned() });
    let other = peer.call(&Wait { name: "other".to_owned() });
    wire.run();
    gone.cancel();
    timed.cancel();
    assert_eq!(error::<_, Cancelled>(gone), Cancelled);
    assert_eq!(error::<_, Cancelled>(timed), Cancelled);
    for name in ["gone", "timed", "other"] {
        desk.answer(name);
    }
    wire.advance(SECOND * 2);
    assert_eq!(value(other).name, "other");
    assert_eq!(wire.ended(Side::Client), None);
}

#[test]
fn a_server_has_one_side_for_each_connection() {
    let mut count = 0;
    command! { Count {} -> Counted { count: u64 }; }
    let mut factory = serve(Responders::new().on(move |_: Count| {
        count += 1;
        Counted { count }
    }));
    for expected in 1..4 {
        let server = factory.build(&Address::Unnamed).expect("all are welcome");
        let client = Amp::new(Responders::new());
        let counted = client.peer().call(&Count {});
        Wire::join(client, server).run();
        assert_eq!(value(counted).count, expected);
    }
}

#[test]
fn the_owner_is_told_of_the_beginning_and_the_end() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let (made, lost) = (Rc::clone(&told), Rc::clone(&told));
    let greeted = Desk::default();
    let server = Amp::new(Responders::new())
        .when_made(move |peer| {
            made.borrow_mut().push("made".to_owned());
            peer.tell(&Note { text: "welcome".to_owned() }).expect("it can be sent");
        })
        .when_lost(move |why| lost.borrow_mut().push(why.to_string()));
    let mut wire = Wire::join(Amp::new(greeted.responders()), server);
    wire.run();
    assert_eq!(greeted.notes(), ["welcome"]);
    wire.cut();
    assert_eq!(*told.borrow(), ["made".to_owned(), Disconnect::Reset.to_string()]);
}
