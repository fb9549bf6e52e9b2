//! What a simulated host has in place of a system: a driver and a platform.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use ropewalk_deferred::{Deferred, deferred};
use ropewalk_protocol::{
    Address, DatagramQueue, MulticastChange, MulticastError, MulticastSettings, Outbox,
};
use ropewalk_reactor::platform::{
    BorrowedHost, Closing, Completion, Driver, HostDescriptor, Mishap, Platform, Role, Socket,
    lend_descriptor,
};
use rustix::io::Errno;

use super::Inner;
use super::datagrams::PortTold;
use super::log::What;
use super::stream::Told;
use super::world::{Event, Held, Job, Listener, World};

/// How many bytes one receive takes at most.
pub(super) const READ_SIZE: u64 = 64 * 1024;
/// How many connections one listener may accept in one turn.
const ACCEPTS_PER_TURN_MAX: usize = 64;
/// How long a thread takes for its work at most, in nanoseconds.
const WORK_MAX: u64 = 2_000_000;
/// How long looking a name up takes at most, in nanoseconds.
const LOOKUP_MAX: u64 = 5_000_000;

/// A socket that no driver holds yet; one that is dropped is closed.
struct Loose {
    world: Rc<RefCell<World>>,
    host: usize,
    held: Option<Held>,
}

impl Loose {
    fn socket(world: &Rc<RefCell<World>>, host: usize, held: Held) -> Socket {
        world.borrow_mut().hosts[host].descriptors += 1;
        let held = Some(held);
        Socket::Other(Box::new(Self { world: Rc::clone(world), host, held }) as Box<dyn Any>)
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            self.world.borrow_mut().close(self.host, held, Closing::InOrder);
        }
    }
}

/// The driver of one host.
pub(super) struct HostDriver {
    simulation: Weak<Inner>,
    world: Rc<RefCell<World>>,
    host: usize,
    batch: VecDeque<Held>,
    accepts_left: usize,
    buffer: Vec<u8>,
    descriptor: Rc<HostDescriptor>,
}

impl HostDriver {
    pub(super) fn new(simulation: &Rc<Inner>, host: usize) -> Self {
        Self {
            simulation: Rc::downgrade(simulation),
            world: Rc::clone(&simulation.world),
            host,
            batch: VecDeque::new(),
            accepts_left: ACCEPTS_PER_TURN_MAX,
            buffer: Vec::new(),
            descriptor: Rc::clone(&simulation.descriptor),
        }
    }

    fn held(&self, key: usize) -> Option<Held> {
        self.world.borrow().hosts[self.host].by_key.get(key).copied().flatten()
    }

    /// Goes on to the next of what is ready.
    fn skip(&mut self) {
        self.batch.pop_front();
        self.accepts_left = ACCEPTS_PER_TURN_MAX;
    }

    fn accept(&mut self, index: usize, serial: u64) -> Option<Completion<'static>> {
        self.accepts_left = self.accepts_left.checked_sub(1)?;
        let mut world = self.world.borrow_mut();
        let host = &mut world.hosts[self.host];
        let has_descriptor = host.descriptors < host.machine.descriptors;
        let listener = host.listeners.get_mut(index).filter(|found| found.serial == serial)?;
        let key = listener.key.filter(|_| listener.reading && !listener.queue.is_empty())?;
        if !has_descriptor {
            world.note(self.host, What::Scarce, 0, 0);
            self.accepts_left = 0;
            return Some(Completion::AcceptFailed { key, error: Errno::MFILE.into() });
        }
        let id = listener.queue.remove(0);
        world.note(self.host, What::Accepted, id.serial, 0);
        let peer = world.end(id).map_or(Address::Unnamed, |end| end.peer.clone());
        drop(world);
        let socket = Loose::socket(&self.world, self.host, Held::Stream(id));
        Some(Completion::Accepted { key, socket, peer })
    }
}

impl Driver for HostDriver {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn descriptor(&self) -> BorrowedHost<'_> {
        lend_descriptor(&self.descriptor)
    }

    fn expose(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn open(&mut self, key: usize, socket: Socket, role: Role) -> io::Result<()> {
        let Socket::Other(socket) = socket else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut socket = socket.downcast::<Loose>().map_err(|_| io::ErrorKind::Unsupported)?;
        let held = socket.held.take().ok_or(Errno::BADF)?;
        self.world.borrow_mut().hold(self.host, key, held, role);
        Ok(())
    }

    fn set_reading(&mut self, key: usize, reading: bool) -> io::Result<()> {
        let mut world = self.world.borrow_mut();
        match self.held_in(&world, key) {
            Some(Held::Stream(id)) => {
                if let Some(end) = world.end(id) {
                    end.reading = reading && !end.ended_told;
                }
                if world.has_more(id) {
                    world.make_ready(Held::Stream(id));
                }
            }
            Some(Held::Listener { index, .. }) => {
                world.hosts[self.host].listeners[index].reading = reading;
                world.make_listener_ready(self.host, index);
            }
            Some(Held::Port { index, .. }) => {
                world.hosts[self.host].ports[index].reading = reading;
                world.make_port_ready(self.host, index);
            }
            None => return Err(Errno::BADF.into()),
        }
        Ok(())
    }

    fn send_datagrams(
        &mut self,
        key: usize,
        queue: &mut DatagramQueue,
        mishaps: &mut Vec<Mishap>,
    ) -> io::Result<bool> {
        let Some(Held::Port { index, .. }) = self.held(key) else {
            return Err(Errno::BADF.into());
        };
        self.world.borrow_mut().send_datagrams(self.host, index, queue, mishaps)
    }

    fn send(&mut self, key: usize, out: &mut Option<Box<Outbox>>) -> io::Result<u64> {
        match self.held(key) {
            Some(Held::Stream(id)) => self.world.borrow_mut().send(id, out),
            _ => Err(Errno::BADF.into()),
        }
    }

    fn accept_descriptors(&mut self, key: usize, at_once: usize) -> io::Result<()> {
        let Some(Held::Stream(id)) = self.held(key) else { return Err(Errno::BADF.into()) };
        if let Some(end) = self.world.borrow_mut().end(id) {
            end.at_once = at_once;
        }
        Ok(())
    }

    fn end_stream(&mut self, key: usize) -> io::Result<()> {
        if let Some(Held::Stream(id)) = self.held(key) {
            self.world.borrow_mut().end_stream(id);
        }
        Ok(())
    }

    fn close(&mut self, key: usize, how: Closing) {
        let mut world = self.world.borrow_mut();
        let held = world.hosts[self.host].by_key.get_mut(key).and_then(Option::take);
        if let Some(held) = held {
            world.close(self.host, held, how);
        }
    }

    fn release(&mut self, key: usize) -> Option<Socket> {
        let mut world = self.world.borrow_mut();
        let held = world.hosts[self.host].by_key.get_mut(key).and_then(Option::take)?;
        if let Held::Stream(id) = held
            && let Some(end) = world.end(id)
        {
            end.key = None;
        }
        // It is counted as loose from now on.
        world.hosts[self.host].descriptors -= 1;
        drop(world);
        Some(Loose::socket(&self.world, self.host, held))
    }

    fn shed(&mut self, key: usize) -> usize {
        let Some(Held::Listener { index, .. }) = self.held(key) else { return 0 };
        let mut world = self.world.borrow_mut();
        let queue = &mut world.hosts[self.host].listeners[index].queue;
        let shed: Vec<_> = queue.drain(..queue.len().min(ACCEPTS_PER_TURN_MAX)).collect();
        for id in &shed {
            let unread = world.end(*id).is_some_and(|end| !end.unread.is_empty());
            world.close_end(*id, unread);
        }
        shed.len()
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        // The simulation gives it a turn; or else somebody runs this very reactor, and everything else
        // goes on until it is its turn.
        if let Some(simulation) = self.simulation.upgrade() {
            simulation.wait(self.host, timeout)?;
        } else {
            return Err(io::Error::other("the simulation is gone"));
        }
        let mut world = self.world.borrow_mut();
        world.begin_turn(self.host);
        let mut ready = std::mem::take(&mut world.hosts[self.host].ready);
        for held in &ready {
            match *held {
                Held::Stream(id) => {
                    if let Some(end) = world.end(id) {
                        end.ready = false;
                    }
                }
                Held::Listener { index, serial } => {
                    let listeners = &mut world.hosts[self.host].listeners;
                    if let Some(found) = listeners.get_mut(index).filter(|l| l.serial == serial) {
                        found.ready = false;
                    }
                }
                Held::Port { index, serial } => {
                    let ports = &mut world.hosts[self.host].ports;
                    if let Some(found) = ports.get_mut(index).filter(|port| port.serial == serial) {
                        found.ready = false;
                    }
                }
            }
        }
        world.random.shuffle(&mut ready);
        drop(world);
        self.batch = ready.into();
        self.accepts_left = ACCEPTS_PER_TURN_MAX;
        Ok(())
    }

    fn next(&mut self) -> Option<Completion<'_>> {
        loop {
            match *self.batch.front()? {
                Held::Listener { index, serial } => {
                    if let Some(completion) = self.accept(index, serial) {
                        return Some(completion);
                    }
                    self.skip();
                    self.world.borrow_mut().make_listener_ready(self.host, index);
                }
                Held::Port { index, serial } => {
                    self.skip();
                    let mut world = self.world.borrow_mut();
                    let ports = &world.hosts[self.host].ports;
                    let port = ports.get(index).filter(|port| port.serial == serial);
                    let Some(key) = port.and_then(|port| port.key) else { continue };
                    let told = world.tell_port(self.host, index, &mut self.buffer);
                    world.make_port_ready(self.host, index);
                    drop(world);
                    match told {
                        Some(PortTold::Datagram(from)) => {
                            let (data, segment) = (self.buffer.as_slice(), self.buffer.len());
                            let truncated = false;
                            return Some(Completion::Datagram {
                                key,
                                data,
                                segment,
                                from,
                                truncated,
                            });
                        }
                        Some(PortTold::Mishap(mishap)) => {
                            return Some(Completion::Mishap { key, mishap });
                        }
                        None => (),
                    }
                }
                Held::Stream(id) => {
                    self.skip();
                    let mut world = self.world.borrow_mut();
                    let Some(key) = world.end(id).and_then(|end| end.key) else { continue };
                    let Some(told) = world.tell(id, &mut self.buffer) else { continue };
                    if world.has_more(id) {
                        world.make_ready(Held::Stream(id));
                    }
                    drop(world);
                    return Some(match told {
                        Told::Connected(result) => Completion::Connected { key, result },
                        Told::Sent(left) => Completion::Sent { key, left },
                        Told::Received => Completion::Received { key, data: &self.buffer },
                        Told::Passed(descriptor) => Completion::Passed { key, descriptor },
                        Told::Ended => Completion::Ended { key },
                        Told::Failed(error) => Completion::Failed { key, error },
                    });
                }
            }
        }
    }
}

impl HostDriver {
    fn held_in(&self, world: &World, key: usize) -> Option<Held> {
        world.hosts[self.host].by_key.get(key).copied().flatten()
    }
}

impl World {
    /// A driver takes a socket in.
    fn hold(&mut self, host: usize, key: usize, held: Held, role: Role) {
        let by_key = &mut self.hosts[host].by_key;
        if by_key.len() <= key {
            by_key.resize(key + 1, None);
        }
        by_key[key] = Some(held);
        match held {
            Held::Stream(id) => {
                if let Some(end) = self.end(id) {
                    end.key = Some(key);
                    end.reading = role == Role::Stream;
                    if role == Role::Stream {
                        end.stage = super::stream::Stage::Open;
                    }
                }
                if role == Role::Connecting {
                    self.start_connecting(id);
                } else if self.has_more(id) {
                    self.make_ready(held);
                }
            }
            Held::Listener { index, .. } => {
                let listener = &mut self.hosts[host].listeners[index];
                listener.key = Some(key);
                listener.reading = true;
                self.make_listener_ready(host, index);
            }
            Held::Port { index, .. } => {
                let port = &mut self.hosts[host].ports[index];
                port.key = Some(key);
                port.reading = true;
                self.make_port_ready(host, index);
            }
        }
    }

    /// Closes what a host held.
    fn close(&mut self, host: usize, held: Held, how: Closing) {
        self.hosts[host].descriptors -= 1;
        match held {
            Held::Stream(id) => self.close_end(id, how == Closing::Reset),
            Held::Listener { index, .. } => {
                let listener = self.hosts[host].listeners.remove(index);
                for id in listener.queue {
                    self.close_end(id, true);
                }
            }
            Held::Port { index, .. } => {
                self.hosts[host].ports.remove(index);
            }
        }
    }
}

/// What ends a host's sleep, from any thread.
pub(super) struct Bell {
    pub(super) host: usize,
    pub(super) rung: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner).push(self.host);
    }
}

/// The platform of one host.
pub(super) struct HostPlatform {
    world: Rc<RefCell<World>>,
    host: usize,
    rung: Arc<Mutex<Vec<usize>>>,
    descriptor: Rc<HostDescriptor>,
}

impl HostPlatform {
    pub(super) fn new(simulation: &Inner, host: usize) -> Self {
        Self {
            world: Rc::clone(&simulation.world),
            host,
            rung: Arc::clone(&simulation.rung),
            descriptor: Rc::clone(&simulation.descriptor),
        }
    }

    /// The place that somebody who listens at `place` gets.
    fn place(&self, place: &Address) -> io::Result<Address> {
        let mut world = self.world.borrow_mut();
        let place = match place {
            Address::Ip(address) => {
                if !world.has_address(self.host, address.ip()) {
                    return Err(Errno::ADDRNOTAVAIL.into());
                }
                let mut address = *address;
                if address.port() == 0 {
                    address.set_port(world.free_port(self.host));
                }
                Address::Ip(address)
            }
            other => other.clone(),
        };
        if world.listener_at(self.host, &place).is_some() {
            return Err(Errno::ADDRINUSE.into());
        }
        Ok(place)
    }

    fn has_descriptor(&self) -> io::Result<()> {
        let world = self.world.borrow();
        let host = &world.hosts[self.host];
        if host.descriptors < host.machine.descriptors { Ok(()) } else { Err(Errno::MFILE.into()) }
    }

    /// From where, and to which host, a connection to `target` goes.
    fn route(
        &self,
        target: &Address,
        bind: Option<SocketAddr>,
    ) -> io::Result<(usize, Address, Address)> {
        let mut world = self.world.borrow_mut();
        let Address::Ip(address) = target else {
            if world.listener_at(self.host, target).is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            return Ok((self.host, Address::Unnamed, target.clone()));
        };
        let to = world.host_at(self.host, address.ip()).ok_or(Errno::HOSTUNREACH)?;
        let mut local = match bind {
            Some(bind) if !world.has_address(self.host, bind.ip()) => {
                return Err(Errno::ADDRNOTAVAIL.into());
            }
            Some(bind) if !bind.ip().is_unspecified() => bind,
            _ => {
                let ip = world.source(self.host, address.ip());
                SocketAddr::new(ip, bind.map_or(0, |bind| bind.port()))
            }
        };
        if local.port() == 0 {
            local.set_port(world.free_port(self.host));
        }
        Ok((to, Address::Ip(local), target.clone()))
    }
}

impl Platform for HostPlatform {
    fn now(&self) -> Duration {
        self.world.borrow().clock(self.host)
    }

    fn local(&self, key: usize) -> Address {
        let mut world = self.world.borrow_mut();
        let held = world.hosts[self.host].by_key.get(key).copied().flatten();
        match held {
            Some(Held::Stream(id)) => world.end(id).map(|end| end.local.clone()),
            Some(Held::Listener { index, .. }) => {
                Some(world.hosts[self.host].listeners[index].place.clone())
            }
            Some(Held::Port { index, .. }) => {
                Some(world.hosts[self.host].ports[index].place.clone())
            }
            None => None,
        }
        .unwrap_or(Address::Unnamed)
    }

    fn passes_descriptors(&self, key: usize) -> bool {
        let mut world = self.world.borrow_mut();
        match world.hosts[self.host].by_key.get(key).copied().flatten() {
            // Only what stays on one host has no address of the Internet.
            Some(Held::Stream(id)) => {
                world.end(id).is_some_and(|end| end.local.ip().is_none() && end.peer.ip().is_none())
            }
            _ => false,
        }
    }

    fn change_multicast(&self, key: usize, change: &MulticastChange) -> Result<(), MulticastError> {
        self.world.borrow_mut().change_multicast(self.host, key, change)
    }

    fn multicast_settings(&self, key: usize) -> Result<MulticastSettings, MulticastError> {
        self.world.borrow_mut().multicast_settings(self.host, key)
    }

    fn listen(&self, place: &Address, backlog: i32) -> io::Result<(Socket, Address)> {
        self.has_descriptor()?;
        let place = self.place(place)?;
        let mut world = self.world.borrow_mut();
        let serial = world.next_serial();
        let index = world.hosts[self.host].listeners.insert(Listener {
            serial,
            place: place.clone(),
            backlog: usize::try_from(backlog).unwrap_or(0).max(1),
            queue: Vec::new(),
            key: None,
            reading: false,
            ready: false,
        });
        drop(world);
        Ok((Loose::socket(&self.world, self.host, Held::Listener { index, serial }), place))
    }

    fn connect(&self, target: &Address, bind: Option<SocketAddr>) -> io::Result<Socket> {
        self.has_descriptor()?;
        let (to, local, peer) = self.route(target, bind)?;
        let id = self.world.borrow_mut().begin(self.host, to, local, peer);
        Ok(Loose::socket(&self.world, self.host, Held::Stream(id)))
    }

    fn datagrams(&self, place: &Address, peer: Option<&Address>) -> io::Result<(Socket, Address)> {
        self.has_descriptor()?;
        let mut world = self.world.borrow_mut();
        let mut place = place.clone();
        if let Address::Ip(address) = &mut place {
            if !world.has_address(self.host, address.ip()) {
                return Err(Errno::ADDRNOTAVAIL.into());
            }
            if address.port() == 0 {
                address.set_port(world.free_port(self.host));
            }
        } else if peer.is_some_and(|peer| world.port_at(self.host, peer, Some(&place)).is_none()) {
            return Err(Errno::CONNREFUSED.into());
        }
        if world.port_at(self.host, &place, None).is_some() {
            return Err(Errno::ADDRINUSE.into());
        }
        let (held, bound) = world.open_port(self.host, place, peer.cloned());
        drop(world);
        Ok((Loose::socket(&self.world, self.host, held), bound))
    }

    fn resolve(&self, host: &str, port: u16) -> Deferred<Vec<SocketAddr>> {
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![(ip, port).into()],
            Err(_) if host == "localhost" => vec![(IpAddr::from([127, 0, 0, 1]), port).into()],
            Err(_) => {
                let world = self.world.borrow();
                let host = world.host_named(host).map(|index| &world.hosts[index]);
                host.map(|host| (host.v4, port).into()).into_iter().collect()
            }
        };
        let (promise, waiting) = deferred();
        let mut world = self.world.borrow_mut();
        let at = world.now + world.random.below(LOOKUP_MAX);
        let work = Job::Work(Box::new(|| ()), Box::new(move || promise.succeed(found)));
        let id = world.next_serial();
        world.jobs.insert(id, (self.host, work));
        world.schedule(at, Event::Job { id });
        waiting
    }

    fn submit(&self, work: Box<dyn FnOnce() + Send>, done: Box<dyn FnOnce()>) {
        let mut world = self.world.borrow_mut();
        let at = world.now + world.random.below(WORK_MAX);
        let id = world.next_serial();
        world.jobs.insert(id, (self.host, Job::Work(work, done)));
        world.schedule(at, Event::Job { id });
    }

    fn waker(&self) -> Waker {
        Arc::new(Bell { host: self.host, rung: Arc::clone(&self.rung) }).into()
    }

    fn touch(&self) {
        self.world.borrow_mut().touch(self.host);
    }

    fn descriptor(&self) -> Rc<HostDescriptor> {
        Rc::clone(&self.descriptor)
    }
}
