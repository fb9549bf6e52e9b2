//! The statements that a connection has prepared.

use std::collections::HashMap;
use std::rc::Rc;

use crate::postgres::row::Statement;

/// Prepared statements by their words; the one unused for longest is the first to go.
#[derive(Default)]
pub(crate) struct Statements {
    by_sql: HashMap<Rc<str>, Entry>,
    /// Counts uses: the clock of this cache.
    uses: u64,
    made: u64,
}

struct Entry {
    statement: Rc<Statement>,
    used: u64,
}

impl Statements {
    pub(crate) fn find(&mut self, sql: &str) -> Option<Rc<Statement>> {
        self.uses += 1;
        let entry = self.by_sql.get_mut(sql)?;
        entry.used = self.uses;
        Some(Rc::clone(&entry.statement))
    }

    /// A name for another one.
    pub(crate) fn new_name(&mut self) -> String {
        self.made += 1;
        format!("s{}", self.made)
    }

    /// Keeps a statement; the names of those that have to go for it.
    pub(crate) fn keep(
        &mut self,
        sql: Rc<str>,
        statement: Rc<Statement>,
        statements_max: usize,
    ) -> Vec<String> {
        let mut gone = Vec::new();
        while self.by_sql.len() >= statements_max.max(1) {
            let oldest = self.by_sql.iter().min_by_key(|(_, entry)| entry.used);
            let Some(sql) = oldest.map(|(sql, _)| Rc::clone(sql)) else { break };
            gone.extend(self.forget(&sql));
        }
        let entry = Entry { statement, used: self.uses };
        // Two calls may have prepared the same at the same time.
        let twin = self.by_sql.insert(sql, entry);
        gone.extend(twin.map(|twin| twin.statement.name.clone()));
        gone
    }

    /// Forgets a statement, which the server may not know any more, or in another shape.
    pub(crate) fn forget(&mut self, sql: &str) -> Option<String> {
        self.by_sql.remove(sql).map(|entry| entry.statement.name.clone())
    }
}
