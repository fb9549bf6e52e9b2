//! A reactor in Python's asyncio, by example: what `example.py` hosts.
//!
//! A module of one's own looks like this: it keeps a reactor and what that carries, and lends asyncio the
//! descriptor and the turns.

#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use ropewalk_foreign::{Hosted, Next};
use ropewalk_foreign_demo::Page;

fn failed(error: impl std::fmt::Display) -> PyErr {
    PyOSError::new_err(error.to_string())
}

/// A page that says how often it was asked for, in whatever loop hosts it.
#[pyclass(name = "Page", unsendable)]
struct HostedPage {
    page: Page,
    hosted: Hosted,
    over: bool,
}

#[pymethods]
impl HostedPage {
    #[new]
    fn new() -> PyResult<Self> {
        let page = Page::serve().map_err(failed)?;
        let hosted = Hosted::new(page.reactor());
        Ok(Self { page, hosted, over: false })
    }

    /// The descriptor for `add_reader`.
    fn fileno(&self) -> i32 {
        self.hosted.as_fd().as_raw_fd()
    }

    /// Does what there is to do; the seconds until the next turn, or None if the descriptor will tell.
    fn turn(&mut self) -> PyResult<Option<f64>> {
        let next = self.hosted.turn().map_err(failed)?;
        self.over = next == Next::Ended;
        Ok(next.wait().map(|wait| wait.as_secs_f64()))
    }

    /// Whether a stop was asked for and has happened.
    #[getter]
    fn over(&self) -> bool {
        self.over
    }

    /// Where the page is.
    #[getter]
    fn address(&self) -> String {
        self.page.address().to_string()
    }

    /// Asks the reactor to stop.
    fn stop(&self) {
        self.page.reactor().stop();
    }
}

/// Reactors in asyncio.
#[pymodule]
fn ropewalk_asyncio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<HostedPage>()
}
