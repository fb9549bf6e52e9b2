//! Finger.

use std::path::Path;
use std::process::Command;

use ropewalk_deferred::Deferred;
use ropewalk_interop::{Peer, free_port, tool, wait_for_port};
use ropewalk_small::finger::{self, Directory, Query};

use crate::base::House;
use crate::kit::{asked, local, printed, run, serve, told_of_services, twisted};

/// Knows Alice, and the bell in her terminal.
struct Known;

impl Directory for Known {
    fn look_up(&self, query: &Query) -> Deferred<String> {
        let long = if query.is_verbose() { ", in the long form" } else { "" };
        Deferred::succeed(match query.user_name() {
            Some(user) => format!("\x07{user} is in{long}\n"),
            None => format!("alice\nbob{long}\n"),
        })
    }
}

fn house() -> House {
    serve(|_| finger::serve(Known))
}

#[test]
fn debians_finger_is_told() {
    let house = house();
    for (arguments, expected) in [
        (&["alice@127.0.0.1"][..], "alice is in\n"),
        (&["-l", "alice@127.0.0.1"], "alice is in, in the long form\n"),
        (&["@127.0.0.1"], "alice\nbob\n"),
        (&["-l", "@127.0.0.1"], "alice\nbob, in the long form\n"),
        (&["alice@elsewhere@127.0.0.1"], "Finger forwarding service denied\n"),
    ] {
        let services = [("finger", house.port())];
        let Some((_folder, mut finger)) = told_of_services(&services, "finger") else { return };
        let said = printed(&run(finger.args(arguments), b"")).replace('\r', "");
        assert!(said.ends_with(expected) && !said.contains('\x07'), "{arguments:?}: {said:?}");
    }
}

#[test]
fn debians_fingerd_is_asked() {
    let port = free_port().expect("a port");
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork");
    // Whoever starts such servers gives them the connection for their complaints too.
    let serve = format!("SYSTEM:exec {} 2>&1,nofork", tool("in.fingerd").display());
    let _inetd = Peer::start(Command::new(tool("socat")).args([listen, serve])).expect("socat");
    wait_for_port(local(port)).expect("it listens");
    let user = printed(&run(Command::new("id").arg("-un"), b""));
    let user = user.trim();
    let query = Query::user(user).expect("a name");
    let said = asked(port, |place| finger::ask(place, &query)).expect("an answer");
    assert!(said.contains(&format!("Login: {user}")), "{said}");
    let nobody = Query::user("nobody-of-this-name").expect("a name").verbose();
    let said = asked(port, |place| finger::ask(place, &nobody)).expect("an answer");
    assert!(said.contains("no such user"), "{said}");
}

#[test]
fn twisted_is_asked() {
    let (_peer, ports) = twisted(&["finger"]);
    let ask =
        |query: Query| asked(ports[0], move |place| finger::ask(place, &query)).expect("an answer");
    let user = |name: &str| Query::user(name).expect("a name");
    assert_eq!(ask(user("alice")), "Login: alice\nPlan: none\n");
    assert_eq!(ask(user("alice").verbose()), "Login: alice\nShell: /bin/sh\nPlan: none\n");
    assert_eq!(ask(user("bob")), "Login: bob\nNo such user\n");
    assert_eq!(ask(Query::everyone()), "Finger online list denied\n");
    let far = user("alice").via("elsewhere").expect("a host");
    assert_eq!(ask(far), "Finger forwarding service denied\n");
}

#[test]
fn twisted_is_told() {
    let house = house();
    let python = tool("twist").with_file_name("python3");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/small.py");
    for (query, expected) in [
        ("alice", "alice is in\nend\n"),
        ("/W alice", "alice is in, in the long form\nend\n"),
        ("", "alice\nbob\nend\n"),
        ("alice@elsewhere", "Finger forwarding service denied\nend\n"),
    ] {
        let mut ask = Command::new(&python);
        let said =
            printed(&run(ask.arg(&script).args(["ask", &house.port().to_string(), query]), b""));
        assert_eq!(said, expected, "{query:?}");
    }
}
