//! `ropewalk inetd`: programs that know nothing of networks.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Args;
use ropewalk::endpoint::ServerDescription;
use ropewalk::protocol::Address;
use ropewalk::protocol::process::Command;
use ropewalk::service::{Inetd as Server, InetdLimits, Waiting};

use crate::offer::{Beside, House, Offer, Offered};
use crate::serving::{self, Shared};
use crate::sockets::{Sockets, What};

/// Start a program for each connection
#[derive(Args)]
#[command(
    long_about = "Start a program for each connection, which it finds as its standard input and output.\n\n\
        The program needs to know nothing of networks: what it reads comes from the client, and what it writes goes \
        there. Its standard error is logged. It finds who is there as REMOTE_ADDR and REMOTE_PORT. With --wait one \
        program at a time is given the listening socket itself.\n\n\
        The addresses go to standard output, one a line; everything else to standard error. Ctrl-C stops it: programs \
        get ten seconds to end.",
    after_long_help = "Examples:\n  \
        ropewalk inetd --listen tcp:7000:interface=127.0.0.1 -- cat\n      \
        says back what it hears; try it with: nc 127.0.0.1 7000\n  \
        ropewalk inetd --listen tcp:7001 --programs 10 -- date\n      \
        the date for everyone, at most ten times at once\n\n\
        Exit status: 0 after Ctrl-C or SIGTERM, 1 if it cannot serve, 2 for wrong usage."
)]
pub(crate) struct Inetd {
    /// Where to listen, tcp:, tcp6: or unix:; may be given several times
    #[arg(long, value_name = "ENDPOINT", required = true)]
    listen: Vec<String>,

    #[command(flatten)]
    options: InetdOptions,

    #[command(flatten)]
    shared: Shared,
}

/// Which program, and how many of it.
#[derive(Args, Clone, Debug)]
pub(crate) struct InetdOptions {
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    command: Vec<String>,

    /// How many programs may run at a time; who comes then waits
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    programs: usize,

    /// How many of them may serve one address; who comes then is turned away
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    per_address: usize,

    /// Give one program at a time the socket itself, which it serves until it ends
    #[arg(long)]
    wait: bool,

    /// With --wait, take datagrams at these ports instead of connections
    #[arg(long, requires = "wait")]
    datagrams: bool,
}

impl Inetd {
    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let places = serving::places(&self.listen)?;
        for place in &places {
            check(place)?;
        }
        let made = AtPlaces { options: self.options, places };
        serving::serve(&self.shared, "inetd", Vec::new(), made)
    }
}

/// A super-server at places that are its own.
struct AtPlaces {
    options: InetdOptions,
    places: Vec<ServerDescription>,
}

impl Offered for AtPlaces {
    const LISTEN: Option<&'static str> = None;

    fn offer(&self, house: &House) -> Result<Offer, String> {
        self.options.offer_at(house, &self.places)
    }
}

impl InetdOptions {
    /// Serves at these places.
    pub(crate) fn offer_at(
        &self,
        house: &House,
        places: &[ServerDescription],
    ) -> Result<Offer, String> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err("there is no program to start".to_owned());
        };
        let limits = InetdLimits::default().programs(self.programs).per_peer(self.per_address);
        let mut beside = Vec::new();
        for place in places {
            let address = check(place)?;
            let bound = Rc::new(std::cell::RefCell::new(None::<Address>));
            let (sockets, told) = (house.sockets.clone(), Rc::clone(&bound));
            let takes_datagrams = self.datagrams;
            let what = if takes_datagrams { What::Datagrams } else { What::Streams };
            let make = move || {
                let mut bind = |address: &Address, _: bool| bind(address, takes_datagrams);
                let socket = match &sockets {
                    Some(sockets) => sockets.socket_at(what, &address, &mut bind)?,
                    None => bind(&address, false)?.0,
                };
                told.replace(Some(address_of(&socket, &address)?));
                Ok(socket)
            };
            let command = Command::new(program).args(arguments);
            let server = Server::new(program.clone(), make, house.reactor.clone(), command);
            let waiting = if self.wait { Waiting::Yes } else { Waiting::No };
            let server = server.waiting(waiting).limits(limits);
            let released = house.sockets.clone();
            let bound_at = Rc::clone(&bound);
            let service = Released { server, sockets: released, what, bound: bound_at };
            let said = move || bound.borrow().as_ref().map(ToString::to_string);
            beside.push(Beside { service: Rc::new(service), said: Rc::new(said) });
        }
        Ok(Offer::beside(beside))
    }
}

/// A super-server whose socket goes from those that are handed on when it goes.
struct Released {
    server: Server,
    sockets: Option<Rc<Sockets>>,
    what: What,
    bound: Rc<std::cell::RefCell<Option<Address>>>,
}

impl Released {
    fn release(&self) {
        if let (Some(sockets), Some(bound)) = (&self.sockets, self.bound.take()) {
            sockets.release(self.what, &bound);
        }
    }
}

impl ropewalk::service::Service for Released {
    fn prepare(&self) -> ropewalk::Deferred<()> {
        self.server.prepare()
    }

    fn start(&self) -> ropewalk::Deferred<()> {
        self.server.start()
    }

    fn drain(
        &self,
        deadline: std::time::Duration,
    ) -> ropewalk::Deferred<ropewalk::service::Drained> {
        self.release();
        self.server.drain(deadline)
    }

    fn stop(&self) -> ropewalk::Deferred<()> {
        self.release();
        self.server.stop()
    }
}

/// Where that is, if a program can be given a socket there.
fn check(place: &ServerDescription) -> Result<Address, String> {
    match place {
        ServerDescription::Tcp(tcp) => {
            Ok(Address::Ip(SocketAddr::from((tcp.interface(), tcp.port()))))
        }
        ServerDescription::Tcp6(tcp) => {
            Ok(Address::Ip(SocketAddr::from((tcp.interface(), tcp.port()))))
        }
        ServerDescription::Unix(unix) => Ok(Address::Unix(unix.path().to_owned())),
        other => Err(format!(
            "--listen: {other} is no plain socket that a program could be given: write tcp:, tcp6: or unix:"
        )),
    }
}

fn bind(address: &Address, takes_datagrams: bool) -> io::Result<(OwnedFd, Address)> {
    let socket: OwnedFd = match address {
        Address::Ip(ip) if takes_datagrams => UdpSocket::bind(ip)?.into(),
        Address::Ip(ip) => TcpListener::bind(ip)?.into(),
        Address::Unix(path) => UnixListener::bind(path)?.into(),
        other => return Err(io::Error::other(format!("{other} is no place for a program"))),
    };
    let bound = address_of(&socket, address)?;
    Ok((socket, bound))
}

/// Where a socket is, whose port the system may have chosen.
fn address_of(socket: &OwnedFd, asked: &Address) -> io::Result<Address> {
    if asked.ip().is_none() {
        return Ok(asked.clone());
    }
    let bound = rustix::net::getsockname(socket)?;
    SocketAddr::try_from(bound).map(Address::Ip).map_err(io::Error::other)
}
