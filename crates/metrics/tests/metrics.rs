//! What is told of a program's loops.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ropewalk_http::{Site, Tree};
use ropewalk_metrics::{Loops, NAMES, StatusPage, encode, prometheus};
use ropewalk_protocol::Port;
use ropewalk_reactor::{DriverKind, Gauge, Reactor, TcpListenOptions};

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn reactor() -> Reactor {
    let driver = DriverKind::from_environment().unwrap().unwrap_or_default();
    Reactor::with_driver(driver).unwrap()
}

/// The names of the metrics in a text.
fn names(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[test]
fn every_metric_has_its_name_its_help_and_its_loop() {
    let reactor = reactor();
    let loops = Loops::new();
    let requests = loops.add(&reactor);
    requests.record(200, Duration::from_millis(3));
    requests.record(503, Duration::from_secs(200));
    let _certificate = reactor.add_probe(|gauges| {
        gauges.push(Gauge {
            name: "certificate_not_after_seconds",
            of: "odd \"name\"\\,\nb".to_owned(),
            value: 1.0,
        });
        gauges.push(Gauge { name: "depth", of: "well".to_owned(), value: 7.5 });
    });
    let text = encode(&loops.look(&reactor), loops.lost_lines());
    let mut found = names(&text);
    found.sort_unstable();
    let mut wanted = NAMES.to_vec();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    assert!(text.ends_with("# EOF\n"), "{text}");
    for line in [
        "ropewalk_http_requests_total{status=\"2xx\",loop=\"0\"} 1.0",
        "ropewalk_http_request_seconds_count{loop=\"0\"} 2",
        "ropewalk_http_request_seconds_bucket{le=\"+Inf\",loop=\"0\"} 2",
        "ropewalk_certificate_days_left{names=\"odd \\\"name\\\"\\\\,\\nb\",loop=\"0\"} 0.0",
        "ropewalk_gauge{name=\"depth\",of=\"well\",loop=\"0\"} 7.5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    for name in NAMES {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
    }
}

#[test]
fn a_loop_that_is_stuck_is_told_of_by_what_holds_it_up() {
    let (said, heard) = mpsc::channel();
    let (go_on, until) = mpsc::channel::<()>();
    let looping = thread::Builder::new().spawn(move || {
        let reactor = reactor();
        let loops = Loops::new();
        loops.add(&reactor);
        let handle = reactor.handle();
        let stuck = move |_: &Reactor| {
            let _ = until.recv();
        };
        said.send((loops, handle.clone())).unwrap();
        handle.call_from_thread(stuck).unwrap();
        reactor.run_without_signals().unwrap();
    });
    let (loops, handle) = heard.recv().unwrap();
    // It may not have begun to be stuck at the first question.
    let report = loop {
        let mut reports = loops.ask(Duration::from_millis(50));
        assert_eq!(reports.len(), 1);
        let report = reports.remove(0);
        if report.stuck.is_some() {
            break report;
        }
    };
    assert_eq!(report.stuck.unwrap().runs, "a call from another thread");
    go_on.send(()).unwrap();
    let answered = loops.each(Duration::from_mins(1), |reactor| reactor.census().listeners);
    assert_eq!(answered[0].1, Some(0));
    assert!(answered[0].0.stuck.is_none());
    handle.stop().unwrap();
    looping.unwrap().join().unwrap();
    assert!(loops.ask(Duration::ZERO).is_empty(), "who is gone is left out");
}

/// What a site that is served on this reactor answers at `path`.
fn get(reactor: &Reactor, at: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let asked = reactor.defer_to_thread(move || {
        let mut stream = TcpStream::connect(at)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, io::Error>(answer)
    });
    reactor.run_until(asked).unwrap()
}

#[test]
fn a_site_answers_prometheus_and_has_a_page() {
    let reactor = reactor();
    let loops = Loops::new();
    let requests = loops.add(&reactor);
    let tree = Tree::new()
        .child("metrics", prometheus(&loops, &reactor))
        .child("status", StatusPage::new("A <title>", &loops, &reactor));
    let counted = requests.clone();
    let site = Site::new(tree)
        .on_access(move |access| counted.record(access.status.as_u16(), access.took));
    let port = reactor.listen_tcp(ANYWHERE, TcpListenOptions::default(), Box::new(site)).unwrap();
    let at = port.address().ip().unwrap();
    let page = get(&reactor, at, "/status");
    assert!(page.contains("text/html") && page.contains("A &lt;title&gt;"), "{page}");
    // The one address is SVG's name.
    assert_eq!(page.matches("://").count(), 1, "{page}");
    let text = get(&reactor, at, "/metrics");
    assert!(text.contains("openmetrics-text"), "{text}");
    let line = format!("ropewalk_connections{{listener=\"{at}\",protocol=\"http\",loop=\"0\"}}");
    assert!(text.contains(&line), "{text}");
    assert_eq!(requests.counted().by_class[2], 2);
}
