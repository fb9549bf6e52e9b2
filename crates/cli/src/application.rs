//! Services that are started, changed while they run, and drained.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::deferred::{Rest, gather};
use ropewalk::endpoint::ServerDescription;
use ropewalk::protocol::{Drain as _, Port, SeatFactory, ServerEndpoint, call_later};
use ropewalk::reactor::Reactor;
use ropewalk::service::{AnyServing, Drained, Service as _, StreamServer};
use ropewalk::{Deferred, Failure};

use crate::offer::{Beside, House, Offer};
use crate::serving;
use crate::sockets::{Sockets, What};

/// Makes what a service is made of.
pub(crate) type Make = Rc<dyn Fn(&House) -> Result<Offer, String>>;

/// One service as it is to be.
#[derive(Clone)]
pub(crate) struct Planned {
    /// Its name.
    pub(crate) name: String,
    /// Where it serves.
    pub(crate) places: Vec<ServerDescription>,
    /// What it is: of two that are the same neither needs to change.
    pub(crate) meaning: String,
    /// Makes what serves.
    pub(crate) make: Make,
    /// A complaint about it, with its place.
    pub(crate) blame: Rc<dyn Fn(&str) -> String>,
}

/// The services of this program. Clones are the same.
#[derive(Clone)]
pub(crate) struct Application(Rc<Inner>);

struct Inner {
    house: House,
    sockets: Rc<Sockets>,
    places: RefCell<BTreeMap<String, Place>>,
    services: RefCell<Vec<Running>>,
    /// Those who serve nobody new any more.
    retired: RefCell<Vec<AnyServing>>,
    /// How long connections get to finish.
    patience: Cell<Duration>,
    is_changing: Cell<bool>,
}

struct Place {
    server: Rc<StreamServer<AnyServing>>,
    is_encrypted: bool,
}

struct Running {
    planned: Planned,
    keys: Vec<String>,
    offer: Offer,
}

/// A service of the next plan.
struct Next {
    planned: Planned,
    /// Its places, each under a key of its own.
    keys: Vec<(String, ServerDescription)>,
    /// What it is made of; nothing where it stays as it is.
    offer: Option<Offer>,
}

/// A place's description on a reactor.
pub(crate) struct At(pub(crate) Box<dyn ServerEndpoint>);

impl ServerEndpoint for At {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        self.0.listen_seats(factory)
    }
}

impl Application {
    /// No service yet.
    pub(crate) fn new(reactor: &Reactor, sockets: Rc<Sockets>, patience: Duration) -> Self {
        let house = House { reactor: reactor.clone(), sockets: Some(Rc::clone(&sockets)) };
        Self(Rc::new(Inner {
            house,
            sockets,
            places: RefCell::default(),
            services: RefCell::default(),
            retired: RefCell::default(),
            patience: Cell::new(patience),
            is_changing: Cell::new(false),
        }))
    }

    /// How long connections get to finish from now on.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.0.patience.set(patience);
    }

    pub(crate) fn sockets(&self) -> &Rc<Sockets> {
        &self.0.sockets
    }

    /// Has these services run and no others: those that are there already stay as they are, others are changed or ended,
    /// and a place that stays is listened at without a break. If anything of it fails nothing has changed.
    pub(crate) fn apply(&self, plan: Vec<Planned>) -> Deferred<()> {
        let inner = Rc::clone(&self.0);
        if inner.is_changing.replace(true) {
            return Deferred::fail(Failure::new("the services are being changed just now"));
        }
        let reactor = inner.house.reactor.clone();
        let done = Rc::clone(&inner);
        let applied = reactor.spawn(async move { inner.apply(plan).await });
        applied.add_both(move |applied| {
            done.is_changing.set(false);
            applied
        })
    }

    /// What is said of each place, in the order of the services.
    pub(crate) fn said(&self) -> Vec<String> {
        let places = self.0.places.borrow();
        let mut said = Vec::new();
        for running in &*self.0.services.borrow() {
            said.extend(running.offer.beside.iter().filter_map(|beside| (beside.said)()));
            for place in running.keys.iter().filter_map(|key| places.get(key)) {
                if let Some(address) = place.server.address() {
                    said.push((running.offer.shown)(&address, place.is_encrypted));
                }
            }
        }
        said
    }

    /// Where passwords go in the clear, as it is said.
    pub(crate) fn overheard(&self) -> Vec<String> {
        let places = self.0.places.borrow();
        let services = self.0.services.borrow();
        let asking = services.iter().filter(|running| running.offer.has_passwords);
        let there = asking.flat_map(|running| {
            let places = running.keys.iter().filter_map(|key| places.get(key));
            places.filter_map(|place| {
                let address = place.server.address()?;
                let is_open = address.ip().is_some_and(|address| !address.ip().is_loopback());
                (is_open && !place.is_encrypted)
                    .then(|| (running.offer.shown)(&address, place.is_encrypted))
            })
        });
        there.collect()
    }

    /// Tells when nobody can come any more, if all places are such that one connection comes alone.
    pub(crate) fn over(&self) -> Option<Deferred<()>> {
        let has_beside =
            self.0.services.borrow().iter().any(|running| !running.offer.beside.is_empty());
        let places = self.0.places.borrow();
        if has_beside || places.is_empty() {
            return None;
        }
        let all = places.values().map(|place| place.server.over()).collect::<Option<Vec<_>>>()?;
        Some(gather(all, Rest::Leave).map(drop))
    }

    /// Gives every place up, lets connections finish, and cuts them at the deadline.
    pub(crate) fn leave(&self) -> Deferred<Drained> {
        let inner = Rc::clone(&self.0);
        let reactor = inner.house.reactor.clone();
        reactor.spawn(async move { Ok::<_, Failure>(inner.leave().await) })
    }
}

impl Inner {
    async fn apply(self: &Rc<Self>, plan: Vec<Planned>) -> Result<(), Failure> {
        let mut next = Vec::new();
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for planned in plan {
            let is_there = |running: &Running| {
                running.planned.name == planned.name && running.planned.meaning == planned.meaning
            };
            let same = self.services.borrow().iter().position(is_there);
            let offer = match same {
                Some(_) => None,
                None => {
                    let offer = (planned.make)(&self.house);
                    Some(offer.map_err(|why| Failure::new((planned.blame)(&why)))?)
                }
            };
            let keys = match (&offer, same) {
                (Some(offer), _) => {
                    let found = keys(&planned, offer, &taken);
                    found.map_err(|why| Failure::new((planned.blame)(&why)))?
                }
                (None, Some(index)) => {
                    let services = self.services.borrow();
                    let keys = services[index].keys.iter();
                    let places = services[index].planned.places.iter();
                    keys.cloned().zip(places.cloned()).collect()
                }
                (None, None) => Vec::new(),
            };
            taken.extend(keys.iter().map(|(key, _)| (key.clone(), planned.name.clone())));
            next.push(Next { planned, keys, offer });
        }
        let fresh = self.listen(&next).await?;
        let is_first = self.services.borrow().is_empty();
        self.sockets.set_changing(true);
        let exchanged = self.exchange_beside(&next).await;
        if !is_first {
            self.sockets.set_changing(false);
        }
        if let Err(failure) = exchanged {
            for place in fresh.values() {
                self.give_up(&place.server).await;
            }
            return Err(failure);
        }
        self.commit(next, fresh).await;
        Ok(())
    }

    /// Listens at those places that are new.
    async fn listen(self: &Rc<Self>, next: &[Next]) -> Result<BTreeMap<String, Place>, Failure> {
        let mut fresh: BTreeMap<String, Place> = BTreeMap::new();
        for Next { planned, keys, offer } in next {
            let Some(serving) = offer.as_ref().and_then(|offer| offer.serving.clone()) else {
                continue;
            };
            for (key, place) in keys {
                if self.places.borrow().contains_key(key) {
                    continue;
                }
                let reactor = &self.house.reactor;
                self.sockets.set_owner(&planned.name);
                let at = At(place.on_with(reactor, &self.sockets.kinds()));
                let server = Rc::new(StreamServer::new(at, reactor.clone(), serving.clone()));
                if let Err(failure) = server.prepare().await {
                    for place in fresh.values() {
                        self.give_up(&place.server).await;
                    }
                    let told = serving::not_listening(place, &failure);
                    return Err(Failure::new((planned.blame)(&told)));
                }
                let is_encrypted = place.is_encrypted();
                fresh.insert(key.clone(), Place { server, is_encrypted });
            }
        }
        Ok(fresh)
    }

    /// Ends what ran beside services that change, and starts what is to; if that fails, what ran runs again.
    async fn exchange_beside(&self, next: &[Next]) -> Result<(), Failure> {
        let stays =
            |name: &str| next.iter().any(|next| next.planned.name == name && next.offer.is_none());
        let old: Vec<Beside> = {
            let services = self.services.borrow();
            let ending = services.iter().filter(|running| !stays(&running.planned.name));
            ending.flat_map(|running| running.offer.beside.clone()).collect()
        };
        for beside in &old {
            self.end(beside).await;
        }
        let mut started: Vec<&Beside> = Vec::new();
        for Next { planned, offer, .. } in next {
            for beside in offer.iter().flat_map(|offer| &offer.beside) {
                self.sockets.set_owner(&planned.name);
                let Err(failure) = beside.start().await else {
                    started.push(beside);
                    continue;
                };
                for beside in started {
                    self.end(beside).await;
                }
                for beside in &old {
                    if let Err(failure) = beside.start().await {
                        tracing::error!("what ran does not run again: {}", serving::tell(&failure));
                    }
                }
                return Err(Failure::new((planned.blame)(&serving::tell(&failure))));
            }
        }
        Ok(())
    }

    /// From here on nothing can fail.
    async fn commit(self: &Rc<Self>, next: Vec<Next>, fresh: BTreeMap<String, Place>) {
        let mut before = self.services.take();
        let mut retiring: Vec<AnyServing> = Vec::new();
        let mut services = Vec::new();
        for Next { planned, keys, offer } in next {
            let keys: Vec<String> = keys.into_iter().map(|(key, _)| key).collect();
            let was = before.iter().position(|running| running.planned.name == planned.name);
            let was = was.map(|index| before.swap_remove(index));
            let offer = match (offer, was) {
                (None, Some(was)) => {
                    services.push(Running { planned, ..was });
                    continue;
                }
                (None, None) => continue,
                (Some(offer), was) => {
                    retiring.extend(was.and_then(|was| was.offer.serving));
                    offer
                }
            };
            if let Some(serving) = &offer.serving {
                for key in &keys {
                    if let Some(place) = self.places.borrow().get(key) {
                        place.server.replace(serving.clone());
                    }
                }
            }
            services.push(Running { planned, keys, offer });
        }
        retiring.extend(before.into_iter().filter_map(|running| running.offer.serving));
        let is_wanted = |key: &String| services.iter().any(|running| running.keys.contains(key));
        let gone: Vec<Place> = {
            let mut places = self.places.borrow_mut();
            let keys: Vec<String> = places.keys().filter(|key| !is_wanted(key)).cloned().collect();
            keys.iter().filter_map(|key| places.remove(key)).collect()
        };
        self.places.borrow_mut().extend(fresh);
        self.services.replace(services);
        for place in gone {
            self.give_up(&place.server).await;
        }
        for serving in &retiring {
            self.retire(serving);
        }
    }

    /// Stops listening, and leaves the socket to who listens with it too.
    async fn give_up(&self, server: &StreamServer<AnyServing>) {
        let Some(address) = server.address() else { return };
        self.sockets.release(What::Streams, &address);
        let is_in_use = self.sockets.is_in_use(&address);
        if is_in_use {
            self.sockets.set_others_go_on(true);
        }
        if let Err(failure) = server.stop_listening().await {
            tracing::error!("{address} is not free: {}", serving::tell(&failure));
        }
        if is_in_use {
            self.sockets.set_others_go_on(false);
        }
    }

    async fn end(&self, beside: &Beside) -> Drained {
        let drained = beside.drain(self.patience.get()).await.unwrap_or_else(|failure| {
            tracing::error!("not drained: {}", serving::tell(&failure));
            Drained::default()
        });
        if let Err(failure) = beside.stop().await {
            tracing::error!("not stopped in order: {}", serving::tell(&failure));
        }
        drained
    }

    /// Lets the connections of who serves no more finish, and cuts them at the deadline.
    fn retire(self: &Rc<Self>, serving: &AnyServing) {
        let found = serving.connections();
        self.retired.borrow_mut().push(serving.clone());
        let hurried = serving.clone();
        let hurry = call_later(&self.house.reactor, self.patience.get(), move || {
            cut(&hurried);
        });
        let (inner, at) = (Rc::downgrade(self), serving.clone());
        serving.drain().on_result(move |_| {
            hurry.cancel();
            tracing::debug!(found, "the connections of a service that changed are over");
            if let Some(inner) = inner.upgrade() {
                inner.retired.borrow_mut().retain(|other| !other.is_same(&at));
            }
        });
    }

    async fn leave(self: &Rc<Self>) -> Drained {
        let places = std::mem::take(&mut *self.places.borrow_mut());
        for place in places.values() {
            if let Some(address) = place.server.address() {
                self.sockets.release(What::Streams, &address);
            }
        }
        let stopping: Vec<_> = places.values().map(|place| place.server.stop_listening()).collect();
        // Who waited to be accepted has been by then.
        if let Err(failure) = gather(stopping, Rest::Leave).await {
            tracing::error!("a place is not free: {}", serving::tell(&failure));
        }
        let mut serving: Vec<AnyServing> = self.retired.borrow().clone();
        let beside: Vec<Beside> = {
            let services = self.services.borrow();
            serving.extend(services.iter().filter_map(|running| running.offer.serving.clone()));
            services.iter().flat_map(|running| running.offer.beside.clone()).collect()
        };
        let found = serving.iter().map(AnyServing::connections).sum();
        let count = Rc::new(Cell::new(0));
        let (counter, hurried) = (Rc::clone(&count), serving.clone());
        let hurry = call_later(&self.house.reactor, self.patience.get(), move || {
            counter.set(hurried.iter().map(cut).sum());
        });
        let ending = beside.iter().map(|beside| self.end(beside));
        let mut drained = Drained::default();
        let gone = gather(serving.iter().map(AnyServing::drain).collect::<Vec<_>>(), Rest::Leave);
        for ending in ending.collect::<Vec<_>>() {
            drained = drained.and(ending.await);
        }
        // Connections that were cut are no failure.
        let _ = gone.await;
        hurry.cancel();
        drained.and(Drained::new(found, count.get()))
    }
}

/// The places of a service, each under a key of its own.
fn keys(
    planned: &Planned,
    offer: &Offer,
    taken: &BTreeMap<String, String>,
) -> Result<Vec<(String, ServerDescription)>, String> {
    let mut keys: Vec<(String, ServerDescription)> = Vec::new();
    let Some(serving) = &offer.serving else { return Ok(keys) };
    for place in &planned.places {
        let written = place.to_string();
        // What TLS offers is settled when the place is taken.
        let spoken = if place.is_encrypted() { serving.alpn().join(",") } else { String::new() };
        let first = format!("{written} {spoken}");
        let mut key = first.clone();
        // Any port is another one each time.
        let is_any = written.split(':').nth(1) == Some("0");
        let mut number = 0;
        while taken.contains_key(&key) || keys.iter().any(|(other, _)| *other == key) {
            if !is_any {
                let other = taken.get(&key).unwrap_or(&planned.name);
                return Err(format!("{written:?} is the place of {other:?} already"));
            }
            number += 1;
            key = format!("{first}#{number}");
        }
        keys.push((key, place.clone()));
    }
    Ok(keys)
}

/// Ends what is left of connections; answers how many that were.
fn cut(serving: &AnyServing) -> usize {
    let count = serving.cut();
    if count > 0 {
        tracing::warn!("{count} connections were cut: they were not through by the deadline");
    }
    count
}
