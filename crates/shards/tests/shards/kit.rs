//! What these tests share.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_protocol::{Address, Conn, Disconnect, Factory, Port, Protocol};
use ropewalk_reactor::{DriverKind, TcpListenOptions};
use ropewalk_shards::{Dealing, Shard, Shards};

/// When a test gives up: far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a test of each of the functions for each driver. A driver that this machine has not got is
/// passed over, and said to be.
macro_rules! on_each_driver {
    ($($name:ident),* $(,)?) => {
        $crate::kit::on_each_driver!(@ epoll Epoll [$($name)*]);
        $crate::kit::on_each_driver!(@ io_uring IoUring [$($name)*]);
        $crate::kit::on_each_driver!(@ poll Poll [$($name)*]);
        $crate::kit::on_each_driver!(@ select Select [$($name)*]);
        $crate::kit::on_each_driver!(@ portable Portable [$($name)*]);
    };
    (@ $module:ident $kind:ident [$($name:ident)*]) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    $crate::kit::on(ropewalk_reactor::DriverKind::$kind, super::$name);
                }
            )*
        }
    };
}
pub(crate) use on_each_driver;

/// Runs a test on a driver, if the machine has it and `ROPEWALK_REACTOR` names no other.
pub(crate) fn on(kind: DriverKind, test: fn(DriverKind)) {
    if DriverKind::from_environment().unwrap().is_some_and(|only| only != kind) {
        return eprintln!("passed over: another driver's turn");
    }
    match kind.availability() {
        Ok(()) => test(kind),
        Err(why) => eprintln!("passed over: {why}"),
    }
}

/// The driver that `ROPEWALK_REACTOR` names, or the best.
pub(crate) fn any_driver() -> DriverKind {
    DriverKind::from_environment().unwrap().unwrap_or_default()
}

pub(crate) fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Says which shard it is, answers each byte with the same, and ends with the connection.
pub(crate) struct Numbered {
    shard: u8,
    open: Rc<Open>,
}

/// The connections of one shard.
#[derive(Default)]
pub(crate) struct Open {
    count: Cell<usize>,
    gone: RefCell<Option<Promise<()>>>,
}

impl Open {
    pub(crate) fn one_more(&self) {
        self.count.set(self.count.get() + 1);
    }

    pub(crate) fn one_less(&self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() == 0
            && let Some(promise) = self.gone.take()
        {
            promise.succeed(());
        }
    }

    /// Tells when there is none left.
    pub(crate) fn all_gone(&self) -> Deferred<()> {
        if self.count.get() == 0 {
            return Deferred::succeed(());
        }
        let (promise, gone) = deferred();
        self.gone.replace(Some(promise));
        gone
    }
}

impl Protocol for Numbered {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&[self.shard]);
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(data);
    }

    fn connection_lost(&mut self, _: &Conn<Self>, _: Disconnect) {
        self.open.one_less();
    }
}

/// Counts those that it makes.
pub(crate) struct Numbers {
    pub(crate) shard: usize,
    pub(crate) made: Arc<AtomicUsize>,
    pub(crate) open: Rc<Open>,
}

impl Factory for Numbers {
    type Protocol = Numbered;

    fn build(&mut self, _: &Address) -> Option<Numbered> {
        self.made.fetch_add(1, Ordering::SeqCst);
        self.open.one_more();
        Some(Numbered { shard: self.shard as u8, open: Rc::clone(&self.open) })
    }
}

/// Listens anywhere; the first shard says where.
pub(crate) fn serve(
    shard: &Shard<impl Send + 'static>,
    made: &Arc<AtomicUsize>,
    place: &Sender<SocketAddr>,
) -> Result<(Rc<Open>, Rc<dyn Port>), Failure> {
    let open = Rc::<Open>::default();
    let numbers = Numbers { shard: shard.index(), made: Arc::clone(made), open: Rc::clone(&open) };
    let options = TcpListenOptions::default();
    let port = shard.reactor().listen_tcp(anywhere(), options, Box::new(numbers))?;
    place.send(port.address().ip().unwrap())?;
    Ok((open, Rc::new(port)))
}

/// So many shards that serve numbers, while `client` is at work in this thread; where it is, it gets from
/// each shard in turn.
pub(crate) fn while_serving(
    kind: DriverKind,
    count: usize,
    dealing: Dealing,
    client: impl FnOnce(&[SocketAddr]),
) -> usize {
    let shards = Shards::new(count).driver(kind).dealing(dealing).signals(false);
    let (handle, made) = (shards.handle(), Arc::<AtomicUsize>::default());
    let (sender, places) = channel();
    let server = Arc::clone(&made);
    let running = std::thread::Builder::new()
        .spawn(move || shards.run(|shard| serve(shard, &server, &sender).map(drop)))
        .unwrap();
    client(&all_of(&places, count));
    handle.stop();
    running.join().unwrap().unwrap();
    made.load(Ordering::SeqCst)
}

pub(crate) fn all_of<T>(told: &Receiver<T>, count: usize) -> Vec<T> {
    (0..count).map(|_| told.recv_timeout(PATIENCE).unwrap()).collect()
}

/// Connects, and answers with the number of the shard that it came to.
pub(crate) fn connect(place: SocketAddr) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut shard = [0];
    stream.read_exact(&mut shard).unwrap();
    (stream, shard[0])
}

/// Whether a connection still answers.
pub(crate) fn answers(stream: &mut TcpStream) -> bool {
    let mut answer = [0];
    stream.write_all(b"?").is_ok() && stream.read_exact(&mut answer).is_ok() && answer == *b"?"
}
