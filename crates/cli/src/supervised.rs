//! Programs that are kept running beside the services of a file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ropewalk::protocol::process::Command;
use ropewalk::service::{Backoff, ProcessService, Supervision};

use crate::offer::{House, Offer, Offered, silent};
use crate::site::halves;

/// Which program, and how it is looked after.
#[derive(Args, Clone, Debug)]
pub(crate) struct SupervisedOptions {
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    command: Vec<String>,

    /// Variables of its environment
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// Where it runs
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,

    /// How long it may take to stop, in seconds; then it is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    grace: u64,

    /// How long it is waited at most before it is started again, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait_max: u64,
}

impl Offered for SupervisedOptions {
    const LISTEN: Option<&'static str> = None;

    fn offer(&self, house: &House) -> Result<Offer, String> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err("there is no program to start".to_owned());
        };
        let mut command = Command::new(program).args(arguments);
        for variable in &self.env {
            let (name, value) = halves(variable, '=', "--env", "NAME=VALUE")?;
            command = command.env(name, value);
        }
        if let Some(directory) = &self.directory {
            command = command.current_dir(directory);
        }
        let backoff = Backoff::default().max(Duration::from_secs(self.wait_max));
        let supervision =
            Supervision::default().grace(Duration::from_secs(self.grace)).backoff(backoff);
        let reactor = &house.reactor;
        let service = ProcessService::new(program, reactor.clone(), reactor.clone(), command);
        Ok(Offer::beside(vec![silent(service.supervision(supervision))]))
    }
}
