//! A call in flight, and what the server's messages make of it.

use std::rc::Rc;

use ropewalk_deferred::Promise;

use crate::postgres::row::{Column, Row, Statement, known};
use crate::postgres::{BadMessage, Message, PostgresError, ServerError};

/// What came of an executed statement.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Row>,
    pub(crate) changed: u64,
    /// Whether a `COMMIT` turned out to be a `ROLLBACK`.
    pub(crate) rolled_back: bool,
}

/// A call that ends when the server is ready for the next one.
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) sql: Rc<str>,
    pub(crate) kind: Kind,
    /// The first thing that went wrong.
    pub(crate) error: Option<PostgresError>,
    /// Nobody wants the answer any more, and the server is to be told.
    pub(crate) is_cancelled: bool,
}

pub(crate) enum Kind {
    Simple {
        answer: Answer,
        promise: Promise<Answer>,
    },
    Prepare {
        name: String,
        types: Vec<u32>,
        columns: Vec<Column>,
        promise: Promise<Rc<Statement>>,
    },
    Execute {
        statement: Rc<Statement>,
        answer: Answer,
        bytes: usize,
        promise: Promise<Answer>,
    },
    /// Statements are being forgotten; nobody waits.
    Forget,
}

/// What a message has the connection do.
pub(crate) enum Step {
    More,
    /// The server waits for data that it does not get.
    RefuseCopy,
    /// The result is too large to be waited for.
    Stop,
}

impl Call {
    pub(crate) fn fail(&mut self, error: PostgresError) {
        self.error.get_or_insert(error);
    }

    pub(crate) fn refuse(&mut self, error: Box<ServerError>) {
        self.fail(PostgresError::Server(error));
    }

    /// Whether the server says of a prepared statement that it is not what it was.
    pub(crate) fn is_stale(&self) -> bool {
        let code = match &self.error {
            Some(PostgresError::Server(error)) => &*error.code,
            _ => return false,
        };
        matches!(self.kind, Kind::Execute { .. }) && matches!(code, "0A000" | "26000")
    }

    /// Takes a message that belongs to the call at the front.
    pub(crate) fn take(&mut self, message: Message, result_max: usize) -> Result<Step, BadMessage> {
        let has_failed = self.error.is_some();
        match (&mut self.kind, message) {
            (
                Kind::Simple { answer, .. } | Kind::Execute { answer, .. },
                Message::CommandComplete(tag),
            ) => {
                answer.changed = changed(&tag);
                answer.rolled_back = tag == "ROLLBACK";
            }
            // What a script gives is not asked for.
            (Kind::Simple { .. }, Message::Row(_) | Message::Columns(_) | Message::EmptyQuery)
            | (Kind::Prepare { .. }, Message::ParseComplete | Message::NoData)
            | (Kind::Execute { .. }, Message::BindComplete | Message::EmptyQuery)
            | (_, Message::CloseComplete | Message::CopyData | Message::CopyDone) => (),
            (Kind::Prepare { types, .. }, Message::ParameterTypes(found)) => *types = found,
            (Kind::Prepare { columns, .. }, Message::Columns(found)) => {
                *columns = found.into_iter().map(|(name, oid)| Column::new(name, oid)).collect();
            }
            (Kind::Execute { statement, answer, bytes, .. }, Message::Row(raw)) => {
                if raw.len() != statement.columns.len() {
                    return Err(BadMessage::OutOfPlace);
                }
                if has_failed {
                    return Ok(Step::More);
                }
                *bytes += raw.size() + size_of::<Row>();
                if *bytes > result_max {
                    answer.rows = Vec::new();
                    self.fail(PostgresError::TooLarge);
                    return Ok(Step::Stop);
                }
                answer.rows.push(Row::new(Rc::clone(statement), raw));
            }
            (Kind::Simple { .. } | Kind::Execute { .. }, Message::CopyIn) => {
                self.fail(PostgresError::Copy);
                return Ok(Step::RefuseCopy);
            }
            (Kind::Simple { .. } | Kind::Execute { .. }, Message::CopyOut) => {
                self.fail(PostgresError::Copy);
                return Ok(Step::Stop);
            }
            _ => return Err(BadMessage::OutOfPlace),
        }
        Ok(Step::More)
    }

    /// The statement that was prepared, if it was.
    pub(crate) fn prepared(&self) -> Option<Rc<Statement>> {
        match &self.kind {
            Kind::Prepare { name, types, columns, .. } if self.error.is_none() => {
                let params = types.iter().map(|oid| known(*oid).0).collect();
                let (name, columns) = (name.clone(), columns.clone());
                Some(Rc::new(Statement { name, params, columns }))
            }
            _ => None,
        }
    }

    /// Tells whoever waits what came of it.
    pub(crate) fn finish(self, prepared: Option<Rc<Statement>>) {
        match (self.kind, self.error) {
            (Kind::Simple { promise, .. } | Kind::Execute { promise, .. }, Some(error)) => {
                promise.fail(error);
            }
            (Kind::Prepare { promise, .. }, Some(error)) => promise.fail(error),
            (Kind::Simple { answer, promise } | Kind::Execute { answer, promise, .. }, None) => {
                promise.succeed(answer);
            }
            (Kind::Prepare { promise, .. }, None) => {
                if let Some(statement) = prepared {
                    promise.succeed(statement);
                }
            }
            (Kind::Forget, _) => (),
        }
    }
}

/// How many rows a command's tag says that it changed, or gave: `INSERT 0 5`, `UPDATE 3`.
fn changed(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}
