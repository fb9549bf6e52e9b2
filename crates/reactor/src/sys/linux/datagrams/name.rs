//! Addresses as the kernel has them.

use std::mem::{offset_of, size_of};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use libc::{sa_family_t, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t};
use ropewalk_protocol::Address;

/// How many bytes a Unix socket's name has room for.
const PATH_SIZE: usize = 108;

/// An address that the kernel reads or writes.
#[derive(Clone, Copy)]
pub(in crate::sys) struct Name {
    pub(super) storage: sockaddr_storage,
    pub(super) len: socklen_t,
}

impl Name {
    pub(super) fn empty() -> Self {
        // SAFETY: an address of all zeros is one of no family.
        Self { storage: unsafe { std::mem::zeroed() }, len: 0 }
    }

    /// The kernel's way to say `address`; `None` if it has none.
    pub(super) fn set(&mut self, address: &Address) -> Option<()> {
        match address {
            Address::Ip(SocketAddr::V4(address)) => self.put(sockaddr_in {
                sin_family: libc::AF_INET as sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            }),
            Address::Ip(SocketAddr::V6(address)) => self.put(sockaddr_in6 {
                sin6_family: libc::AF_INET6 as sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            }),
            Address::Unix(path) => self.put_path(path.as_os_str().as_bytes())?,
            Address::Abstract(name) => self.put_abstract(name)?,
            _ => return None,
        }
        Some(())
    }

    fn put<T: Copy>(&mut self, address: T) {
        const { assert!(size_of::<T>() <= size_of::<sockaddr_storage>()) };
        // SAFETY: the storage is at least as large and as aligned as each kind of address.
        unsafe { (&raw mut self.storage).cast::<T>().write(address) };
        self.len = size_of::<T>() as socklen_t;
    }

    fn put_path(&mut self, path: &[u8]) -> Option<()> {
        let fits = !path.is_empty() && !path.contains(&0) && path.len() < PATH_SIZE;
        fits.then(|| self.put_unix(0, path, 1))
    }

    fn put_abstract(&mut self, name: &[u8]) -> Option<()> {
        (name.len() < PATH_SIZE).then(|| self.put_unix(1, name, 0))
    }

    /// A Unix socket's name, with so many bytes of zero before and behind it.
    fn put_unix(&mut self, before: usize, name: &[u8], behind: usize) {
        let family = libc::AF_UNIX as sa_family_t;
        let mut address = sockaddr_un { sun_family: family, sun_path: [0; PATH_SIZE] };
        for (place, byte) in address.sun_path[before..].iter_mut().zip(name) {
            *place = *byte as libc::c_char;
        }
        self.put(address);
        let len = offset_of!(sockaddr_un, sun_path) + before + name.len() + behind;
        self.len = len as socklen_t;
    }

    /// Whose it is.
    pub(super) fn address(&self) -> Address {
        let len = (self.len as usize).min(size_of::<sockaddr_storage>());
        // SAFETY: the storage is `len` bytes at least, all of them initialised.
        let bytes =
            unsafe { std::slice::from_raw_parts((&raw const self.storage).cast::<u8>(), len) };
        address_of(bytes)
    }
}

/// The address that the kernel has written so. An IPv4 address that came over IPv6 is one of IPv4.
pub(in crate::sys) fn address_of(name: &[u8]) -> Address {
    let array = |from: usize, to: usize| name.get(from..to);
    let number = |from: usize| array(from, from + 4).and_then(|b| b.try_into().ok());
    let Some(family) = array(0, 2).and_then(|bytes| bytes.try_into().ok()) else {
        return Address::Unnamed;
    };
    let port = || array(2, 4).map(|b| u16::from_be_bytes([b[0], b[1]]));
    match i32::from(sa_family_t::from_ne_bytes(family)) {
        libc::AF_INET => number(4).zip(port()).map_or(Address::Unnamed, |(ip, port)| {
            let ip: [u8; 4] = ip;
            Address::Ip(SocketAddrV4::new(ip.into(), port).into())
        }),
        libc::AF_INET6 => {
            let parts = (|| {
                let ip: [u8; 16] = array(8, 24)?.try_into().ok()?;
                Some((Ipv6Addr::from(ip), port()?, u32::from_ne_bytes(number(4)?), number(24)?))
            })();
            let Some((ip, port, flow, scope)) = parts else { return Address::Unnamed };
            match ip.to_ipv4_mapped() {
                Some(ip) => Address::Ip(SocketAddrV4::new(ip, port).into()),
                None => {
                    Address::Ip(SocketAddrV6::new(ip, port, flow, u32::from_ne_bytes(scope)).into())
                }
            }
        }
        libc::AF_UNIX => unix(&name[2..]),
        _ => Address::Unnamed,
    }
}

fn unix(path: &[u8]) -> Address {
    if let [0, name @ ..] = path
        && !name.is_empty()
    {
        return Address::Abstract(name.to_owned());
    }
    let len = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
    match &path[..len] {
        [] => Address::Unnamed,
        path => Address::Unix(std::ffi::OsStr::from_bytes(path).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ropewalk_protocol::Address;

    use super::Name;

    #[track_caller]
    fn check(address: &Address, expected: Option<&Address>) {
        let mut name = Name::empty();
        let set = name.set(address);
        assert_eq!(set.map(|()| name.address()).as_ref(), expected);
    }

    #[test]
    fn names_survive_the_kernels_form() {
        let ip = |text: &str| Address::Ip(text.parse::<SocketAddr>().unwrap());
        for text in ["127.0.0.1:80", "0.0.0.0:0", "[::1]:53", "[fe80::1%7]:65535"] {
            check(&ip(text), Some(&ip(text)));
        }
        check(&ip("[::ffff:1.2.3.4]:5"), Some(&ip("1.2.3.4:5")));
        let path = |len: usize| Address::Unix("p".repeat(len).into());
        let name = |len: usize| Address::Abstract(vec![0xfe; len]);
        for len in [1, 106, 107] {
            check(&path(len), Some(&path(len)));
            check(&name(len), Some(&name(len)));
        }
        check(&Address::Abstract(b"a\0b\0".to_vec()), Some(&Address::Abstract(b"a\0b\0".to_vec())));
    }

    #[test]
    fn what_the_kernel_has_no_form_for_is_no_name() {
        for address in [
            Address::Unix("p".repeat(108).into()),
            Address::Unix("".into()),
            Address::Unix("a\0b".into()),
            Address::Abstract(vec![1; 108]),
            Address::Unnamed,
            Address::Memory("m".to_owned()),
            Address::Host("h".to_owned(), 1),
        ] {
            check(&address, None);
        }
    }

    #[test]
    fn short_and_strange_names_are_nobodys() {
        let mut name = Name::empty();
        name.set(&Address::Ip(([1, 2, 3, 4], 5).into())).unwrap();
        for len in 0..8 {
            name.len = len;
            let mut short = name;
            assert_eq!(short.address(), Address::Unnamed, "{len}");
            short.len = 8;
            assert_ne!(short.address(), Address::Unnamed);
        }
    }
}
