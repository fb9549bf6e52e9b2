//! What can be set on TCP connections.

use std::io;
use std::time::Duration;

use socket2::{Socket, TcpKeepalive};

/// How a connection that is silent is asked whether its peer is still there (`SO_KEEPALIVE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAlive {
    /// How long it is silent before it is asked; 2 minutes unless set. In whole seconds.
    pub idle: Duration,
    /// How long an answer is waited for before it is asked again; 30 seconds unless set. In whole
    /// seconds.
    pub interval: Duration,
    /// After how many questions without an answer it ends with
    /// [`TimedOut`](ropewalk_protocol::Disconnect::TimedOut); 4 unless set.
    pub count: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_mins(2), interval: Duration::from_secs(30), count: 4 }
    }
}

impl KeepAlive {
    /// These with another time before the first question.
    pub fn idle(self, idle: Duration) -> Self {
        Self { idle, ..self }
    }

    /// These with another time between questions.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// These with another number of questions.
    pub fn count(self, count: u32) -> Self {
        Self { count, ..self }
    }
}

/// What can be set on TCP connections, made or accepted.
///
/// There is no `SO_LINGER` among them: with it, closing would block the loop. To end with a reset is
/// [`Conn::abort`](ropewalk_protocol::Conn::abort), and what a close in order does for the bytes that
/// were written before it is [`Reactor::set_linger`](crate::Reactor::set_linger).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    nodelay: bool,
    keepalive: Option<KeepAlive>,
    send_buffer: Option<usize>,
    receive_buffer: Option<usize>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { nodelay: true, keepalive: None, send_buffer: None, receive_buffer: None }
    }
}

impl TcpOptions {
    /// Whether small writes leave at once (`TCP_NODELAY`); they do unless told otherwise.
    ///
    /// All that one callback wrote leaves together in any case.
    pub fn nodelay(self, nodelay: bool) -> Self {
        Self { nodelay, ..self }
    }

    /// Has a silent peer asked whether it is there; it is not unless set.
    pub fn keepalive(self, keepalive: KeepAlive) -> Self {
        Self { keepalive: Some(keepalive), ..self }
    }

    /// How many bytes the kernel keeps for the peer (`SO_SNDBUF`); the system's own choice unless
    /// set, which grows as it should.
    pub fn send_buffer(self, bytes: usize) -> Self {
        Self { send_buffer: Some(bytes), ..self }
    }

    /// How many bytes the kernel keeps for this side (`SO_RCVBUF`); the system's own choice unless
    /// set, which grows as it should.
    pub fn receive_buffer(self, bytes: usize) -> Self {
        Self { receive_buffer: Some(bytes), ..self }
    }

    /// Sets them on a socket that will connect or listen; what a listener accepts inherits them.
    pub(crate) fn apply(self, socket: &Socket) -> io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        if let Some(KeepAlive { idle, interval, count }) = self.keepalive {
            // The kernel counts in seconds, and refuses none.
            let second = Duration::from_secs(1);
            let keepalive = TcpKeepalive::new()
                .with_time(idle.max(second))
                .with_interval(interval.max(second))
                .with_retries(count.max(1));
            socket.set_tcp_keepalive(&keepalive)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpStream};

    use socket2::{Domain, SockRef, Type};

    use super::*;

    /// What is set on a socket, as the system tells it.
    #[derive(Debug, PartialEq, Eq)]
    struct Set {
        nodelay: bool,
        keepalive: Option<(u64, u64, u32)>,
        buffers: (usize, usize),
    }

    fn set_on(socket: &SockRef<'_>) -> Set {
        let seconds = |time: io::Result<Duration>| time.unwrap().as_secs();
        Set {
            nodelay: socket.tcp_nodelay().unwrap(),
            keepalive: socket.keepalive().unwrap().then(|| {
                let interval = seconds(socket.tcp_keepalive_interval());
                let count = socket.tcp_keepalive_retries().unwrap();
                (seconds(socket.tcp_keepalive_time()), interval, count)
            }),
            buffers: (socket.send_buffer_size().unwrap(), socket.recv_buffer_size().unwrap()),
        }
    }

    /// Sets `options` on a listener and on a socket that connects to it; answers what is set on the
    /// latter, and on the former's accepted end.
    fn both_ends(options: TcpOptions) -> (Set, Set) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let (listener, client) = (socket(), socket());
        options.apply(&listener).unwrap();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        listener.listen(8).unwrap();
        options.apply(&client).unwrap();
        client.connect(&listener.local_addr().unwrap()).unwrap();
        let accepted: TcpStream = listener.accept().unwrap().0.into();
        (set_on(&SockRef::from(&client)), set_on(&SockRef::from(&accepted)))
    }

    #[test]
    fn what_is_asked_for_is_set_at_both_ends() {
        let seconds = Duration::from_secs;
        let keepalive = KeepAlive::default().idle(seconds(7)).interval(seconds(3)).count(5);
        let options = TcpOptions::default()
            .nodelay(false)
            .keepalive(keepalive)
            .send_buffer(40_000)
            .receive_buffer(50_000);
        // Linux doubles what is asked for, and tells the double.
        let expected =
            || Set { nodelay: false, keepalive: Some((7, 3, 5)), buffers: (80_000, 100_000) };
        assert_eq!(both_ends(options), (expected(), expected()));
    }

    #[test]
    fn small_writes_leave_at_once_and_nobody_is_asked_unless_told_otherwise() {
        let (client, accepted) = both_ends(TcpOptions::default());
        for set in [client, accepted] {
            assert_eq!((set.nodelay, set.keepalive), (true, None));
        }
    }

    #[test]
    fn times_below_a_second_are_a_second() {
        let keepalive = KeepAlive::default().idle(Duration::ZERO).interval(Duration::ZERO).count(0);
        let (client, _) = both_ends(TcpOptions::default().keepalive(keepalive));
        assert_eq!(client.keepalive, Some((1, 1, 1)));
    }
}
