//! Databases that are really there: SQLite's files, and a PostgreSQL that each test starts for itself.

#[path = "support/answers.rs"]
mod answers;
#[path = "database/house.rs"]
mod house;
#[path = "database/postgres.rs"]
mod postgres;
#[path = "database/raw.rs"]
mod raw;
#[path = "database/sqlite.rs"]
mod sqlite;
mod support;
