//! `select`, the oldest of them.
//!
//! Its sets are as large as the highest descriptor wants, not the 1024 bits of the C library. It
//! tells of failures only to those who read or write: while a connection does neither, it is not
//! told that its peer is gone.

use std::os::fd::AsRawFd;

use rustix::event::{FdSetElement, FdSetIter, fd_set_insert, fd_set_num_elements, select};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::scan::{Scan, Watched};
use crate::sys::readiness::{Ready, Token};

#[derive(Default)]
pub(crate) struct Select {
    readable: Vec<FdSetElement>,
    writable: Vec<FdSetElement>,
    /// Which of the watched descriptors has a number.
    by_number: Vec<u32>,
}

impl Scan for Select {
    const NAME: &'static str = "select";
    const TELLS_FAILURES: bool = false;

    fn scan(
        &mut self,
        watched: &[Watched<'_>],
        timeout: Option<&Timespec>,
        events: &mut Vec<(Token, Ready)>,
    ) -> Result<(), Errno> {
        let highest = watched.iter().map(|each| each.socket.as_raw_fd()).max().unwrap_or(-1);
        let elements = fd_set_num_elements(watched.len(), highest + 1);
        for set in [&mut self.readable, &mut self.writable] {
            set.clear();
            set.resize(elements, FdSetElement::default());
        }
        self.by_number.resize(self.by_number.len().max(highest as usize + 1), 0);
        for (index, each) in watched.iter().enumerate() {
            let number = each.socket.as_raw_fd();
            self.by_number[number as usize] = index as u32;
            if each.interest.readable {
                fd_set_insert(&mut self.readable, number);
            }
            if each.interest.writable {
                fd_set_insert(&mut self.writable, number);
            }
        }
        // SAFETY: the sets name descriptors of `watched` only, each of which is borrowed until after
        // the call and thus open, and both have room for the highest of them.
        #[expect(unsafe_code, reason = "the call takes descriptors by number")]
        let count = unsafe {
            select(highest + 1, Some(&mut self.readable), Some(&mut self.writable), None, timeout)
        }?;
        if count == 0 {
            return Ok(());
        }
        events.extend(watched.iter().map(|each| (each.token, Ready::default())));
        for number in FdSetIter::new(&self.readable) {
            events[self.by_number[number as usize] as usize].1.readable = true;
        }
        for number in FdSetIter::new(&self.writable) {
            events[self.by_number[number as usize] as usize].1.writable = true;
        }
        events.retain(|(_, ready)| *ready != Ready::default());
        Ok(())
    }
}
