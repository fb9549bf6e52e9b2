//! What strings mean, what they print as, and where errors point.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_endpoint::{
    Arguments, ClientDescription, Description, EndpointError, Fault, HOST_MAX, Scheme, Schemes,
    ServerDescription, TIMEOUT_MAX, Tcp6Client, Tcp6Server, TcpClient, TcpServer, Token,
    UNIX_PATH_MAX, UnixClient, UnixServer, quote,
};

/// Reads `source`; what comes of it is printed, or is the report of what is wrong.
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
            let (line, pointer) = report.split_once('\n').expect("two lines");
            assert_eq!(line.chars().count(), source.chars().count(), "{source}");
            assert_eq!(pointer, told, "{source}");
            assert_eq!(format!("{error:#}"), report);
            assert_eq!(error.to_string(), format!("endpoint \"{line}\": {}", error.fault()));
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

/// The kinds of servers and of clients, as errors list them.
fn known_kinds() -> [String; 2] {
    let kinds = [ServerDescription::schemes().kinds(), ClientDescription::schemes().kinds()];
    kinds.map(|kinds| format!("known: {}", kinds.join(", ")))
}

/// Cuts `source` into arguments and shows each as keyword, value and the bytes of the value.
#[track_caller]
fn cut(source: &str, expected: &[(Option<&str>, &str, &str)]) {
    let description: Description = source.parse().expect(source);
    let arguments = description.arguments().iter().map(|argument| {
        let value = argument.value();
        (argument.keyword().map(Token::text), value.text(), &source[value.span()])
    });
    assert_eq!(arguments.collect::<Vec<_>>(), expected, "{source}");
    assert_eq!(description.to_string().parse(), Ok(description), "{source}");
}

#[test]
fn colons_part_arguments_and_backslashes_join_them() {
    cut(
        r"a:b\:c:k=v=w:\=x:",
        &[
            (None, "a", "a"),
            (None, "b:c", r"b\:c"),
            (Some("k"), "v=w", "v=w"),
            (None, "=x", r"\=x"),
            (None, "", ""),
        ],
    );
    cut("", &[(None, "", "")]);
    cut(":", &[(None, "", ""), (None, "", "")]);
    cut("k=", &[(Some("k"), "", "")]);
    cut("k==", &[(Some("k"), "=", "=")]);
    cut(r"k\=l=v", &[(Some("k=l"), "v", "v")]);
    cut(r"k=a\=b\:c\\", &[(Some("k"), r"a=b:c\", r"a\=b\:c\\")]);
    cut(r"\n\é", &[(None, "né", r"\n\é")]);
    cut("é:ü=ß", &[(None, "é", "é"), (Some("ü"), "ß", "ß")]);
}

#[test]
fn brackets_keep_the_colons_of_an_address() {
    cut("[::1]", &[(None, "[::1]", "[::1]")]);
    cut("[::1]:80", &[(None, "[::1]", "[::1]"), (None, "80", "80")]);
    cut("k=[fe80::1%eth0]:x", &[(Some("k"), "[fe80::1%eth0]", "[fe80::1%eth0]"), (None, "x", "x")]);
    cut(r"[\:\:1]", &[(None, "[::1]", r"[\:\:1]")]);
    cut("[a:b", &[(None, "[a", "[a"), (None, "b", "b")]);
    cut("[a:b]c", &[(None, "[a", "[a"), (None, "b]c", "b]c")]);
    cut("[a:b]=c", &[(None, "[a", "[a"), (Some("b]"), "c", "c")]);
    cut("x[a:b]", &[(None, "x[a", "x[a"), (None, "b]", "b]")]);
    cut("[a:/]", &[(None, "[a", "[a"), (None, "/]", "/]")]);
}

#[test]
fn faults_of_the_grammar_are_pointed_at() {
    server(r"tcp:80\", r"      ^ this backslash escapes nothing; for a backslash write \\");
    server("tcp:=80", r"    ^ no name before =; for a value that begins with = write \=");
    client(r"unix:é\", r"      ^ this backslash escapes nothing; for a backslash write \\");
}

#[test]
fn servers_listen_on_tcp() {
    server("tcp:8080", "tcp:8080");
    server("TCP:8080", "tcp:8080");
    server("tcp:port=8080", "tcp:8080");
    server("port=8080:tcp", "tcp:8080");
    server("tcp:0", "tcp:0");
    server("tcp:065535", "tcp:65535");
    server("tcp:80:127.0.0.1:5", "tcp:80:interface=127.0.0.1:backlog=5");
    server("tcp:backlog=5:80:interface=127.0.0.1", "tcp:80:interface=127.0.0.1:backlog=5");
    server("tcp:80:interface=0.0.0.0:backlog=1024", "tcp:80");
    server("tcp:80:backlog=1", "tcp:80:backlog=1");
    server("tcp:80:backlog=65535", "tcp:80:backlog=65535");
}

#[test]
fn servers_listen_on_tcp6() {
    server("tcp6:80", "tcp6:80");
    server("tcp6:80:interface=[::1]", "tcp6:80:interface=[::1]");
    server(r"tcp6:80:interface=\:\:1", "tcp6:80:interface=[::1]");
    let told = "                  ^^ this is not an IPv6 address such as [::1] (IPv4: tcp)";
    server(r"tcp6:80:interface=[0:0\:\:1]", told);
}

#[test]
fn servers_listen_on_both_families_if_told() {
    server("tcp6:80:dual=yes", "tcp6:80:dual=yes");
    server("tcp6:80:dual=yes:interface=[::]:backlog=7", "tcp6:80:dual=yes:backlog=7");
    server("tcp6:80:dual=no:interface=[::1]", "tcp6:80:interface=[::1]");
    server("tcp6:80:dual=1", "             ^ this is neither yes nor no");
    server(
        "tcp6:80:interface=[::1]:dual=yes",
        "                             ^^^ dual=yes goes with no interface but [::]",
    );
}

#[test]
fn servers_listen_on_unix_sockets() {
    server("unix:/run/x", "unix:/run/x");
    server("unix:address=/run/x", "unix:/run/x");
    server("unix:path=/run/x", "unix:/run/x");
    server("unix:path=//run/x", "unix:path=//run/x");
    server(r"unix:/run/a\:b\=c\\", r"unix:/run/a\:b\=c\\");
    server("unix:/run/x:660", "unix:/run/x:mode=660");
    server("unix:/run/x:mode=0666:backlog=3", "unix:/run/x:mode=666:backlog=3");
    server("unix:/run/x:mode=600", "unix:/run/x");
    server("unix:/run/x:mode=7", "unix:/run/x:mode=007");
}

#[test]
fn clients_connect_over_tcp() {
    client("tcp:example.com:80", "tcp:example.com:80");
    client("tcp:port=80:host=example.com", "tcp:example.com:80");
    client("tcp:host=a:80", "           ^^ the host is given twice");
    client("tcp:10.0.0.1:80:timeout=5", "tcp:10.0.0.1:80:timeout=5");
    client("tcp:[::1]:80", "tcp:[::1]:80");
    client(r"tcp:\:\:1:80", "tcp:[::1]:80");
    client("tcp:[fe80::1%eth0]:80", "tcp:[fe80::1%eth0]:80");
    client("tcp:[fe80::1%br-a_b.1]:80", "tcp:[fe80::1%br-a_b.1]:80");
    client("tcp:bücher.example:80", "tcp:xn--bcher-kva.example:80");
    client("tcp:a:80:bindAddress=10.0.0.1", "tcp:a:80:bind=10.0.0.1");
    client("tcp:a:80:bind=[::1]", "tcp:a:80:bind=[::1]");
    client("TCP6:a:80", "tcp6:a:80");
    client("tcp6:[::1]:80:bind=[::2]:timeout=1", "tcp6:[::1]:80:timeout=1:bind=[::2]");
}

#[test]
fn clients_connect_to_unix_sockets() {
    client("unix:/run/x", "unix:/run/x");
    client("unix:path=//run/x", "unix:path=//run/x");
    client("unix:path=/run/x:timeout=0.5", "unix:/run/x:timeout=0.5");
}

#[test]
fn timeouts_are_seconds_and_their_parts() {
    client("unix:x:timeout=30", "unix:x");
    client("unix:x:timeout=30.000", "unix:x");
    client("unix:x:timeout=10", "unix:x:timeout=10");
    client("unix:x:timeout=0.000000001", "unix:x:timeout=0.000000001");
    client("unix:x:timeout=86400", "unix:x:timeout=86400");
    for (timeout, pointer) in [
        ("", "^"),
        ("0", "^"),
        ("0.0", "^^^"),
        (".", "^"),
        (".5", "^^"),
        ("5.", "^^"),
        ("-1", "^^"),
        ("1e3", "^^^"),
        ("1.2.3", "^^^^^"),
        ("0.0000000001", "^^^^^^^^^^^^"),
        ("86400.000000001", "^^^^^^^^^^^^^^^"),
        ("99999999999999999999", "^^^^^^^^^^^^^^^^^^^^"),
    ] {
        let told = format!(
            "               {pointer} the timeout is not a number of seconds above 0, up to 86400"
        );
        client(&format!("unix:x:timeout={timeout}"), &told);
    }
}

#[test]
fn ports_that_are_none_are_pointed_at() {
    server("tcp:80a0", "    ^^^^ the port is not a number from 0 to 65535");
    server("tcp:", "    ^ the port is not a number from 0 to 65535");
    server("tcp:+80", "    ^^^ the port is not a number from 0 to 65535");
    server("tcp:65536", "    ^^^^^ the port is not a number from 0 to 65535");
    server("tcp:٨٠", "    ^^ the port is not a number from 0 to 65535");
    server("tcp: 80", "    ^^^ the port is not a number from 0 to 65535");
    server("tcp:80\n", "    ^^^ the port is not a number from 0 to 65535");
    server("tcp:port=x:80", "           ^^ the port is given twice");
    server("tcp:port=x:backlog=80", "         ^ the port is not a number from 0 to 65535");
    server(r"tcp:a\:b:80", r"    ^^^^ the port is not a number from 0 to 65535");
    server("tcp6:port=x", "          ^ the port is not a number from 0 to 65535");
    client("tcp:a:0", "      ^ the port is not a number from 1 to 65535");
    client("tcp:a:65536", "      ^^^^^ the port is not a number from 1 to 65535");
    client("tcp6:a:http", "       ^^^^ the port is not a number from 1 to 65535");
}

#[test]
fn addresses_that_are_none_are_pointed_at() {
    let told = "                 ^^^^^ this is not an IPv4 address such as 127.0.0.1 (IPv6: tcp6)";
    server("tcp:80:interface=[::1]", told);
    server("tcp:80:interface=local", told);
    let told = "                 ^ this is not an IPv4 address such as 127.0.0.1 (IPv6: tcp6)";
    server("tcp:80:interface=", told);
    let told = "                  ^^^^^^^ this is not an IPv6 address such as [::1] (IPv4: tcp)";
    server("tcp6:80:interface=1.2.3.4", told);
    server("tcp6:80:interface=[::1%2]", told);
    client("tcp:a:80:bind=b", "              ^ this is not an IP address to connect from");
    let told = "this address cannot reach the host: one is IPv4, the other IPv6";
    client("tcp:1.2.3.4:80:bind=[::1]", &format!("                    ^^^^^ {told}"));
    client("tcp:[fe80::1%2]:80:bind=1.2.3.4", &format!("                        ^^^^^^^ {told}"));
    client("tcp6:a:80:bind=1.2.3.4", &format!("               ^^^^^^^ {told}"));
    client("tcp6:1.2.3.4:80", "     ^^^^^^^ tcp6 cannot reach an IPv4 address; write tcp");
}

#[test]
fn hosts_that_are_none_are_pointed_at() {
    let told = "this is no address and no name of up to 253 bytes";
    client("tcp::80", &format!("    ^ {told}"));
    for host in [
        "a b", "a/b", "a@b", "a\tb", "a\u{7f}b", "[a]", "[::g]", "::%", r"a\\", "::%a/", r"a\=b",
        "%a", "[::1%]",
    ] {
        let host = host.replace("::", r"\:\:");
        let pointer = "^".repeat(host.chars().count());
        client(&format!("tcp:{host}:80"), &format!("    {pointer} {told}"));
    }
    let longest = "a".repeat(HOST_MAX);
    client(&format!("tcp:{longest}:80"), &format!("tcp:{longest}:80"));
    let pointer = "^".repeat(HOST_MAX + 1);
    client(&format!("tcp:{longest}a:80"), &format!("    {pointer} {told}"));
}

#[test]
fn backlogs_and_modes_that_are_none_are_pointed_at() {
    for (backlog, pointer) in [("0", "^"), ("65536", "^^^^^"), ("-1", "^^"), ("", "^"), ("x", "^")]
    {
        let told = format!("{pointer} the backlog is not a number from 1 to 65535");
        server(&format!("tcp:80:backlog={backlog}"), &format!("               {told}"));
    }
    for (mode, pointer) in
        [("8", "^"), ("1000", "^^^^"), ("", "^"), ("+7", "^^"), ("0o600", "^^^^^"), ("rw", "^^")]
    {
        let told = format!("{pointer} the mode is not an octal number from 0 to 777");
        server(&format!("unix:x:mode={mode}"), &format!("            {told}"));
    }
    server("unix:x:mode=777", "unix:x:mode=777");
    server("unix:x:mode=0", "unix:x:mode=000");
}

#[test]
fn paths_that_are_none_are_pointed_at() {
    server("unix:", "     ^ the path is empty");
    client("unix:path=", "          ^ the path is empty");
    server("unix:a\0b", "     ^^^ the path has a zero byte in it");
    let longest = "é".repeat(UNIX_PATH_MAX / 2) + "a";
    server(&format!("unix:{longest}"), &format!("unix:{longest}"));
    let pointer = "^".repeat(UNIX_PATH_MAX / 2 + 2);
    let told = format!("     {pointer} the path has 108 bytes, a socket's at most 107");
    client(&format!("unix:{longest}a"), &told);
}

#[test]
fn arguments_are_there_once() {
    let form = "tcp:PORT[:interface=ADDRESS][:backlog=COUNT]";
    server("tcp", &format!("   ^ the port is missing; write {form}"));
    server("tcp:backlog=1", &format!("             ^ the port is missing; write {form}"));
    let told = format!("                  ^ this is an argument too many; write {form}");
    server("tcp:80:127.0.0.1:5:x", &told.replacen("  ^", "   ^", 1));
    server("tcp:80:port=80", "       ^^^^ the port is given twice");
    server("tcp:port=80:80", "            ^^ the port is given twice");
    server("unix:path=a:address=b", "            ^^^^^^^ the path is given twice");
    let form = "tcp:HOST:PORT[:timeout=SECONDS][:bind=ADDRESS]";
    client("tcp:8080", &format!("        ^ the port is missing; write {form}"));
    client("tcp:port=80", &format!("           ^ the host is missing; write {form}"));
    client("tcp:a:80:30", &format!("         ^^ this is an argument too many; write {form}"));
    client("unix", "    ^ the path is missing; write unix:PATH[:timeout=SECONDS]");
}

#[test]
fn unknown_names_are_told_the_known_ones() {
    let known = "(known: port, interface, backlog)";
    let told = format!("there is no argument \"iface\"; {}", &known[1..known.len() - 1]);
    server("tcp:80:iface=x", &format!("       ^^^^^ {told}"));
    let told = format!("there is no argument \"Interface\"; did you mean interface? {known}");
    server("tcp:80:Interface=x", &format!("       ^^^^^^^^^ {told}"));
    let told = format!("there is no argument \"baklog\"; did you mean backlog? {known}");
    server("tcp:80:baklog=x", &format!("       ^^^^^^ {told}"));
    let known = "known: host, port, timeout, bind";
    let told = format!("there is no argument \"é\u{fffd}\"; {known}");
    client("tcp:a:80:é\n=x", &format!("         ^^ {told}"));
    let [known, clients_known] = known_kinds();
    let told = |known| format!("^^^ there is no kind \"tpc\"; did you mean tcp? ({known})");
    server("tpc:8080", &told(&known));
    client("tpc:a:8080", &told(&clients_known));
    let told = format!("^^^^ there is no kind \"unxi\"; did you mean unix? ({known})");
    server("unxi:/run/x", &told);
    server("udp", &format!("^^^ there is no kind \"udp\"; {known}"));
    server(
        "carrier-pigeon:x",
        &format!("^^^^^^^^^^^^^^ there is no kind \"carrier-pigeon\"; {known}"),
    );
    server("k=v:udp:x", &format!("    ^^^ there is no kind \"udp\"; {known}"));
    let kinds = ServerDescription::schemes().kinds();
    let [first @ .., last] = &kinds[..] else { panic!("there are kinds") };
    let begin = format!("begin with {} or {last}", first.join(", "));
    server("", &format!("^ this is empty; {begin}"));
    server("tcp=80", &format!("^^^^^^ no kind is named; {begin}"));
}

/// Checks what is told to write in place of the whole of `source`.
#[track_caller]
fn instead(source: &str, on_server: &str, on_client: &str) {
    let server = source.parse::<ServerDescription>().unwrap_err();
    let client = source.parse::<ClientDescription>().unwrap_err();
    for (error, instead) in [(server, on_server), (client, on_client)] {
        let told = format!("did you mean \"{instead}\"?");
        assert!(error.to_string().ends_with(&told), "{error}, and not {told}");
        assert_eq!(error.span(), 0..source.len(), "{error}");
    }
}

#[test]
fn newcomers_are_told_what_to_write() {
    instead("8080", "tcp:8080", "tcp:localhost:8080");
    instead(":8080", "tcp:8080", "tcp:localhost:8080");
    instead("*:8080", "tcp:8080", "tcp:localhost:8080");
    instead("localhost:8080", "tcp:8080:interface=127.0.0.1", "tcp:localhost:8080");
    instead("0.0.0.0:80", "tcp:80:interface=0.0.0.0", "tcp:0.0.0.0:80");
    instead("[::1]:80", "tcp6:80:interface=[::1]", "tcp:[::1]:80");
    instead("example.com:80", "tcp:80", "tcp:example.com:80");
    instead("http://localhost:8080", "tcp:8080:interface=127.0.0.1", "tcp:localhost:8080");
    instead("http://example.com/a:b?c", "tcp:80", "tcp:example.com:80");
    instead("HTTP://me:secret@10.0.0.1/", "tcp:80:interface=10.0.0.1", "tcp:10.0.0.1:80");
    instead("ws://[::1]", "websocket:tcp6:80:interface=[::1]", "ws:[::1]:80");
    instead("tcp://:80", "tcp:80", "tcp:localhost:80");
    instead("tcp://10.0.0.1:80", "tcp:80:interface=10.0.0.1", "tcp:10.0.0.1:80");
    instead("https://example.com/x", "tls:443:self-signed", "tls:example.com:443");
    instead("wss://[::1]:8443", "websocket:tls:8443:self-signed", "wss:[::1]:8443");
    instead("unix:///run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock");
    instead("/run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock");
    instead("./a:b=c", r"unix:./a\:b\=c", r"unix:./a\:b\=c");
    instead("../x", "unix:../x", "unix:../x");
    instead("//x", "unix:path=//x", "unix:path=//x");
    instead("unix:////x", "unix:path=//x", "unix:path=//x");
}

#[test]
fn advice_is_given_only_where_it_is_right() {
    let [known, clients_known] = known_kinds();
    server("::1", &format!("^ there is no kind \"\"; {known}"));
    server("localhost", &format!("^^^^^^^^^ there is no kind \"localhost\"; {known}"));
    client("localhost:0", &format!("^^^^^^^^^ there is no kind \"localhost\"; {clients_known}"));
    server("a=b:80", &format!("    ^^ there is no kind \"80\"; {known}"));
    server("a:70000", &format!("^ there is no kind \"a\"; {known}"));
    let path = format!("/{}", "a".repeat(UNIX_PATH_MAX));
    let pointer = "^".repeat(path.len());
    server(&path, &format!("{pointer} there is no kind \"{path}\"; {known}"));
}

#[test]
fn servers_with_a_host_in_front_are_told_where_it_goes() {
    let told = "a server's port comes first; did you mean";
    let instead = "\"tcp:80:interface=127.0.0.1\"?";
    server("tcp:localhost:80", &format!("    ^^^^^^^^^ {told} {instead}"));
    server("TCP:127.0.0.1:80", &format!("    ^^^^^^^^^ {told} {instead}"));
    server("tcp6:[::1]:80", &format!("     ^^^^^ {told} \"tcp6:80:interface=[::1]\"?"));
}

#[test]
fn addresses_without_brackets_are_told_to_have_them() {
    let told = "an IPv6 address stands in brackets; did you mean";
    server(
        "tcp6:80:interface=::1",
        &format!("                  ^^^ {told} \"tcp6:80:interface=[::1]\"?"),
    );
    server(
        "tcp6:80:interface=fe80::2:backlog=5",
        &format!("                  ^^^^^^^ {told} \"tcp6:80:interface=[fe80::2]:backlog=5\"?"),
    );
    client("tcp:a:80:bind=::1", &format!("              ^^^ {told} \"tcp:a:80:bind=[::1]\"?"));
    client("tcp6:::1:80", &format!("     ^^^ {told} \"tcp6:[::1]:80\"?"));
    client("tcp:2001:db8::1:80", &format!("    ^^^^^^^^^^^ {told} \"tcp:[2001:db8::1]:80\"?"));
    client(
        "tcp:1:2:3:4:5:6:7:8:80",
        &format!("    ^^^^^^^^^^^^^^^ {told} \"tcp:[1:2:3:4:5:6:7:8]:80\"?"),
    );
}

#[test]
fn columns_are_characters() {
    client(
        "unix:é\tß:x",
        "         ^ this is an argument too many; write unix:PATH[:timeout=SECONDS]",
    );
    let error = "unix:é\tß:x".parse::<ClientDescription>().unwrap_err();
    assert_eq!(error.span(), 11..12);
    assert!(error.report().starts_with("unix:é\u{fffd}ß:x\n"));
}

#[test]
fn schemes_can_be_added_and_replaced() {
    let tls =
        |arguments: &Arguments| arguments.required("host", |host| Ok(format!("tls to {host}")));
    let schemes: Schemes<String> = ClientDescription::schemes()
        .map(|description| description.to_string())
        .with(Scheme::new("tls", "tls:HOST:PORT", tls).positional(&["host", "port"]));
    let mut kinds = ClientDescription::schemes().kinds();
    kinds.retain(|kind| *kind != "tls");
    kinds.push("tls");
    assert_eq!(schemes.kinds(), kinds);
    assert_eq!(schemes.read("TLS:a:443").as_deref(), Ok("tls to a"));
    assert_eq!(schemes.read("tcp:a:443").as_deref(), Ok("tcp:a:443"));
    let error = schemes.read("https://example.com/x").unwrap_err();
    assert!(error.to_string().ends_with("did you mean \"tls:example.com:443\"?"));

    let refuse = |arguments: &Arguments| Err(arguments.fault("host", Fault::Port));
    let quic = Scheme::new("quic", "quic:HOST:PORT", refuse).positional(&["host", "port"]);
    let error = ServerDescription::schemes().with(quic).read("quic:localhost:80").unwrap_err();
    assert_eq!((error.fault(), error.span()), (&Fault::Port, 5..14));

    let schemes = schemes.with(Scheme::new("TCP", "TCP", |_| Ok("none".to_owned())));
    kinds.retain(|kind| *kind != "tcp");
    kinds.push("TCP");
    assert_eq!(schemes.kinds(), kinds);
    assert_eq!(schemes.read("tcp").as_deref(), Ok("none"));
    assert!(Schemes::<()>::new().read("tcp:80").is_err());
}

fn servers() -> impl Strategy<Value = ServerDescription> {
    let tcp = (any::<u16>(), any::<Ipv4Addr>(), 1_u16..).prop_map(|(port, interface, backlog)| {
        TcpServer::new(port).with_interface(interface).with_backlog(backlog).unwrap().into()
    });
    let tcp6 = (any::<u16>(), any::<Option<Ipv6Addr>>(), 1_u16..);
    let tcp6 = tcp6.prop_map(|(port, interface, backlog)| {
        let server = Tcp6Server::new(port).with_backlog(backlog).unwrap();
        interface.map_or(server.clone().dual(), |one| server.with_interface(one)).into()
    });
    let unix = (paths(), 0..=0o777_u32, 1_u16..).prop_map(|(path, mode, backlog)| {
        let server = UnixServer::new(&path).unwrap().with_mode(mode).unwrap();
        server.with_backlog(backlog).unwrap().into()
    });
    prop_oneof![tcp, tcp6, unix]
}

fn clients() -> impl Strategy<Value = ClientDescription> {
    let tcp = (hosts(), 1_u16.., timeouts(), any::<Option<IpAddr>>());
    let tcp = tcp.prop_map(|(host, port, timeout, bind)| {
        let client = TcpClient::new(&host, port).unwrap().with_timeout(timeout).unwrap();
        let bound = bind.and_then(|bind| client.clone().with_bind(bind).ok());
        bound.unwrap_or(client).into()
    });
    let tcp6 = (hosts(), 1_u16.., timeouts(), any::<Option<Ipv6Addr>>());
    let tcp6 = tcp6.prop_filter_map("IPv4", |(host, port, timeout, bind)| {
        let client = Tcp6Client::new(&host, port).ok()?.with_timeout(timeout).unwrap();
        Some(bind.map_or(client.clone(), |bind| client.with_bind(bind)).into())
    });
    let unix = (paths(), timeouts()).prop_map(|(path, timeout)| {
        UnixClient::new(&path).unwrap().with_timeout(timeout).unwrap().into()
    });
    prop_oneof![tcp, tcp6, unix]
}

fn hosts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<IpAddr>().prop_map(|address| address.to_string()),
        any::<Ipv6Addr>().prop_map(|address| format!("[{address}%eth0.1]")),
        "[a-zé0-9.-]{1,20}",
    ]
}

fn paths() -> impl Strategy<Value = String> {
    let any_path = any::<String>().prop_filter("a path", |path| UnixServer::new(path).is_ok());
    prop_oneof![any_path, r"[\[\]:=\\a/.%]{1,20}"]
}

fn timeouts() -> impl Strategy<Value = Duration> {
    let nanos_max = TIMEOUT_MAX.as_nanos() as u64;
    let seconds = (1..=TIMEOUT_MAX.as_secs()).prop_map(Duration::from_secs);
    prop_oneof![seconds, (1..=nanos_max).prop_map(Duration::from_nanos)]
}

/// Strings, many of them nearly endpoints.
fn strings() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "tcp",
        "tcp6",
        "unix",
        ":",
        "=",
        r"\",
        "[",
        "]",
        "::1",
        "%",
        "80",
        "é",
        "/",
        "://",
        "@",
        "interface",
        "port",
        "timeout",
        "bind",
        ".",
        "0",
        "\0",
        "\n",
        "a",
    ]);
    let nearly = prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![any::<String>(), nearly]
}

fn check_error(error: &EndpointError, source: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(error.description(), source);
    prop_assert!(source.get(error.span()).is_some(), "{:?}", error.span());
    prop_assert_eq!(error.report().split('\n').count(), 2);
    prop_assert_eq!(error.to_string().lines().count(), 1);
    Ok(())
}

/// What an error says to write is right.
fn check_advice<T: 'static>(
    schemes: &Schemes<T>,
    error: &EndpointError,
) -> Result<(), TestCaseError> {
    use Fault::{BareAddress, BareIpv6, BarePath, HostBeforePort, Url};
    if let Url { instead: Some(instead) }
    | BareAddress { instead }
    | BareIpv6 { instead }
    | BarePath { instead }
    | HostBeforePort { instead } = error.fault()
    {
        prop_assert!(schemes.read(instead).is_ok(), "{} for {}", instead, error);
    }
    Ok(())
}

proptest! {
    #[test]
    fn quoted_text_stands_for_itself_anywhere(text in prop_oneof![any::<String>(), strings()]) {
        let quoted = quote(&text);
        let source = format!("{quoted}:a:{quoted}:k={quoted}:{quoted}");
        let description: Description = source.parse().unwrap();
        let values: Vec<_> = description.arguments().iter().map(|argument| argument.value().text()).collect();
        prop_assert_eq!(values, [&*text, "a", &*text, &*text, &*text]);
        if !text.is_empty() {
            let description: Description = format!("a:{quoted}=b").parse().unwrap();
            let keyword = description.arguments()[1].keyword().map(|token| token.text().to_owned());
            prop_assert_eq!(keyword, Some(text));
        }
    }

    #[test]
    fn servers_print_as_what_they_are_read_from(server in servers()) {
        prop_assert_eq!(server.to_string().parse(), Ok(server));
    }

    #[test]
    fn clients_print_as_what_they_are_read_from(client in clients()) {
        prop_assert_eq!(client.to_string().parse(), Ok(client));
    }

    #[test]
    fn any_string_is_read_or_refused(source in strings()) {
        match source.parse::<Description>() {
            Ok(description) => {
                prop_assert_eq!(description.source(), &source);
                prop_assert_eq!(description.to_string().parse(), Ok(description.clone()));
                for argument in description.arguments() {
                    for token in argument.keyword().into_iter().chain([argument.value()]) {
                        let raw = source.get(token.span());
                        prop_assert!(raw.is_some_and(|raw| raw.len() >= token.text().len()));
                    }
                }
            }
            Err(error) => check_error(&error, &source)?,
        }
        match source.parse::<ServerDescription>() {
            Ok(server) => prop_assert_eq!(server.to_string().parse(), Ok(server)),
            Err(error) => {
                check_error(&error, &source)?;
                check_advice(&ServerDescription::schemes(), &error)?;
            }
        }
        match source.parse::<ClientDescription>() {
            Ok(client) => prop_assert_eq!(client.to_string().parse(), Ok(client)),
            Err(error) => {
                check_error(&error, &source)?;
                check_advice(&ClientDescription::schemes(), &error)?;
            }
        }
    }
}
