//! AMP's descriptors against Twisted, over Unix sockets, both ways round.

mod support;

use std::io::{Read, Write, pipe};
use std::path::Path;
use std::process::Command;

use ropewalk_amp::{Amp, AmpList, Descriptor, Peer, Responders, command, record, serve};
use ropewalk_deferred::{Deferred, Failure};
use ropewalk_interop::{PATIENCE, Peer as Program, TempDir, tool};
use ropewalk_protocol::{Clock as _, seat_and_tell};
use ropewalk_reactor::{ConnectOptions, Reactor, UnixListenOptions};

use support::reactor;

command! {
    Look { file: Descriptor } -> Found { text: String };
    Hold { text: String } -> Held { file: Descriptor };
    Turn { first: Descriptor, rest: AmpList<Row>, none: Option<Descriptor>, some: Option<Descriptor> }
        -> Turned { rows: AmpList<Row> };
}

record! {
    Row { name: String, file: Descriptor }
}

/// A descriptor that holds this.
fn held(text: &str) -> Descriptor {
    let (reader, mut writer) = pipe().expect("a pipe");
    writer.write_all(text.as_bytes()).expect("it has room");
    Descriptor::new(reader)
}

/// What a descriptor holds.
fn text(file: Descriptor) -> String {
    let mut text = String::new();
    let mut file = file.into_inner().expect("it is the only one").into_file();
    file.read_to_string(&mut text).expect("it can be read");
    text
}

fn responders() -> Responders {
    Responders::new()
        .on(|look: Look| Found { text: text(look.file) })
        .on(|hold: Hold| Held { file: held(&hold.text) })
        .on(|turn: Turn| {
            assert!(turn.none.is_none());
            let mut rows = turn.rest.0;
            let named = |name: &str, file| Row { name: name.to_owned(), file };
            rows.insert(0, named("first", turn.first));
            rows.extend(turn.some.map(|file| named("some", file)));
            rows.reverse();
            Turned { rows: AmpList(rows) }
        })
}

fn twisted(what: &str, path: &Path) -> Program {
    let python = tool("twist").with_file_name("python3");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/amp_descriptors.py");
    Program::start(Command::new(python).arg(script).arg(what).arg(path)).expect("Twisted starts")
}

fn connect(reactor: &Reactor, path: &Path) -> Deferred<Peer> {
    let amp = Amp::new(Responders::new());
    let peer = amp.peer();
    let (seat, made) = seat_and_tell(amp);
    reactor.connect_unix(path, ConnectOptions::default(), seat);
    made.map(move |_| peer)
}

/// Passes everything that can be passed to the server at a path.
async fn check_all(connected: Deferred<Peer>) -> Result<(), Failure> {
    let peer = connected.await?;
    let look = |number: usize| peer.call(&Look { file: held(&number.to_string()) });
    let looks: Vec<_> = (0..40).map(look).collect();
    for (number, look) in looks.into_iter().enumerate() {
        assert_eq!(look.await?.text, number.to_string());
    }
    let long = "x".repeat(3000);
    assert_eq!(text(peer.call(&Hold { text: long.clone() }).await?.file), long);
    let row = |name: &str| Row { name: name.to_owned(), file: held(&name.to_uppercase()) };
    let rest = AmpList(vec![row("a"), row("b")]);
    let turn = Turn { first: held("1"), rest, none: None, some: Some(held("2")) };
    let rows = peer.call(&turn).await?.rows.0;
    let rows: Vec<_> = rows.into_iter().map(|row| (row.name, text(row.file))).collect();
    let wanted = [("some", "2"), ("b", "B"), ("a", "A"), ("first", "1")];
    assert_eq!(rows, wanted.map(|(name, text)| (name.to_owned(), text.to_owned())));
    Ok(())
}

#[track_caller]
fn run(reactor: &Reactor, path: &Path) {
    let task = reactor.spawn(check_all(connect(reactor, path)));
    let canceller = task.canceller();
    reactor.schedule(PATIENCE, Box::new(move || canceller.cancel()));
    reactor.run_until(task).expect("all is well");
}

fn listen(reactor: &Reactor, path: &Path) {
    let factory = Box::new(serve(responders()));
    reactor.listen_unix(path, UnixListenOptions::default(), factory).expect("it listens");
}

#[test]
fn our_client_passes_descriptors_to_twisted_and_gets_some() {
    let folder = TempDir::new("amp-descriptors").expect("a folder");
    let path = folder.path().join("socket");
    let mut server = twisted("serve", &path);
    server.line_after("listening").expect("it listens");
    run(&reactor(), &path);
}

#[test]
fn our_client_passes_descriptors_to_our_server_and_gets_some() {
    let (reactor, folder) = (reactor(), TempDir::new("amp-descriptors").expect("a folder"));
    let path = folder.path().join("socket");
    listen(&reactor, &path);
    run(&reactor, &path);
}

#[test]
fn twisted_passes_descriptors_to_our_server_and_gets_some() {
    let folder = TempDir::new("amp-descriptors").expect("a folder");
    let path = folder.path().join("socket");
    let (tell, told) = std::sync::mpsc::channel();
    let place = path.clone();
    let server = std::thread::Builder::new().spawn(move || {
        let reactor = reactor();
        listen(&reactor, &place);
        tell.send(reactor.handle()).expect("somebody waits");
        reactor.run_without_signals().expect("it runs");
    });
    let server = server.expect("a thread");
    let handle = told.recv().expect("it listens");
    twisted("call", &path).line_after("all is well").expect("it comes to its end");
    handle.stop().expect("it runs");
    server.join().expect("it ended well");
}

#[test]
fn twisted_passes_descriptors_to_itself() {
    // What fails here is the script's fault.
    let folder = TempDir::new("amp-descriptors").expect("a folder");
    let path = folder.path().join("socket");
    let mut server = twisted("serve", &path);
    server.line_after("listening").expect("it listens");
    twisted("call", &path).line_after("all is well").expect("it comes to its end");
}
