//! What the processor counts by itself.

use std::time::Instant;

/// A counter that goes up evenly: for how long things take, in a unit that has yet to be found out. Reading it takes a
/// tenth of what the clock takes. `started` is where it begins on processors that have none.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn ticks(_started: Instant) -> u64 {
    // SAFETY: each processor of this kind has the instruction, which touches nothing else; a system that forbids it
    // forbids its own clock.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The same.
#[cfg(target_arch = "aarch64")]
#[inline]
pub(crate) fn ticks(_started: Instant) -> u64 {
    let ticks: u64;
    // SAFETY: the register is there to be read by programs, which changes nothing.
    unsafe {
        std::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
    }
    ticks
}

/// The same.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn ticks(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::ticks;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock is what it is compared with")]
    fn it_goes_up_while_time_passes() {
        let started = Instant::now();
        let first = ticks(started);
        while started.elapsed() < Duration::from_millis(2) {}
        // The slowest there are count a million a second.
        assert!(ticks(started).wrapping_sub(first) >= 1000);
    }
}
