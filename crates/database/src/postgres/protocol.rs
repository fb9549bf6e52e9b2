//! The protocol on a connection: what comes is made out and handed to its [`Link`].

use std::fmt;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use ropewalk_deferred::Deferred;
use ropewalk_protocol::{ClientEndpoint, Conn, Disconnect, Protocol};
use ropewalk_tls::start_tls;

use crate::postgres::link::{Link, Phase};
use crate::postgres::login::{Login, put};
use crate::postgres::{BadMessage, Config, Decoder, PostgresError};

/// How long telling the server to stop may take.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);

/// The protocol on one connection to a server. Its [`Client`](crate::postgres::Client) is made with it.
pub struct Postgres {
    decoder: Decoder,
    link: Rc<Link>,
}

impl Postgres {
    pub(crate) fn new(
        config: Config,
        endpoint: Option<Rc<dyn ClientEndpoint>>,
    ) -> (Self, Rc<Link>, Deferred<()>) {
        let decoder = Decoder::new(config.limits.message_max);
        let (link, is_ready) = Link::new(config, endpoint);
        (Self { decoder, link: Rc::clone(&link) }, link, is_ready)
    }

    pub(super) fn give_up(&mut self, conn: &Conn<Self>) {
        self.link.end(&PostgresError::Late);
        conn.abort_with(Disconnect::TimedOut);
    }

    fn fail(&mut self, conn: &Conn<Self>, why: &PostgresError) {
        self.link.end(why);
        // What was written goes out first, so that it does not matter how the answer was cut.
        conn.close();
        conn.call_later(self.link.config.limits.login_patience, |_, conn| conn.abort());
    }

    fn log_in(&mut self, conn: &Conn<Self>) {
        let config = &self.link.config;
        let settings = config.settings.iter().map(|(name, value)| (&**name, &**value));
        let settings = std::iter::once(("user", &*config.user)).chain(settings);
        let mut state = self.link.state.borrow_mut();
        let written = state.encode(|out| put(frontend::startup_message(settings, out)));
        match written {
            Ok(()) => {
                conn.write(&state.out);
                state.phase = Phase::LoggingIn(conn.clone(), Login::new());
            }
            Err(error) => {
                drop(state);
                self.fail(conn, &error);
            }
        }
    }

    /// The server has said whether it speaks TLS.
    fn agree_on_tls(&mut self, conn: &Conn<Self>, answer: u8) -> Result<(), PostgresError> {
        if answer == b'N' {
            return Err(PostgresError::NoTls);
        }
        if answer != b'S' {
            return Err(PostgresError::Bad(BadMessage::TlsAnswer(answer)));
        }
        let Some((client, name)) = &self.link.config.tls else { return Ok(()) };
        let layer = client.layer(name).map_err(|error| PostgresError::Tls(error.to_string()))?;
        self.link.state.borrow_mut().phase = Phase::Encrypting;
        // Nothing may have come behind the answer; where it did, the layer refuses it.
        let rest = self.decoder.take_rest();
        conn.then(start_tls(conn, layer, &rest), |this, conn, agreed| match agreed {
            Ok(_) => this.log_in(conn),
            Err(failure) => this.fail(conn, &PostgresError::Tls(failure.to_string())),
        });
        Ok(())
    }

    fn feed(&mut self, conn: &Conn<Self>) -> Result<(), PostgresError> {
        loop {
            let state = self.link.state.borrow();
            match &state.phase {
                Phase::Asking(_) => {
                    drop(state);
                    let Some(answer) = self.decoder.take_byte() else { return Ok(()) };
                    self.agree_on_tls(conn, answer)?;
                    return Ok(());
                }
                Phase::LoggingIn(..) | Phase::Up(_) => (),
                Phase::Before | Phase::Encrypting | Phase::Over(_) => return Ok(()),
            }
            drop(state);
            match self.decoder.next_message().map_err(PostgresError::Bad)? {
                Some(message) => self.link.take(message)?,
                None => return Ok(()),
            }
        }
    }
}

impl Protocol for Postgres {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        let patience = self.link.config.limits.login_patience;
        let deadline = conn.call_later(patience, |this: &mut Self, conn| {
            if this.link.state.borrow().ready.is_some() {
                this.give_up(conn);
            }
        });
        self.link.state.borrow_mut().deadline = Some(deadline);
        if self.link.config.tls.is_none() || conn.tls().is_some() {
            return self.log_in(conn);
        }
        let mut state = self.link.state.borrow_mut();
        state.out.clear();
        frontend::ssl_request(&mut state.out);
        conn.write(&state.out);
        state.phase = Phase::Asking(conn.clone());
    }

    fn data_received(&mut self, conn: &Conn<Self>, data: &[u8]) {
        self.decoder.push(data);
        if let Err(why) = self.feed(conn) {
            return self.fail(conn, &why);
        }
        let mut state = self.link.state.borrow_mut();
        state.put_off(self.link.config.limits.patience);
        state.finish_if_done();
    }

    fn connection_lost(&mut self, conn: &Conn<Self>, why: Disconnect) {
        let why = match (why, conn.cause()) {
            (Disconnect::Tls(_), Some(cause)) => PostgresError::Tls(cause.to_string()),
            (why, _) => PostgresError::Lost(why),
        };
        self.link.end(&why);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Whoever was never connected has no `connection_lost` either.
        self.link.end(&PostgresError::Lost(Disconnect::Stopped));
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("decoder", &self.decoder).finish_non_exhaustive()
    }
}

/// Tells the server to stop what another connection has it do. It gives no answer and closes.
pub(super) struct CancelRequest {
    pub(super) words: BytesMut,
    pub(super) link: Weak<Link>,
}

impl Protocol for CancelRequest {
    fn connection_made(&mut self, conn: &Conn<Self>) {
        conn.write(&self.words);
        conn.call_later(CANCEL_PATIENCE, |_, conn| conn.abort());
    }

    fn data_received(&mut self, conn: &Conn<Self>, _: &[u8]) {
        conn.abort();
    }
}

impl Drop for CancelRequest {
    fn drop(&mut self) {
        if let Some(link) = self.link.upgrade() {
            link.cancel_taken();
        }
    }
}
