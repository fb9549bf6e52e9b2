//! Places on simulated hosts, and the weather between them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{ClientEndpoint, Port, Seat, SeatFactory, ServerEndpoint};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};

use super::{Link, Random, Simulation};

/// Tells the weather from whatever else a test makes of its seed.
const WEATHER: u64 = 0x7ea7_4e55;
/// Within what time of rough weather a way is cut, and for how long at most.
const CUT_WITHIN: Duration = Duration::from_secs(5);
const CUT_MAX: Duration = Duration::from_secs(1);

/// A TCP port of a simulated host: for who listens there, and for who connects from another host.
///
/// It is made by [`Simulation::server_endpoint`] and [`Simulation::client_endpoint`].
#[derive(Clone)]
pub struct HostEndpoint {
    /// Whoever listens, or connects.
    reactor: Reactor,
    address: SocketAddr,
}

impl Simulation {
    /// A TCP port of a host to listen at; the host is set up if there is none.
    ///
    /// ```
    /// use ropewalk_protocol::{Address, Conn, Protocol, connect, listen};
    /// use ropewalk_trial::{Note, Simulation, Witness};
    ///
    /// struct Echo;
    /// impl Protocol for Echo {
    ///     fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
    ///         conn.write(data);
    ///     }
    /// }
    ///
    /// let simulation = Simulation::new(3);
    /// listen(&simulation.server_endpoint("server", 7), |_: &Address| Some(Echo));
    /// let (client, notes) = Witness::new(|conn, note| match note {
    ///     Note::Made => {
    ///         conn.write(b"anybody?");
    ///         conn.close_write();
    ///     }
    ///     Note::Eof => conn.close(),
    ///     _ => (),
    /// });
    /// connect(&simulation.client_endpoint("client", "server", 7), client);
    /// simulation.rough_weather();
    /// assert!(simulation.until(|| notes.lost().is_some()));
    /// assert_eq!(notes.data(), b"anybody?");
    /// ```
    pub fn server_endpoint(&self, host: &str, port: u16) -> HostEndpoint {
        let reactor = self.host(host);
        HostEndpoint { reactor, address: self.address(host, port) }
    }

    /// A TCP port of the host `to` to connect to from the host `from`; either is set up if there is
    /// none.
    pub fn client_endpoint(&self, from: &str, to: &str, port: u16) -> HostEndpoint {
        let (reactor, _) = (self.host(from), self.host(to));
        HostEndpoint { reactor, address: self.address(to, port) }
    }

    /// Puts links that the seed chooses between all hosts that there are: [passable](Link::passable)
    /// ones, and one way is cut for a moment in the first seconds. Whoever has the patience that
    /// defaults give gets an answer.
    pub fn rough_weather(&self) {
        let mut random = Random::new(self.seed() ^ WEATHER);
        let names: Vec<String> = self.reactors().into_iter().map(|(name, _)| name).collect();
        for from in &names {
            for to in names.iter().filter(|to| *to != from) {
                self.link_from(from, to, Link::passable(&mut random));
            }
        }
        if names.len() < 2 {
            return;
        }
        let mut ends = names;
        random.shuffle(&mut ends);
        let time = |random: &mut Random, most: Duration| {
            Duration::from_micros(random.below(most.as_micros() as u64))
        };
        let (begins, lasts) = (time(&mut random, CUT_WITHIN), time(&mut random, CUT_MAX));
        let healed = [ends[0].clone(), ends[1].clone()];
        self.after(begins, move |simulation| simulation.partition(&ends[0], &ends[1]));
        self.after(begins + lasts, move |simulation| simulation.heal(&healed[0], &healed[1]));
    }
}

impl ServerEndpoint for HostEndpoint {
    fn listen_seats(&self, factory: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        match self.reactor.listen_tcp(self.address, TcpListenOptions::default(), factory) {
            Ok(port) => Deferred::succeed(Box::new(port)),
            Err(error) => Deferred::fail(Failure::new(error)),
        }
    }
}

impl ClientEndpoint for HostEndpoint {
    fn connect_seat(&self, seat: Box<dyn Seat>) {
        self.reactor.connect_tcp(self.address, ConnectOptions::default(), seat);
    }
}

impl fmt::Debug for HostEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostEndpoint").field("address", &self.address).finish_non_exhaustive()
    }
}
