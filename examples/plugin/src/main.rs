//! The program `ropewalk` with one more of each: a kind of service, a kind of endpoint, users of their own and a
//! subcommand. All that its `main` does is to be the program; what is registered below is found by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;

use clap::{Arg, ArgAction, ArgMatches};
use ropewalk::auth::{AvatarId, Checker, LoginError, UsernamePassword, same_secret};
use ropewalk::protocol::{Address, Conn, Port, Protocol, SeatFactory, ServerEndpoint};
use ropewalk::reactor::{Reactor, TcpListenOptions};
use ropewalk::{Deferred, Failure};
use ropewalk_cli::plugin::{ServerPlace, ServiceKind, Serving, Subcommand, UserChecker, inventory};

fn main() -> ExitCode {
    ropewalk_cli::main()
}

/// Letters thirteen places further on.
fn rot13(text: &[u8]) -> Vec<u8> {
    let turn = |byte: u8, first: u8| first + (byte - first + 13) % 26;
    let one = |byte: &u8| match byte {
        b'a'..=b'z' => turn(*byte, b'a'),
        b'A'..=b'Z' => turn(*byte, b'A'),
        other => *other,
    };
    text.iter().map(one).collect()
}

/// Says back what it hears, turned; twice, if that is wanted.
struct Rot13 {
    is_twice: bool,
}

impl Protocol for Rot13 {
    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        let once = rot13(data);
        conn.write(if self.is_twice { data } else { &once });
    }
}

// `kind = "rot13"` in a configuration file, with a key of its own.
inventory::submit! {
    ServiceKind {
        name: "rot13",
        options: || {
            let twice = Arg::new("twice").long("twice").action(ArgAction::SetTrue);
            clap::Command::new("rot13").arg(twice)
        },
        make: |options: &ArgMatches, _: &Reactor| {
            let is_twice = options.get_flag("twice");
            Ok(Serving::closing(move |_: &Address| Some(Rot13 { is_twice })))
        },
    }
}

/// A port of this machine alone.
struct Here {
    reactor: Reactor,
    port: Option<u16>,
}

impl ServerEndpoint for Here {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let Some(port) = self.port else {
            return Deferred::fail(Failure::new("write here:PORT, a number"));
        };
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match self.reactor.listen_tcp(place, TcpListenOptions::default(), factory) {
            Ok(port) => Deferred::succeed(Box::new(port) as Box<dyn Port>),
            Err(error) => Deferred::fail(error),
        }
    }
}

// `--listen here:8080`.
inventory::submit! {
    ServerPlace {
        kind: "here",
        make: |reactor, name| Box::new(Here { reactor: reactor.clone(), port: name.parse().ok() }),
    }
}

/// Lets in whoever's password is their name, turned.
struct Turned;

impl Checker<UsernamePassword> for Turned {
    fn check(&self, credentials: UsernamePassword) -> Deferred<AvatarId> {
        let UsernamePassword { username, password } = credentials;
        if same_secret(&rot13(username.as_bytes()), password.as_bytes()) {
            Deferred::succeed(AvatarId::user(username))
        } else {
            Deferred::fail(LoginError::Unauthorized)
        }
    }
}

// `--auth turned:realm=…`.
inventory::submit! {
    UserChecker { kind: "turned", open: |_, _| Ok(Rc::new(Turned)) }
}

// `ropewalk-with-rot13 turn WORD`.
inventory::submit! {
    Subcommand {
        command: || {
            let word = Arg::new("word").required(true).value_name("WORD");
            clap::Command::new("turn").about("Print a word with its letters turned").arg(word)
        },
        run: |matches: &ArgMatches| {
            let word = matches.get_one::<String>("word").map(String::as_str).unwrap_or_default();
            println!("{}", String::from_utf8_lossy(&rot13(word.as_bytes())));
            Ok(ExitCode::SUCCESS)
        },
    }
}
