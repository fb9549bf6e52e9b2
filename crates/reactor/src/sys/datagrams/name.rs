//! Addresses as the kernel has them.

use std::mem::{offset_of, size_of};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;

use libc::{sa_family_t, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t};
use ropewalk_protocol::Address;

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
            Address::Unix(path) => self.put_path(path.as_os_str().as_bytes(), 1)?,
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

    /// A Unix socket's name, with so many bytes of zero behind it.
    fn put_path(&mut self, path: &[u8], zeros: usize) -> Option<()> {
        let mut address =
            sockaddr_un { sun_family: libc::AF_UNIX as sa_family_t, sun_path: [0; 108] };
        let is_name = zeros == 0 || !(path.is_empty() || path.contains(&0));
        if !is_name || path.len() + zeros > address.sun_path.len() {
            return None;
        }
        for (place, byte) in address.sun_path.iter_mut().zip(path) {
            *place = *byte as libc::c_char;
        }
        self.put(address);
        self.len = (offset_of!(sockaddr_un, sun_path) + path.len() + zeros) as socklen_t;
        Some(())
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
    let len = path.iter().position(|&byte| byte == 0).unwrap_or(path.len());
    match &path[..len] {
        [] => Address::Unnamed,
        path => Address::Unix(std::ffi::OsStr::from_bytes(path).into()),
    }
}
