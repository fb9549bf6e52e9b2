//! The status page, as a browser shows it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ropewalk_interop::{PATIENCE, TempDir, chromium};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::program;

/// Reads from a stream of events until so many have come.
fn wait_for_events(place: &str, count: usize) {
    let mut stream = TcpStream::connect(place).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(b"GET /inside/events HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is asked");
    let mut told = Vec::new();
    while String::from_utf8_lossy(&told).matches("data: {").count() < count {
        let mut some = [0; 4096];
        let length = stream.read(&mut some).expect("an event");
        assert!(length > 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&some[..length]);
    }
}

/// The status page as narrow as on a phone, which no window of the browser is, and whether it fits.
const PHONE: &str = "<!doctype html><title>phone</title><body>
<script>
// It has drawn what came before by then, and this page is not loaded before it is.
const look = frame => {
  const { points, fits } = frame.contentDocument.body.dataset;
  Object.assign(document.body.dataset, { points, fits, wide: frame.contentWindow.innerWidth });
};
</script>
<iframe src=/inside width=360 height=780 style='border:0' onload='look(this)'></iframe>
";

/// What the browser prints of a page.
fn shown_at(place: &str, profile: &TempDir, path: &str, words: &[&str]) -> String {
    let page = format!("http://{place}/{path}");
    let browse = || chromium(profile).args(words).arg(&page).output().expect("chromium runs");
    // On a busy machine it sometimes dies of itself: its zygote cannot fork.
    let died = |output: &Output| String::from_utf8_lossy(&output.stderr).contains("Zygote");
    let mut output = browse();
    for _ in 0..2 {
        if output.status.success() || !died(&output) {
            break;
        }
        output = browse();
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn check_on_a_phone(name: &str, show: &dyn Fn(&[&str]) -> String) {
    let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("status-{name}.png"));
    // One of an earlier run proves nothing.
    let _ = std::fs::remove_file(&picture);
    show(&[&format!("--screenshot={}", picture.display())]);
    assert!(std::fs::read(&picture).expect("a picture").len() > 5_000, "{name}");
    let shown = show(&["--dump-dom"]);
    assert!(shown.contains("data-fits=\"true\"") && shown.contains("data-wide=\"360\""), "{shown}");
}

#[test]
fn chromium_shows_how_a_program_is() {
    let folder = TempDir::new("status-page").expect("a folder");
    folder.write("phone.html", PHONE).expect("a file");
    let mut command = Command::new(program());
    command.args(["web", "--listen", "tcp:0:interface=127.0.0.1", "--status", "/inside"]);
    command.args(["--control", "off", "--path"]).arg(folder.path()).stdin(Stdio::null());
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.expect("it runs");
    let mut url = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    lines.read_line(&mut url).expect("where it serves");
    let place = url.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    wait_for_events(&place, 3);

    let profile = TempDir::new("chromium").expect("a folder");
    let show_at = |path: &str, words: &[&str]| shown_at(&place, &profile, path, words);
    let show = |words: &[&str]| show_at("inside", words);
    let shown = show(&["--dump-dom"]);
    for name in ["connections", "requests", "latency", "lag", "memory", "traffic"] {
        let (_, section) = shown.split_once(&format!("<section id=\"{name}\">")).expect(name);
        let section = section.split("</section>").next().unwrap_or(section);
        assert!(section.contains("<svg") && section.contains("<path d=\"M"), "{name}: {section}");
    }
    let (_, points) = shown.split_once("data-points=\"").expect("its script has run");
    assert!(!points.starts_with("0\""), "it draws what came before");

    // By day and by night, on a desk and on a phone.
    for (name, words) in [
        ("light", &["--window-size=1200,800"][..]),
        ("dark", &["--window-size=1200,800", "--blink-settings=preferredColorScheme=0"]),
        ("narrow", &["--window-size=500,900"]),
    ] {
        let picture = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("status-{name}.png"));
        // One of an earlier run proves nothing.
        let _ = std::fs::remove_file(&picture);
        let target = format!("--screenshot={}", picture.display());
        show(&[words, &[&target]].concat());
        let bytes = std::fs::read(&picture).expect("a picture");
        assert!(bytes.starts_with(b"\x89PNG"));
        assert!(bytes.len() > 10_000, "{name}: {} bytes are too few for charts", bytes.len());
        let shown = show(&[words, &["--dump-dom"]].concat());
        assert!(shown.contains("data-fits=\"true\""), "{name}: it is wider than the screen");
    }

    for (name, words) in [
        ("phone", &["--window-size=500,900"][..]),
        ("phone-dark", &["--window-size=500,900", "--blink-settings=preferredColorScheme=0"]),
    ] {
        check_on_a_phone(name, &|more| show_at("phone.html", &[words, more].concat()));
    }

    kill_process(Pid::from_child(&child), Signal::TERM).expect("it is told to end");
    let mut log = String::new();
    child.stderr.take().expect("its log").read_to_string(&mut log).expect("text");
    assert!(child.wait().expect("its end").success(), "{log}");
    let events = log
        .lines()
        .filter(|line| line.contains("GET /inside/events ") && line.contains("HeadlessChrome"));
    assert!(events.count() > 0, "the page listens to what happens: {log}");
    let others = log.lines().filter(|line| {
        line.contains("HeadlessChrome")
            && !line.contains("/inside")
            && !line.contains("/phone.html")
    });
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "it needs nothing else");
}
