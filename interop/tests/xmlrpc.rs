//! XML-RPC with Python's own library and with Twisted, both ways round.

#[path = "support/house.rs"]
mod house;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use house::{House, run};
use ropewalk::Failure;
use ropewalk::http::{self, Site};
use ropewalk::protocol::sleep;
use ropewalk::xmlrpc::{Client, DateTime, Fault, Methods, Value};
use ropewalk_interop::{Peer, python_folder};
use support::reactor;

fn script(arguments: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/remote_calls.py");
    let mut command = Command::new(python_folder().join("bin/python3"));
    command.arg(script).args(arguments);
    command
}

#[test]
fn python_and_twisted_call_our_methods() {
    let house = House::start("tcp:0:interface=127.0.0.1", |reactor| {
        let clock = reactor.clone();
        let methods = Methods::new()
            .method_with("echo", "answers what it is told", &[&["array"]], |params: Vec<Value>| {
                params
            })
            .method("later", move |_| {
                sleep(&clock, Duration::from_millis(50)).map(|()| Value::from("at last"))
            })
            .method("fault", |_| Err::<Value, _>(Fault::new(7, "as you wish")))
            .method("fail", |_| Err::<Value, _>(Failure::new("it is nobody's business")));
        Site::new(methods)
    });
    let url = format!("http://127.0.0.1:{}/RPC2", house.port());
    for client in ["client-python", "client-twisted"] {
        let output = run(&mut script(&[client, &url]), b"").expect("Python runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"done\n", "{client}: {told}");
    }
    assert!(house.address.ip().is_loopback());
}

#[test]
fn python_and_twisted_answer_our_calls() {
    for server in ["server-python", "server-twisted"] {
        let mut peer = Peer::start(&mut script(&[server])).expect("Python starts");
        let port = peer.line_after("port ").expect("a port");
        let reactor = reactor();
        let client =
            Client::new(&http::agent(&reactor).build(), format!("http://127.0.0.1:{port}/RPC2"));
        let call = |method: &str, params: &[Value]| {
            reactor.run_until(client.call(method, params.to_vec()))
        };
        let time = DateTime { year: 1998, month: 7, day: 17, hour: 14, minute: 8, second: 55 };
        let values: Vec<Value> = vec![
            1.into(),
            i32::MIN.into(),
            true.into(),
            "text & <markup> näh ☃\n".into(),
            "".into(),
            2.5.into(),
            ().into(),
            time.into(),
            vec![1.into(), vec!["two".into()].into()].into(),
            Value::of([("a", Value::of([("b", vec![Value::Nil])]))]),
            // A long one comes back in the shortest type that has room for it.
            Value::Long(5),
        ];
        let echoed = call("echo", &values).expect("an answer");
        let echoed = echoed.as_array().expect("an array");
        assert_eq!(echoed[..10], values[..10], "{server}");
        assert_eq!(echoed[10].as_integer(), Some(5), "{server}");
        let bytes = [Value::Bytes(bytes::Bytes::from_static(b"\0bytes\xff"))];
        let echoed = call("echo", &bytes).expect("an answer");
        assert_eq!(echoed, Value::Array(bytes.to_vec()), "{server}");
        let failure = call("fault", &[]).expect_err("it fails");
        assert_eq!(failure.check(), Some(&Fault::new(7, "as you wish")), "{server}");
        let failure = call("nothing", &[]).expect_err("it fails");
        assert!(failure.check::<Fault>().is_some(), "{server}: {failure:?}");
        let names = call("system.listMethods", &[]).expect("an answer");
        assert!(names.as_array().is_some_and(|names| names.contains(&"echo".into())), "{server}");
        if server == "server-twisted" {
            assert_eq!(call("later", &[]).expect("an answer"), "at last".into());
        }
    }
}
