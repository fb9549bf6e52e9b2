//! Reads pieces of a file at random places, 32 at a time, and says what that cost:
//! `reads DRIVER FILE COUNT`.

#[cfg(unix)]
fn main() -> Result<(), ropewalk_deferred::Failure> {
    unix::main()
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use ropewalk_deferred::{Failure, Rest, gather};
    use ropewalk_files::{Disk, FilePath, OpenOptions};
    use ropewalk_reactor::{DriverKind, Reactor};
    use rustix::time::{ClockId, clock_gettime};

    /// How long a piece is, in bytes.
    const PIECE: usize = 4096;
    /// How many reads are under way.
    const AT_ONCE: usize = 32;

    /// What all threads of this process have had of the processors.
    fn processor_time() -> Duration {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    pub(crate) fn main() -> Result<(), Failure> {
        let mut arguments = std::env::args().skip(1);
        let mut next = || arguments.next().unwrap_or_default();
        let (driver, path, count): (DriverKind, _, usize) =
            (next().parse()?, next(), next().parse()?);
        let reactor = Reactor::with_driver(driver)?;
        let disk = Disk::new(reactor.clone());
        let opened = disk.open(&FilePath::new(path), OpenOptions::READ);
        let file = reactor.run_until(opened)?;
        let pieces = (file.metadata()?.length() / PIECE as u64).max(1);
        let place = Rc::new(Cell::new(1_u64));
        let before = processor_time();
        let readers = (0..AT_ONCE).map(|_| {
            let (disk, file, place) = (disk.clone(), file.clone(), Rc::clone(&place));
            reactor.spawn(async move {
                for _ in 0..count / AT_ONCE {
                    // Far from the last, and the same in each run.
                    let random = place.get().wrapping_mul(6_364_136_223_846_793_005) + 1;
                    place.set(random);
                    let offset = (random >> 33) % pieces * PIECE as u64;
                    disk.read_at(&file, offset, PIECE).await?;
                }
                Ok::<(), Failure>(())
            })
        });
        reactor.run_until(gather(readers.collect::<Vec<_>>(), Rest::Leave))?;
        let each = processor_time().saturating_sub(before).as_secs_f64() * 1e6 / count as f64;
        println!("{driver}: {each:.2} µs of CPU a read");
        Ok(())
    }
}
