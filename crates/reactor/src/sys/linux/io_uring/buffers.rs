//! The buffers that the kernel fills, shared by all connections.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::ring::Ring;
use crate::sys::datagrams::LENGTH_MAX;

/// How many bytes all buffers have together.
const MEMORY: usize = 1 << 20;
/// How many buffers that makes where the kernel puts one message behind the other, and where each
/// message takes a buffer for itself: powers of two.
const COUNT_SHARED: u16 = 16;
const COUNT_SINGLE: u16 = 256;
/// Messages share buffers (`IOU_PBUF_RING_INC`).
const SHARED: u16 = 2;
/// The number of the group for streams.
pub(super) const GROUP: u16 = 0;
/// The number of the group for datagrams, each of which takes a buffer for itself: one that shared the
/// rest of a buffer would be cut short.
pub(super) const DATAGRAM_GROUP: u16 = 1;
/// How many of those there are, and how large they are: what the kernel says of a message, and the
/// longest message: twice as many as the kernel fills for one port in one go. Not a power of two, or all would compete for the same lines of the cache.
const DATAGRAM_COUNT: u16 = 64;
const DATAGRAM_SIZE: usize = LENGTH_MAX + 1 + 448;

/// A queue of free buffers that the kernel takes from, and the buffers.
///
/// A part of a buffer is the kernel's until a completion tells that it was filled, then ours; the
/// kernel gets the whole of it anew once all of it has been filled and looked at.
pub(super) struct Buffers {
    queue: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// How many bytes of memory that are.
    total: usize,
    /// Where the next free buffer goes.
    tail: u16,
    count: u16,
    /// How much of each has been filled.
    filled: Vec<usize>,
    /// How many the kernel has not got.
    taken: u16,
}

/// What one receive has filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    number: u16,
    offset: usize,
    count: usize,
    /// The kernel fills no more of this buffer.
    is_last: bool,
}

impl Buffers {
    /// Makes the buffers for streams and tells the kernel of them.
    ///
    /// # Safety
    ///
    /// They must not be dropped while an operation of `ring` may still fill one of them.
    pub(super) unsafe fn new(ring: &Ring) -> io::Result<Self> {
        let mut buffers = Self::allocate(MEMORY);
        // SAFETY: handed on to our caller.
        unsafe {
            if buffers.register(ring, GROUP, COUNT_SHARED, SHARED).is_err() {
                buffers.register(ring, GROUP, COUNT_SINGLE, 0)?;
            }
        }
        Ok(buffers)
    }

    /// The same for datagrams.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new).
    pub(super) unsafe fn for_datagrams(ring: &Ring) -> io::Result<Self> {
        let mut buffers = Self::allocate(usize::from(DATAGRAM_COUNT) * DATAGRAM_SIZE);
        // SAFETY: handed on to our caller.
        unsafe { buffers.register(ring, DATAGRAM_GROUP, DATAGRAM_COUNT, 0) }?;
        Ok(buffers)
    }

    fn allocate(total: usize) -> Self {
        Self {
            queue: allocate(queue_layout()).cast(),
            memory: allocate(memory_layout(total)),
            total,
            tail: 0,
            count: 0,
            filled: Vec::new(),
            taken: 0,
        }
    }

    /// Tells the kernel of the memory, as `count` buffers.
    ///
    /// # Safety
    ///
    /// As for [`new`](Self::new).
    unsafe fn register(
        &mut self,
        ring: &Ring,
        group: u16,
        count: u16,
        flags: u16,
    ) -> io::Result<()> {
        debug_assert!(count <= COUNT_SINGLE, "the queue has room for no more");
        let address = self.queue.as_ptr() as u64;
        // SAFETY: the address is that of a whole page of zeros with room for `COUNT_SINGLE` entries,
        // which lives as long as `self`: our caller keeps that beyond the ring's last operation.
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, group, flags) }?;
        (self.count, self.taken) = (count, count);
        self.filled.resize(count.into(), 0);
        for number in 0..count {
            self.offer(number);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.total / usize::from(self.count)
    }

    /// Whether one buffer holds many messages, and is large for that.
    pub(super) fn are_shared(&self) -> bool {
        self.count == COUNT_SHARED
    }

    /// How many buffers the kernel has not got.
    pub(super) fn taken(&self) -> u16 {
        self.taken
    }

    /// Ends the use of a piece.
    pub(super) fn give_back(&mut self, piece: Piece) {
        if piece.is_last {
            self.offer(piece.number);
        }
    }

    /// Lets the kernel fill a buffer from its start.
    fn offer(&mut self, number: u16) {
        let place = usize::from(self.tail % self.count);
        let offset = usize::from(number) * self.size();
        let size = self.size();
        self.filled[usize::from(number)] = 0;
        // SAFETY: `place` is below the count, so it is in the queue's page, which is initialised, and
        // the kernel looks at no place at or beyond the tail. `number` is below the count, or the
        // line above would have panicked, so `offset` is inside the memory.
        unsafe {
            let entry = &mut *self.queue.as_ptr().add(place);
            entry.set_addr(self.memory.as_ptr().add(offset) as u64);
            entry.set_len(size as u32);
            entry.set_bid(number);
        }
        self.tail = self.tail.wrapping_add(1);
        self.taken -= 1;
        // SAFETY: the queue's tail is a field of its first entry which only we write, and only by
        // this; the kernel reads it, and writes to the other fields before the tail only.
        let tail =
            unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.queue.as_ptr()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// A completion tells that so many bytes more of a buffer are filled. Completions are to be
    /// looked at in their order.
    pub(super) fn take(&mut self, number: u16, count: usize, is_last: bool) -> Option<Piece> {
        let size = self.size();
        let filled = self.filled.get_mut(usize::from(number))?;
        let offset = *filled;
        let count = count.min(size - offset);
        *filled += count;
        self.taken += u16::from(is_last);
        Some(Piece { number, offset, count, is_last })
    }

    /// The bytes of a piece that was taken and not given back.
    pub(super) fn bytes(&self, piece: Piece) -> &[u8] {
        let offset = usize::from(piece.number) * self.size() + piece.offset;
        // SAFETY: `take` made the piece from a number below the count and from parts inside the
        // buffer, so it is inside the memory, which is initialised and lives as long as `self`. The
        // kernel has filled it and goes on behind it; it begins anew only after the last piece was
        // given back, which takes `self` mutably and so ends this borrow.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(offset), piece.count) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these very layouts and are freed here only; by the promise
        // made to `new`, the kernel fills no buffer any more, and the registration only makes it
        // look at the queue when it would.
        unsafe {
            dealloc(self.queue.as_ptr().cast(), queue_layout());
            dealloc(self.memory.as_ptr(), memory_layout(self.total));
        }
    }
}

const fn layout(size: usize, align: usize) -> Layout {
    match Layout::from_size_align(size, align) {
        Ok(layout) => layout,
        Err(_) => panic!("the sizes are small and the alignments are powers of two"),
    }
}

const fn queue_layout() -> Layout {
    layout(COUNT_SINGLE as usize * size_of::<BufRingEntry>(), 4096)
}

/// Memory that begins anywhere can be the system's until it is filled.
const fn memory_layout(size: usize) -> Layout {
    layout(size, 16)
}

fn allocate(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither layout is empty.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
