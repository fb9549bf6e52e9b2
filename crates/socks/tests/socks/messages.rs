//! Messages as bytes.

use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use proptest::prelude::*;
use ropewalk_socks::{
    BadMessage, Choice5, Command, Datagram, Decoder, Greeting5, Login, LoginReply5, MESSAGE_MAX,
    Message, Opening, Refusal, Reply4, Reply5, Request4, Request5, Target,
};

use crate::kit::ip;

/// The message in these pieces and the bytes behind it, or what is wrong.
fn read<'p, M: Message>(
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Option<(M, Vec<u8>)>, BadMessage> {
    let mut decoder = Decoder::default();
    let mut found: Option<(M, Vec<u8>)> = None;
    for mut piece in pieces {
        if let Some((_, rest)) = &mut found {
            rest.extend_from_slice(piece);
        } else if let Some(message) = decoder.feed(&mut piece)? {
            found = Some((message, piece.to_vec()));
        } else {
            assert!(piece.is_empty(), "all is taken where no message is finished");
        }
    }
    Ok(found)
}

/// These bytes mean this, however they are cut, and what follows is left.
#[track_caller]
fn check<M: Message + PartialEq + Debug>(bytes: &[u8], expected: &M) {
    let followed = [bytes, b"\x05\x01rest"].concat();
    for size in 1..=followed.len() {
        let (message, rest) = read::<M>(followed.chunks(size)).expect("a message").expect("all");
        assert_eq!(&message, expected, "pieces of {size}");
        assert_eq!(rest, b"\x05\x01rest");
    }
    for length in 0..bytes.len() {
        assert!(matches!(read::<M>([&bytes[..length]]), Ok(None)), "{length} bytes are too few");
    }
}

#[track_caller]
fn refuse<M: Message + PartialEq + Debug>(bytes: &[u8], expected: BadMessage) {
    for size in 1..=bytes.len() {
        assert_eq!(read::<M>(bytes.chunks(size)), Err(expected), "{}", bytes.escape_ascii());
    }
}

fn target(host: &str, port: u16) -> Target {
    Target::new(host, port).expect("a target")
}

fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

#[test]
fn requests_of_version_4_have_a_user_and_perhaps_a_name() {
    let check = |bytes: &[u8], command, target: Target, user: &[u8]| {
        let request = Request4 { command, target, user: user.to_vec() };
        check(bytes, &request);
        check(bytes, &Opening::V4(request.clone()));
        let mut again = Vec::new();
        request.encode(&mut again).expect("it was read");
        assert_eq!(again, bytes);
    };
    check(
        b"\x04\x01\0\x50\x5d\xb8\xd7\x0ebob\0",
        Command::Connect,
        target("93.184.215.14", 80),
        b"bob",
    );
    check(b"\x04\x02\x01\x01\0\0\0\0\0", Command::Bind, target("0.0.0.0", 257), b"");
    check(
        b"\x04\x01\0\x50\0\0\0\x01\0example.org\0",
        Command::Connect,
        target("example.org", 80),
        b"",
    );
}

#[test]
fn names_of_version_4_that_are_addresses_are_addresses() {
    let request =
        Request4 { command: Command::Connect, target: target("10.0.0.1", 80), user: vec![] };
    check(b"\x04\x01\0\x50\0\0\0\xff\x0010.0.0.1\0", &request);
}

#[test]
fn requests_of_version_4_that_are_none_are_refused() {
    refuse::<Request4>(b"\x05", BadMessage::Version { version: 5 });
    refuse::<Opening>(b"G", BadMessage::Version { version: b'G' });
    refuse::<Opening>(b"\x04\x00", BadMessage::Command { command: 0 });
    refuse::<Opening>(b"\x04\x03", BadMessage::Command { command: 3 });
    refuse::<Opening>(b"\x04\x01\0\x50\0\0\0\x01\0\0", BadMessage::Name);
    refuse::<Opening>(b"\x04\x01\0\x50\0\0\0\x01\0a b\0", BadMessage::Name);
    refuse::<Opening>(b"\x04\x01\0\x50\0\0\0\x01\0\xff\0", BadMessage::Name);
    for named in ["::1", "0.0.0.7"] {
        let bytes = [b"\x04\x01\0\x50\0\0\0\x01\0", named.as_bytes(), b"\0"].concat();
        refuse::<Opening>(&bytes, BadMessage::AddressFamily);
    }
    let request = |command, target, user: &[u8]| {
        Request4 { command, target, user: user.to_vec() }.encode(&mut Vec::new())
    };
    let six = request(Command::Connect, target("::1", 80), b"");
    assert_eq!(six, Err(BadMessage::AddressFamily));
    let mark = request(Command::Connect, target("0.0.0.1", 80), b"");
    assert_eq!(mark, Err(BadMessage::AddressFamily));
    let associate = request(Command::Associate, target("0.0.0.0", 0), b"");
    assert_eq!(associate, Err(BadMessage::Command { command: 3 }));
    assert_eq!(request(Command::Connect, target("x", 1), b"a\0b"), Err(BadMessage::LongUser));
}

#[test]
fn what_a_message_says_has_a_length() {
    let front = b"\x04\x01\0\x50\0\0\0\x01";
    let longest = [&front[..], &[b'u'; 255], b"\0", &[b'n'; 255], b"\0"].concat();
    assert_eq!(longest.len(), MESSAGE_MAX);
    let user = vec![b'u'; 255];
    let name = target(&"n".repeat(255), 80);
    check(&longest, &Request4 { command: Command::Connect, target: name, user });
    refuse::<Opening>(&[&front[..], &[b'u'; 256]].concat(), BadMessage::LongUser);
    refuse::<Opening>(&[&front[..], b"\0", &[b'n'; 256]].concat(), BadMessage::Name);

    assert!(Target::new(&"n".repeat(255), 1).is_ok());
    assert_eq!(Target::new(&"n".repeat(256), 1), Err(BadMessage::Name));
    assert_eq!(Target::new("", 1), Err(BadMessage::Name));
    assert!(Login::new(vec![0; 255], vec![0; 255]).is_ok());
    assert_eq!(Login::new(vec![0; 256], ""), Err(BadMessage::LongLogin));
    assert_eq!(Login::new("", vec![0; 256]), Err(BadMessage::LongLogin));
}

#[test]
fn answers_of_version_4_say_an_outcome_and_an_address() {
    let check = |bytes: &[u8], reply: Reply4| {
        check(bytes, &reply);
        assert_eq!(encoded(|out| reply.encode(out)), bytes);
    };
    check(
        b"\0\x5a\0\x50\x0a\0\0\x01",
        Reply4::granted(SocketAddrV4::new([10, 0, 0, 1].into(), 80)),
    );
    check(b"\0\x5b\0\0\0\0\0\0", Reply4::refused(Refusal::Failed));
    check(b"\0\x5c\0\0\0\0\0\0", Reply4::refused(Refusal::NoIdent));
    check(b"\0\x5d\0\0\0\0\0\0", Reply4::refused(Refusal::WrongIdent));
    // It has no words for most.
    let other = encoded(|out| Reply4::refused(Refusal::NotAllowed).encode(out));
    assert_eq!(other, b"\0\x5b\0\0\0\0\0\0");
    refuse::<Reply4>(b"\x04", BadMessage::Version { version: 4 });
}

#[test]
fn version_5_agrees_on_a_method_first() {
    check(b"\x05\x02\x00\x02", &Greeting5::new(&[0, 2]));
    check(b"\x05\x02\x00\x02", &Opening::V5(Greeting5::new(&[0, 2])));
    check(b"\x05\x00", &Greeting5::new(&[]));
    check(b"\x05\x02", &Choice5(Some(2)));
    check(b"\x05\xff", &Choice5(None));
    assert_eq!(encoded(|out| Choice5(None).encode(out)), b"\x05\xff");
    assert_eq!(encoded(|out| Greeting5::new(&[0, 2]).encode(out)), b"\x05\x02\x00\x02");
    refuse::<Greeting5>(b"\x04", BadMessage::Version { version: 4 });
    refuse::<Choice5>(b"\x00", BadMessage::Version { version: 0 });
}

#[test]
fn logins_are_a_name_and_a_password() {
    let login = Login::new("bob", "secret").expect("it is short");
    check(b"\x01\x03bob\x06secret", &login);
    check(b"\x01\x00\x00", &Login::new("", "").expect("it is short"));
    assert_eq!(encoded(|out| login.encode(out)), b"\x01\x03bob\x06secret");
    assert!(!format!("{login:?}").contains("secret"));
    check(b"\x01\x00", &LoginReply5(true));
    check(b"\x01\x01", &LoginReply5(false));
    check(b"\x01\xff", &LoginReply5(false));
    refuse::<Login>(b"\x05", BadMessage::LoginVersion { version: 5 });
}

#[test]
fn requests_and_answers_of_version_5_have_addresses_of_three_kinds() {
    let check_both = |address: &[u8], target: Target| {
        let request = Request5 { command: Command::Bind, target: target.clone() };
        let bytes = [b"\x05\x02\0", address].concat();
        check(&bytes, &request);
        assert_eq!(encoded(|out| request.encode(out)), bytes);
        let reply = Reply5 { outcome: Err(Refusal::HostUnreachable), address: target };
        let bytes = [b"\x05\x04\0", address].concat();
        check(&bytes, &reply);
        assert_eq!(encoded(|out| reply.encode(out)), bytes);
    };
    check_both(b"\x01\x0a\0\0\x01\0\x50", target("10.0.0.1", 80));
    check_both(&[&[4][..], &Ipv6Addr::LOCALHOST.octets(), &[1, 1]].concat(), target("::1", 257));
    check_both(b"\x03\x0bexample.org\0\x50", target("example.org", 80));
    let ip = Request5 { command: Command::Connect, target: target("10.0.0.1", 80) };
    check(b"\x05\x01\0\x03\x0810.0.0.1\0\x50", &ip);
}

#[test]
fn requests_of_version_5_that_are_none_are_refused() {
    refuse::<Request5>(b"\x04", BadMessage::Version { version: 4 });
    refuse::<Request5>(b"\x05\x00", BadMessage::Command { command: 0 });
    refuse::<Request5>(b"\x05\x04", BadMessage::Command { command: 4 });
    for kind in [0, 2, 5, 255] {
        refuse::<Request5>(&[5, 1, 0, kind], BadMessage::AddressType { kind });
    }
    refuse::<Request5>(b"\x05\x01\0\x03\0\0\x50", BadMessage::Name);
    refuse::<Request5>(b"\x05\x01\0\x03\x03a\0b\0\x50", BadMessage::Name);
}

#[test]
fn refusals_have_codes() {
    for code in 1..=255 {
        let bytes = [5, code, 0, 1, 0, 0, 0, 0, 0, 0];
        let (reply, _) = read::<Reply5>([&bytes[..]]).expect("an answer").expect("all of it");
        assert!(reply.outcome.is_err(), "{code}");
        assert_eq!(encoded(|out| reply.encode(out)), bytes);
    }
    for code in (0..=255).filter(|code| *code != 90) {
        let bytes = [0, code, 0, 0, 0, 0, 0, 0];
        let (reply, _) = read::<Reply4>([&bytes[..]]).expect("an answer").expect("all of it");
        assert!(reply.outcome.is_err(), "{code}");
        assert_eq!(encoded(|out| reply.encode(out)), bytes);
    }
    let granted = encoded(|out| Reply4::refused(Refusal::Other(90)).encode(out));
    assert_eq!(granted[1], 91, "a refusal is not written as a success");
    let zero = encoded(|out| Reply5::refused(Refusal::Other(0)).encode(out));
    assert_eq!(zero[1], 1, "a refusal is not written as a success");
}

#[test]
fn datagrams_carry_where_they_go() {
    let bytes = b"\0\0\0\x03\x01x\0\x35question";
    let datagram = Datagram { target: target("x", 53), data: b"question" };
    assert_eq!(Datagram::read(bytes), Ok(datagram.clone()));
    assert_eq!(encoded(|out| datagram.encode(out)), bytes);
    let empty = Datagram { target: ip("10.0.0.1:53").into(), data: b"" };
    assert_eq!(Datagram::read(&encoded(|out| empty.encode(out))), Ok(empty));
    for length in 0..8 {
        assert_eq!(Datagram::read(&bytes[..length]), Err(BadMessage::ShortDatagram), "{length}");
    }
    for fragment in [1, 128, 129] {
        let part = [0, 0, fragment, 1, 1, 1, 1, 1, 0, 53];
        assert_eq!(Datagram::read(&part), Err(BadMessage::Fragment { fragment }));
    }
}

fn a_target() -> impl Strategy<Value = Target> {
    prop_oneof![
        any::<(u32, u16)>().prop_map(|(ip, port)| {
            Target::Ip(SocketAddr::from((Ipv4Addr::from_bits(ip), port)))
        }),
        any::<(u128, u16)>().prop_map(|(ip, port)| {
            Target::Ip(SocketAddr::from((Ipv6Addr::from_bits(ip), port)))
        }),
        ("[!-~]{1,255}", any::<u16>()).prop_map(|(name, port)| target(&name, port)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        target in a_target(),
        user in prop::collection::vec(1_u8.., 0..256),
        password in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let request = Request5 { command: Command::Associate, target: target.clone() };
        let bytes = encoded(|out| request.encode(out));
        prop_assert_eq!(read(bytes.chunks(7)), Ok(Some((request, vec![]))));
        let login = Login::new(user.clone(), password).expect("it is short");
        let bytes = encoded(|out| login.encode(out));
        prop_assert_eq!(read(bytes.chunks(7)), Ok(Some((login, vec![]))));
        let request = Request4 { command: Command::Connect, target, user };
        let mut bytes = Vec::new();
        match request.encode(&mut bytes) {
            Ok(()) => prop_assert_eq!(read(bytes.chunks(7)), Ok(Some((request, vec![])))),
            Err(bad) => prop_assert_eq!(bad, BadMessage::AddressFamily),
        }
    }

    #[test]
    fn any_bytes_mean_the_same_in_any_pieces(
        front in prop::sample::select(vec![&b"\x04\x01\0\x50\0\0\0\x01"[..], b"\x05", b"\x05\x01\0", b""]),
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        size in 1_usize..50,
    ) {
        let bytes = [front, &bytes].concat();
        let bytes = &bytes[..];
        prop_assert_eq!(read::<Opening>(bytes.chunks(size)), read([bytes]));
        prop_assert_eq!(read::<Request5>(bytes.chunks(size)), read([bytes]));
        prop_assert_eq!(read::<Reply5>(bytes.chunks(size)), read([bytes]));
        prop_assert_eq!(read::<Login>(bytes.chunks(size)), read([bytes]));
    }
}
