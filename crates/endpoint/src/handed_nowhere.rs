//! Where a process is handed no descriptors: such places are named, and none works.

use std::fmt;
use std::io;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::{
    ClientEndpoint, Disconnect, Event, Port, Seat, SeatFactory, ServerEndpoint,
};
use ropewalk_reactor::Reactor;

use crate::Kinds;

/// A socket or a connection that the process was handed when it started; this system hands none on.
#[derive(Clone, Debug)]
pub struct HandedEndpoint<D> {
    description: D,
}

impl<D> HandedEndpoint<D> {
    /// The place that `description` describes.
    pub fn new(_: &Reactor, description: D) -> Self {
        Self { description }
    }

    /// No kinds have a keeper here.
    pub(crate) fn among(self, _: &Kinds) -> Self {
        self
    }

    /// What describes it.
    pub fn description(&self) -> &D {
        &self.description
    }
}

impl<D: fmt::Display> ServerEndpoint for HandedEndpoint<D> {
    fn listen_seats(&self, _: Box<dyn SeatFactory>) -> Deferred<Box<dyn Port>> {
        let error = io::Error::from(io::ErrorKind::Unsupported);
        let context = format!("no server at endpoint \"{}\"", self.description);
        Deferred::fail(Failure::from(error).context(context))
    }
}

impl<D: fmt::Display> ClientEndpoint for HandedEndpoint<D> {
    fn connect_seat(&self, mut seat: Box<dyn Seat>) {
        seat.handle(Event::Lost(Disconnect::Failed(io::ErrorKind::Unsupported)));
    }
}
