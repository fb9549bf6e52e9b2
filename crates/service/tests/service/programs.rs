//! Real programs: kept running, started for who comes, and what they say.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_protocol::process::Command;
use ropewalk_protocol::sleep;
use ropewalk_reactor::{DriverKind, Reactor};
use ropewalk_service::{
    Backoff, Inetd, InetdLimits, ProcessService, ProcessState, Service as _, Supervision, Waiting,
};
use tracing_subscriber::fmt::MakeWriter;

const TICK: Duration = Duration::from_millis(2);
/// Longer than any of these takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

fn reactor() -> Reactor {
    let kind = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(kind).unwrap()
}

fn shell(script: &str) -> Command {
    Command::new("sh").args(["-c", script])
}

/// Turns until that is so.
async fn until(clock: &Reactor, is_so: impl Fn() -> bool) -> Result<(), Failure> {
    let mut left = PATIENCE;
    while !is_so() {
        assert!(!left.is_zero(), "it never was so");
        left = left.saturating_sub(TICK);
        sleep(clock, TICK).await?;
    }
    Ok(())
}

fn run<T: 'static>(
    reactor: &Reactor,
    whole: impl Future<Output = Result<T, Failure>> + 'static,
) -> T {
    let whole: Deferred<T> = reactor.spawn(whole);
    reactor.run_until(whole).unwrap()
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Logs what this thread does until the guard goes.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(self.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }
}

#[test]
fn a_program_that_ends_is_started_again_and_what_it_says_is_logged() {
    let log = Log::default();
    let _listening = log.listen();
    let reactor = reactor();
    let command = shell("echo to the world; echo to the operator >&2; exit 3");
    let supervision = Supervision::default()
        .healthy_after(Duration::from_hours(1))
        .backoff(Backoff::default().first(TICK).max(TICK * 4));
    let service = ProcessService::new("worker", reactor.clone(), reactor.clone(), command);
    let service = service.supervision(supervision);
    let clock = reactor.clone();
    run(&reactor, async move {
        service.start().await?;
        until(&clock, || service.restarts() >= 3).await?;
        service.stop().await?;
        assert_eq!(service.state(), ProcessState::Stopped);
        Ok(())
    });
    assert_eq!(reactor.census().processes, 0);
    let text = log.text();
    let has =
        |words: &[&str]| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["INFO", "worker", "to the world"]), "{text}");
    assert!(has(&["WARN", "worker", "to the operator"]), "{text}");
    assert!(has(&["ERROR", "worker", "started again", "3"]), "{text}");
}

#[test]
fn a_program_that_will_not_stop_is_killed_after_the_grace() {
    let log = Log::default();
    let _listening = log.listen();
    let reactor = reactor();
    // It says that it does not hear before it is asked to stop.
    let command = shell("trap '' TERM; echo deaf; while :; do sleep 1; done");
    let supervision = Supervision::default().grace(Duration::from_millis(50));
    let service = ProcessService::new("deaf", reactor.clone(), reactor.clone(), command);
    let service = service.supervision(supervision);
    let (clock, heard) = (reactor.clone(), log.clone());
    run(&reactor, async move {
        service.start().await?;
        until(&clock, || heard.text().contains("deaf")).await?;
        service.stop().await
    });
    assert!(log.text().contains("a process is killed"), "{}", log.text());
}

#[test]
fn a_program_that_is_not_there_does_not_start() {
    let reactor = reactor();
    let command = Command::new("/no/such/program");
    let service = ProcessService::new("none", reactor.clone(), reactor.clone(), command);
    let failure = reactor.run_until(service.start()).unwrap_err();
    assert!(failure.to_string().contains("no"), "{failure}");
}

/// A super-server at a port that was free.
fn inetd(
    reactor: &Reactor,
    script: &str,
    furnish: impl FnOnce(Inetd) -> Inetd,
) -> (std::rc::Rc<Inetd>, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = listener.local_addr().unwrap();
    let make = move || listener.try_clone().map(Into::into);
    let server = furnish(Inetd::new("inetd", make, reactor.clone(), shell(script)));
    (std::rc::Rc::new(server), place)
}

fn connect(place: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(place: SocketAddr, question: &str) -> String {
    let mut stream = connect(place);
    stream.write_all(question.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn each_connection_has_a_program_of_its_own() {
    let log = Log::default();
    let _listening = log.listen();
    let reactor = reactor();
    let script = "read word; echo $word from $REMOTE_ADDR; echo served >&2";
    let (server, place) = inetd(&reactor, script, |server| server);
    let asked = Arc::clone(&log.0);
    let clients = thread::Builder::new()
        .spawn(move || (0..5).map(|index| ask(place, &format!("hello{index}\n"))).collect())
        .unwrap();
    let (clock, served) = (reactor.clone(), server.clone());
    run(&reactor, async move {
        served.start().await?;
        until(&clock, || {
            let log = String::from_utf8_lossy(&asked.lock().unwrap()).into_owned();
            log.matches("served").count() == 5 && served.programs() == 0
        })
        .await?;
        served.stop().await
    });
    let answers: Vec<String> = clients.join().unwrap();
    let expected: Vec<_> = (0..5).map(|index| format!("hello{index} from 127.0.0.1\n")).collect();
    assert_eq!(answers, expected);
    assert_eq!((server.started(), server.programs()), (5, 0));
}

#[test]
fn a_drain_lets_programs_end_and_kills_them_at_the_deadline() {
    for (deadline, cut) in [(PATIENCE, 0), (Duration::from_millis(20), 1)] {
        let reactor = reactor();
        let (server, place) = inetd(&reactor, "echo here; cat", |server| server);
        let mut client = connect(place);
        let (clock, served) = (reactor.clone(), server.clone());
        let mut greeted = [0; 5];
        let (drained, mut client) = {
            let half = client.try_clone().unwrap();
            run(&reactor, async move {
                served.start().await?;
                until(&clock, || served.programs() == 1).await?;
                let reader = thread::Builder::new().spawn(move || {
                    client.read_exact(&mut greeted).unwrap();
                    client
                })?;
                until(&clock, || reader.is_finished()).await?;
                let client = reader.join().unwrap();
                let drained = served.drain(deadline);
                if cut == 0 {
                    half.shutdown(Shutdown::Write)?;
                }
                Ok((drained.await?, client))
            })
        };
        assert_eq!((drained.found, drained.cut), (1, cut));
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "its connection is over");
        let stopped = server.stop();
        reactor.run_until(stopped).unwrap();
    }
}

#[test]
fn who_has_enough_programs_is_turned_away_and_who_comes_when_all_run_waits() {
    let reactor = reactor();
    let limits = InetdLimits::default().per_peer(1).programs(2);
    let (server, place) = inetd(&reactor, "echo here; cat", |server| server.limits(limits));
    let (clock, served) = (reactor.clone(), server.clone());
    run(&reactor, async move {
        served.start().await?;
        let first = connect(place);
        until(&clock, || served.started() == 1).await?;
        let mut second = connect(place);
        until(&clock, || served.turned_away() == 1).await?;
        let reader = thread::Builder::new().spawn(move || second.read(&mut [0]).unwrap_or(0))?;
        until(&clock, || reader.is_finished()).await?;
        assert_eq!(reader.join().unwrap(), 0, "it is turned away");
        drop(first);
        until(&clock, || served.programs() == 0).await?;
        let _third = connect(place);
        until(&clock, || served.started() == 2).await?;
        served.stop().await
    });
    let limits = InetdLimits::default().programs(1);
    let (server, place) = inetd(&reactor, "cat", |server| server.limits(limits));
    let (clock, served) = (reactor.clone(), server.clone());
    run(&reactor, async move {
        served.start().await?;
        let first = connect(place);
        until(&clock, || served.started() == 1).await?;
        let _second = connect(place);
        for _ in 0..20 {
            sleep(&clock, TICK).await?;
            assert_eq!(served.programs(), 1, "more run than may");
        }
        drop(first);
        until(&clock, || served.started() == 2).await?;
        served.stop().await
    });
}

#[test]
fn a_program_may_be_given_the_socket_itself() {
    let reactor = reactor();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = socket.local_addr().unwrap();
    let make = move || socket.try_clone().map(Into::into);
    // It takes one datagram, and answers nobody: the shell cannot.
    let command = Command::new("head")
        .args(["-c", "1"])
        .descriptor(2, ropewalk_protocol::process::ChildDescriptor::Null);
    let limits = InetdLimits::default().starts_per_minute(2);
    let server = Inetd::new("datagrams", make, reactor.clone(), command);
    let server = std::rc::Rc::new(server.waiting(Waiting::Yes).limits(limits));
    let (clock, served) = (reactor.clone(), server.clone());
    run(&reactor, async move {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        served.start().await?;
        for turn in 1..=2 {
            sender.send_to(b"x", place)?;
            until(&clock, || served.started() == turn && served.programs() == 0).await?;
        }
        sender.send_to(b"x", place)?;
        for _ in 0..20 {
            sleep(&clock, TICK).await?;
            assert_eq!(served.started(), 2, "it was started too often");
        }
        served.stop().await
    });
}

#[test]
fn a_socket_that_cannot_be_made_is_why_it_does_not_start() {
    let reactor = reactor();
    let make = || Err(io::Error::other("no socket today"));
    let server = Inetd::new("none", make, reactor.clone(), shell("cat"));
    let failure = reactor.run_until(server.start()).unwrap_err();
    assert!(failure.to_string().contains("no socket today"), "{failure}");
    reactor.run_until(server.stop()).unwrap();
}
