//! `poll`, which every Unix has.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;

use super::scan::{Scan, Watched};
use crate::sys::readiness::{Interest, Ready, Token};

pub(crate) struct Poll;

impl Scan for Poll {
    const NAME: &'static str = "poll";
    const TELLS_FAILURES: bool = true;

    fn scan(
        &mut self,
        watched: &[Watched<'_>],
        timeout: Option<&Timespec>,
        events: &mut Vec<(Token, Ready)>,
    ) -> Result<(), Errno> {
        let mut asked: Vec<PollFd<'_>> = watched
            .iter()
            .map(|each| PollFd::from_borrowed_fd(each.socket, flags(each.interest)))
            .collect();
        let mut left = poll(&mut asked, timeout)?;
        for (answer, each) in asked.iter().zip(watched) {
            if left == 0 {
                break;
            }
            let flags = answer.revents();
            if !flags.is_empty() {
                left -= 1;
                let ready = Ready {
                    readable: flags.contains(PollFlags::IN),
                    writable: flags.contains(PollFlags::OUT),
                    hung_up: flags.contains(PollFlags::HUP),
                    failed: flags.intersects(PollFlags::ERR | PollFlags::NVAL),
                    has_more: false,
                };
                events.push((each.token, ready));
            }
        }
        Ok(())
    }
}

fn flags(interest: Interest) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.readable);
    flags.set(PollFlags::OUT, interest.writable);
    flags
}
