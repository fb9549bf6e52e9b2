//! The program while it serves: from its start over changes and upgrades to its end.

use std::cell::{Cell, RefCell};
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use ropewalk::protocol::call_later;
use ropewalk::reactor::Reactor;
use ropewalk::{Deferred, Failure};
use sd_notify::NotifyState;

use crate::application::{Application, Planned};
use crate::daemon::{Begun, Daemon, Here};
use crate::inside::{self, Open};
use crate::sandbox::{Needs, Sandbox};
use crate::serving::{self, tell};
use crate::signals::{Heard, SIGHUP, SIGUSR1, SIGUSR2, on_signal};
use crate::sink::Sink;
use crate::sockets::Sockets;
use crate::upgrade::{self, Inheritance};

/// What is to be served.
pub(crate) struct Plan {
    pub(crate) services: Vec<Planned>,
    /// How long connections get to finish, if the plan says so.
    pub(crate) patience: Option<Duration>,
    /// What is another than in the plan before, a line each.
    pub(crate) changes: Vec<String>,
    /// Keeps what the next plan is compared with, once this one holds.
    pub(crate) accept: Rc<dyn Fn()>,
}

impl Plan {
    /// These services, which never change.
    pub(crate) fn of(services: Vec<Planned>) -> Self {
        Self { services, patience: None, changes: Vec::new(), accept: Rc::new(|| ()) }
    }
}

/// Makes the plan, each time anew.
pub(crate) type MakePlan = Rc<dyn Fn() -> Result<Plan, String>>;

/// What few programs are asked for.
#[derive(Default)]
pub(crate) struct Extras {
    /// Shows the first place to somebody.
    pub(crate) show: Option<fn(&Reactor, String)>,
    /// Serves in a sandbox that leaves this.
    pub(crate) sandbox: Option<Needs>,
}

/// A program that serves. Clones are the same.
#[derive(Clone)]
pub(crate) struct Program(Rc<Inner>);

struct Inner {
    reactor: Reactor,
    application: Application,
    plan: MakePlan,
    here: Here,
    is_upgrading: Cell<bool>,
    is_in_sandbox: bool,
    /// A successor serves.
    is_succeeded: Cell<bool>,
}

/// Serves what the plan says, and returns when it is told to stop.
pub(crate) fn serve(
    driver: Option<&str>,
    daemon: &Daemon,
    plan: MakePlan,
    extras: Extras,
) -> Result<ExitCode, String> {
    let here = match daemon.begin()? {
        Begun::Elsewhere(code) => return Ok(code),
        Begun::Here(here) => here,
    };
    let kind = serving::driver(driver)?;
    let sandbox = extras.sandbox.map(|needs| Sandbox::begin(&needs, kind)).transpose()?;
    crate::log::start();
    let inheritance = Inheritance::take()?;
    let reactor = serving::on_driver(kind)?;
    let (sockets, inheritance) = inheritance.split();
    let sockets = Sockets::on(&reactor, sockets)
        .map_err(|error| format!("what was handed on is no socket to listen with: {error}"))?;
    let application = Application::new(&reactor, sockets, daemon.patience());
    let first = plan()?;
    if let Some(patience) = first.patience {
        application.set_patience(patience);
    }
    let applied = application.apply(first.services);
    reactor.run_until(applied).map_err(|failure| tell(&failure))?;
    (first.accept)();
    let sockets = application.sockets();
    sockets.set_owner("");
    let mut open = inside::open(&reactor, &sockets.kinds())?;
    sockets.set_changing(false);
    here.settle()?;
    open.answer_operators(inheritance.is_some())?;
    if inheritance.is_some() {
        // Its predecessor has said so.
        open.said.clear();
    }
    let (is_upgrading, is_succeeded) = (Cell::new(false), Cell::new(false));
    let is_in_sandbox = sandbox.is_some();
    let inner =
        Inner { reactor, application, plan, here, is_upgrading, is_in_sandbox, is_succeeded };
    Program(Rc::new(inner)).run(inheritance, open, extras.show, sandbox)
}

impl Program {
    fn run(
        self,
        inheritance: Inheritance,
        open: Open,
        show: Option<fn(&Reactor, String)>,
        sandbox: Option<Sandbox>,
    ) -> Result<ExitCode, String> {
        let inner = &self.0;
        let reactor = inner.reactor.clone();
        let heard = self.listen().map_err(|error| format!("no signal can be heard: {error}"))?;
        let leaving = self.clone();
        let held = RefCell::new(Some(heard));
        reactor.before_stop(move || {
            held.take();
            leaving.leave()
        });
        if let Some(over) = inner.application.over() {
            let stopper = reactor.clone();
            over.on_result(move |over| {
                if let Err(failure) = over {
                    tracing::error!("{}", tell(&failure));
                }
                stopper.stop();
            });
        }
        let announcing = self.clone();
        let announce = move || announcing.announce(&inheritance, show);
        let ran = serving::run(&reactor, open, sandbox, announce);
        self.0.here.leave();
        ran
    }

    /// Says where it serves, to everybody who waits for that.
    fn announce(
        &self,
        inheritance: &Inheritance,
        show: Option<fn(&Reactor, String)>,
    ) -> io::Result<()> {
        let inner = &self.0;
        for shown in inner.application.overheard() {
            serving::warn_of_passwords(&shown);
        }
        let said = inner.application.said();
        // A successor's places were said by who came before it.
        if !inheritance.is_some() {
            said.iter().try_for_each(serving::print_line)?;
        }
        if let (Some(show), Some(first)) = (show, said.into_iter().next()) {
            show(&inner.reactor, first);
        }
        inner.here.ready()?;
        inheritance.tell()?;
        notify(&[NotifyState::Ready, NotifyState::MainPid(std::process::id())]);
        if let Some(wait) = sd_notify::watchdog_enabled() {
            watch(&inner.reactor, wait / 2);
        }
        Ok(())
    }

    fn listen(&self) -> io::Result<Vec<Heard>> {
        let reactor = &self.0.reactor;
        let (reloading, upgrading) = (self.clone(), self.clone());
        let reload = move || {
            // It says itself how it went.
            reloading.reload().on_result(drop);
        };
        Ok(vec![
            on_signal(reactor, SIGHUP, reload)?,
            on_signal(reactor, SIGUSR1, Sink::reopen_chosen)?,
            on_signal(reactor, SIGUSR2, move || upgrading.upgrade())?,
        ])
    }

    /// Makes the plan anew and applies what is another in it; answers what that was, a line each. If anything is wrong
    /// with it everything goes on as it was.
    pub(crate) fn reload(&self) -> Deferred<Vec<String>> {
        let inner = Rc::clone(&self.0);
        Sink::reopen_chosen();
        let usec = NotifyState::monotonic_usec_now();
        notify(&usec.map_or_else(
            |_| vec![NotifyState::Reloading],
            |now| vec![NotifyState::Reloading, now],
        ));
        let plan = match (inner.plan)() {
            Ok(plan) => plan,
            Err(why) => {
                tracing::error!("nothing has changed: {why}");
                notify(&[NotifyState::Ready]);
                return Deferred::fail(Failure::new(why));
            }
        };
        let Plan { services, patience, changes, accept } = plan;
        let applied = inner.application.apply(services);
        applied.add_both(move |applied: Result<(), Failure>| {
            notify(&[NotifyState::Ready]);
            match applied {
                Ok(()) => {
                    if let Some(patience) = patience {
                        inner.application.set_patience(patience);
                    }
                    accept();
                    for change in &changes {
                        tracing::info!("{change}");
                    }
                    tracing::info!("reloaded: {} changes", changes.len());
                    Ok(changes)
                }
                Err(failure) => {
                    tracing::error!("nothing has changed: {}", tell(&failure));
                    Err(failure)
                }
            }
        })
    }

    /// Starts a successor and stops once that serves.
    pub(crate) fn upgrade(&self) {
        let inner = &self.0;
        if inner.is_upgrading.replace(true) {
            upgrade::answer(&Err("an upgrade is under way already".to_owned()));
            return;
        }
        let handed = inner.application.sockets().handed();
        let folder = inner.here.started_in.clone();
        let started = upgrade::start_successor(&inner.reactor, &handed, folder);
        let program = self.clone();
        started.on_result(move |started| {
            let inner = &program.0;
            inner.is_upgrading.set(false);
            let mut outcome = started.map_err(|failure| tell(&failure));
            if let (Err(why), true) = (&mut outcome, inner.is_in_sandbox) {
                why.push_str(
                    "; in a sandbox no program is started: stop it, and start the new one",
                );
            }
            match &outcome {
                Ok(id) => {
                    tracing::info!("process {id} serves in the place of this one");
                    inner.is_succeeded.set(true);
                    inner.application.sockets().set_others_go_on(true);
                    notify(&[NotifyState::MainPid(*id)]);
                    inner.reactor.stop();
                }
                Err(why) => tracing::error!("this process goes on: {why}"),
            }
            upgrade::answer(&outcome);
        });
    }

    /// Lets connections finish before it stops.
    fn leave(&self) -> Deferred<()> {
        if !self.0.is_succeeded.get() {
            notify(&[NotifyState::Stopping]);
        }
        self.0.application.leave().map(|drained| {
            if drained.cut > 0 {
                tracing::warn!("{} of {} connections were cut", drained.cut, drained.found);
            }
        })
    }
}

/// Tells a service manager, if there is one.
pub(crate) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager is not told: {error}");
    }
}

/// Tells the service manager again and again that the loop turns.
fn watch(reactor: &Reactor, wait: Duration) {
    notify(&[NotifyState::Watchdog]);
    let again = reactor.clone();
    call_later(reactor, wait, move || watch(&again, wait));
}
