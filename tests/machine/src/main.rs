//! `machine-tests`: what `cargo xtask test` and `cargo xtask bench` run.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use machine_tests::{bench, runner, suite};

/// Boots the real image in emulators: to test it, or to measure it.
#[derive(Parser)]
#[command(name = "machine-tests", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the tests; the last line is `N passed, N failed`.
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
        /// Also the long ones.
        #[arg(long)]
        all: bool,
        /// Only beds whose name begins so, e.g. qemu, bochs, bochs-skylake; may be repeated.
        #[arg(long, value_name = "BED")]
        bed: Vec<String>,
        /// Only list the tests.
        #[arg(long)]
        list: bool,
        /// Bring the table of guests in hypervisor/SUPPORT.md up to date; `--all` without a choice of tests does so anyway.
        #[arg(long)]
        write_table: bool,
        /// How many machines run at once.
        #[arg(long, value_name = "N", default_value_t = 2)]
        jobs: usize,
    },
    /// Measure; prints a table and writes target/bench.json.
    Bench {
        /// Leave out the boot of Linux with and without Caisson, which takes a minute or two.
        #[arg(long)]
        quick: bool,
        /// Measure AMD-V's exits alone and print where their instructions go, function by function.
        #[arg(long)]
        profile: bool,
        /// Measure sizes alone: the image, and the memory that the hypervisor holds.
        #[arg(long)]
        sizes: bool,
    },
}

fn main() -> ExitCode {
    xtask::procs::clean_up_on_exit();
    match run(Cli::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<bool> {
    match task {
        Task::Test {
            filter,
            all,
            bed,
            list,
            write_table,
            jobs,
        } => {
            let is_everything = all && filter.is_none() && bed.is_empty();
            let choice = suite::Choice {
                filter,
                is_all: all,
                beds: bed,
            };
            let boots = choice.apply(suite::all()?)?;
            if list {
                runner::list(&boots);
                return Ok(true);
            }
            runner::run(boots, jobs.max(1), write_table || is_everything)
        }
        Task::Bench { profile: true, .. } => bench::profile().map(|()| true),
        Task::Bench { sizes: true, .. } => bench::sizes().map(|()| true),
        Task::Bench { quick, .. } => bench::run(quick).map(|()| true),
    }
}
