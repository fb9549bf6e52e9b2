//! What the author of a datagram protocol writes.

use super::{DatagramPort, SendError};
use crate::{Address, Disconnect};

/// A protocol over datagrams: one port, and whoever it exchanges messages with.
///
/// A protocol may count on this, whatever carries its datagrams:
///
/// 1. [`started`](Self::started) comes first, unless no port was opened.
/// 2. [`stopped`](Self::stopped) comes last and exactly once, also when no port was opened. No call,
///    timer or result comes after it.
/// 3. Each datagram comes whole, in one call. It may come late, twice, out of order or never.
/// 4. No call comes while another runs.
/// 5. While reading is paused, no datagram comes.
///
/// A panic in any call but [`started`](Self::started) is logged and costs the protocol that call: one
/// bad datagram from anybody must not close a port that serves everybody.
///
/// ```
/// use ropewalk_protocol::{Address, DatagramPort, DatagramProtocol};
///
/// /// Says back what it hears (RFC 862).
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
///         // Nobody waits for an answer that there is no room for.
///         let _ = port.send_to(data, from);
///     }
/// }
/// ```
pub trait DatagramProtocol: Sized + 'static {
    /// The port is open.
    fn started(&mut self, port: &DatagramPort<Self>) {
        let _ = port;
    }

    /// A datagram came; it may be empty.
    fn datagram_received(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address);

    /// A datagram came that is longer than the port takes; this is its beginning. It is dropped
    /// unless this says otherwise.
    fn datagram_truncated(&mut self, port: &DatagramPort<Self>, data: &[u8], from: &Address) {
        let _ = (port, data, from);
    }

    /// The port is connected, and nobody receives at its peer (ICMP port unreachable). The port stays
    /// open: somebody may do so later.
    fn connection_refused(&mut self, port: &DatagramPort<Self>) {
        let _ = port;
    }

    /// A datagram was not sent, or a report came that an earlier one did not arrive. `to` is where it
    /// was to go, [`None`] for the peer of a connected port. The port stays open.
    fn send_failed(&mut self, port: &DatagramPort<Self>, to: Option<&Address>, why: SendError) {
        let _ = (port, to, why);
    }

    /// The queue, which was [too full](SendError::QueueFull), is half empty again.
    fn writing_resumed(&mut self, port: &DatagramPort<Self>) {
        let _ = port;
    }

    /// The port is closed, or was never opened.
    fn stopped(&mut self, port: &DatagramPort<Self>, why: Disconnect) {
        let _ = (port, why);
    }
}
