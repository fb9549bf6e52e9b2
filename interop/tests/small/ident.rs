//! Ident.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use ropewalk_interop::{Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_small::ident::{self, IdentError, ProcOwners, Query, Refusal};

use crate::kit::{asked, local, printed, run, serve};

/// Who runs this, as the system's own program has it.
fn user() -> String {
    printed(&run(Command::new("id").arg("-un"), b"")).trim().to_owned()
}

#[test]
fn oidentd_is_asked() {
    let port = free_port().expect("a port");
    let folder = TempDir::new("oidentd").expect("a folder");
    let rules = folder.write("rules", "default {\ndefault {\ndeny spoof\n}\n}\n").expect("a file");
    let mut oidentd = Command::new(tool("oidentd"));
    oidentd.args(["-i", "-S", "-q", "-a", "127.0.0.1", "-p", &port.to_string(), "-C"]).arg(rules);
    let _oidentd = Peer::start(&mut oidentd).expect("oidentd starts");
    wait_for_port(local(port)).expect("it listens");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("an address");
    let stream = TcpStream::connect(there).expect("a connection");
    let near = stream.local_addr().expect("an address").port();
    let query = Query::new(near, there.port()).expect("ports");
    let owner = asked(port, |place| ident::ask(place, query)).expect("an owner");
    assert_eq!((owner.name(), owner.system()), (user(), "UNIX"));

    let unused = Query::new(free_port().expect("a port"), 1).expect("ports");
    let failure = asked(port, |place| ident::ask(place, unused)).expect_err("nobody's");
    assert_eq!(failure.check::<IdentError>(), Some(&IdentError::Refused(Refusal::NoUser)));
}

#[test]
fn perls_net_ident_is_told() {
    let house = serve(|reactor| ident::serve(ProcOwners::new(reactor.clone())));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let there = listener.local_addr().expect("an address");
    // It accepts no port but that of a service by this name.
    let script = "BEGIN { my $port = shift; \
        *CORE::GLOBAL::getservbyname = sub { ('ident', '', $port, 'tcp') } } \
        use Net::Ident; use IO::Socket::INET; \
        my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => shift) or die; \
        my ($name, $system, $error) = Net::Ident::lookup($socket, 10); \
        print join '|', $name // '', $system // '', $error // '';";
    let mut perl = Command::new(tool("perl"));
    perl.args(["-e", script, &house.port().to_string(), &there.port().to_string()]);
    // It asks whose our end of its connection is, so that has to stay.
    let held = thread::Builder::new()
        .name("listener".to_owned())
        .spawn(move || listener.accept().map(|(stream, _)| stream))
        .expect("a thread");
    let said = printed(&run(&mut perl, b""));
    held.join().expect("a thread").expect("it connected");
    assert_eq!(said, format!("{}|UNIX|", user()));
}
