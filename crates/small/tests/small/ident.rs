//! Ident.

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use ropewalk_deferred::{Deferred, Promise, deferred};
use ropewalk_protocol::{Disconnect, Factory};
use ropewalk_small::ident::{
    self, ANSWER_PATIENCE, Asked, BadReply, IdentError, LINE_MAX, LOOK_UP_PATIENCE, Owner, Owners,
    ProcOwners, Query, Refusal, Reply, USER_MAX,
};
use ropewalk_small::{AskError, IDLE};
use ropewalk_trial::LaterThreads;

use crate::kit::{
    Nobody, Place, client, ends_after, error, hears, is_limited, join, just_before, says, server,
    told,
};

/// Knows the owner of each connection to port 23.
struct Clerk;

impl Owners for Clerk {
    fn look_up(&self, asked: &Asked) -> Deferred<Result<Owner, Refusal>> {
        match asked.query.far() {
            23 => Deferred::succeed(Ok(owner("stjohns"))),
            24 => Deferred::succeed(Ok(owner("bj\u{f6}rn").with_charset("UTF-8").expect("a set"))),
            25 => Deferred::succeed(Err(Refusal::HiddenUser)),
            26 => Deferred::fail("secret".parse::<u8>().unwrap_err()),
            _ => Deferred::succeed(Err(Refusal::NoUser)),
        }
    }
}

type Asker = Promise<Result<Owner, Refusal>>;

/// Looks up when the test wants it.
#[derive(Clone, Default)]
struct Sleeper(Rc<RefCell<Vec<Asker>>>);

impl Owners for Sleeper {
    fn look_up(&self, _: &Asked) -> Deferred<Result<Owner, Refusal>> {
        let (promise, answer) = deferred();
        self.0.borrow_mut().push(promise);
        answer
    }
}

impl Sleeper {
    fn answer(&self) {
        self.0.borrow_mut().remove(0).succeed(Ok(owner("sleeper")));
    }
}

fn owner(user: &str) -> Owner {
    Owner::new("UNIX", user).expect("a name")
}

fn clerk() -> impl Factory {
    ident::serve(Clerk)
}

fn query(near: u16, far: u16) -> Query {
    Query::new(near, far).expect("two ports")
}

#[test]
fn servers_answer_as_the_rfc_shows() {
    for (query, answer) in [
        ("6193, 23\r\n", "6193, 23 : USERID : UNIX :stjohns\r\n"),
        (" 6193 ,\t23 \n", "6193, 23 : USERID : UNIX :stjohns\r\n"),
        ("6193,24\r\n", "6193, 24 : USERID : UNIX , UTF-8 :björn\r\n"),
        ("6193, 25\r\n", "6193, 25 : ERROR : HIDDEN-USER\r\n"),
        ("6193, 26\r\n", "6193, 26 : ERROR : UNKNOWN-ERROR\r\n"),
        ("6195, 27\r\n", "6195, 27 : ERROR : NO-USER\r\n"),
        ("0, 23\r\n", "0, 23 : ERROR : INVALID-PORT\r\n"),
        ("23, 65536\r\n", "23, 0 : ERROR : INVALID-PORT\r\n"),
        ("+23, 23\r\n", "0, 23 : ERROR : INVALID-PORT\r\n"),
        ("23\r\n6193, 23\r\n", ""),
        ("\u{fffd}, 23\r\n", "0, 23 : ERROR : INVALID-PORT\r\n"),
        (
            "1, 23\r\n2, 25\r\n0, 0\r\n3, 27\r\n",
            "1, 23 : USERID : UNIX :stjohns\r\n2, 25 : ERROR : HIDDEN-USER\r\n\
             0, 0 : ERROR : INVALID-PORT\r\n3, 27 : ERROR : NO-USER\r\n",
        ),
    ] {
        assert_eq!(says(clerk, query.as_bytes()), answer, "{query:?}");
    }
}

#[test]
fn answers_come_in_the_order_of_their_queries() {
    let sleeper = Sleeper::default();
    let mut memory = server(ident::serve(sleeper.clone()));
    memory.push(b"1, 1\r\n2, 2\r\n3, 3");
    assert_eq!(sleeper.0.borrow().len(), 1, "one at a time");
    sleeper.answer();
    assert_eq!(memory.take_sent(), b"1, 1 : USERID : UNIX :sleeper\r\n");
    memory.eof();
    assert_eq!(memory.ended(), None);
    sleeper.answer();
    assert_eq!(memory.take_sent(), b"2, 2 : USERID : UNIX :sleeper\r\n");
    assert_eq!(memory.ended(), Some(Disconnect::Closed), "all was asked that was to be asked");
    assert!(sleeper.0.borrow().is_empty());
}

#[test]
fn servers_stop_reading_from_who_does_not_listen() {
    let mut memory = server(clerk());
    memory.set_room(0);
    let taken = memory.push_in_pieces(&b"0, 0\r\n".repeat(100_000), 6);
    assert!(taken < 20_000, "{taken} taken");
    memory.set_room(u64::MAX);
    assert!(memory.is_reading());
    memory.eof();
    assert_eq!(memory.ended(), Some(Disconnect::Closed));
    assert_eq!(memory.take_sent().len() / b"0, 0 : ERROR : INVALID-PORT\r\n".len(), taken / 6);
}

#[test]
fn waits_and_lines_have_their_bounds() {
    ends_after(clerk(), b"1, 23\r\n", IDLE);
    is_limited(clerk());
    let sleeper = Sleeper::default();
    let mut memory = server(ident::serve(sleeper.clone()));
    memory.push(b"1, 1\r\n");
    memory.advance(just_before(LOOK_UP_PATIENCE));
    assert_eq!(memory.take_sent(), b"");
    memory.advance(Duration::from_millis(1));
    assert_eq!(memory.take_sent(), b"1, 1 : ERROR : UNKNOWN-ERROR\r\n");
    assert!(sleeper.0.borrow()[0].is_cancelled());
    for (spaces, answer, ended) in [
        (LINE_MAX - 5, "1, 23 : USERID : UNIX :stjohns\r\n", None),
        (LINE_MAX - 4, "", Some(Disconnect::Closed)),
    ] {
        let mut memory = server(clerk());
        memory.push(format!("1,23 {}\r\n", " ".repeat(spaces)).as_bytes());
        assert_eq!((memory.take_sent(), memory.ended()), (answer.as_bytes().to_vec(), ended));
    }
}

fn ask(place: &Place) -> Deferred<Owner> {
    ident::ask(place, query(6193, 23))
}

#[test]
fn clients_hear_whose_a_connection_is() {
    let (mut wire, answer) = join(ask, clerk());
    wire.run();
    assert_eq!(told(answer), Ok(owner("stjohns")));
    let (mut wire, answer) = join(|place| ident::ask(place, query(1, 25)), clerk());
    wire.run();
    assert_eq!(error::<_, IdentError>(answer), IdentError::Refused(Refusal::HiddenUser));
    for (line, name) in [
        ("6193,23:USERID:UNIX:stjohns\n", "stjohns"),
        ("6193, 23 : USERID : UNIX : stjohns \r\n", "stjohns"),
        ("  6193 , 23:USERID:OTHER , US-ASCII:a:b, c\r\n", "a:b, c"),
        ("6193, 23 : USERID : UNIX :\u{1b}[2J\r\n", "[2J"),
    ] {
        assert_eq!(hears(ask, line.as_bytes()).map(|owner| owner.name()), Ok(name.to_owned()));
    }
    let owner = hears(ask, b"6193, 23 : USERID : UNIX : a \r\n").expect("an owner");
    assert_eq!((owner.user(), owner.system(), owner.charset()), (&b" a "[..], "UNIX", None));
}

#[test]
fn clients_are_told_no_nonsense() {
    let bad = |line: &str, why: BadReply| {
        let (mut memory, answer) = client(ask);
        memory.push(line.as_bytes());
        assert_eq!(error::<_, IdentError>(answer), IdentError::Bad(why), "{line:?}");
        assert!(memory.ended().is_some(), "{line:?}");
    };
    bad("6193, 24 : USERID : UNIX :stjohns\r\n", BadReply::OtherPorts);
    bad("0, 0 : USERID : UNIX :stjohns\r\n", BadReply::OtherPorts);
    bad("6193, 23 : USERID : UNIX\r\n", BadReply::Form);
    bad("6193, 23 : OWNER : UNIX : a\r\n", BadReply::Form);
    bad("6193, 23 : ERROR\r\n", BadReply::Form);
    bad("6193, 23 : ERROR : WHATEVER\r\n", BadReply::Form);
    bad("6193 23 : ERROR : NO-USER\r\n", BadReply::Form);
    bad("6193, 65536 : ERROR : NO-USER\r\n", BadReply::Form);
    bad("\r\n", BadReply::Form);
    bad("6193, 23 : USERID : two words :a\r\n", BadReply::Token);
    bad("6193, 23 : USERID : UNIX, :a\r\n", BadReply::Token);
    bad("6193, 23 : USERID : \u{ff}:a\r\n", BadReply::Token);
    bad(&format!("6193, 23 : ERROR : X{}\r\n", "x".repeat(64)), BadReply::Token);
    bad("6193, 23 : USERID : UNIX :\r\n", BadReply::User);
    bad("6193, 23 : USERID : UNIX :a\0\r\n", BadReply::User);
    bad(
        &format!("6193, 23 : USERID : UNIX :{}\r\n", "x".repeat(USER_MAX + 1)),
        BadReply::LongUser { length: USER_MAX + 1 },
    );
    bad(&"x".repeat(LINE_MAX + 2), BadReply::Long);
    let longest = format!("6193, 23 : USERID : UNIX :{}\r\n", "x".repeat(USER_MAX));
    assert!(hears(ask, longest.as_bytes()).is_ok());
    let refused = |word: &str| hears(ask, format!("6193, 23:ERROR:{word}\r\n").as_bytes());
    assert!(refused("XMOON").unwrap_err().ends_with("the server says XMOON"));
    assert!(hears(ask, b"0, 0 : ERROR : INVALID-PORT\r\n").unwrap_err().contains("a port is none"));
}

#[test]
fn clients_do_not_wait_for_ever() {
    let (mut memory, answer) = client(ask);
    assert_eq!(memory.take_sent(), b"6193, 23\r\n");
    memory.advance(just_before(ANSWER_PATIENCE));
    assert_eq!(memory.ended(), None);
    memory.advance(Duration::from_millis(1));
    assert_eq!(error::<_, IdentError>(answer), IdentError::Silent(AskError::Late));
    assert_eq!(memory.ended(), Some(Disconnect::Aborted));
    let (mut memory, answer) = client(ask);
    memory.eof();
    let lost = IdentError::Silent(AskError::Lost(Disconnect::Closed));
    assert_eq!(error::<_, IdentError>(answer), lost);
    let refused = IdentError::Silent(AskError::Lost(Disconnect::Refused));
    assert_eq!(error::<_, IdentError>(ident::ask(&Nobody, query(1, 2))), refused);
}

#[test]
fn a_word_that_cannot_be_written_is_unknown() {
    for word in ["MOON", "X:Y", "X\r\n", "X Y"] {
        assert_eq!(Refusal::Other(word.to_owned()).as_str(), "UNKNOWN-ERROR");
    }
    assert_eq!(Refusal::Other("XMOON".to_owned()).as_str(), "XMOON");
}

proptest! {
    #[test]
    fn replies_survive_the_wire(
        near in 0..=u16::MAX,
        far in 0..=u16::MAX,
        system in "[A-Za-z0-9.-]{1,8}",
        charset in proptest::option::of("[A-Z0-9-]{1,8}"),
        user in proptest::collection::vec(1..=255_u8, 1..40),
        refusal in proptest::option::of(0..4_usize),
    ) {
        let refusals = [Refusal::InvalidPort, Refusal::NoUser, Refusal::Unknown, Refusal::Other("XY".into())];
        let user: Vec<u8> = user.into_iter().filter(|byte| !b"\r\n".contains(byte)).collect();
        prop_assume!(!user.is_empty());
        let owner = Owner::new(&system, user).expect("a name");
        let owner = charset.map_or(Ok(owner.clone()), |set| owner.with_charset(&set)).expect("a set");
        let owner = refusal.map_or(Ok(owner), |at| Err(refusals[at].clone()));
        let reply = Reply { ports: (near, far), owner };
        let wire = reply.encode();
        prop_assert_eq!(Reply::decode(wire.strip_suffix(b"\r\n").expect("a line")), Ok(reply));
    }
}

/// What Linux would say of two connections of 192.0.2.1, and of one that listens.
const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0
   1: 010200C0:1831 020200C0:0017 01 00000000:00000000 02:00000000 00000000  1000        0 2 1 0 20 4
   2: 010200C0:1832 020200C0:0017 06 00000000:00000000 02:00000000 00000000  1000        0 3 1 0 20 4
";
/// The same with a connection that an IPv6 socket took over IPv4, and one over IPv6.
const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF0000010200C0:1833 0000000000000000FFFF0000020200C0:0017 01 00000000:00000000 02:00000000 00000000   1001        0 2 1 0 20 4
   1: B80D0120000000000000000001000000:1834 B80D0120000000000000000002000000:0017 01 00000000:00000000 02:00000000 00000000   77        0 2 1 0 20 4
";

struct Root(PathBuf);

impl Root {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ropewalk-ident-{}", std::process::id()));
        fs::create_dir_all(path.join("proc/net")).expect("a folder");
        fs::create_dir_all(path.join("etc")).expect("a folder");
        Self(path)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(target_endian = "little")]
#[test]
fn linux_knows_its_connections() {
    let root = Root::new();
    let write = |name: &str, text: &str| fs::write(root.0.join(name), text).expect("a file");
    let find = |near: IpAddr, far: IpAddr, ports: (u16, u16), hides: bool| {
        let threads = LaterThreads::new();
        let owners = ProcOwners::new(threads.clone()).root(&root.0);
        let owners = if hides { owners.hide_names() } else { owners };
        let asked = Asked { query: query(ports.0, ports.1), near: Some(near), far: Some(far) };
        let answer = owners.look_up(&asked);
        threads.do_all();
        told(answer)
    };
    let (near, far) = (Ipv4Addr::new(192, 0, 2, 1).into(), Ipv4Addr::new(192, 0, 2, 2).into());
    let find4 = |port| find(near, far, (port, 23), false);
    assert_eq!(find4(0x1831), Ok(Err(Refusal::NoUser)), "there are no tables");
    write("proc/net/tcp", TCP);
    assert_eq!(find4(0x1831), Ok(Ok(Owner::new("OTHER", "1000").expect("a name"))), "no names");
    write("proc/net/tcp6", TCP6);
    write("etc/passwd", "root:x:0:0::/root:/bin/sh\nalice:x:1000:100::/:\nbob:x:1001:100::/:\n");
    assert_eq!(find4(0x1831), Ok(Ok(owner("alice"))));
    assert_eq!(
        find(near, far, (0x1831, 23), true),
        Ok(Ok(Owner::new("OTHER", "1000").expect("a name")))
    );
    assert_eq!(find4(0x1832), Ok(Err(Refusal::NoUser)), "it is closing");
    assert_eq!(find4(0x1833), Ok(Ok(owner("bob"))));
    assert_eq!(find4(22), Ok(Err(Refusal::NoUser)));
    assert_eq!(find(far, near, (0x1831, 23), false), Ok(Err(Refusal::NoUser)), "another's");
    let (near, far) = ("2001:db8::1".parse().expect("IPv6"), "2001:db8::2".parse().expect("IPv6"));
    let seventy_seven = Owner::new("OTHER", "77").expect("a name");
    assert_eq!(find(near, far, (0x1834, 23), false), Ok(Ok(seventy_seven)), "it has no name");
}

#[test]
fn connections_that_are_not_of_an_internet_have_no_owner() {
    let owners = ProcOwners::new(LaterThreads::new());
    let asked = Asked { query: query(1, 2), near: None, far: None };
    assert_eq!(told(owners.look_up(&asked)), Ok(Err(Refusal::NoUser)));
}
