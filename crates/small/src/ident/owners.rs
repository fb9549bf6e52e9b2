use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ropewalk_deferred::Deferred;
use ropewalk_protocol::{Threads, defer_to_threads};

use super::{Asked, Owner, Owners, Refusal};

/// How much of a table of the system is read, in bytes: that of a million connections.
pub const TABLE_MAX: u64 = 160 << 20;

/// The [`Owners`] of this host's connections, from what Linux says of them in `/proc/net` and who its
/// users are according to `/etc/passwd`.
pub struct ProcOwners {
    root: PathBuf,
    threads: Rc<dyn Threads>,
    hides_names: bool,
}

impl ProcOwners {
    /// Reads the tables on one of `threads`: a reactor has some.
    pub fn new(threads: impl Threads + 'static) -> Self {
        Self { root: PathBuf::from("/"), threads: Rc::new(threads), hides_names: false }
    }

    /// Tells users' numbers instead of their names.
    pub fn hide_names(self) -> Self {
        Self { hides_names: true, ..self }
    }

    /// Reads the tables below this folder instead of below `/`.
    pub fn root(self, root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), ..self }
    }
}

impl Owners for ProcOwners {
    fn look_up(&self, asked: &Asked) -> Deferred<Result<Owner, Refusal>> {
        let (Some(near), Some(far)) = (asked.near, asked.far) else {
            return Deferred::succeed(Err(Refusal::NoUser));
        };
        let near = SocketAddr::new(near, asked.query.near());
        let far = SocketAddr::new(far, asked.query.far());
        let (root, hides_names) = (self.root.clone(), self.hides_names);
        defer_to_threads(&*self.threads, move || find(&root, near, far, hides_names))
    }
}

fn find(
    root: &Path,
    near: SocketAddr,
    far: SocketAddr,
    hides_names: bool,
) -> io::Result<Result<Owner, Refusal>> {
    // Connections over IPv4 stand among those over IPv6 where one socket listens for both.
    let tables: &[&str] = if near.is_ipv4() { &["tcp", "tcp6"] } else { &["tcp6"] };
    for table in tables {
        let table = match read(&root.join("proc/net").join(table)) {
            Ok(table) => table,
            // A system may be without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if let Some(user) = table.lines().find_map(|line| owner(line, near, far)) {
            let name = if hides_names { None } else { name(root, user)? };
            let owner = match name {
                Some(name) => Owner::new("UNIX", name),
                None => Owner::new("OTHER", user.to_string()),
            };
            return Ok(owner.map_err(|_| Refusal::Unknown));
        }
    }
    Ok(Err(Refusal::NoUser))
}

fn read(path: &Path) -> io::Result<String> {
    let mut table = Vec::new();
    File::open(path)?.take(TABLE_MAX).read_to_end(&mut table)?;
    Ok(String::from_utf8_lossy(&table).into_owned())
}

/// The number of the user to whom the connection on this line belongs, if it is the one between `near`
/// and `far`.
fn owner(line: &str, near: SocketAddr, far: SocketAddr) -> Option<u32> {
    /// What the kernel calls an established connection.
    const ESTABLISHED: &str = "01";
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    // Past both queues, the timer and the retransmissions.
    let user = fields.nth(3)?;
    if state != ESTABLISHED || address(local)? != near || address(remote)? != far {
        return None;
    }
    user.parse().ok()
}

/// An address as the kernel prints it: words of 32 bits in this machine's order, in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    if !host.is_ascii() {
        return None;
    }
    let word = |at: usize| u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok();
    let host = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?.to_ne_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (at, four) in bytes.chunks_exact_mut(4).enumerate() {
                four.copy_from_slice(&word(at)?.to_ne_bytes());
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?))
}

/// The name of a user, if this host's own table has one.
fn name(root: &Path, user: u32) -> io::Result<Option<String>> {
    let users = match read(&root.join("etc/passwd")) {
        Ok(users) => users,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(user)).then(|| name.to_owned())
    });
    Ok(name)
}
