//! The buffers that the kernel fills, shared by all connections.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;

/// How many buffers there are: a power of two.
const COUNT: u16 = 256;
/// How many bytes each has. Together 4 MiB, of which only what is used has memory behind it.
const SIZE: usize = 16 * 1024;
/// The number of the group, which is this ring's only one.
pub(super) const GROUP: u16 = 0;

/// A queue of free buffers that the kernel takes from, and the buffers.
///
/// Each buffer is either the kernel's, from [`give_back`](Self::give_back) until a completion names
/// it, or ours.
pub(super) struct Buffers {
    queue: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// Where the next free buffer goes.
    tail: u16,
    /// How many are ours.
    taken: u16,
}

impl Buffers {
    /// Makes the buffers and tells the kernel of them.
    ///
    /// # Safety
    ///
    /// They must not be dropped while an operation of `ring` may still fill one of them.
    pub(super) unsafe fn new(ring: &Ring) -> io::Result<Self> {
        let buffers = Self {
            queue: allocate(queue_layout()).cast(),
            memory: allocate(memory_layout()),
            tail: 0,
            taken: COUNT,
        };
        let address = buffers.queue.as_ptr() as u64;
        // SAFETY: the address is that of a whole page of zeros with room for `COUNT` entries, which
        // lives as long as `buffers`: our caller keeps that beyond the ring's last operation.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, COUNT, GROUP, 0) }?;
        let mut buffers = buffers;
        for number in 0..COUNT {
            buffers.give_back(number);
        }
        Ok(buffers)
    }

    /// How many buffers the kernel has not got.
    pub(super) fn taken(&self) -> u16 {
        self.taken
    }

    /// Lets the kernel fill a buffer again.
    pub(super) fn give_back(&mut self, number: u16) {
        let number = number % COUNT;
        let place = usize::from(self.tail % COUNT);
        let offset = usize::from(number) * SIZE;
        // SAFETY: `place` is below `COUNT`, so it is in the queue's page, which is initialised, and
        // the kernel reads no place at or beyond the tail. `offset` is inside the memory.
        unsafe {
            let entry = &mut *self.queue.as_ptr().add(place);
            entry.set_addr(self.memory.as_ptr().add(offset) as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(number);
        }
        self.tail = self.tail.wrapping_add(1);
        self.taken -= 1;
        // SAFETY: the queue's tail is a field of its first entry which only we write, and only by
        // this; the kernel reads it.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.queue.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// A completion has named this buffer: it is ours until it is given back.
    pub(super) fn take(&mut self) {
        self.taken += 1;
    }

    /// The first `count` bytes of a buffer that is ours.
    pub(super) fn bytes(&self, number: u16, count: usize) -> &[u8] {
        let offset = usize::from(number % COUNT) * SIZE;
        let count = count.min(SIZE);
        // SAFETY: `offset + count` is inside the memory, which is initialised and lives as long as
        // `self`. The buffer is ours: the kernel writes to it only after `give_back`, which takes
        // `self` mutably and so ends this borrow.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(offset), count) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these very layouts and are freed here only; by the promise
        // made to `new`, the kernel fills no buffer any more, and the registration only makes it
        // look at the queue when it would.
        unsafe {
            dealloc(self.queue.as_ptr().cast(), queue_layout());
            dealloc(self.memory.as_ptr(), memory_layout());
        }
    }
}

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 4096) {
        Ok(layout) => layout,
        Err(_) => panic!("the sizes are small and the alignment is a power of two"),
    }
}

const fn queue_layout() -> Layout {
    layout(COUNT as usize * size_of::<BufRingEntry>())
}

const fn memory_layout() -> Layout {
    layout(COUNT as usize * SIZE)
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither layout is empty.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
