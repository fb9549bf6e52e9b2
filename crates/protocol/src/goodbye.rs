//! How a server takes its leave.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Promise, deferred};

use crate::watched::{Thread, seat_on};
use crate::{Address, Conn, Factory, Protocol, Seat, SeatFactory};

/// What has connections and can let them finish.
pub trait Drain {
    /// How many connections there are.
    fn connections(&self) -> usize;

    /// Has every connection say goodbye, those that come from now on too: what is idle ends at once, and
    /// what is busy as soon as it is through. The deferred succeeds when there is none left.
    fn drain(&self) -> Deferred<()>;

    /// Ends every connection now; answers how many there were.
    fn cut(&self) -> usize;

    /// Serves as before a drain.
    fn resume(&self);
}

/// A protocol that can say goodbye.
pub trait Goodbye: Protocol {
    /// The server is to end: take on nothing new, and close once nothing is under way; at once if nothing
    /// is. What the protocol has to say about it, it says now.
    fn goodbye(&mut self, conn: &Conn<Self>);
}

/// A factory whose connections can say goodbye, for whoever drains its server. Clones are the same.
///
/// ```
/// use std::time::Duration;
/// use ropewalk_protocol::{Address, Conn, Drain, Factory, Leaving, Protocol, SeatFactory};
/// use ropewalk_trial::{Clock, Memory};
///
/// struct Lines;
/// impl Protocol for Lines {
///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
///         conn.write(data);
///     }
/// }
/// struct Many;
/// impl Factory for Many {
///     type Protocol = Lines;
///     fn build(&mut self, _: &Address) -> Option<Lines> {
///         Some(Lines)
///     }
/// }
///
/// let mut server = Leaving::by(Many, |_, conn| {
///     conn.write(b"BYE\r\n");
///     conn.close();
/// });
/// let clock = Clock::new();
/// let seat = server.seat(&Address::Unnamed).unwrap();
/// let mut client = Memory::take_seat(seat, &clock);
/// let gone = server.drain();
/// clock.advance(Duration::ZERO);
/// assert_eq!(client.take_sent(), b"BYE\r\n");
/// # let _ = gone;
/// ```
pub struct Leaving<F: Factory>(Rc<Shared<F>>);

type Hook<P> = dyn Fn(&mut P, &Conn<P>);

/// A connection.
struct Member<P: 'static> {
    /// Once it is made.
    conn: Option<Conn<P>>,
    thread: Rc<Thread>,
}

struct Shared<F: Factory> {
    factory: RefCell<F>,
    goodbye: Rc<Hook<F::Protocol>>,
    members: RefCell<BTreeMap<u64, Member<F::Protocol>>>,
    last: Cell<u64>,
    is_draining: Cell<bool>,
    waiting: RefCell<Vec<Promise<()>>>,
}

impl<F: Factory> Leaving<F>
where
    F::Protocol: Goodbye,
{
    /// Lets what `factory` makes say goodbye as it knows how.
    pub fn new(factory: F) -> Self {
        Self::by(factory, Goodbye::goodbye)
    }
}

impl<F: Factory> Leaving<F> {
    /// Lets what `factory` makes say goodbye so.
    pub fn by(
        factory: F,
        goodbye: impl Fn(&mut F::Protocol, &Conn<F::Protocol>) + 'static,
    ) -> Self {
        Self(Rc::new(Shared {
            factory: RefCell::new(factory),
            goodbye: Rc::new(goodbye),
            members: RefCell::default(),
            last: Cell::new(0),
            is_draining: Cell::new(false),
            waiting: RefCell::default(),
        }))
    }
}

impl<F: Factory> Shared<F> {
    fn say_goodbye(&self, conn: &Conn<F::Protocol>) {
        let goodbye = Rc::clone(&self.goodbye);
        conn.call_later(Duration::ZERO, move |protocol, conn| goodbye(protocol, conn));
    }

    fn made(&self, id: u64, conn: Conn<F::Protocol>) {
        if self.is_draining.get() {
            self.say_goodbye(&conn);
        }
        if let Some(member) = self.members.borrow_mut().get_mut(&id) {
            member.conn = Some(conn);
        }
    }

    fn gone(&self, id: u64) {
        self.members.borrow_mut().remove(&id);
        if self.members.borrow().is_empty() {
            for promise in self.waiting.take() {
                promise.succeed(());
            }
        }
    }

    fn handles(&self) -> Vec<Conn<F::Protocol>> {
        self.members.borrow().values().filter_map(|member| member.conn.clone()).collect()
    }
}

impl<F: Factory> SeatFactory for Leaving<F> {
    fn seat(&mut self, peer: &Address) -> Option<Box<dyn Seat>> {
        let shared = &self.0;
        let protocol = shared.factory.borrow_mut().build(peer)?;
        let id = shared.last.get() + 1;
        shared.last.set(id);
        let thread = Rc::<Thread>::default();
        let member = Member { conn: None, thread: Rc::clone(&thread) };
        shared.members.borrow_mut().insert(id, member);
        let (seat, made, lost) = seat_on(thread, protocol);
        let weak = Rc::downgrade(shared);
        made.on_result(move |made| {
            if let (Ok(conn), Some(shared)) = (made, weak.upgrade()) {
                shared.made(id, conn);
            }
        });
        let weak = Rc::downgrade(shared);
        lost.on_result(move |_| {
            if let Some(shared) = weak.upgrade() {
                shared.gone(id);
            }
        });
        Some(seat)
    }

    fn alpn(&self) -> &'static [&'static str] {
        self.0.factory.borrow().alpn()
    }
}

impl<F: Factory> Drain for Leaving<F> {
    fn connections(&self) -> usize {
        self.0.members.borrow().len()
    }

    fn drain(&self) -> Deferred<()> {
        let shared = &self.0;
        if !shared.is_draining.replace(true) {
            for conn in shared.handles() {
                shared.say_goodbye(&conn);
            }
        }
        if self.connections() == 0 {
            return Deferred::succeed(());
        }
        let (promise, drained) = deferred();
        shared.waiting.borrow_mut().push(promise);
        drained
    }

    fn cut(&self) -> usize {
        let members = self.0.members.borrow();
        let threads: Vec<_> = members.values().map(|member| Rc::clone(&member.thread)).collect();
        drop(members);
        for thread in &threads {
            thread.cut();
        }
        threads.len()
    }

    fn resume(&self) {
        self.0.is_draining.set(false);
    }
}

impl<F: Factory> Clone for Leaving<F> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<F: Factory> fmt::Debug for Leaving<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaving")
            .field("connections", &self.connections())
            .field("is_draining", &self.0.is_draining.get())
            .finish_non_exhaustive()
    }
}
