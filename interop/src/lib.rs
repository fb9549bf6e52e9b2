//! Ropewalk against the programs that people run.
