//! What random programs consist of.

use std::fmt;

/// How many deferreds a program has.
pub(crate) const CHAINS: usize = 5;

/// One instruction. Where it speaks of a chain that went into another, it does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Says what the canceller of a chain's promise does. Comes before everything else.
    Canceller(usize, Canceller),
    /// Adds a link for values.
    Callback(usize, Step),
    /// Adds a link for failures.
    Errback(usize, Step),
    /// Adds a link that notes either and hands it on.
    Both(usize),
    Fire(usize, u64),
    Fail(usize, u64),
    Cancel(usize),
    Timeout(usize, u64),
    Advance(u64),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Canceller {
    Ignore,
    Value(u64),
    Failure(u64),
}

/// What a link does with what it gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Gives a value: the sum, or just this for a failure.
    Give(u64),
    Fail(u64),
    /// Hands on what it got.
    Pass,
    /// Gives a whole chain, which is nobody else's from then on.
    Return(usize),
    /// Fires another chain, then passes.
    Fire(usize, u64),
    /// Cancels another chain, then passes.
    Cancel(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
}

impl Program {
    pub(crate) fn random(seed: u64) -> Self {
        // Neighbouring seeds are to have nothing in common.
        let mut random = Random(mix(seed ^ 0x5851_f42d_4c95_7f2d));
        let mut ops = Vec::new();
        for chain in 0..CHAINS {
            match random.below(6) {
                0 => ops.push(Op::Canceller(chain, Canceller::Ignore)),
                1 => ops.push(Op::Canceller(chain, Canceller::Value(random.below(90)))),
                2 => ops.push(Op::Canceller(chain, Canceller::Failure(random.below(90)))),
                _ => (),
            }
        }
        for _ in 0..4 + random.below(28) {
            ops.push(random.op());
        }
        Self { ops }
    }
}

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % end
    }

    fn chain(&mut self) -> usize {
        self.below(CHAINS as u64) as usize
    }

    fn op(&mut self) -> Op {
        let chain = self.chain();
        match self.below(16) {
            0..=4 => Op::Callback(chain, self.step()),
            5..=7 => Op::Errback(chain, self.step()),
            8 => Op::Both(chain),
            9 | 10 => Op::Fire(chain, self.below(90)),
            11 => Op::Fail(chain, self.below(90)),
            12 | 13 => Op::Cancel(chain),
            14 => Op::Timeout(chain, 1 + self.below(5)),
            _ => Op::Advance(1 + self.below(4)),
        }
    }

    fn step(&mut self) -> Step {
        match self.below(10) {
            0 | 1 => Step::Give(self.below(90)),
            2 => Step::Fail(self.below(90)),
            3 => Step::Pass,
            4..=6 => Step::Return(self.chain()),
            7 | 8 => Step::Fire(self.chain(), self.below(90)),
            _ => Step::Cancel(self.chain()),
        }
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Give(n) => write!(f, "give {n}"),
            Self::Fail(n) => write!(f, "fail {n}"),
            Self::Pass => f.write_str("pass"),
            Self::Return(chain) => write!(f, "return {chain}"),
            Self::Fire(chain, n) => write!(f, "fire {chain} {n}"),
            Self::Cancel(chain) => write!(f, "cancel {chain}"),
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceller(chain, Canceller::Ignore) => write!(f, "canceller {chain} ignore"),
            Self::Canceller(chain, Canceller::Value(n)) => write!(f, "canceller {chain} value {n}"),
            Self::Canceller(chain, Canceller::Failure(n)) => {
                write!(f, "canceller {chain} failure {n}")
            }
            Self::Callback(chain, step) => write!(f, "callback {chain} {step}"),
            Self::Errback(chain, step) => write!(f, "errback {chain} {step}"),
            Self::Both(chain) => write!(f, "both {chain}"),
            Self::Fire(chain, n) => write!(f, "fire {chain} {n}"),
            Self::Fail(chain, n) => write!(f, "fail {chain} {n}"),
            Self::Cancel(chain) => write!(f, "cancel {chain}"),
            Self::Timeout(chain, time) => write!(f, "timeout {chain} {time}"),
            Self::Advance(time) => write!(f, "advance {time}"),
        }
    }
}

/// One line, the instructions parted by semicolons.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, op) in self.ops.iter().enumerate() {
            write!(f, "{}{op}", if at > 0 { ";" } else { "" })?;
        }
        Ok(())
    }
}
