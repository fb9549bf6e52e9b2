//! Endpoints that stand around others: what they mean, what they print as, where errors point.

use std::time::Duration;

use proptest::prelude::*;
use ropewalk_endpoint::{
    Arguments, ClientDescription, EndpointError, Fault, HaproxyClient, HaproxyServer, NESTING_MAX,
    ProxyKind, Scheme, Schemes, ServerDescription, TcpClient, TcpServer, ThroughProxy,
};
use ropewalk_proxy::{HEADER_PATIENCE, Version};

/// Reads `source`; what comes of it is printed, or is the pointer at what is wrong.
#[track_caller]
fn check<T: ToString>(read: impl Fn(&str) -> Result<T, EndpointError>, source: &str, told: &str) {
    match read(source) {
        Ok(description) => {
            let printed = description.to_string();
            assert_eq!(printed, told, "{source}");
            assert_eq!(read(&printed).map(|again| again.to_string()), Ok(printed), "{source}");
        }
        Err(error) => {
            let report = error.report();
            assert_eq!(report.split_once('\n'), Some((source, told)));
        }
    }
}

#[track_caller]
fn server(source: &str, told: &str) {
    check(str::parse::<ServerDescription>, source, told);
}

#[track_caller]
fn client(source: &str, told: &str) {
    check(str::parse::<ClientDescription>, source, told);
}

#[test]
fn servers_stand_behind_proxies() {
    // 2.8, 99: `haproxy` before any server.
    server("haproxy:tcp:8080", "haproxy:tcp:8080");
    server("HAProxy:TCP:8080:backlog=5", "haproxy:tcp:8080:backlog=5");
    server(r"haproxy:unix:/run/a\:b:mode=660", r"haproxy:unix:/run/a\:b:mode=660");
    server("haproxy:tcp6:80:interface=[::1]", "haproxy:tcp6:80:interface=[::1]");
    server("haproxy:haproxy:tcp:80", "haproxy:haproxy:tcp:80");
    server("haproxy:timeout=1.5:tcp:80", "haproxy:timeout=1.5:tcp:80");
    server("haproxy:timeout=5:tcp:80", "haproxy:tcp:80");
    server(
        "haproxy:trust=10.0.0.0/8,192.168.0.1/32:tcp:80",
        "haproxy:trust=10.0.0.0/8,192.168.0.1:tcp:80",
    );
    server(r"trust=fd00\:\:/8:haproxy:tcp:80", r"haproxy:trust=fd00\:\:/8:tcp:80");
}

#[test]
fn who_is_trusted_is_said_in_networks() {
    // 100: not everybody is believed.
    let read = |source: &str| match source.parse() {
        Ok(ServerDescription::Haproxy(server)) => server.acceptance(),
        other => panic!("{other:?}"),
    };
    let here = read("haproxy:tcp:80");
    assert!(here.trusted.iter().all(|network| network.address().is_loopback()));
    assert!(here.trusts_local && here.patience == HEADER_PATIENCE);
    let there = read("haproxy:trust=10.0.0.0/8:timeout=0.25:tcp:80");
    assert_eq!(there.trusted, ["10.0.0.0/8".parse().expect("a network")]);
    assert_eq!(there.patience, Duration::from_millis(250));
}

#[test]
fn clients_say_who_they_are() {
    client("haproxy:tcp:a:80", "haproxy:tcp:a:80");
    client("haproxy:version=2:tcp:a:80", "haproxy:tcp:a:80");
    client("haproxy:version=v1:tcp:a:80:timeout=5", "haproxy:version=1:tcp:a:80:timeout=5");
    client("haproxy:version=2c:unix:/run/x", "haproxy:version=2c:unix:/run/x");
}

#[test]
fn clients_go_through_proxies() {
    client("socks5:example.org:80:tcp:proxy:1080", "socks5:example.org:80:tcp:proxy:1080");
    client("socks4:example.org:80:tcp:proxy:1080", "socks4:example.org:80:tcp:proxy:1080");
    client("SOCKS5:[::1]:80:tcp:[::1]:1080", "socks5:[::1]:80:tcp:[::1]:1080");
    client("http-connect:a.b:443:unix:/run/p", "http-connect:a.b:443:unix:/run/p");
    client(
        r"socks5:a:80:user=b\:c:password=d\=e:timeout=5:tcp:p:1080:timeout=2",
        r"socks5:a:80:user=b\:c:password=d\=e:timeout=5:tcp:p:1080:timeout=2",
    );
    client("socks5:a:80:user=b:tcp:p:1", "socks5:a:80:user=b:password=:tcp:p:1");
    client("socks4:a:80:user=b:tcp:p:1", "socks4:a:80:user=b:tcp:p:1");
    client("socks5:port=80:host=a:tcp:p:1", "socks5:a:80:tcp:p:1");
    client("socks5:port=80:a:tcp:p:1", "socks5:a:80:tcp:p:1");
}

#[test]
fn proxies_stand_behind_proxies() {
    let deep = "socks5:a:80:http-connect:b:1080:haproxy:socks4:c:3128:tcp:d:1080:bind=127.0.0.1";
    client(deep, deep);
    let nested = |depth: usize| format!("{}tcp:80", "haproxy:".repeat(depth - 1));
    server(&nested(NESTING_MAX), &nested(NESTING_MAX));
    let too_deep = nested(NESTING_MAX + 1);
    let error = too_deep.parse::<ServerDescription>().expect_err("it is too deep");
    assert_eq!(error.fault(), &Fault::DeepNesting);
    assert_eq!(&too_deep[error.span()], "tcp:80");
    // Whoever means harm gets an error, soon.
    let error = nested(100_000).parse::<ServerDescription>().expect_err("it is too deep");
    assert_eq!(error.fault(), &Fault::DeepNesting);
}

#[test]
fn faults_inside_are_pointed_at_where_they_stand() {
    server("haproxy:tcp:80a", "            ^^^ the port is not a number from 0 to 65535");
    server(
        "haproxy:tcp:80:x=1",
        "               ^ there is no argument \"x\"; known: port, interface, backlog",
    );
    client(
        "socks5:a:80:tcp:b",
        "                 ^ the port is missing; write \
         tcp:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]",
    );
    let told = "no kind stands in front; did you mean \"tcp:gate:1080\"?";
    client("socks5:a:80:gate:1080", &format!("            ^^^^^^^^^ {told}"));
    let told = "this is a URL; did you mean \"tcp:proxy:3128\"?";
    client(
        "http-connect:a:80:http://proxy:3128/",
        &format!("                  ^^^^^^^^^^^^^^^^^^ {told}"),
    );
    let told = "a server's port comes first; did you mean \"tcp:80:interface=127.0.0.1\"?";
    server("haproxy:tcp:localhost:80", &format!("            ^^^^^^^^^ {told}"));
    let told = "an IPv6 address stands in brackets; did you mean \"tcp:[::1]:1080\"?";
    client("socks5:a:80:tcp:::1:1080", &format!("                ^^^ {told}"));
}

#[test]
fn faults_of_the_outer_ones_are_pointed_at() {
    let form = "haproxy[:trust=NETWORKS][:timeout=SECONDS]:SERVER";
    let missing = |form| format!("the endpoint that this one is around is missing; write {form}");
    server("haproxy", &format!("       ^ {}", missing(form)));
    server("haproxy:timeout=5", &format!("                 ^ {}", missing(form)));
    let form = "socks4:HOST:PORT[:user=NAME][:timeout=SECONDS]:PROXY";
    client("socks4:a:80", &format!("           ^ {}", missing(form)));
    client("socks4:a:80:password=x:tcp:p:1", &{
        let known = "host, port, user, timeout";
        format!("            ^^^^^^^^ there is no argument \"password\"; known: {known}")
    });
    server(
        "haproxy:trust=10.0.0.1/8:tcp:80",
        "              ^^^^^^^^^^ the address has bits beyond the prefix; did you mean 10.0.0.0/8?",
    );
    server(
        "haproxy:trust=:tcp:80",
        "              ^ a network begins with an IP address, as in 10.0.0.0/8",
    );
    let told = "the timeout is not a number of seconds above 0, up to 86400";
    server("haproxy:timeout=0:tcp:80", &format!("                ^ {told}"));
    client(
        "haproxy:version=3:tcp:a:80",
        "                ^ the version is neither 1, 2 nor 2c (2 with a checksum)",
    );
    let told = "SOCKS 4 has no IPv6 addresses; write socks5";
    client("socks4:[::1]:80:tcp:p:1", &format!("       ^^^^^ {told}"));
    client("socks5:a:0:tcp:p:1", "         ^ the port is not a number from 1 to 65535");
    let told = "a password wants a user name; write user=NAME too";
    client("socks5:a:80:password=x:tcp:p:1", &format!("                     ^ {told}"));
    let told = "this cannot be said to such a proxy as a user name and password";
    client(r"http-connect:a:80:user=a\:b:tcp:p:1", &format!("                       ^^^^ {told}"));
    let long = format!("socks5:a:80:user={}:tcp:p:1", "x".repeat(256));
    let error = long.parse::<ClientDescription>().expect_err("it is too long");
    assert_eq!(error.fault(), &Fault::Login);
}

#[test]
fn what_is_built_is_what_is_read() {
    let tcp = || ServerDescription::from(TcpServer::new(80));
    let trusted = vec!["10.0.0.0/8".parse().expect("a network")];
    let built = HaproxyServer::new(tcp()).trusting(trusted);
    let built = built.with_timeout(Duration::from_secs(1)).expect("a time");
    let read = "haproxy:trust=10.0.0.0/8:timeout=1:tcp:80".parse();
    assert_eq!(read, Ok(ServerDescription::from(built)));

    let proxy = || ClientDescription::from(TcpClient::new("p", 1080).expect("a place"));
    let built = HaproxyClient::new(proxy(), Version::V1);
    assert_eq!("haproxy:version=1:tcp:p:1080".parse(), Ok(ClientDescription::from(built)));

    let through = |kind| ThroughProxy::new(kind, "a", 80, proxy()).expect("a place");
    let built = through(ProxyKind::Socks5).with_login("b", "c").expect("a login");
    let built = built.with_timeout(Duration::from_secs(5)).expect("a time");
    assert!(!format!("{built:?}").contains("\"c\""), "passwords stay out of logs");
    let read = "socks5:a:80:user=b:password=c:timeout=5:tcp:p:1080".parse();
    assert_eq!(read, Ok(ClientDescription::from(built)));
    let refused = through(ProxyKind::Socks4).with_login("b", "c");
    assert_eq!(refused, Err(Fault::Login));
    let six = ThroughProxy::new(ProxyKind::Socks4, "::1", 80, proxy());
    assert_eq!(six, Err(Fault::Ipv6ThroughSocks4));
}

#[test]
fn other_crates_wrap_and_are_wrapped() {
    let loud = |_: &Arguments, inner: ServerDescription| Ok(inner);
    let with_loud = || ServerDescription::schemes().with(Scheme::wrapping("loud", "loud:X", loud));
    assert_eq!(with_loud().read("loud:haproxy:loud:tcp:80"), "haproxy:tcp:80".parse());

    let texts: Schemes<String> = with_loud()
        .map(|server| server.to_string())
        .with(Scheme::wrapping("twice", "twice:X", |_, inner| Ok(format!("{inner} {inner}"))));
    assert_eq!(texts.read("twice:loud:tcp:80").as_deref(), Ok("tcp:80 tcp:80"));
    // What was there before wraps what was there before.
    let error = texts.read("haproxy:twice:tcp:80").expect_err("haproxy does not know it");
    assert!(matches!(error.fault(), Fault::UnknownKind { .. }));
}

proptest! {
    #[test]
    fn no_string_breaks_anything(source in "(haproxy|socks5|tcp|a|80|trust|:|=|\\\\|\\[|\\]|,|//){0,30}") {
        for outcome in [
            source.parse::<ServerDescription>().map(|server| server.to_string()),
            source.parse::<ClientDescription>().map(|client| client.to_string()),
        ] {
            match outcome {
                Ok(printed) => prop_assert!(!printed.is_empty()),
                Err(error) => prop_assert!(source.get(error.span()).is_some()),
            }
        }
    }
}
