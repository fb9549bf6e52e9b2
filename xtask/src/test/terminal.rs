//! Colours, where somebody sees them.

use std::io::IsTerminal;
use std::{env, io};

/// Where the output goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    has_colours: bool,
}

impl Terminal {
    /// Colours are for terminals whose owner did not say `NO_COLOR`.
    pub(crate) fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { has_colours: wanted && io::stdout().is_terminal() }
    }

    /// What cargo is to do about colours, since it sees a pipe.
    pub(crate) fn cargo_colours(self) -> &'static str {
        if self.has_colours { "always" } else { "never" }
    }

    /// Announces a step.
    pub(crate) fn headline(self, text: &str) {
        println!("\n{}", self.paint("1", &format!("== {text}")));
    }

    /// Green text for what went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Red text for what did not.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// Yellow text for what was not tried.
    pub(crate) fn left_out(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.has_colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
