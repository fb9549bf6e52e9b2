//! AMP against Twisted, both ways round.

mod support;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use ropewalk_amp::{
    Amp, AmpList, CallError, DateTime, Decimal, Integer, Peer, Responders, command, errors, record,
    serve,
};
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_interop::{PATIENCE, Peer as Program, TempDir, tool};
use ropewalk_protocol::{Clock as _, Conn, Disconnect, Port, Protocol, seat_and_tell, sleep};
use ropewalk_reactor::{ConnectOptions, Reactor, TcpListenOptions};
use ropewalk_tls::{
    Identities, Identity, Policy, Reason, Tls, TlsClient, TlsError, TlsServer, Trust,
};

use support::reactor;

command! {
    Sum { a: i64, b: i64 } -> Total { total: i64 };
    Divide { numerator: i64, denominator: i64 } -> Quotient { result: f64 } or DivideError;
    Delay { number: u32, seconds: f64 } -> Delayed { number: u32 };
    Note { text: String };
    Notes {} -> AllNotes { notes: Vec<String> };
    CallBack { a: i64, b: i64 } -> Total;
    Strange {} -> ();
    Encrypt {} -> ();
    Echo {
        integer: i64,
        huge: Integer,
        raw: Vec<u8>,
        text: String,
        floats: Vec<f64>,
        yes: bool,
        no: bool,
        decimals: Vec<Decimal>,
        moment: DateTime,
        elsewhere: DateTime,
        path: PathBuf,
        numbers: Vec<u16>,
        nested: Vec<Vec<String>>,
        rows: AmpList<Row>,
        absent: Option<i32>,
        present: Option<i32>,
        dashed as "a-b": String,
        class: String,
    } -> Echoed {
        integer: i64,
        huge: Integer,
        raw: Vec<u8>,
        text: String,
        floats: Vec<f64>,
        yes: bool,
        no: bool,
        decimals: Vec<Decimal>,
        moment: DateTime,
        elsewhere: DateTime,
        path: PathBuf,
        numbers: Vec<u16>,
        nested: Vec<Vec<String>>,
        rows: AmpList<Row>,
        absent: Option<i32>,
        present: Option<i32>,
        dashed as "a-b": String,
        class: String,
    };
    switch Upgrade { to: String } -> () or DivideError;
}

record! {
    Row { x: i32, y: Option<String> }
}

errors! {
    DivideError {
        ZeroDivision = "ZERO_DIVISION",
        OnFire = fatal "ON_FIRE",
    }
}

/// A value of every type, the same as in the script of the other side.
fn values() -> Echo {
    let moment = DateTime::new(2024, 1, 2, 3, 4, 5, 6).expect("a moment");
    let elsewhere = "2024-02-29T23:59:59.999999-05:30".parse().expect("a moment");
    Echo {
        integer: -42,
        huge: format!("1{:0100}", 0).parse().expect("a number"),
        raw: (0..=255).collect(),
        text: "n\u{e4}h \u{2603}".to_owned(),
        floats: vec![0.1, 1e16, 1e-5, -0.0, 5e-324, 1.5e300, f64::INFINITY, f64::NEG_INFINITY],
        yes: true,
        no: false,
        decimals: ["1.10", "1E+2", "-Infinity", "-0.00"]
            .map(|text| text.parse().expect("a number"))
            .to_vec(),
        moment,
        elsewhere,
        path: PathBuf::from("/tmp/\u{e4}"),
        numbers: vec![1, 20, 500],
        nested: vec![vec!["a".to_owned(), String::new()], vec![]],
        rows: AmpList(vec![Row { x: 1, y: None }, Row { x: 2, y: Some("z".to_owned()) }]),
        absent: None,
        present: Some(7),
        dashed: "dashed".to_owned(),
        class: "keyword".to_owned(),
    }
}

fn echoed(echo: Echo) -> Echoed {
    Echoed {
        integer: echo.integer,
        huge: echo.huge,
        raw: echo.raw,
        text: echo.text,
        floats: echo.floats,
        yes: echo.yes,
        no: echo.no,
        decimals: echo.decimals,
        moment: echo.moment,
        elsewhere: echo.elsewhere,
        path: echo.path,
        numbers: echo.numbers,
        nested: echo.nested,
        rows: echo.rows,
        absent: echo.absent,
        present: echo.present,
        dashed: echo.dashed,
        class: echo.class,
    }
}

/// Says its name, and everything that it hears in capitals.
struct Shout;

impl Protocol for Shout {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"ropewalk here\n");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        conn.write(&data.to_ascii_uppercase());
    }
}

/// Says hello, and tells what it hears until that comes back in capitals.
struct Listener {
    heard: Vec<u8>,
    done: Option<Promise<String>>,
}

impl Protocol for Listener {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(b"hello\n");
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.heard.extend_from_slice(data);
        if self.heard.ends_with(b"HELLO\n")
            && let Some(done) = self.done.take()
        {
            done.succeed(String::from_utf8_lossy(&self.heard).into_owned());
            conn.close();
        }
    }
}

/// A certificate in a file, with its key, and both sides of TLS with it.
struct Certificate {
    _folder: TempDir,
    pem: PathBuf,
    server: TlsServer,
    client: TlsClient,
}

impl Certificate {
    /// Made by OpenSSL.
    fn new() -> Self {
        let folder = TempDir::new("amp-tls").expect("a folder");
        let pem = folder.path().join("identity.pem");
        let made = Command::new(tool("openssl"))
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost"])
            .arg("-keyout")
            .arg(&pem)
            .arg("-out")
            .arg(folder.path().join("certificate.pem"))
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certificate =
            std::fs::read(folder.path().join("certificate.pem")).expect("it is there");
        let mut both = std::fs::read(&pem).expect("the key is there");
        both.extend(certificate);
        std::fs::write(&pem, &both).expect("it is written");
        let identity = Identity::from_pem(&both, &both).expect("an identity");
        let identities = Identities::new(Policy::new()).expect("a policy");
        identities.add(&identity).expect("it is taken");
        Self {
            _folder: folder,
            pem,
            server: TlsServer::new(&identities),
            client: trusting(&identity),
        }
    }

    /// What a client is to say.
    fn layer(&self) -> Tls {
        self.client.layer("localhost").expect("a name")
    }
}

fn trusting(identity: &Identity) -> TlsClient {
    TlsClient::new(&Trust::pinned([identity.pin()])).expect("a client")
}

/// What our side does when it is called as a server.
fn serving(reactor: &Reactor, certificate: &Certificate) -> Responders {
    let (granted, asked) = (certificate.server.clone(), certificate.server.clone());
    responders(reactor)
        .on_start_tls(move |_| Ok::<_, Failure>(granted.layer()))
        .on_with_peer(move |_: Encrypt, peer: &Peer| peer.start_tls(asked.layer()).map(drop))
}

/// What our side does when it is called.
fn responders(reactor: &Reactor) -> Responders {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let all = Rc::clone(&notes);
    let clock = reactor.clone();
    Responders::new()
        .on(|sum: Sum| Total { total: sum.a + sum.b })
        .on(|divide: Divide| match (divide.numerator, divide.denominator) {
            (_, 0) => Err(DivideError::ZeroDivision("division by zero".to_owned()).into()),
            (_, -1) => Err(DivideError::OnFire("it burns".to_owned()).into()),
            (_, -2) => Err(Failure::new("a secret")),
            (numerator, by) => Ok(Quotient { result: numerator as f64 / by as f64 }),
        })
        .on(move |delay: Delay| {
            sleep(&clock, Duration::from_secs_f64(delay.seconds))
                .map(move |()| Delayed { number: delay.number })
        })
        .on(move |note: Note| notes.borrow_mut().push(note.text))
        .on(move |_: Notes| AllNotes { notes: all.borrow().clone() })
        .on_with_peer(|call: CallBack, peer: &Peer| peer.call(&Sum { a: call.a, b: call.b }))
        .on(|echo: Echo| {
            assert_eq!(echo, values());
            echoed(echo)
        })
        .on_switch(|upgrade: Upgrade| match upgrade.to.as_str() {
            "nothing" => Err(DivideError::ZeroDivision("no".to_owned())),
            _ => Ok(((), Shout)),
        })
}

fn twisted(pem: &Path, arguments: &[&str]) -> Program {
    let python = tool("twist").with_file_name("python3");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/amp.py");
    Program::start(Command::new(python).arg(script).arg(pem).args(arguments))
        .expect("Twisted starts")
}

fn connect(reactor: &Reactor, address: SocketAddr) -> Deferred<Peer> {
    connect_with(reactor, address, responders(reactor))
}

fn connect_with(reactor: &Reactor, address: SocketAddr, responders: Responders) -> Deferred<Peer> {
    let amp = Amp::new(responders);
    let peer = amp.peer();
    let (seat, made) = seat_and_tell(amp);
    reactor.connect_tcp(address, ConnectOptions::default(), seat);
    made.map(move |_| peer)
}

/// A server of ours on a port of its own.
fn listen(reactor: &Reactor, certificate: &Certificate) -> SocketAddr {
    let factory = Box::new(serve(serving(reactor, certificate)));
    let anywhere = (Ipv4Addr::LOCALHOST, 0).into();
    let port = reactor.listen_tcp(anywhere, TcpListenOptions::default(), factory);
    port.expect("a port").address().ip().expect("an address")
}

fn error<T: std::fmt::Debug, E: std::error::Error + Clone + 'static>(
    result: Result<T, Failure>,
) -> E {
    let failure = result.expect_err("it fails");
    failure.check::<E>().unwrap_or_else(|| panic!("{failure:?}")).clone()
}

async fn check_values(peer: &Peer) -> Result<(), Failure> {
    assert_eq!(peer.call(&values()).await?, echoed(values()));
    Ok(())
}

async fn check_many(peer: &Peer) -> Result<(), Failure> {
    let delay = |number: u32| Delay { number, seconds: f64::from(number * 7 % 100) / 1000.0 };
    let calls: Vec<_> = (0..200).map(|number| peer.call(&delay(number))).collect();
    for (number, call) in (0..).zip(calls) {
        assert_eq!(call.await?.number, number);
    }
    assert_eq!(peer.call(&CallBack { a: 13, b: 81 }).await?.total, 94);
    Ok(())
}

async fn check_notes(peer: &Peer) -> Result<(), Failure> {
    for text in ["one", "two"] {
        peer.tell(&Note { text: text.to_owned() })?;
    }
    assert_eq!(peer.call(&Notes {}).await?.notes, ["one", "two"]);
    Ok(())
}

async fn check_errors(reactor: &Reactor, address: SocketAddr) -> Result<(), Failure> {
    let divide = |denominator| Divide { numerator: 1, denominator };
    let peer = connect(reactor, address).await?;
    let zero: DivideError = error(peer.call(&divide(0)).await);
    assert_eq!(zero, DivideError::ZeroDivision("division by zero".to_owned()));
    let strange: CallError = error(peer.call(&Strange {}).await);
    assert!(matches!(strange, CallError::Unhandled { .. }), "{strange}");
    let late: CallError = error(
        peer.call_within(Duration::from_millis(10), &Delay { number: 1, seconds: 0.1 }).await,
    );
    assert_eq!(late, CallError::TimedOut);
    sleep(reactor, Duration::from_millis(200)).await?;
    assert!((peer.call(&divide(2)).await?.result - 0.5).abs() < f64::EPSILON);
    let fire: DivideError = error(peer.call(&divide(-1)).await);
    assert_eq!(fire, DivideError::OnFire("it burns".to_owned()));

    let peer = connect(reactor, address).await?;
    let waiting = peer.call(&Delay { number: 1, seconds: 1000.0 });
    let unknown: CallError = error(peer.call(&divide(-2)).await);
    assert_eq!(unknown, CallError::Unknown { description: "Unknown Error".to_owned() });
    assert_eq!(error::<_, CallError>(waiting.await), CallError::Lost(Disconnect::Closed));
    Ok(())
}

async fn check_tls(
    reactor: &Reactor,
    address: SocketAddr,
    certificate: &Certificate,
    can_ask: bool,
) -> Result<(), Failure> {
    let peer = connect(reactor, address).await?;
    let agreed = peer.start_tls(certificate.layer());
    let sum = peer.call(&Sum { a: 13, b: 81 });
    assert_eq!(agreed.await?.protocol, "TLSv1.3");
    assert_eq!(sum.await?.total, 94);
    let strange: CallError = error(peer.call(&Strange {}).await);
    assert!(matches!(strange, CallError::Unhandled { .. }), "{strange}");
    let twice: CallError = error(peer.start_tls(certificate.layer()).await);
    assert_eq!(twice, CallError::OnlyOneTls);

    // The other side asks, which listened. Twisted cannot: bytes that come right behind the answer,
    // as the handshake of a client does, it takes for a box.
    if can_ask {
        let client = certificate.client.clone();
        let responders = responders(reactor).on_start_tls(move |_| client.layer("localhost"));
        let peer = connect_with(reactor, address, responders).await?;
        peer.call(&Encrypt {}).await?;
        assert!(peer.conn().and_then(|conn| conn.tls()).is_some());
        check_values(&peer).await?;
    }

    // Somebody else is trusted.
    let other = trusting(&Identity::self_signed(["localhost"])?);
    let peer = connect(reactor, address).await?;
    let why: TlsError = error(peer.start_tls(other.layer("localhost")?).await);
    assert!(matches!(why.reason(), Reason::Certificate(..)), "{why}");
    Ok(())
}

async fn check_switch(reactor: &Reactor, address: SocketAddr) -> Result<String, Failure> {
    let peer = connect(reactor, address).await?;
    let (done, heard) = deferred();
    let upgrade = |to: &str| Upgrade { to: to.to_owned() };
    let refused = peer.call_and_switch(&upgrade("nothing"), |()| Shout).await;
    assert_eq!(error::<_, DivideError>(refused), DivideError::ZeroDivision("no".to_owned()));
    assert_eq!(peer.call(&Sum { a: 1, b: 2 }).await?.total, 3);
    let answer = peer.call_and_switch(&upgrade("shout"), move |()| Listener {
        heard: Vec::new(),
        done: Some(done),
    });
    let locked: CallError = error(peer.call(&Sum { a: 1, b: 2 }).await);
    assert_eq!(locked, CallError::Switched);
    answer.await?;
    heard.await
}

/// Calls everything that a server can do.
async fn check_all(
    reactor: Reactor,
    address: SocketAddr,
    expected: &'static str,
    certificate: Rc<Certificate>,
) -> Result<(), Failure> {
    let peer = connect(&reactor, address).await?;
    check_values(&peer).await?;
    check_many(&peer).await?;
    check_notes(&peer).await?;
    check_errors(&reactor, address).await?;
    let can_ask = expected.starts_with("ropewalk");
    check_tls(&reactor, address, &certificate, can_ask).await?;
    assert_eq!(check_switch(&reactor, address).await?, expected);
    Ok(())
}

/// Runs until all is checked, or for as long as a test may take.
#[track_caller]
fn run(
    reactor: &Reactor,
    address: SocketAddr,
    expected: &'static str,
    certificate: Rc<Certificate>,
) {
    let task = reactor.spawn(check_all(reactor.clone(), address, expected, certificate));
    let canceller = task.canceller();
    reactor.schedule(PATIENCE, Box::new(move || canceller.cancel()));
    reactor.run_until(task).expect("all is well");
}

#[test]
fn our_client_calls_twisted() {
    let certificate = Rc::new(Certificate::new());
    let mut server = twisted(&certificate.pem, &["serve"]);
    let address = server.listening().expect("it listens");
    run(&reactor(), address, "twisted here\nHELLO\n", certificate);
}

#[test]
fn our_client_calls_our_server() {
    let (reactor, certificate) = (reactor(), Rc::new(Certificate::new()));
    let address = listen(&reactor, &certificate);
    run(&reactor, address, "ropewalk here\nHELLO\n", certificate);
}

/// What a client of Twisted's says that has called everything the server at `address` can do.
fn call_from_twisted(address: SocketAddr, pem: &Path, more: &[&str]) -> String {
    let port = address.port().to_string();
    let mut client = twisted(pem, &[&["call", &port], more].concat());
    let heard = client.line_after("heard ").expect("it switches");
    client.line_after("all is well").expect("it comes to its end");
    heard
}

#[test]
fn twisted_calls_our_server() {
    let (tell, told) = std::sync::mpsc::channel();
    let server = std::thread::Builder::new().spawn(move || {
        let (reactor, certificate) = (reactor(), Certificate::new());
        let address = listen(&reactor, &certificate);
        tell.send((address, reactor.handle(), certificate.pem.clone())).expect("somebody waits");
        reactor.run_without_signals().expect("it runs");
    });
    let server = server.expect("a thread");
    let (address, handle, pem) = told.recv().expect("it listens");
    assert_eq!(call_from_twisted(address, &pem, &["asked"]), "ropewalk here");
    handle.stop().expect("it runs");
    server.join().expect("it ended well");
}

#[test]
fn twisted_calls_itself() {
    // What fails here is the script's fault.
    let certificate = Certificate::new();
    let mut server = twisted(&certificate.pem, &["serve"]);
    let address = server.listening().expect("it listens");
    assert_eq!(call_from_twisted(address, &certificate.pem, &[]), "twisted here");
}
