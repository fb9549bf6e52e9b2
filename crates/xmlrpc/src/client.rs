//! Calls to others.

use std::fmt;

use ropewalk_deferred::{Deferred, Failure};
use ropewalk_http::{Agent, BodyError, Incoming};

use crate::{Answer, BadMessage, Call, CallError, Limits, Value};

/// Calls methods at a URL.
///
/// A user and a password in the URL are said as Basic credentials. Clones are the same.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    url: String,
    limits: Limits,
}

impl Client {
    /// A client of what is at `url`, such as `https://example.org/RPC2`.
    pub fn new(agent: &Agent, url: impl Into<String>) -> Self {
        Self { agent: agent.clone(), url: url.into(), limits: Limits::default() }
    }

    /// Takes no more than this of an answer.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Calls a method.
    ///
    /// The deferred fails with a [`Fault`](crate::Fault) if the method does, with a [`CallError`] if the
    /// server's answer is none, and as the agent's requests do.
    pub fn call(
        &self,
        method: impl Into<String>,
        params: impl IntoIterator<Item = Value>,
    ) -> Deferred<Value> {
        let call = Call { method: method.into(), params: params.into_iter().collect() };
        let bytes = match call.encode() {
            Ok(bytes) => bytes,
            Err(error) => return Deferred::fail(CallError::Unspeakable(error)),
        };
        let limits = self.limits;
        let asked = self.agent.post(&self.url, bytes).header("content-type", "text/xml").send();
        asked
            .add_callback(move |answer| {
                let status = answer.status().as_u16();
                if status != 200 {
                    return Deferred::fail(CallError::Status(status));
                }
                let body: Incoming = answer.into_response().into_body();
                body.collect(limits.bytes_max).add_errback(move |failure| {
                    Err::<_, Failure>(match failure.check::<BodyError>() {
                        Some(BodyError::TooLong { max }) => {
                            CallError::BadAnswer(BadMessage::TooLong { max: *max }).into()
                        }
                        _ => failure,
                    })
                })
            })
            .add_callback(move |bytes| match Answer::decode(&bytes, &limits) {
                Ok(Answer(Ok(value))) => Ok(value),
                Ok(Answer(Err(fault))) => Err(Failure::from(fault)),
                Err(bad) => Err(CallError::BadAnswer(bad).into()),
            })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Client").field("limits", &self.limits).finish_non_exhaustive()
    }
}
