//! Files that the kernel reads, writes and syncs.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::types::FsyncFlags;
use io_uring::{opcode, types};
use ropewalk_protocol::{FileAction, FileOperation, FileOutcome};
use rustix::io::Errno;
use slab::Slab;

use super::ring::{Done, Ring};
use super::slot::Tag;
use crate::sys::Completion;

/// How many operations the kernel has at once; threads do those beyond it.
const UNDER_WAY_MAX: usize = 1024;

/// The operations that are under way, each in its place with what the kernel reads from or writes to.
/// Nobody touches that until it is done.
#[derive(Default)]
pub(super) struct Files {
    under_way: Slab<(u64, FileOperation)>,
}

impl Files {
    /// Hands an operation over.
    pub(super) fn start(
        &mut self,
        ring: &mut Ring,
        id: u64,
        operation: FileOperation,
    ) -> Result<(), FileOperation> {
        if self.under_way.len() >= UNDER_WAY_MAX {
            return Err(operation);
        }
        let place = self.under_way.insert((id, operation));
        let operation = &mut self.under_way[place].1;
        let file = types::Fd(operation.file.as_raw_fd());
        let length = |length: usize| length.min(i32::MAX as usize) as u32;
        let entry = match &mut operation.action {
            FileAction::Read { offset, buffer } => {
                let read = opcode::Read::new(file, buffer.as_mut_ptr(), length(buffer.len()));
                read.offset(*offset).build()
            }
            FileAction::Write { offset, bytes } => {
                let write = opcode::Write::new(file, bytes.as_ptr(), length(bytes.len()));
                write.offset(*offset).build()
            }
            FileAction::Sync { data_only } => {
                let flags = if *data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
                opcode::Fsync::new(file).flags(flags).build()
            }
            // A kind that this driver does not know yet.
            _ => return Err(self.under_way.remove(place).1),
        };
        // SAFETY: the operation stays in its place until its one completion is looked at, and what it owns
        // with it: the file, kept open, and the heap's memory that the entry points to, which moves with
        // neither the operation nor the slab. A driver that is dropped before that leaks them.
        unsafe { ring.start(entry, Tag::file(place).to_u64()) };
        Ok(())
    }

    /// What became of the operation that a completion is of.
    pub(super) fn done(&mut self, tag: Tag, done: Done) -> Option<Completion<'static>> {
        let (id, operation) = self.under_way.try_remove(tag.slot as usize)?;
        let result = match done.result {
            // It would have to wait, and was told not to: a thread may.
            Err(Errno::AGAIN | Errno::INTR) => {
                return Some(Completion::FileReturned { id, operation });
            }
            Err(errno) => Err(io::Error::from(errno)),
            Ok(count) => {
                let buffer = match operation.action {
                    FileAction::Read { buffer, .. } => buffer,
                    _ => Vec::new(),
                };
                Ok(FileOutcome { count: count as usize, buffer })
            }
        };
        Some(Completion::File { id, result })
    }
}
