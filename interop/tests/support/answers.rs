//! What others answer, waited for in vain at most for a while.

use std::error::Error;
use std::fmt::Debug;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_interop::PATIENCE;
use ropewalk_protocol::timeout;
use ropewalk_reactor::Reactor;

/// Whoever asks others, on a reactor.
pub(crate) trait Asks {
    /// Where it waits.
    fn reactor(&self) -> &Reactor;

    /// Waits for an answer.
    fn wait<T: 'static>(&self, answer: Deferred<T>) -> Result<T, Failure> {
        self.reactor().run_until(timeout(self.reactor(), PATIENCE, answer))
    }

    /// Waits for an answer that is to come.
    #[track_caller]
    fn told<T: 'static>(&self, answer: Deferred<T>) -> T {
        self.wait(answer).expect("an answer")
    }

    /// Waits for a refusal of this kind.
    #[track_caller]
    fn refused_as<E: Error + Clone + 'static, T: Debug + 'static>(&self, answer: Deferred<T>) -> E {
        let failure = self.wait(answer).expect_err("it is refused");
        failure.check::<E>().unwrap_or_else(|| panic!("{failure:?}")).clone()
    }
}
