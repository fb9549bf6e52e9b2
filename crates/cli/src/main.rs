//! The program `ropewalk`.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    ropewalk_cli::main()
}
