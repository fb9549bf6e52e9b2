//! Those who start processes.

use std::cell::Cell;
use std::process::Stdio;
use std::rc::Rc;

use ropewalk_protocol::process::{ChildDescriptor, Collect, Command, Output};
use ropewalk_reactor::{DriverKind, Reactor};
use rustix::time::{ClockId, clock_gettime};

use crate::Outcome;

/// How many programs run at a time.
const AT_A_TIME: usize = 8;

/// Who starts them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The standard library, which waits for each by blocking: the floor.
    Std,
    /// tokio on one thread.
    Tokio,
    /// Ours on epoll.
    Ropewalk,
    /// Ours on `io_uring`.
    Uring,
    /// Twisted.
    Twisted,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Std, Self::Tokio, Self::Ropewalk, Self::Uring, Self::Twisted];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Std => "std, one by one",
            Self::Tokio => "tokio",
            Self::Ropewalk => "Ropewalk",
            Self::Uring => "Ropewalk on io_uring",
            Self::Twisted => "Twisted",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What the programs are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `true`, without any pipe.
    Bare,
    /// `echo`, whose outputs are read through two pipes.
    Output,
}

impl Shape {
    pub(crate) const ALL: [Self; 2] = [Self::Bare, Self::Output];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Output => "output",
        }
    }

    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Bare => "true, no pipe, 8 at a time",
            Self::Output => "echo, both outputs read, 8 at a time",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.name() == name)
    }

    const fn program(self) -> &'static str {
        match self {
            Self::Bare => "/bin/true",
            Self::Output => "/bin/echo",
        }
    }
}

/// Runs so many and says how many microseconds of CPU time that took.
pub(crate) fn run(kind: Kind, shape: Shape, count: usize) -> Outcome<()> {
    // What is done once is not counted.
    turns(kind, shape, AT_A_TIME)?;
    let before = micros();
    turns(kind, shape, count)?;
    println!("{}", micros() - before);
    Ok(())
}

fn micros() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

fn turns(kind: Kind, shape: Shape, count: usize) -> Outcome<()> {
    match kind {
        Kind::Std => by_std(shape, count),
        Kind::Tokio => by_tokio(shape, count),
        Kind::Ropewalk => by_ropewalk(DriverKind::Epoll, shape, count),
        Kind::Uring => by_ropewalk(DriverKind::IoUring, shape, count),
        Kind::Twisted => Err("Twisted is another program".into()),
    }
}

fn check(shape: Shape, success: bool, output: &[u8]) -> Outcome<()> {
    let expected: &[u8] = if shape == Shape::Output { b"hello\n" } else { b"" };
    if success && output == expected { Ok(()) } else { Err("a program went wrong".into()) }
}

fn by_std(shape: Shape, count: usize) -> Outcome<()> {
    for _ in 0..count {
        let mut command = std::process::Command::new(shape.program());
        command.arg("hello").stdin(Stdio::null());
        if shape == Shape::Bare {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let output = command.output()?;
        check(shape, output.status.success(), &output.stdout)?;
    }
    Ok(())
}

fn by_tokio(shape: Shape, count: usize) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let left = Rc::new(Cell::new(count));
        let workers: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                let left = Rc::clone(&left);
                tokio::task::spawn_local(async move {
                    while left.get() > 0 {
                        left.set(left.get() - 1);
                        let mut command = tokio::process::Command::new(shape.program());
                        command.arg("hello").stdin(Stdio::null());
                        if shape == Shape::Bare {
                            command.stdout(Stdio::null()).stderr(Stdio::null());
                        }
                        let Ok(output) = command.output().await else { return false };
                        if check(shape, output.status.success(), &output.stdout).is_err() {
                            return false;
                        }
                    }
                    true
                })
            })
            .collect();
        for worker in workers {
            if !worker.await? {
                return Err("a program went wrong".into());
            }
        }
        Ok(())
    })
}

struct Run {
    reactor: Reactor,
    shape: Shape,
    command: Command,
    left: Cell<usize>,
    under_way: Cell<usize>,
    failed: Cell<bool>,
}

impl Run {
    fn next(self: &Rc<Self>) {
        if self.left.get() == 0 {
            return;
        }
        self.left.set(self.left.get() - 1);
        self.under_way.set(self.under_way.get() + 1);
        let this = Rc::clone(self);
        let output = Collect::new().output_of(&self.reactor, &self.command);
        output.on_result(move |output| {
            this.under_way.set(this.under_way.get() - 1);
            let is_right = |output: &Output| {
                check(this.shape, output.status.is_success(), &output.stdout).is_ok()
            };
            if !output.as_ref().is_ok_and(is_right) {
                this.failed.set(true);
            }
            this.next();
        });
    }
}

fn by_ropewalk(kind: DriverKind, shape: Shape, count: usize) -> Outcome<()> {
    let reactor = Reactor::with_driver(kind)?;
    let mut command =
        Command::new(shape.program()).arg("hello").descriptor(0, ChildDescriptor::Null);
    if shape == Shape::Bare {
        command = command.descriptor(1, ChildDescriptor::Null).descriptor(2, ChildDescriptor::Null);
    }
    let run = Rc::new(Run {
        reactor: reactor.clone(),
        shape,
        command,
        left: Cell::new(count),
        under_way: Cell::new(0),
        failed: Cell::new(false),
    });
    for _ in 0..AT_A_TIME {
        run.next();
    }
    while run.under_way.get() > 0 {
        reactor.turn(std::time::Duration::from_secs(60))?;
    }
    if run.failed.get() { Err("a program went wrong".into()) } else { Ok(()) }
}
