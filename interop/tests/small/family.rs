//! Echo, Discard, Chargen, QOTD, Users, Daytime and Time.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ropewalk_interop::{PATIENCE, Peer, TempDir, free_port, tool, wait_for_port};
use ropewalk_protocol::{Disconnect, open_datagrams, sleep, timeout};
use ropewalk_reactor::{UdpEndpoint, UdpOptions};
use ropewalk_small::{AskError, chargen, datagrams, daytime, discard, echo, qotd, time, users};

use crate::kit::{asked, local, printed, run, serve, twisted};
use crate::support::reactor;

/// A Tuesday.
fn moment() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

/// xinetd with these services, which it has in itself, at these ports.
fn xinetd(kind: &str, protocol: &str, wait: &str, services: &[(&str, u16)]) -> (TempDir, Command) {
    let mut rules = "defaults\n{\nbind = 127.0.0.1\n}\n".to_owned();
    for (name, port) in services {
        write!(
            rules,
            "service {name}\n{{\ntype = INTERNAL UNLISTED\nsocket_type = {kind}\n\
             protocol = {protocol}\nport = {port}\nuser = root\nwait = {wait}\n}}\n"
        )
        .expect("a string grows");
    }
    let folder = TempDir::new("xinetd").expect("a folder");
    let rules = folder.write("rules", rules).expect("a file");
    let mut xinetd = Command::new(tool("xinetd"));
    xinetd.args(["-dontfork", "-stayalive", "-filelog"]).arg(folder.path().join("log"));
    xinetd.arg("-pidfile").arg(folder.path().join("pid")).arg("-f").arg(rules);
    (folder, xinetd)
}

#[test]
fn xinetd_is_asked() {
    let names = ["echo", "discard", "chargen", "daytime", "time"];
    let ports = names.map(|_| free_port().expect("a port"));
    let services: Vec<_> = names.into_iter().zip(ports).collect();
    let (_folder, mut xinetd) = xinetd("stream", "tcp", "no", &services);
    let _xinetd = Peer::start(&mut xinetd).expect("xinetd starts");
    for port in ports {
        wait_for_port(local(port)).expect("it listens");
    }
    let [echo, discard, chargen, daytime, time] = ports;
    asked(echo, |place| echo::ask(place, vec![b'x'; 100_000])).expect("an echo");
    asked(discard, |place| discard::send(place, vec![b'x'; 100_000])).expect("it is taken");
    let characters = asked(chargen, |place| chargen::ask(place, 7400)).expect("characters");
    let lines: Vec<_> = characters.split(|byte| *byte == b'\n').collect();
    assert!(characters.len() == 7400 && lines[1].len() == 73, "{}", characters.escape_ascii());
    let said = asked(daytime, daytime::ask).expect("the time");
    assert!(said.contains(':') && said.contains("20"), "{said}");
    let stamp = asked(time, time::ask).expect("the time");
    #[expect(clippy::disallowed_methods, reason = "another program tells the time of the world")]
    let now = SystemTime::now();
    let told = stamp.near(now);
    let apart = now.duration_since(told).or_else(|_| told.duration_since(now)).expect("close");
    assert!(apart < Duration::from_mins(5), "{apart:?}");
}

/// xinetd with an internal service over datagrams.
#[test]
fn xinetd_is_asked_over_datagrams() {
    let names = ["echo", "chargen", "daytime", "time"];
    let ports = names.map(|_| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.local_addr().expect("an address").port()
    });
    let services: Vec<_> = names.into_iter().zip(ports).collect();
    let (_folder, mut xinetd) = xinetd("dgram", "udp", "yes", &services);
    let _xinetd = Peer::start(&mut xinetd).expect("xinetd starts");
    let reactor = reactor();
    let ask = |port: u16, words: &'static str| {
        let endpoint = UdpEndpoint::new(&reactor, local(0), UdpOptions::default());
        // Nobody listens there at first.
        let mut attempts = 1;
        loop {
            let asked = datagrams::ask(&endpoint, &local(port).into(), words);
            match reactor.run_until(timeout(&reactor, PATIENCE, asked)) {
                Err(failure) if attempts < 400 => {
                    let refused = Some(&AskError::Lost(Disconnect::Refused));
                    assert_eq!(failure.check::<AskError>(), refused);
                    let pause = sleep(&reactor, Duration::from_millis(10));
                    reactor.run_until(pause).expect("time passes");
                    attempts += 1;
                }
                told => return told.expect("an answer"),
            }
        }
    };
    assert_eq!(ask(ports[0], "hello"), b"hello");
    assert!(ask(ports[1], "?").len() >= 72);
    let said = ask(ports[2], "");
    assert!(said.contains(&b':'), "{}", said.escape_ascii());
    time::Stamp::decode(&ask(ports[3], "")).expect("four bytes");
}

#[test]
fn python_is_told_over_datagrams() {
    let reactor = reactor();
    let endpoint = UdpEndpoint::new(&reactor, local(0), UdpOptions::default());
    let port = reactor.run_until(open_datagrams(&endpoint, datagrams::time(moment)));
    let address = port.expect("a port").local().ip().expect("an Internet address");
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)\n\
        s.sendto(b'', ('127.0.0.1', int(sys.argv[1]))); print(s.recv(600).hex())";
    let mut python = Command::new(tool("python3"));
    python.args(["-c", script, &address.port().to_string()]);
    let said = reactor.defer_to_thread(move || {
        Ok::<_, std::convert::Infallible>(printed(&run(&mut python, b"")))
    });
    assert_eq!(reactor.run_until(said).expect("it ran"), "e8fe6f80\n");
}

#[test]
fn twisted_is_asked() {
    let (_peer, ports) = twisted(&["family"]);
    let [echo, discard, chargen, qotd, who] = ports[..] else { panic!("{ports:?}") };
    asked(echo, |place| echo::ask(place, vec![b'x'; 1 << 20])).expect("an echo");
    asked(discard, |place| discard::send(place, vec![b'x'; 100_000])).expect("it is taken");
    let characters = asked(chargen, |place| chargen::ask(place, 1000)).expect("characters");
    assert!(characters.starts_with(b"@ABCDEFG"), "{}", characters.escape_ascii());
    let quote = asked(qotd, qotd::ask).expect("a quote");
    assert_eq!(quote, "An apple a day keeps the doctor away.\n");
    assert_eq!(asked(who, users::ask).expect("names"), ["root"]);
}

#[test]
fn rdate_is_told() {
    let house = serve(|_| time::serve(moment));
    let mut rdate = Command::new(tool("rdate"));
    // Without -p it would set the clock.
    rdate.env("TZ", "UTC").env("LC_ALL", "C").args([
        "-p",
        "-o",
        &house.port().to_string(),
        "127.0.0.1",
    ]);
    let said = printed(&run(&mut rdate, b""));
    assert!(
        said.starts_with("Tue Nov 14 22:13:20 ") && said.trim_end().ends_with("2023"),
        "{said}"
    );
}

#[test]
fn socat_hears_its_own_words() {
    let words: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let house = serve(|_| echo::serve());
    let place = format!("TCP:{}", house.address);
    let output = run(Command::new(tool("socat")).args(["-t20", "-", &place]), &words);
    assert!(output.status.success() && output.stdout == words, "{}", output.stdout.len());
    let house = serve(|_| discard::serve());
    let place = format!("TCP:{}", house.address);
    assert_eq!(printed(&run(Command::new(tool("socat")).args(["-t20", "-", &place]), &words)), "");
}

#[test]
fn busybox_and_netcat_are_told() {
    let daytime = serve(|_| daytime::serve(moment));
    let quote = serve(|_| qotd::serve(|| "Three strands.\n".to_owned()));
    let names = serve(|_| users::serve(|| vec!["alice".to_owned(), "bob".to_owned()]));
    for (house, expected) in [
        (&daytime, "Tuesday, November 14, 2023 22:13:20-UTC\r\n"),
        (&quote, "Three strands.\r\n"),
        (&names, "alice\r\nbob\r\n"),
    ] {
        let port = house.port().to_string();
        let mut busybox = Command::new(tool("busybox"));
        assert_eq!(printed(&run(busybox.args(["nc", "127.0.0.1", &port]), b"")), expected);
        let mut nc = Command::new(tool("nc"));
        assert_eq!(printed(&run(nc.args(["127.0.0.1", &port]), b"")), expected);
    }
}

#[test]
fn python_has_as_many_characters_as_it_wants() {
    let house = serve(|_| chargen::serve());
    let script = "import socket, sys\n\
        stream = socket.create_connection(('127.0.0.1', int(sys.argv[1]))).makefile('rb')\n\
        print(all(len(stream.readline()) == 74 for _ in range(5000)))";
    let mut python = Command::new(tool("python3"));
    assert_eq!(
        printed(&run(python.args(["-c", script, &house.port().to_string()]), b"")),
        "True\n"
    );
}
