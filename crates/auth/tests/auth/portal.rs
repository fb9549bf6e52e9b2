//! What goes in at a portal, and what comes out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ropewalk_auth::{
    Anonymous, AnonymousAccess, Avatar, AvatarId, Checker, Credentials, InMemory, LoginError,
    Portal, Preauthenticated, Realm, TrustedIdentity, UsernamePassword, Users,
};
use ropewalk_deferred::{Deferred, Promise, deferred};

use crate::{refusal, value};

fn alice(password: &str) -> UsernamePassword {
    UsernamePassword::new("alice", password)
}

fn users() -> InMemory {
    InMemory::new().with("alice", "rabbit").with("bob", "")
}

#[test]
fn credentials_go_in_and_an_avatar_comes_out() {
    let portal = Portal::new(|id: &AvatarId| Avatar::new(format!("desk of {id}")))
        .checker::<UsernamePassword>(users());
    assert_eq!(*value(portal.login(alice("rabbit"), ())), "desk of alice");
    let known = AvatarId::user("carol");
    assert_eq!(*value(portal.enter(&known, ())), "desk of carol", "she is known already");
}

#[test]
fn wrong_and_unknown_are_one_error() {
    let portal = Portal::new(Users).checker::<UsernamePassword>(users());
    for (name, password) in
        [("alice", "hare"), ("alice", ""), ("Alice", "rabbit"), ("", ""), ("eve", "")]
    {
        let shown = UsernamePassword::new(name, password);
        assert_eq!(refusal(portal.identify(shown)), LoginError::Unauthorized, "{name:?}");
    }
    assert_eq!(value(portal.identify(UsernamePassword::new("bob", ""))), AvatarId::user("bob"));
}

#[test]
fn each_kind_of_credentials_has_its_own_checker() {
    let portal = Portal::new(Users)
        .checker::<UsernamePassword>(users())
        .checker::<Preauthenticated>(TrustedIdentity);
    let shown = Preauthenticated::new("whoever");
    assert_eq!(value(portal.identify(shown.clone())), AvatarId::user("whoever"));
    let portal = portal.checker::<Preauthenticated>(users());
    assert_eq!(refusal(portal.identify(shown)), LoginError::Unauthorized, "another looks now");
    assert_eq!(value(portal.identify(Preauthenticated::new("bob"))), AvatarId::user("bob"));
    assert!(portal.takes::<UsernamePassword>() && !portal.takes::<Anonymous>());
}

#[test]
fn credentials_that_nobody_takes_are_named() {
    let portal = Portal::new(Users).checker(AnonymousAccess);
    let error = refusal(portal.login(alice("rabbit"), ()));
    assert_eq!(error, LoginError::Unhandled { shown: UsernamePassword::KIND });
    assert!(error.to_string().contains("user name and password"), "{error}");
}

#[test]
fn anonymous_is_an_id_of_its_own() {
    let portal = Portal::new(Users).checker(AnonymousAccess);
    let id = value(portal.identify(Anonymous));
    assert_eq!((&id, id.name()), (&AvatarId::Anonymous, None));
    assert_ne!(id, AvatarId::user("anonymous"));
}

/// A house with two kinds of things in it.
struct House;

struct Shelf(String);
struct Door(String);

impl Realm<Shelf> for House {
    type Mind = ();

    fn request_avatar(&self, id: &AvatarId, (): ()) -> Deferred<Avatar<Shelf>> {
        Deferred::succeed(Avatar::new(Shelf(id.to_string())))
    }
}

impl Realm<Door> for House {
    type Mind = &'static str;

    fn request_avatar(&self, id: &AvatarId, from: &'static str) -> Deferred<Avatar<Door>> {
        match id {
            AvatarId::Anonymous => Deferred::fail(LoginError::Unauthorized),
            AvatarId::User(name) => {
                Deferred::succeed(Avatar::new(Door(format!("{name} from {from}"))))
            }
        }
    }
}

#[test]
fn one_realm_has_avatars_of_several_types() {
    let portal = Portal::new(House).checker(AnonymousAccess).checker::<UsernamePassword>(users());
    let shelf: Avatar<Shelf> = value(portal.login(alice("rabbit"), ()));
    assert_eq!(shelf.0, "alice");
    let door = portal.login::<Door, _>(Anonymous, "outside");
    assert_eq!(refusal(door), LoginError::Unauthorized, "a realm has its say, too");
}

#[test]
fn the_realm_is_told_of_the_other_end() {
    let portal = Portal::new(House).checker::<UsernamePassword>(users());
    let door: Avatar<Door> = value(portal.login(alice("rabbit"), "the garden"));
    assert_eq!(door.0, "alice from the garden");
}

/// A portal that counts who has left, and the count.
fn counted() -> (Portal<impl Realm<u8, Mind = ()>>, Rc<Cell<u32>>) {
    let left = Rc::new(Cell::new(0));
    let seen = Rc::clone(&left);
    let portal = Portal::new(move |_: &AvatarId| {
        let seen = Rc::clone(&seen);
        Avatar::new(7).on_logout(move || seen.set(seen.get() + 1))
    });
    (portal.checker::<UsernamePassword>(users()), left)
}

#[test]
fn logout_comes_exactly_once() {
    let (portal, left) = counted();
    let avatar = value(portal.login(alice("rabbit"), ()));
    assert_eq!((*avatar, left.get()), (7, 0));
    avatar.logout();
    assert_eq!(left.get(), 1);
    drop(value(portal.login(alice("rabbit"), ())));
    assert_eq!(left.get(), 2);
    refusal(portal.login::<u8, _>(alice("hare"), ()));
    assert_eq!(left.get(), 2, "who was not let in does not leave");
    // Whoever adds to it adds: those before are heard as well.
    let avatar = value(portal.login(alice("rabbit"), ()));
    let more = Rc::clone(&left);
    drop(avatar.on_logout(move || more.set(more.get() + 10)));
    assert_eq!(left.get(), 13);
}

/// A checker that answers when the test says so.
#[derive(Clone, Default)]
struct Slow(Rc<RefCell<Option<Promise<AvatarId>>>>);

impl Checker<UsernamePassword> for Slow {
    fn check(&self, _: UsernamePassword) -> Deferred<AvatarId> {
        let (promise, waiting) = deferred();
        self.0.replace(Some(promise));
        waiting
    }
}

#[test]
fn a_cancelled_login_logs_out() {
    let (portal, left) = counted();
    let slow = Slow::default();
    let portal = portal.checker::<UsernamePassword>(slow.clone());
    // Nobody takes what comes of this one.
    portal.login::<u8, _>(alice(""), ()).detach();
    slow.0.take().expect("it was asked").succeed(AvatarId::user("alice"));
    assert_eq!(left.get(), 1);
    let login = portal.login::<u8, _>(alice(""), ());
    login.cancel();
    assert!(login.now_or_never().expect("it is over").is_err());
    assert_eq!(left.get(), 1, "nobody had come");
}

/// What a room has of its own.
struct Key(&'static str);

impl Credentials for Key {
    const KIND: &'static str = "key";
}

struct Locksmith;

impl Checker<Key> for Locksmith {
    fn check(&self, Key(key): Key) -> Deferred<AvatarId> {
        match key {
            "iron" => Deferred::succeed(AvatarId::user("smith")),
            _ => Deferred::fail(LoginError::Unauthorized),
        }
    }
}

#[test]
fn rooms_have_credentials_of_their_own() {
    let portal = Portal::new(Users).checker(Locksmith);
    assert_eq!(value(portal.identify(Key("iron"))), AvatarId::user("smith"));
    assert_eq!(refusal(portal.identify(Key("wood"))), LoginError::Unauthorized);
}
