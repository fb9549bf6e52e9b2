//! What a protocol and a transport agree on, and nothing of any operating system.
//!
//! A [`Protocol`] is a state machine that is *pushed* bytes. It answers by writing on its [`Conn`],
//! which only takes notes; whoever carries the bytes reads the notes when the protocol has returned.
//! The carrier sees a [`Seat`]: one object-safe thing, told what happened and asked what is wished.
//!
//! ```text
//!   bytes ─▶ transport ─ Event ─▶ Seat ─▶ Protocol::data_received(&mut self, conn, data)
//!                 ▲                             │ conn.write(…), conn.close(), conn.call_later(…)
//!                 └──── output, wishes ◀── notes ◀┘
//! ```
//!
//! | to | look at |
//! |---|---|
//! | speak a protocol | [`Protocol`], [`Conn`], [`Factory`] |
//! | carry one: a socket, a TLS session, a test's wire | [`Seat`], [`Event`], [`Wishes`], [`Outbox`], [`Transport`] |
//! | stand between the two: TLS, time-outs, throttles | [`Layer`], [`Layered`] |
//! | carry many on one connection: streams, channels | [`Channel`], [`ChannelWishes`] |
//! | speak in datagrams | [`DatagramProtocol`], [`DatagramPort`], [`SendError`], [`MulticastChange`] |
//! | carry datagrams | [`DatagramSeat`], [`DatagramEvent`], [`DatagramWishes`], [`DatagramQueue`] |
//! | receive datagrams without knowing where | [`DatagramEndpoint`], [`open_datagrams`], [`connect_datagrams`] |
//! | tell the time and be called later | [`Clock`], [`DelayedCall`] |
//! | wait no longer than so, do something every so often, work in slices | [`timeout`], [`sleep`], [`defer_later`], [`LoopingCall`], [`Cooperator`] |
//! | own tasks, and run a program to its end | [`scope`], [`Scope`], [`Spawn`], [`react`] |
//! | listen and connect without knowing on what | [`ServerEndpoint`], [`ClientEndpoint`], [`Address`], [`Network`] |
//! | let a server's connections finish before it ends | [`Drain`], [`Goodbye`], [`Leaving`] |
//! | know who is at the other end | [`Conn::identity`], [`Identity`], [`Credentials`], [`ProxyInfo`] |
//! | pass open files to another process | [`Conn::send_descriptor`], [`Conn::accept_descriptors`], [`Descriptor`] |
//! | find addresses, and connect to the best of them | [`Resolver`], [`HostTable`], [`Race`] |
//! | start programs and speak with them | [`process`] |
//! | do blocking work elsewhere | [`Threads`] |
//! | read and write files elsewhere | [`FileIo`] |
//! | be told when a descriptor has something to read | [`Readiness`] |
//!
//! | bound | default | beyond it |
//! |---|--:|---|
//! | output waiting on a connection | [`Marks::max`], 256 MiB | the connection ends |
//! | descriptors waiting to be sent on a connection | [`DESCRIPTORS_WAITING_MAX`], 64 | [`CannotPass::TooMany`] |
//! | descriptors that one receive may bring | none but for who [accepts](Conn::accept_descriptors) them, then as many as that says, up to [`DESCRIPTORS_AT_ONCE_MAX`] | the connection ends |
//! | datagrams waiting to be sent at a port | [`SEND_QUEUE_MAX`], 1 MiB, each counting 64 bytes more | [`SendError::QueueFull`] |
//! | datagrams kept of what came as reading was paused | [`DATAGRAMS_HELD_MAX`], 4 MiB, counted so | dropped |
//! | calls and results brought home in one turn | [`CALLS_PER_TURN_MAX`], 64 | wait for the next |

#![forbid(unsafe_code)]

mod address;
mod calls;
mod channel;
mod clock;
mod conn;
mod cooperator;
mod datagrams;
mod descriptor;
mod disconnect;
mod endpoint;
mod file_io;
mod flags;
mod goodbye;
mod identity;
mod layer;
mod looping_call;
mod network;
mod outbox;
mod page;
pub mod process;
mod protocol;
mod race;
mod react;
mod readiness;
mod resolver;
mod scope;
mod seat;
mod threads;
mod timeout;
mod tls;
mod transport;
mod watched;

pub use address::Address;
pub use channel::{Channel, ChannelWishes, Tend};
pub use clock::{Clock, DelayedCall, Timers, call_later, sleep};
pub use conn::{Conn, ConnCall};
pub use cooperator::{CooperativeTask, Cooperator, SLICE, STEPS_PER_SLICE_MAX, TaskEnding};
pub use datagrams::{
    DATAGRAM_OVERHEAD, DATAGRAMS_HELD_MAX, DatagramEndpoint, DatagramEvent, DatagramPort,
    DatagramProtocol, DatagramQueue, DatagramSeat, DatagramWishes, Interface, Membership,
    MulticastChange, MulticastError, MulticastSettings, Outgoing, SEND_QUEUE_MAX, SendError,
    connect_datagrams, open_datagrams, seat_datagrams, seat_datagrams_and_tell,
};
pub use descriptor::{
    Arrival, CannotPass, DESCRIPTORS_AT_ONCE_MAX, DESCRIPTORS_WAITING_MAX, Descriptor,
    DescriptorsLost, Passing,
};
pub use disconnect::Disconnect;
pub use endpoint::{ClientEndpoint, Port, SeatFactory, ServerEndpoint, connect, listen};
pub use file_io::{FileAction, FileIo, FileOperation, FileOutcome};
pub use goodbye::{Drain, Goodbye, Leaving};
pub use identity::{Credentials, Identity, ProxyFields, ProxyInfo, ProxyTls};
pub use layer::{Above, Below, Layer, Layered};
pub use looping_call::LoopingCall;
pub use network::{BadNetwork, Network};
pub use outbox::{Chunk, FileSlice, Outbox};
pub use page::{CALLS_PER_TURN_MAX, Marks};
pub use protocol::{Factory, Protocol};
pub use race::{
    ATTEMPT_DELAY, ATTEMPT_DELAY_MAX, ATTEMPT_DELAY_MIN, CannotConnect, FailedAttempt, RACERS_MAX,
    Race,
};
pub use react::{EventLoop, Exit, react};
pub use readiness::{Readable, Readiness, Watching};
pub use resolver::{
    HOST_ADDRESSES_MAX, HOST_NAMES_MAX, HostTable, ResolveError, Resolver, ResolverChain,
};
pub use scope::{Scope, Spawn, Task, scope};
pub use seat::{Ending, Event, Seat, Successor, Wishes, seat, seat_and_tell};
pub use threads::{Threads, defer_to_threads};
pub use timeout::{TimedOut, defer_later, timeout};
pub use tls::{NotEncrypted, TlsAlert, TlsFault};
pub use transport::{TlsInfo, Transport};
pub use watched::seat_and_watch;
