//! One attempt to connect: which address is next, and when.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ropewalk_deferred::Canceller;
use ropewalk_protocol::{Address, CannotConnect, Disconnect, FailedAttempt, Race};
use rustix::io::Errno;

use crate::ConnectOptions;

/// How long a listener whose queue is full is left alone before it is asked again: this at first, and
/// then twice as long each time, up to the other. The system tells of no room in a Unix socket's queue.
const KNOCK_PAUSE_MIN: Duration = Duration::from_millis(1);
const KNOCK_PAUSE_MAX: Duration = Duration::from_millis(64);

/// Everything about a connection that is being made.
pub(crate) struct Attempt {
    /// Tells this attempt from others that used its key.
    pub(crate) id: u64,
    pub(crate) options: ConnectOptions,
    /// When it is given up.
    pub(crate) deadline: Duration,
    plan: Plan,
    /// The sockets that are being connected.
    pub(crate) running: Vec<Runner>,
}

/// A socket that is being connected, and the key that the driver has it by.
pub(crate) struct Runner {
    pub(crate) key: usize,
    pub(crate) address: Address,
}

enum Plan {
    /// Addresses are being looked up.
    Resolving(Option<Canceller>),
    Race(Race),
    Knock(Knock),
    /// There is nothing to try.
    Nowhere(CannotConnect),
}

/// A Unix socket, asked again and again while its queue is full.
struct Knock {
    address: Address,
    next_at: Duration,
    pause: Duration,
    is_running: bool,
    failed: Option<FailedAttempt>,
}

/// What an attempt does next.
pub(crate) enum Step {
    Start(Address),
    /// Nothing before this time.
    Wait(Duration),
    GiveUp(CannotConnect),
}

impl Attempt {
    pub(crate) fn new(id: u64, options: ConnectOptions, deadline: Duration) -> Self {
        Self { id, options, deadline, plan: Plan::Resolving(None), running: Vec::new() }
    }

    pub(crate) fn is_resolving(&self) -> bool {
        matches!(self.plan, Plan::Resolving(_))
    }

    /// Keeps what gives the question for addresses up.
    pub(crate) fn set_question(&mut self, canceller: Canceller) {
        if let Plan::Resolving(question) = &mut self.plan {
            *question = Some(canceller);
        }
    }

    pub(crate) fn set_race(&mut self, addresses: Vec<SocketAddr>) {
        self.plan = Plan::Race(Race::new(addresses).with_delay(self.options.delay()));
    }

    pub(crate) fn set_path(&mut self, address: Address) {
        self.plan = Plan::Knock(Knock {
            address,
            next_at: Duration::ZERO,
            pause: KNOCK_PAUSE_MIN,
            is_running: false,
            failed: None,
        });
    }

    pub(crate) fn set_nowhere(&mut self, error: CannotConnect) {
        self.plan = Plan::Nowhere(error);
    }

    /// What to do now.
    pub(crate) fn step(&mut self, now: Duration) -> Step {
        let (start, wait, lost) = match &mut self.plan {
            Plan::Resolving(_) => (None, None, None),
            Plan::Nowhere(error) => return Step::GiveUp(error.clone()),
            Plan::Race(race) => {
                let start = race.next(now).map(Address::Ip);
                (start, race.next_at(), race.is_lost().then(|| race.failed().to_vec()))
            }
            Plan::Knock(knock) => {
                let start = knock.next(now);
                let lost = knock.failed.clone().map(|failed| vec![failed]);
                (start, (!knock.is_running).then_some(knock.next_at), lost)
            }
        };
        match (start, lost) {
            (Some(address), _) => Step::Start(address),
            (None, Some(failed)) => Step::GiveUp(cannot(failed, Disconnect::UnknownHost)),
            (None, None) => Step::Wait(wait.unwrap_or(self.deadline).min(self.deadline)),
        }
    }

    /// An address could not be connected to.
    pub(crate) fn fail(&mut self, now: Duration, address: &Address, error: &io::Error) {
        let why = Disconnect::from(error);
        match (&mut self.plan, address) {
            (Plan::Race(race), Address::Ip(address)) => race.fail(now, *address, why),
            (Plan::Knock(knock), _) => knock.fail(now, why, error),
            _ => (),
        }
    }

    /// It has taken as long as it may.
    pub(crate) fn time_out(&mut self) -> CannotConnect {
        let failed = match &mut self.plan {
            Plan::Resolving(_) => Vec::new(),
            Plan::Nowhere(error) => return error.clone(),
            Plan::Race(race) => {
                race.time_out();
                race.failed().to_vec()
            }
            Plan::Knock(knock) => {
                vec![FailedAttempt::new(knock.address.clone(), Disconnect::TimedOut)]
            }
        };
        cannot(failed, Disconnect::TimedOut)
    }

    /// Takes the runner of this key out.
    pub(crate) fn take_runner(&mut self, key: usize) -> Option<Runner> {
        let index = self.running.iter().position(|runner| runner.key == key)?;
        Some(self.running.swap_remove(index))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Plan::Resolving(Some(question)) = &self.plan {
            question.cancel();
        }
    }
}

impl Knock {
    fn next(&mut self, now: Duration) -> Option<Address> {
        if self.is_running || self.failed.is_some() || now < self.next_at {
            return None;
        }
        self.is_running = true;
        Some(self.address.clone())
    }

    fn fail(&mut self, now: Duration, why: Disconnect, error: &io::Error) {
        self.is_running = false;
        if error.raw_os_error() != Some(Errno::AGAIN.raw_os_error()) {
            self.failed = Some(FailedAttempt::new(self.address.clone(), why));
            return;
        }
        self.next_at = now.saturating_add(self.pause);
        self.pause = (self.pause * 2).min(KNOCK_PAUSE_MAX);
    }
}

/// The first failure is why; if there is none, `otherwise`.
fn cannot(failed: Vec<FailedAttempt>, otherwise: Disconnect) -> CannotConnect {
    let why = failed.first().map_or(otherwise, |first| first.why);
    CannotConnect::new(why, failed)
}
