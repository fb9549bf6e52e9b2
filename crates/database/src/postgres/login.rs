//! How a client proves who it is.

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;

use crate::postgres::{Authentication, BadMessage, Config, PostgresError};

/// The login, between the first word and the server's consent.
pub(crate) struct Login {
    scram: Scram,
}

enum Scram {
    No,
    First(ScramSha256),
    Last(ScramSha256),
    Proven,
}

impl Login {
    pub(crate) fn new() -> Self {
        Self { scram: Scram::No }
    }

    /// Answers into `out` what the server asks; whether it has let the client in.
    pub(crate) fn answer(
        &mut self,
        asked: Authentication,
        config: &Config,
        is_private: bool,
        out: &mut BytesMut,
    ) -> Result<bool, PostgresError> {
        const OUT_OF_PLACE: PostgresError = PostgresError::Bad(BadMessage::OutOfPlace);
        let password = || config.password.as_deref().ok_or(PostgresError::NoPassword);
        match (asked, std::mem::replace(&mut self.scram, Scram::No)) {
            (Authentication::Ok, Scram::No | Scram::Proven) => return Ok(true),
            (Authentication::Ok, _) => {
                let why = "it let the client in before it had".to_owned();
                return Err(PostgresError::NotTheServer(why));
            }
            (Authentication::Cleartext, Scram::No) => {
                if !is_private && !config.may_be_read {
                    return Err(PostgresError::Cleartext);
                }
                put(frontend::password_message(password()?, out))?;
            }
            (Authentication::Md5(salt), Scram::No) => {
                let hash = md5_hash(config.user.as_bytes(), password()?, salt);
                put(frontend::password_message(hash.as_bytes(), out))?;
            }
            (Authentication::Sasl(mechanisms), Scram::No) => {
                if !mechanisms.iter().any(|name| name == SCRAM_SHA_256) {
                    return Err(PostgresError::Authentication(mechanisms.join(", ")));
                }
                let scram = ScramSha256::new(password()?, ChannelBinding::unsupported());
                put(frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), out))?;
                self.scram = Scram::First(scram);
            }
            (Authentication::SaslContinue(data), Scram::First(mut scram)) => {
                scram.update(&data).map_err(|error| unproven(&error))?;
                put(frontend::sasl_response(scram.message(), out))?;
                self.scram = Scram::Last(scram);
            }
            (Authentication::SaslFinal(data), Scram::Last(mut scram)) => {
                scram.finish(&data).map_err(|error| unproven(&error))?;
                self.scram = Scram::Proven;
            }
            (Authentication::Other(how), _) => {
                return Err(PostgresError::Authentication(how.to_owned()));
            }
            _ => return Err(OUT_OF_PLACE),
        }
        Ok(false)
    }
}

fn unproven(error: &std::io::Error) -> PostgresError {
    PostgresError::NotTheServer(error.to_string())
}

/// What is written fails for a zero byte alone.
pub(crate) fn put(written: std::io::Result<()>) -> Result<(), PostgresError> {
    written.map_err(|_| PostgresError::ZeroByte)
}
