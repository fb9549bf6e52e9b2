//! Who may see what `ropewalk web` serves.

use std::error::Error;
use std::path::Path;

use ropewalk::auth::{
    FailureDelay, Htpasswd, HtpasswdError, Portal, Threaded, UsernamePassword, Users,
};
use ropewalk::http::Resource;
use ropewalk::http::auth::Guard;
use ropewalk::reactor::Reactor;

use crate::{plugin, serving};

/// How the option is written.
const FORM: &str = "--auth htpasswd:FILE or htpasswd:FILE:realm=NAME";
/// What a browser shows to those who are asked, unless told otherwise.
const REALM: &str = "ropewalk";

/// What kind of users, and where they are.
fn halves(auth: &str) -> (&str, &str) {
    auth.split_once(':').unwrap_or((auth, ""))
}

/// The file that holds the users.
pub(crate) fn file(auth: &str) -> Option<&str> {
    let (_, rest) = halves(auth);
    let file = rest.split_once(":realm=").map_or(rest, |(file, _)| file);
    (!file.is_empty()).then_some(file)
}

/// Puts a guard before `resource` that asks for one of the users whom `auth` names.
pub(crate) fn guarded(
    resource: Box<dyn Resource>,
    auth: &str,
    reactor: &Reactor,
) -> Result<Box<dyn Resource>, String> {
    let (kind, rest) = halves(auth);
    let plugin = plugin::checker(kind);
    if kind != "htpasswd" && plugin.is_none() {
        return Err(format!("--auth: {kind:?} is no kind of users; write {FORM}"));
    }
    let (file, realm) = rest.split_once(":realm=").unwrap_or((rest, REALM));
    if file.is_empty() {
        return Err(format!("--auth: there is no file in {auth:?}; write {FORM}"));
    }
    if realm.is_empty() || realm.chars().any(char::is_control) {
        return Err(format!("--auth: {realm:?} cannot be the name of a realm; write {FORM}"));
    }
    let portal = Portal::new(Users);
    let portal = match plugin {
        Some(plugin) => {
            let users = (plugin.open)(file, reactor);
            let users = users.map_err(|why| format!("--auth: {}", serving::tell(&why)))?;
            portal.checker::<UsernamePassword>(users)
        }
        None => {
            let users = Htpasswd::open(file).map_err(|error| told(Path::new(file), &error))?;
            portal.checker::<UsernamePassword>(Threaded::new(users, reactor.clone()))
        }
    };
    let delay = FailureDelay::new(reactor.clone());
    Ok(Box::new(Guard::new(portal).basic(realm).delay(delay).around(resource)))
}

fn told(file: &Path, error: &HtpasswdError) -> String {
    let file = file.display();
    match error {
        HtpasswdError::Io(why) if why.kind() == std::io::ErrorKind::NotFound => {
            format!("--auth: there is no file {file}; make it with htpasswd -cB {file} USER")
        }
        HtpasswdError::Io(why) => format!("--auth: cannot read {file}: {why}"),
        error => match error.source() {
            Some(why) => format!("--auth: {file}: {error}: {why}"),
            None => format!("--auth: {file}: {error}"),
        },
    }
}
