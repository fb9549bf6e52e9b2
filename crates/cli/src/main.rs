//! The program `ropewalk`.

fn main() {}
