//! One program while it answers one request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use ropewalk_deferred::{Deferred, Failure, Promise, deferred};
use ropewalk_http::{Body, Incoming};
use ropewalk_protocol::ConnCall;
use ropewalk_protocol::process::{
    Command, ExitStatus, LogLines, Process, ProcessEnd, ProcessProtocol, STDERR, STDIN, STDOUT,
    Signal, seat_process,
};

use crate::outlet::Outlet;
use crate::setup::{LOGGED_MAX, Patience, Setup, Slot};
use crate::{Answer, CgiError, ResponseDecoder};

/// How much may wait for a program before its client has to, in bytes.
const INPUT_MAX: u64 = 64 * 1024;
/// How long the standard error of a program that has ended is listened to.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long the end of an answer waits to hear how its program ended.
const VERDICT: Duration = Duration::from_secs(1);

/// What a program reads.
pub(crate) enum Input {
    Nothing,
    Whole(Bytes),
    Stream(Incoming),
}

/// What a program answered.
pub(crate) enum Answered {
    Document { status: StatusCode, headers: HeaderMap, body: Body },
    Local(http::uri::PathAndQuery),
}

/// The program's protocol: the request's body in, the answer out.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what it reads, what it wrote and whether it runs vary apart"
)]
pub(crate) struct Gateway {
    program: String,
    patience: Patience,
    input: Option<Incoming>,
    whole: Option<Bytes>,
    /// A piece of the request's body is on its way.
    waits_for_client: bool,
    decoder: ResponseDecoder,
    promise: Option<Promise<Answered>>,
    outlet: Outlet,
    is_answered: bool,
    /// Its output is read and dropped: the answer has no body that anybody takes, or was the site's affair.
    is_dropping: bool,
    /// HEAD, and what else is answered without a body.
    is_bodiless: bool,
    is_stopping: bool,
    has_closed_output: bool,
    silence: Option<ConnCall>,
    errors: LogLines,
    logged: usize,
    /// Until it has ended.
    slot: Option<Slot>,
}

/// Starts `command` for a request; the deferred gives its answer, and fails with a [`CgiError`].
pub(crate) fn run(
    setup: &Setup,
    slot: Slot,
    command: &Command,
    input: Input,
    is_head: bool,
) -> Deferred<Answered> {
    let (promise, answered) = deferred();
    let (whole, input) = match input {
        Input::Nothing => (None, None),
        Input::Whole(bytes) => (Some(bytes), None),
        Input::Stream(incoming) => (None, Some(incoming)),
    };
    let gateway = Gateway {
        program: command.program().to_string_lossy().into_owned(),
        patience: setup.patience,
        input,
        whole,
        waits_for_client: false,
        decoder: ResponseDecoder::default(),
        promise: Some(promise),
        outlet: Outlet::default(),
        is_answered: false,
        is_dropping: false,
        is_bodiless: is_head,
        is_stopping: false,
        has_closed_output: false,
        silence: None,
        errors: LogLines::default(),
        logged: 0,
        slot: Some(slot),
    };
    setup.spawner.spawn_seat(command, seat_process(gateway));
    answered
}

impl Gateway {
    /// Hands more of the request's body on, as much as the program takes.
    fn feed(&mut self, process: &Process<Self>) {
        // A piece that is asked for twice is lost to the first who asked.
        while let Some(input) = self.input.as_mut().filter(|_| !self.waits_for_client) {
            if process.waiting(STDIN) >= INPUT_MAX {
                return process.tell_when_sent(STDIN);
            }
            match input.next_piece().try_take() {
                Ok(piece) => self.take_piece(process, piece),
                Err(later) => {
                    self.waits_for_client = true;
                    return process.then(later, |this, process, piece| {
                        this.waits_for_client = false;
                        this.progress(process);
                        this.take_piece(process, piece);
                        this.feed(process);
                    });
                }
            }
        }
    }

    fn take_piece(&mut self, process: &Process<Self>, piece: Result<Option<Bytes>, Failure>) {
        if self.input.is_none() {
            return;
        }
        match piece {
            Ok(Some(bytes)) => process.write_bytes_to(STDIN, bytes),
            Ok(None) => {
                self.input = None;
                process.close_stdin();
            }
            // The client broke off, or a rule: it is answered for that, and the program is not asked.
            Err(failure) => {
                self.input = None;
                self.fail(process, failure);
            }
        }
    }

    /// The program did something, or was not the one that is waited for.
    fn progress(&mut self, process: &Process<Self>) {
        if let Some(call) = self.silence.filter(|_| !self.is_stopping) {
            process.reset_call(call, self.patience.silence);
        }
    }

    fn is_silent(&mut self, process: &Process<Self>) {
        if self.is_stopping || (self.has_closed_output && self.is_answered) {
            return;
        }
        let waits = self.waits_for_client && process.waiting(STDIN) == 0;
        if waits || self.outlet.is_paused() {
            self.watch(process);
        } else {
            self.fail(process, Failure::new(CgiError::Silent(self.patience.silence)));
        }
    }

    fn watch(&mut self, process: &Process<Self>) {
        self.silence = Some(process.call_later(self.patience.silence, Self::is_silent));
    }

    /// Nobody is to hear more of it: it is asked to end, and then made to.
    fn stop(&mut self, process: &Process<Self>) {
        if std::mem::replace(&mut self.is_stopping, true) {
            return;
        }
        self.input = None;
        process.close_stdin();
        process.close_stdout();
        if process.signal_group(Signal::Terminate).is_err() {
            return process.close_all();
        }
        process.call_later(self.patience.exit, |this, process| {
            tracing::warn!(
                target: "ropewalk::cgi", program = this.program,
                "killed: it did not end when it was asked to"
            );
            process.abort();
        });
    }

    /// It does not answer, or does not finish what it answered.
    fn fail(&mut self, process: &Process<Self>, why: Failure) {
        self.settle(why);
        self.stop(process);
    }

    fn settle(&mut self, why: Failure) {
        match self.promise.take() {
            Some(promise) => promise.fire(Err(why)),
            None if self.is_answered => {
                if let Some(error) = why.check::<CgiError>().filter(|_| !self.is_dropping) {
                    tracing::warn!(
                        target: "ropewalk::cgi", program = self.program,
                        "the answer is broken off: {error}"
                    );
                }
                self.outlet.end(Err(why));
            }
            None => (),
        }
    }

    /// The site takes no more of the answer's body.
    pub(crate) fn reader_gone(&mut self, process: &Process<Self>) {
        // RFC 3875 4.3.3: of an answer to HEAD the server drops the body.
        if self.is_bodiless || self.has_closed_output {
            self.is_dropping = true;
        } else if self.outlet.is_whole() {
            self.is_dropping = true;
            process.call_later(self.patience.exit, |this, process| {
                if !this.has_closed_output {
                    this.stop(process);
                }
            });
        } else {
            self.stop(process);
        }
    }

    fn answer(&mut self, process: &Process<Self>, answer: Answer) {
        self.is_answered = true;
        let answered = match answer {
            Answer::Document { status, headers, length } => {
                let no_body = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
                self.is_bodiless |= no_body.contains(&status);
                Answered::Document { status, headers, body: self.outlet.body(process, length) }
            }
            Answer::Local(path) => {
                self.is_dropping = true;
                Answered::Local(path)
            }
        };
        if let Some(promise) = self.promise.take() {
            promise.succeed(answered);
        }
    }

    /// Its output is over; how it ended, if that is known.
    fn output_over(&mut self, process: &Process<Self>, status: Option<ExitStatus>) {
        if !self.is_answered {
            return self.fail(process, Failure::new(CgiError::Ended(status)));
        }
        match status {
            // A signal is no way to end an answer: the client is to see that something is missing.
            Some(ExitStatus::Signaled { .. }) => {
                self.settle(Failure::new(CgiError::Ended(status)));
            }
            _ => self.outlet.end(Ok(())),
        }
    }

    /// What it complained of before it ended may not have been read yet. Whoever else holds its pipes is not
    /// waited for, and the next program may begin.
    fn take_last_words(&mut self, process: &Process<Self>) {
        self.slot = None;
        process.call_later(LAST_WORDS, |_, process| process.close_all());
    }

    fn log(&mut self, line: &str) {
        if self.logged > LOGGED_MAX {
            return;
        }
        self.logged += line.len() + 1;
        if self.logged > LOGGED_MAX {
            tracing::warn!(
                target: "ropewalk::cgi", program = self.program,
                "wrote more than {LOGGED_MAX} bytes to its standard error; the rest is dropped"
            );
        } else {
            tracing::warn!(target: "ropewalk::cgi", program = self.program, "{line}");
        }
    }
}

impl ProcessProtocol for Gateway {
    fn started(&mut self, process: &Process<Self>) {
        if let Some(promise) = &self.promise {
            if promise.is_cancelled() {
                return self.stop(process);
            }
            let cancelled = process.clone();
            promise.on_cancel(move || {
                cancelled.call_later(Duration::ZERO, Self::stop);
            });
        }
        self.watch(process);
        if let Some(total) = self.patience.total {
            process.call_later(total, move |this, process| {
                if !this.is_stopping {
                    this.fail(process, Failure::new(CgiError::Endless(total)));
                }
            });
        }
        match self.whole.take() {
            Some(whole) => {
                process.write_bytes_to(STDIN, whole);
                process.tell_when_sent(STDIN);
                process.close_stdin();
            }
            None if self.input.is_none() => process.close_stdin(),
            None => self.feed(process),
        }
    }

    fn input_sent(&mut self, process: &Process<Self>, _: u32) {
        self.progress(process);
        if process.waiting(STDIN) > 0 {
            process.tell_when_sent(STDIN);
        }
        self.feed(process);
    }

    fn out_received(&mut self, process: &Process<Self>, mut data: &[u8]) {
        self.progress(process);
        if self.is_stopping {
            return;
        }
        if !self.is_answered {
            match self.decoder.feed(&mut data) {
                Ok(None) => return,
                Ok(Some(answer)) => self.answer(process, answer),
                Err(bad) => return self.fail(process, Failure::new(CgiError::BadResponse(bad))),
            }
        }
        if !self.is_dropping && !self.is_bodiless {
            self.outlet.write(process, data);
        }
    }

    fn err_received(&mut self, _: &Process<Self>, data: &[u8]) {
        let mut errors = std::mem::take(&mut self.errors);
        errors.feed(data, |line| self.log(line));
        self.errors = errors;
    }

    fn descriptor_closed(&mut self, process: &Process<Self>, descriptor: u32) {
        match descriptor {
            // It wants no more of the body, which the site sees to.
            STDIN => self.input = None,
            STDERR => {
                let mut errors = std::mem::take(&mut self.errors);
                errors.flush(|line| self.log(line));
            }
            STDOUT if !self.is_stopping => {
                self.has_closed_output = true;
                match process.status() {
                    Some(status) => {
                        self.output_over(process, Some(status));
                        self.take_last_words(process);
                    }
                    None => {
                        process.call_later(VERDICT, |this, process| {
                            if process.status().is_none() {
                                this.output_over(process, None);
                            }
                        });
                        process.call_later(self.patience.exit, |this, process| {
                            if process.status().is_none() {
                                this.stop(process);
                            }
                        });
                    }
                }
            }
            _ => (),
        }
    }

    fn exited(&mut self, process: &Process<Self>, status: ExitStatus) {
        if self.is_stopping {
            return process.close_all();
        }
        if !status.is_success() {
            tracing::warn!(target: "ropewalk::cgi", program = self.program, "the program {status}");
        }
        if self.has_closed_output {
            self.output_over(process, Some(status));
            self.take_last_words(process);
        }
    }

    fn ended(&mut self, _: &Process<Self>, end: &ProcessEnd) {
        self.slot = None;
        let why = match end {
            ProcessEnd::NotStarted(error) => CgiError::NotStarted(error.clone()),
            _ => CgiError::Ended(end.status()),
        };
        if self.promise.is_some() || !self.has_closed_output {
            self.settle(Failure::new(why));
        }
    }
}

/// Says why a request was not answered.
pub(crate) fn log_failure(program: &str, error: &CgiError) {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    let source = source.unwrap_or_default();
    if matches!(error, CgiError::NotHere(_)) {
        tracing::debug!(target: "ropewalk::cgi", program, "no answer: {error}{source}");
    } else {
        tracing::warn!(target: "ropewalk::cgi", program, "no answer: {error}{source}");
    }
}
