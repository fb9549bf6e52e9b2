//! Memory that records are encrypted into, and used again without being cleared.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// How many pieces of memory are kept for later.
const SPARE_MAX: usize = 4;
/// And how long each may be.
const SPARE_SIZE_MAX: usize = 128 * 1024;

/// Records at the beginning of memory that may be longer.
#[derive(Default)]
pub(crate) struct Sealed {
    memory: Vec<u8>,
    end: usize,
}

/// Memory that was sent and waits for the next use.
#[derive(Clone, Default)]
pub(crate) struct Spares(Arc<Mutex<Vec<Vec<u8>>>>);

/// Records on their way, and where their memory goes then.
struct Leaving {
    sealed: Sealed,
    spares: Spares,
}

impl Sealed {
    /// Behind what is in `start`.
    pub(crate) fn behind(start: Vec<u8>) -> Self {
        Self { end: start.len(), memory: start }
    }

    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// Makes room for so many bytes more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.memory.reserve((self.end + more).saturating_sub(self.memory.len()));
    }

    /// The next bytes, whatever is in them, to be written over.
    pub(crate) fn next(&mut self, count: usize) -> &mut [u8] {
        let start = self.end;
        self.end += count;
        if self.memory.len() < self.end {
            self.memory.resize(self.end, 0);
        }
        &mut self.memory[start..self.end]
    }

    /// Lets `fill` append, to nothing but the records.
    pub(crate) fn append<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        self.memory.truncate(self.end);
        let filled = fill(&mut self.memory);
        self.end = self.memory.len();
        filled
    }

    pub(crate) fn into_vec(mut self) -> Vec<u8> {
        self.memory.truncate(self.end);
        self.memory
    }
}

impl Spares {
    /// Empty memory with room for so many bytes, which was used before if there is some.
    pub(crate) fn take(&self, room: usize) -> Sealed {
        let mut memory = self.lock().pop().unwrap_or_default();
        // No more than that: memory that grows by itself may become too large to be kept.
        memory.reserve_exact(room.saturating_sub(memory.len()));
        Sealed { memory, end: 0 }
    }

    /// The same bytes to be sent; their memory comes back here.
    pub(crate) fn leaving(&self, sealed: Sealed) -> Bytes {
        Bytes::from_owner(Leaving { sealed, spares: self.clone() })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Leaving {
    fn as_ref(&self) -> &[u8] {
        &self.sealed.memory[..self.sealed.end]
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.sealed.memory);
        let mut spares = self.spares.lock();
        if spares.len() < SPARE_MAX && memory.capacity() <= SPARE_SIZE_MAX {
            spares.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SPARE_MAX, SPARE_SIZE_MAX, Sealed, Spares};

    #[test]
    fn memory_comes_back_as_often_as_it_is_kept() {
        let spares = Spares::default();
        let leave = |size: usize| {
            let mut sealed = spares.take(size);
            sealed.next(size).fill(7);
            spares.leaving(sealed)
        };
        let first = leave(1000);
        assert!(first.iter().all(|byte| *byte == 7) && first.len() == 1000);
        let rest = first.slice(900..);
        drop(first);
        assert_eq!(spares.lock().len(), 0, "some of it is on its way");
        drop(rest);
        assert_eq!(spares.lock().len(), 1);
        let shorter = leave(10);
        assert_eq!(&shorter[..], [7; 10], "and nothing of what was there before");
        let all: Vec<_> = (0..2 * SPARE_MAX).map(|_| leave(100)).collect();
        drop((all, shorter));
        assert_eq!(spares.lock().len(), SPARE_MAX);
        spares.lock().clear();
        drop(leave(SPARE_SIZE_MAX + 1));
        assert_eq!(spares.lock().len(), 0, "nobody keeps that much");
    }

    #[test]
    fn what_is_appended_stands_behind_what_is_there() {
        let mut sealed = Sealed::behind(b"a".to_vec());
        sealed.reserve(10);
        sealed.next(1).fill(b'b');
        sealed.append(|out| out.extend_from_slice(b"cd"));
        sealed.next(1).fill(b'e');
        assert_eq!(sealed.len(), 5);
        assert_eq!(sealed.into_vec(), b"abcde");
    }
}
