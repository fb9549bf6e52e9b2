//! What is to run, and how: a plain value.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{STDERR, STDIN, STDOUT};

/// The highest number that a child's descriptor may have.
pub const CHILD_NUMBER_MAX: u32 = 255;

/// A program to run, with all that it is to find around it.
///
/// Unless told otherwise it has this process's environment, directory, user and group, a pipe to read from
/// as descriptor 0, and pipes to write to as 1 and 2. No other descriptor is open in it, and every signal
/// does what it does by default.
///
/// ```
/// use ropewalk_protocol::process::{ChildDescriptor, Command};
///
/// let command = Command::new("sort")
///     .args(["-n", "-u"])
///     .env("LC_ALL", "C")
///     .current_dir("/")
///     .descriptor(2, ChildDescriptor::Null);
/// assert_eq!(command.arguments().len(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    program: OsString,
    arg0: Option<OsString>,
    args: Vec<OsString>,
    is_env_cleared: bool,
    env_changes: BTreeMap<OsString, Option<OsString>>,
    current_dir: Option<PathBuf>,
    user: Option<u32>,
    group: Option<u32>,
    groups: Option<Vec<u32>>,
    grouping: Grouping,
    descriptors: BTreeMap<u32, ChildDescriptor>,
    terminal: TerminalSize,
    kill_on_drop: bool,
}

/// What a child finds at one of its descriptors.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ChildDescriptor {
    /// A pipe from which it reads what is written by [`Process::write_to`](super::Process::write_to).
    Input,
    /// A pipe into which it writes what is told by
    /// [`output_received`](super::ProcessProtocol::output_received).
    Output,
    /// Nothing to read, and nobody who takes what is written: `/dev/null`.
    Null,
    /// What this process has under that number.
    Inherit(u32),
    /// An open file, pipe or socket of this process's, which keeps it too.
    Given(Arc<File>),
    /// The terminal that is made for this process. All descriptors that are this are the same terminal:
    /// written to as [`STDIN`](super::STDIN), and told of as [`STDOUT`](super::STDOUT).
    Terminal,
}

/// To which group of processes a child belongs: who is meant by a terminal's signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grouping {
    /// To the one of this process.
    #[default]
    Inherited,
    /// To a new one, which it leads.
    Own,
    /// To an existing one, by the number of the process that leads it.
    Of(u32),
    /// To a new one in a new session, without a terminal unless it is given one.
    Session,
}

/// How large a terminal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// In lines.
    pub rows: u16,
    /// In characters.
    pub columns: u16,
}

impl Default for TerminalSize {
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

impl Command {
    /// Runs `program`, which is looked for in the folders of `PATH` if there is no `/` in it.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let pipes = [
            (STDIN, ChildDescriptor::Input),
            (STDOUT, ChildDescriptor::Output),
            (STDERR, ChildDescriptor::Output),
        ];
        Self {
            program: program.as_ref().to_owned(),
            arg0: None,
            args: Vec::new(),
            is_env_cleared: false,
            env_changes: BTreeMap::new(),
            current_dir: None,
            user: None,
            group: None,
            groups: None,
            grouping: Grouping::Inherited,
            descriptors: pipes.into(),
            terminal: TerminalSize::default(),
            kill_on_drop: false,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.args.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Has the program see this as its own name, in place of the one by which it was found.
    pub fn arg0(mut self, name: impl AsRef<OsStr>) -> Self {
        self.arg0 = Some(name.as_ref().to_owned());
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env_changes.insert(name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets variables of its environment.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        variables.into_iter().fold(self, |command, (name, value)| command.env(name, value))
    }

    /// Leaves a variable out of its environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env_changes.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Gives it no variable but those that are set from now on.
    pub fn env_clear(mut self) -> Self {
        self.is_env_cleared = true;
        self.env_changes.clear();
        self
    }

    /// Has it run in this directory.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.current_dir = Some(directory.as_ref().to_owned());
        self
    }

    /// Has it run as the user of this number; for root only. Unless [`groups`](Self::groups) says
    /// otherwise it is in no further groups then.
    pub fn uid(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Has it run in the group of this number.
    pub fn gid(mut self, group: u32) -> Self {
        self.group = Some(group);
        self
    }

    /// Has it be in these further groups; for root only.
    pub fn groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.groups = Some(groups.into_iter().collect());
        self
    }

    /// Has it belong to a group of processes.
    pub fn process_group(mut self, grouping: Grouping) -> Self {
        self.grouping = grouping;
        self
    }

    /// Gives it something as the descriptor of this number, in place of what was there.
    pub fn descriptor(mut self, number: u32, what: ChildDescriptor) -> Self {
        self.descriptors.insert(number, what);
        self
    }

    /// Gives it no descriptors but those that are set from now on; 0, 1 and 2 are then
    /// [`Null`](ChildDescriptor::Null), as programs take them for granted.
    pub fn without_descriptors(mut self) -> Self {
        self.descriptors = (STDIN..=STDERR).map(|number| (number, ChildDescriptor::Null)).collect();
        self
    }

    /// Gives it a terminal of this size as descriptors 0, 1 and 2, and a session of its own which that
    /// terminal controls.
    pub fn terminal(mut self, size: TerminalSize) -> Self {
        for number in STDIN..=STDERR {
            self.descriptors.insert(number, ChildDescriptor::Terminal);
        }
        self.terminal = size;
        self
    }

    /// Has it killed when its reactor stops, or goes, before it has exited. Otherwise it runs on.
    pub fn kill_on_drop(mut self, kill: bool) -> Self {
        self.kill_on_drop = kill;
        self
    }

    /// The program, as it was given.
    pub fn program(&self) -> &OsStr {
        &self.program
    }

    /// What the program sees as its own name.
    pub fn name(&self) -> &OsStr {
        self.arg0.as_deref().unwrap_or(&self.program)
    }

    /// The arguments behind the name.
    pub fn arguments(&self) -> &[OsString] {
        &self.args
    }

    /// Whether its environment is that of this process, unchanged.
    pub fn inherits_environment(&self) -> bool {
        !self.is_env_cleared && self.env_changes.is_empty()
    }

    /// Its environment, made of `inherited` and what was changed, in order of names.
    pub fn environment(
        &self,
        inherited: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> BTreeMap<OsString, OsString> {
        let mut all = BTreeMap::new();
        if !self.is_env_cleared {
            all.extend(inherited);
        }
        for (name, value) in &self.env_changes {
            match value {
                Some(value) => all.insert(name.clone(), value.clone()),
                None => all.remove(name),
            };
        }
        all
    }

    /// The value that it will find for a variable which this process has as `inherited`.
    pub fn variable(&self, name: &OsStr, inherited: Option<OsString>) -> Option<OsString> {
        match self.env_changes.get(name) {
            Some(change) => change.clone(),
            None => inherited.filter(|_| !self.is_env_cleared),
        }
    }

    /// The directory that it runs in, if not this process's.
    pub fn directory(&self) -> Option<&Path> {
        self.current_dir.as_deref()
    }

    /// The user whom it runs as, if not this process's.
    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// The group that it runs in, if not this process's.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// The further groups that it is in, if not those of this process: none, where it has another user.
    pub fn further_groups(&self) -> Option<&[u32]> {
        self.groups.as_deref().or(if self.user.is_some() { Some(&[]) } else { None })
    }

    /// The group of processes that it belongs to; a session where it has a terminal.
    pub fn grouping(&self) -> Grouping {
        if self.has_terminal() { Grouping::Session } else { self.grouping }
    }

    /// Its descriptors, by number.
    pub fn descriptors(&self) -> &BTreeMap<u32, ChildDescriptor> {
        &self.descriptors
    }

    /// Whether any of its descriptors is a terminal of its own.
    pub fn has_terminal(&self) -> bool {
        self.descriptors.values().any(|what| matches!(what, ChildDescriptor::Terminal))
    }

    /// How large that terminal is.
    pub fn terminal_size(&self) -> TerminalSize {
        self.terminal
    }

    /// Whether it is killed when its reactor stops.
    pub fn is_killed_on_drop(&self) -> bool {
        self.kill_on_drop
    }
}
