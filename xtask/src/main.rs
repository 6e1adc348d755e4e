//! `cargo xtask`: builds, runs, tests and checks Caisson.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::procs::clean_up_on_exit();
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            xtask::terminal::restore();
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
