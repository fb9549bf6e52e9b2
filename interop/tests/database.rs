//! Databases that are really there: SQLite's files, and a PostgreSQL that each test starts for itself.

#[path = "database/sqlite.rs"]
mod sqlite;
mod support;
