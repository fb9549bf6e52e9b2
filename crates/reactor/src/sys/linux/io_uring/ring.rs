//! The two queues shared with the kernel.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, cqueue, opcode, squeue};
use rustix::io::Errno;

use crate::sys::Refusal;

/// How many operations can be handed over with one call.
const ENTRIES: u32 = 256;
/// How many completions can wait; more than that the kernel keeps on a list of its own.
const COMPLETIONS: u32 = 4096;

/// The operations without which this driver does not work.
const NEEDED: [(u8, &str); 8] = [
    (opcode::AcceptMulti::CODE, "accepting"),
    (opcode::RecvMulti::CODE, "receiving"),
    (opcode::Send::CODE, "sending"),
    (opcode::SendMsg::CODE, "gathering"),
    (opcode::PollAdd::CODE, "polling"),
    (opcode::AsyncCancel::CODE, "cancelling"),
    (opcode::Close::CODE, "closing"),
    (opcode::Nop::CODE, "doing nothing"),
];

/// Something that the kernel has done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) tag: u64,
    pub(super) result: Result<u32, Errno>,
    flags: u32,
}

impl Done {
    /// Whether the same operation will be done again.
    pub(super) fn is_more_to_come(self) -> bool {
        cqueue::more(self.flags)
    }

    /// The buffer that the kernel filled part of.
    pub(super) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }

    /// Whether it will fill no more of it.
    pub(super) fn is_buffer_full(self) -> bool {
        !cqueue::buffer_more(self.flags)
    }
}

pub(super) struct Ring {
    ring: IoUring,
    /// Operations for which there was no room.
    backlog: VecDeque<squeue::Entry>,
    /// Fetched and not looked at.
    pub(super) done: VecDeque<Done>,
    /// How many operations will still complete.
    in_flight: usize,
    /// The kernel reads, writes and syncs files.
    does_files: bool,
}

impl Ring {
    pub(super) fn new() -> Result<Self, Refusal> {
        let ring = open()?;
        let features = ring.params();
        for (has, what) in [
            (features.is_feature_nodrop(), "completions that are never dropped"),
            (features.is_feature_ext_arg(), "waiting with a time-out"),
            (features.is_feature_fast_poll(), "waiting for sockets by itself"),
            (features.is_feature_submit_stable(), "operations that are copied when handed over"),
            (features.is_feature_skip_cqe_on_success(), "operations that succeed in silence"),
        ] {
            if !has {
                return Err(Refusal::Lacks(what));
            }
        }
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        for (code, what) in NEEDED {
            if !probe.is_supported(code) {
                return Err(Refusal::Lacks(what));
            }
        }
        let files = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE];
        let does_files = files.into_iter().all(|code| probe.is_supported(code));
        let (backlog, done) = (VecDeque::new(), VecDeque::new());
        Ok(Self { ring, backlog, done, in_flight: 0, does_files })
    }

    pub(super) fn submitter(&self) -> io_uring::Submitter<'_> {
        self.ring.submitter()
    }

    pub(super) fn does_files(&self) -> bool {
        self.does_files
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Starts an operation, at the latest with the next [`wait`](Self::wait).
    ///
    /// # Safety
    ///
    /// All memory that `entry` points to must stay in place, and what is to be read unchanged, until
    /// the operation's last [`Done`] has been fetched; the descriptor must stay open until the
    /// operation has been handed over.
    pub(super) unsafe fn start(&mut self, entry: squeue::Entry, tag: u64) {
        self.in_flight += 1;
        self.push(entry.user_data(tag));
    }

    /// Starts an operation that points to no memory, and whose success is of no interest; its
    /// failure comes with `tag`.
    pub(super) fn start_silent(&mut self, entry: squeue::Entry, tag: u64) {
        self.push(entry.user_data(tag).flags(Flags::SKIP_SUCCESS));
    }

    /// Completes at once, which rings for whoever watches.
    pub(super) fn ring_the_bell(&mut self, tag: u64) {
        self.push(opcode::Nop::new().build().user_data(tag));
    }

    fn push(&mut self, entry: squeue::Entry) {
        if !self.backlog.is_empty() || !self.try_push(&entry) {
            self.backlog.push_back(entry);
            self.hand_over();
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: who starts an operation with memory has promised to keep it (`start`); all others
        // point to none.
        unsafe { self.ring.submission().push(entry) }.is_ok()
    }

    /// Whether something has been started that the kernel does not know of yet.
    pub(super) fn is_anything_queued(&mut self) -> bool {
        !self.backlog.is_empty() || !self.ring.submission().is_empty()
    }

    /// Gives the kernel what is queued, if it takes it.
    pub(super) fn hand_over(&mut self) {
        while self.is_anything_queued() {
            // Refused for a moment: the next wait tries again.
            let handed = self.ring.submit();
            while let Some(entry) = self.backlog.pop_front() {
                if !self.try_push(&entry) {
                    self.backlog.push_front(entry);
                    break;
                }
            }
            if self.backlog.is_empty() || handed.is_err() {
                return;
            }
        }
    }

    /// Hands over what is queued, waits for something to be done, and fetches all that is.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        if !self.backlog.is_empty() {
            self.hand_over();
        }
        let waited = match timeout {
            None => self.ring.submit_and_wait(1),
            Some(timeout) => {
                // Seconds beyond this are as good as for ever.
                let seconds = timeout.as_secs().min(u64::from(u32::MAX));
                let timeout = Timespec::new().sec(seconds).nsec(timeout.subsec_nanos());
                let args = SubmitArgs::new().timespec(&timeout);
                self.ring.submitter().submit_with_args(1, &args)
            }
        };
        self.fetch();
        match waited {
            Ok(_) => Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                // A signal, time, a kernel that wants the completions looked at first, or one that is
                // short of memory for a moment.
                Some(Errno::TIME | Errno::BUSY) => Ok(()),
                Some(error) if super::is_passing(error) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Whether the kernel has something for us that was not fetched.
    pub(super) fn has_more(&mut self) -> bool {
        self.ring.submission().taskrun() || !self.ring.completion().is_empty()
    }

    fn fetch(&mut self) {
        for entry in self.ring.completion() {
            let result = entry.result();
            let done = Done {
                tag: entry.user_data(),
                result: match u32::try_from(result) {
                    Ok(count) => Ok(count),
                    Err(_) => Err(Errno::from_raw_os_error(result.wrapping_neg())),
                },
                flags: entry.flags(),
            };
            if super::slot::Tag::from_u64(done.tag).is_counted() && !done.is_more_to_come() {
                self.in_flight -= 1;
            }
            self.done.push_back(done);
        }
    }
}

/// Opens a ring in the best of the ways that the kernel knows.
fn open() -> Result<IoUring, Refusal> {
    let build = |set: fn(&mut io_uring::Builder)| {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETIONS).setup_clamp();
        set(&mut builder);
        builder.build(ENTRIES)
    };
    let ways: [fn(&mut io_uring::Builder); 4] = [
        |builder| {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            builder.setup_submit_all().setup_no_sqarray();
        },
        |builder| {
            builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            builder.setup_submit_all();
        },
        |builder| {
            builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all();
        },
        |_| (),
    ];
    let mut refused = None;
    for way in ways {
        match build(way) {
            Ok(ring) => return Ok(ring),
            // The kernel does not know this way.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => refused = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    Err(refused.map_or(Refusal::Lacks("rings"), Refusal::System))
}
