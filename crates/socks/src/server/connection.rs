//! One client's connection, until it is joined to another.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_forward::{Relay, Tally, relay};
use ropewalk_protocol::{
    Address, Conn, ConnCall, Disconnect, Port, Protocol, open_datagrams, seat_and_tell,
};

use super::Rules;
use super::associate::Association;
use super::bind::Incoming;
use super::goodbye::GOODBYE_PATIENCE;
use crate::codec::{
    Choice5, Command, Decoder, Greeting5, Login, LoginReply5, METHOD_LOGIN, METHOD_NONE, Opening,
    Reply4, Reply5, Request4, Request5, Target, Version,
};
use crate::error::{BadMessage, Refusal};

/// A client's connection, until it is joined to another and gives way to a
/// [`Relay`](ropewalk_forward::Relay).
pub struct Server {
    rules: Rc<Rules>,
    decoder: Decoder,
    state: State,
    /// What is waited for has an end.
    timer: Option<ConnCall>,
    association: Option<Rc<Association>>,
    /// Its number among those who have asked for nothing yet.
    silent: Option<u64>,
}

enum State {
    /// The client has yet to show which version it speaks.
    Opening,
    /// It has to say who it is.
    Login,
    /// It has to say what it wants.
    Request,
    /// What it wants is being done.
    Busy(Request),
    /// The target is to connect here.
    Binding(Request, Box<dyn Port>),
    /// Its datagrams are passed on for as long as it stays connected.
    Associated,
}

#[derive(Clone)]
struct Request {
    version: Version,
    command: Command,
    target: Target,
}

/// What is done once it is known which addresses a target has and the rules allow.
type Next = fn(&mut Server, &Conn<Server>, Request, &[SocketAddr]);

impl Server {
    pub(super) fn new(rules: Rc<Rules>) -> Self {
        Self {
            rules,
            decoder: Decoder::default(),
            state: State::Opening,
            timer: None,
            association: None,
            silent: None,
        }
    }

    /// Takes one message off the front of `data`, or all of it.
    fn step(&mut self, conn: &Conn<Self>, data: &mut &[u8]) -> Result<(), BadMessage> {
        match self.state {
            State::Opening => match self.decoder.feed(data)? {
                Some(Opening::V4(request)) => self.open4(conn, request),
                Some(Opening::V5(greeting)) => self.open5(conn, &greeting),
                None => (),
            },
            State::Login => {
                if let Some(login) = self.decoder.feed(data)? {
                    self.log_in(conn, &login);
                }
            }
            State::Request => {
                if let Some(Request5 { command, target }) = self.decoder.feed(data)? {
                    self.serve(conn, Request { version: Version::V5, command, target });
                }
            }
            // Reading is paused: what came already is for whoever takes over.
            State::Busy(_) | State::Binding(..) => conn.hand_back(std::mem::take(data)),
            // There is nothing more to say; its end is what is waited for.
            State::Associated => *data = &[],
        }
        Ok(())
    }

    fn open4(&mut self, conn: &Conn<Self>, Request4 { command, target, .. }: Request4) {
        let request = Request { version: Version::V4, command, target };
        if self.rules.users.is_some() {
            // Whoever can only say a name has proved nothing.
            self.refuse(conn, &request, Refusal::NotAllowed);
        } else {
            self.serve(conn, request);
        }
    }

    fn open5(&mut self, conn: &Conn<Self>, greeting: &Greeting5) {
        let (method, next) = match self.rules.users {
            Some(_) => (METHOD_LOGIN, State::Login),
            None => (METHOD_NONE, State::Request),
        };
        if greeting.offers(method) {
            conn.write_with(|out| Choice5(Some(method)).encode(out));
            self.state = next;
        } else {
            tracing::info!(target: "ropewalk::socks", peer = %conn.peer(), "no common login method");
            conn.write_with(|out| Choice5(None).encode(out));
            conn.close();
        }
    }

    fn log_in(&mut self, conn: &Conn<Self>, login: &Login) {
        let Some(users) = &self.rules.users else { return };
        conn.pause_reading();
        let user = login.user().escape_ascii().to_string();
        conn.then(users.check(login), move |this, conn, known| {
            let is_known = known.unwrap_or_else(|failure| {
                tracing::error!(target: "ropewalk::socks", "a login was not checked: {failure}");
                false
            });
            conn.write_with(|out| LoginReply5(is_known).encode(out));
            if is_known {
                this.state = State::Request;
                conn.resume_reading();
            } else {
                tracing::info!(target: "ropewalk::socks", peer = %conn.peer(), user, "login refused");
                conn.close();
            }
        });
    }

    fn serve(&mut self, conn: &Conn<Self>, request: Request) {
        self.is_silent_no_more();
        conn.pause_reading();
        self.state = State::Busy(request.clone());
        self.wait(conn, self.rules.waits.connect);
        match request.command {
            Command::Connect => self.locate(conn, &request, Self::dial),
            Command::Bind if is_anybody(&request.target) => self.bind(conn, request, &[]),
            Command::Bind => self.locate(conn, &request, Self::bind),
            Command::Associate if self.rules.datagrams => self.associate(conn, request),
            Command::Associate => self.refuse(conn, &request, Refusal::Command),
        }
    }

    /// Opens a port towards the client, and one of each family towards everybody else.
    fn associate(&mut self, conn: &Conn<Self>, request: Request) {
        let (Some(client), Some(local)) = (conn.peer().ip(), conn.local().ip()) else {
            // Whom datagrams may come from is not known of what came over no network.
            return self.refuse(conn, &request, Refusal::Failed);
        };
        // A client behind a translator does not know its own address: what it says of another counts
        // for nothing.
        let port = match request.target {
            Target::Ip(from) if from.ip().is_unspecified() || from.ip() == client.ip() => {
                Some(from.port()).filter(|port| *port != 0)
            }
            _ => None,
        };
        let all = Association::new(Rc::clone(&self.rules), conn, client.ip(), port);
        self.association = Some(Rc::clone(&all));
        let place = self.rules.outlet.datagrams(local.ip());
        conn.then(open_datagrams(&*place, all.inside()), move |this, conn, opened| match opened {
            Ok(port) => {
                all.add_inside(port);
                this.open_outside(conn, request, all, true);
            }
            Err(failure) => {
                tracing::warn!(target: "ropewalk::socks", "no port for datagrams: {failure}");
                this.refuse(conn, &request, Refusal::Failed);
            }
        });
    }

    /// Opens the port towards one family, and goes on with the next.
    fn open_outside(
        &mut self,
        conn: &Conn<Self>,
        request: Request,
        all: Rc<Association>,
        is_ipv4: bool,
    ) {
        let any: IpAddr =
            if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let place = self.rules.outlet.datagrams(any);
        conn.then(open_datagrams(&*place, all.outside()), move |this, conn, opened| {
            // A machine may have one family only.
            if let Ok(port) = opened {
                all.add_outside(is_ipv4, port);
            }
            if is_ipv4 {
                this.open_outside(conn, request, all, false);
            } else if all.has_way_out() {
                this.associated(conn, &request, &all);
            } else {
                this.refuse(conn, &request, Refusal::Failed);
            }
        });
    }

    fn associated(&mut self, conn: &Conn<Self>, request: &Request, all: &Rc<Association>) {
        let peer = conn.peer();
        tracing::info!(target: "ropewalk::socks", %peer, "datagrams: passed on");
        grant(conn, request, &all.address());
        self.state = State::Associated;
        if let Some(timer) = self.timer.take() {
            conn.cancel_call(timer);
        }
        if let Some(idle) = self.rules.relay.idle {
            self.watch(conn, idle, idle);
        }
        conn.resume_reading();
    }

    /// Ends an association through which nothing has moved for `idle`.
    fn watch(&mut self, conn: &Conn<Self>, idle: Duration, next: Duration) {
        self.timer = Some(conn.call_later(next, move |this, conn| {
            let Some(all) = &this.association else { return };
            let left = (all.moved_at() + idle).saturating_sub(conn.now());
            if left.is_zero() {
                conn.abort_with(Disconnect::TimedOut);
            } else {
                this.watch(conn, idle, left);
            }
        }));
    }

    /// Finds the addresses of the target that the rules allow, and goes on with them.
    fn locate(&mut self, conn: &Conn<Self>, request: &Request, next: Next) {
        let port = request.target.port();
        if !self.rules.destinations.admits_port(port) {
            return self.refuse(conn, request, Refusal::NotAllowed);
        }
        let name = match &request.target {
            Target::Ip(address) => return self.judge(conn, request, vec![*address], next),
            Target::Name(name, _) => name.as_str(),
        };
        let request = request.clone();
        let found = self.rules.outlet.resolve(name, port);
        conn.then(found, move |this, conn, found| match found {
            Ok(addresses) if !addresses.is_empty() => this.judge(conn, &request, addresses, next),
            Ok(_) | Err(_) => this.refuse(conn, &request, Refusal::HostUnreachable),
        });
    }

    fn judge(
        &mut self,
        conn: &Conn<Self>,
        request: &Request,
        mut addresses: Vec<SocketAddr>,
        next: Next,
    ) {
        addresses.retain(|address| self.rules.destinations.admits(*address));
        if addresses.is_empty() {
            self.refuse(conn, request, Refusal::NotAllowed);
        } else {
            next(self, conn, request.clone(), &addresses);
        }
    }

    fn dial(&mut self, conn: &Conn<Self>, request: Request, addresses: &[SocketAddr]) {
        let (near, far, over) = relay(self.rules.relay);
        let (seat, made) = seat_and_tell(far);
        self.rules.outlet.connect(addresses, seat);
        conn.then(made, move |this, conn, made: Result<Conn<Relay>, Failure>| match made {
            Ok(far) => {
                // Whom it is connected to is what counts, and not whom it was to be.
                let is_admitted = |address| this.rules.destinations.admits(address);
                if far.peer().ip().is_some_and(|address| !is_admitted(address)) {
                    far.abort();
                    return this.refuse(conn, &request, Refusal::NotAllowed);
                }
                grant(conn, &request, &far.local());
                conn.switch_protocol(near, &[]);
                log(conn.peer(), request, over);
            }
            Err(failure) => {
                let why = failure.check().copied().unwrap_or(Disconnect::Unreachable);
                this.refuse(conn, &request, Refusal::of(why));
            }
        });
    }

    fn bind(&mut self, conn: &Conn<Self>, request: Request, expected: &[SocketAddr]) {
        let (near, far, over) = relay(self.rules.relay);
        let (seat, made) = seat_and_tell(far);
        let towards = expected.first().map(SocketAddr::ip).or_else(|| Some(conn.peer().ip()?.ip()));
        let place = self.rules.outlet.bind(towards.unwrap_or(Ipv4Addr::UNSPECIFIED.into()));
        let incoming = Incoming::new(Rc::clone(&self.rules), expected.to_vec(), seat);
        let asked = request.clone();
        conn.then(place.listen_seats(Box::new(incoming)), move |this, conn, port| match port {
            Ok(port) => {
                grant(conn, &asked, &port.address());
                this.state = State::Binding(asked, port);
                this.wait(conn, this.rules.waits.bind);
            }
            Err(failure) => {
                tracing::warn!(target: "ropewalk::socks", "no port to bind: {failure}");
                this.refuse(conn, &asked, Refusal::Failed);
            }
        });
        conn.then(made, move |this, conn, made: Result<Conn<Relay>, Failure>| match made {
            Ok(far) => {
                this.stop_listening();
                grant(conn, &request, &far.peer());
                conn.switch_protocol(near, &[]);
                log(conn.peer(), request, over);
            }
            Err(_) => this.refuse(conn, &request, Refusal::Failed),
        });
    }

    fn refuse(&mut self, conn: &Conn<Self>, request: &Request, why: Refusal) {
        let (peer, target) = (conn.peer(), &request.target);
        tracing::info!(target: "ropewalk::socks", %peer, %target, "refused: {why}");
        conn.write_with(|out| match request.version {
            Version::V4 => Reply4::refused(why).encode(out),
            Version::V5 => Reply5::refused(why).encode(out),
        });
        self.stop_listening();
        conn.close();
    }

    /// Answers what is no message, if there is an answer to it.
    fn complain(&self, conn: &Conn<Self>, bad: BadMessage) {
        tracing::info!(target: "ropewalk::socks", peer = %conn.peer(), "turned away: {bad}");
        let why = match bad {
            BadMessage::Command { .. } => Refusal::Command,
            BadMessage::AddressType { .. } => Refusal::AddressType,
            _ => Refusal::Failed,
        };
        match (&self.state, bad) {
            (_, BadMessage::Version { .. }) => (),
            (State::Opening, _) => conn.write_with(|out| Reply4::refused(why).encode(out)),
            (State::Login, _) => conn.write_with(|out| LoginReply5(false).encode(out)),
            _ => conn.write_with(|out| Reply5::refused(why).encode(out)),
        }
        conn.close();
    }

    /// Waits so long for what comes next, and no longer.
    fn wait(&mut self, conn: &Conn<Self>, patience: Duration) {
        if let Some(timer) = self.timer.take() {
            conn.cancel_call(timer);
        }
        self.timer = Some(conn.call_later(patience, |this, conn| {
            if let State::Busy(request) | State::Binding(request, _) = &this.state {
                let request = request.clone();
                this.refuse(conn, &request, Refusal::TooLate);
            } else {
                tracing::info!(target: "ropewalk::socks", peer = %conn.peer(), "no request in time");
                conn.abort_with(Disconnect::TimedOut);
            }
        }));
    }

    /// The server ends: whoever still wants something is to say so soon.
    pub(super) fn hurry(&mut self, conn: &Conn<Self>) {
        if self.silent.is_some() {
            self.wait(conn, self.rules.waits.handshake.min(GOODBYE_PATIENCE));
        }
    }

    fn is_silent_no_more(&mut self) {
        if let Some(number) = self.silent.take() {
            self.rules.silent.leave(number);
        }
    }

    fn stop_listening(&mut self) {
        if let Some(association) = self.association.take() {
            association.end();
        }
        if let State::Binding(_, port) = &self.state {
            // The place is given up at once; there is nothing to wait for.
            port.stop_listening().detach();
        }
    }
}

impl Protocol for Server {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        self.silent = Some(self.rules.silent.enter(conn));
        self.wait(conn, self.rules.waits.handshake);
        if self.rules.silent.is_leaving() {
            self.hurry(conn);
        }
    }

    fn data_received(&mut self, conn: &Conn<Self>, mut data: &[u8]) {
        while !data.is_empty() {
            if !conn.is_reading() {
                return conn.hand_back(data);
            }
            if let Err(bad) = self.step(conn, &mut data) {
                return self.complain(conn, bad);
            }
        }
    }

    fn connection_lost(&mut self, _: &Conn<Self>, _: Disconnect) {
        self.is_silent_no_more();
        self.stop_listening();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Says that the request is granted, and the address that matters to it.
fn grant(conn: &Conn<Server>, request: &Request, address: &Address) {
    let zeros = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut address = address.ip().unwrap_or(zeros);
    if address.ip().is_unspecified()
        && address.port() != 0
        && let Some(local) = conn.local().ip()
    {
        address.set_ip(local.ip());
    }
    conn.write_with(|out| match request.version {
        Version::V4 => Reply4::granted(as_v4(address)).encode(out),
        Version::V5 => Reply5::granted(address).encode(out),
    });
}

/// Whether the target says that anybody may connect.
fn is_anybody(target: &Target) -> bool {
    matches!(target, Target::Ip(address) if address.ip().is_unspecified())
}

/// An address as version 4 has it: what it has none for is all zeros, but for the port.
fn as_v4(address: SocketAddr) -> SocketAddrV4 {
    let port = address.port();
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => {
            let ip = address.ip().to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED);
            SocketAddrV4::new(ip, port)
        }
    }
}

fn log(peer: Address, request: Request, over: Deferred<Tally>) {
    let Request { command, target, .. } = request;
    tracing::info!(target: "ropewalk::socks", %peer, %target, "{command:?}: connected");
    over.on_result(move |tally| {
        if let Ok(Tally { there, back, why, .. }) = tally {
            tracing::debug!(target: "ropewalk::socks", %peer, %target, there, back, "over: {why}");
        }
    });
}
