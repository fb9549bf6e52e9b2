//! Where credentials go in and avatars come out.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use ropewalk_deferred::Deferred;

use crate::credentials::Credentials;
use crate::error::LoginError;

/// Who somebody turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AvatarId {
    /// Nobody in particular.
    Anonymous,
    /// This user.
    User(Arc<str>),
}

impl AvatarId {
    /// A user of this name.
    pub fn user(name: impl Into<Arc<str>>) -> Self {
        Self::User(name.into())
    }

    /// The name, if it is somebody in particular.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::User(name) => Some(name),
            Self::Anonymous => None,
        }
    }
}

impl fmt::Display for AvatarId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name().unwrap_or("anonymous"))
    }
}

/// Something that knows whether credentials of one kind are right.
///
/// It answers who it is that showed them, or fails with [`LoginError::Unauthorized`]; with any other failure
/// where it could not find out.
pub trait Checker<C: Credentials>: 'static {
    /// Whose credentials these are.
    fn check(&self, credentials: C) -> Deferred<AvatarId>;
}

impl<C: Credentials, K: Checker<C> + ?Sized> Checker<C> for Rc<K> {
    fn check(&self, credentials: C) -> Deferred<AvatarId> {
        (**self).check(credentials)
    }
}

/// Something that has avatars of type `A`: what somebody may do here once it is known who it is.
///
/// One realm may have avatars of several types, one for each protocol that it is used with: a mailbox for
/// one, a shell for another. A function from an identity to an avatar is a realm.
pub trait Realm<A>: 'static {
    /// What the avatar is told of the other end, such as its address; `()` where nothing is.
    type Mind: 'static;

    /// The avatar of whoever this is.
    fn request_avatar(&self, id: &AvatarId, mind: Self::Mind) -> Deferred<Avatar<A>>;
}

impl<A, F: Fn(&AvatarId) -> Avatar<A> + 'static> Realm<A> for F {
    type Mind = ();

    fn request_avatar(&self, id: &AvatarId, (): ()) -> Deferred<Avatar<A>> {
        Deferred::succeed(self(id))
    }
}

/// The realm of those who need nothing but to be known: its avatars are who they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Users;

impl Realm<AvatarId> for Users {
    type Mind = ();

    fn request_avatar(&self, id: &AvatarId, (): ()) -> Deferred<Avatar<AvatarId>> {
        Deferred::succeed(Avatar::new(id.clone()))
    }
}

/// What somebody who was let in has in hand, until it logs out: when this is dropped, at the latest.
pub struct Avatar<A> {
    value: A,
    logout: Option<Box<dyn FnOnce()>>,
}

impl<A> Avatar<A> {
    /// An avatar whose logging out nobody needs to hear of.
    pub fn new(value: A) -> Self {
        Self { value, logout: None }
    }

    /// The same, where `logout` is called once when it is over, whichever way that comes about: by
    /// [`logout`](Self::logout), by being dropped, by a login that is cancelled after it succeeded.
    pub fn on_logout(mut self, logout: impl FnOnce() + 'static) -> Self {
        let before = self.logout.take();
        self.logout = Some(Box::new(move || {
            if let Some(before) = before {
                before();
            }
            logout();
        }));
        self
    }

    /// Ends it.
    pub fn logout(self) {
        drop(self);
    }
}

impl<A> Drop for Avatar<A> {
    fn drop(&mut self) {
        if let Some(logout) = self.logout.take() {
            logout();
        }
    }
}

impl<A> Deref for Avatar<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.value
    }
}

impl<A> DerefMut for Avatar<A> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.value
    }
}

impl<A: fmt::Debug> fmt::Debug for Avatar<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Avatar").field("value", &self.value).finish_non_exhaustive()
    }
}

/// The one door of a realm: credentials go in, an avatar comes out. Clones are the same portal.
///
/// ```
/// use ropewalk_auth::{Anonymous, AnonymousAccess, Avatar, AvatarId, InMemory, Portal, UsernamePassword};
///
/// let users = InMemory::new().with("alice", "rabbit");
/// let portal = Portal::new(|id: &AvatarId| Avatar::new(format!("the desk of {id}")))
///     .checker::<UsernamePassword>(users)
///     .checker(AnonymousAccess);
/// let desk = portal.login(UsernamePassword::new("alice", "rabbit"), ()).now_or_never().unwrap();
/// assert_eq!(*desk.unwrap(), "the desk of alice");
/// let desk = portal.login(Anonymous, ()).now_or_never().unwrap();
/// assert_eq!(*desk.unwrap(), "the desk of anonymous");
/// let nobody = portal.login(UsernamePassword::new("alice", "hare"), ()).now_or_never().unwrap();
/// assert!(nobody.is_err());
/// ```
pub struct Portal<R> {
    inner: Rc<Inner<R>>,
}

struct Inner<R> {
    realm: R,
    /// By the type of the credentials `C`, an `Rc<dyn Checker<C>>`.
    checkers: RefCell<HashMap<TypeId, Box<dyn Any>>>,
}

impl<R: 'static> Portal<R> {
    /// The door of `realm`, with nobody at it yet.
    pub fn new(realm: R) -> Self {
        Self { inner: Rc::new(Inner { realm, checkers: RefCell::default() }) }
    }

    /// The same with `checker` looking at credentials of type `C`, in place of whoever did so before.
    pub fn checker<C: Credentials>(self, checker: impl Checker<C>) -> Self {
        let checker: Rc<dyn Checker<C>> = Rc::new(checker);
        self.inner.checkers.borrow_mut().insert(TypeId::of::<C>(), Box::new(checker));
        self
    }

    /// Whether somebody looks at credentials of type `C`.
    pub fn takes<C: Credentials>(&self) -> bool {
        self.inner.checkers.borrow().contains_key(&TypeId::of::<C>())
    }

    /// Whose credentials these are, without asking the realm for an avatar.
    ///
    /// The deferred fails with [`LoginError::Unhandled`] if nobody looks at such credentials, or as the
    /// [`Checker`] does.
    pub fn identify<C: Credentials>(&self, credentials: C) -> Deferred<AvatarId> {
        let checkers = self.inner.checkers.borrow();
        let found = checkers.get(&TypeId::of::<C>());
        let found = found.and_then(|checker| checker.downcast_ref::<Rc<dyn Checker<C>>>());
        let Some(checker) = found.map(Rc::clone) else {
            return Deferred::fail(LoginError::Unhandled { shown: C::KIND });
        };
        drop(checkers);
        checker.check(credentials)
    }

    /// The avatar of whoever these credentials belong to.
    ///
    /// The deferred fails as those of [`identify`](Self::identify) do, or as the realm does.
    pub fn login<A: 'static, C: Credentials>(
        &self,
        credentials: C,
        mind: <R as Realm<A>>::Mind,
    ) -> Deferred<Avatar<A>>
    where
        R: Realm<A>,
    {
        let inner = Rc::clone(&self.inner);
        self.identify(credentials).add_callback(move |id| inner.realm.request_avatar(&id, mind))
    }

    /// The avatar of somebody who is known already.
    pub fn enter<A: 'static>(
        &self,
        id: &AvatarId,
        mind: <R as Realm<A>>::Mind,
    ) -> Deferred<Avatar<A>>
    where
        R: Realm<A>,
    {
        self.inner.realm.request_avatar(id, mind)
    }
}

impl<R> Clone for Portal<R> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

impl<R> fmt::Debug for Portal<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.inner.checkers.borrow().len();
        f.debug_struct("Portal").field("kinds", &kinds).finish_non_exhaustive()
    }
}
