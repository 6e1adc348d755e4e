//! `cargo xtask test`: the checks and the unit tests on this PC, then the real image in the beds;
//! one sum at the end.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::ui::{Step, say};

/// Which tests.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only machine tests whose name contains this; checks and unit tests are left out then.
    pub filter: Option<String>,
    /// Also the long ones.
    pub all: bool,
    /// Only these beds; all if empty. Checks and unit tests are left out if there are some.
    pub beds: Vec<String>,
    /// Only say which machine tests there are.
    pub is_list: bool,
    /// Bring the table of guests in `SUPPORT.md` up to date.
    pub writes_table: bool,
    /// Leave `cargo xtask check` out.
    pub skips_check: bool,
}

impl Options {
    /// Returns whether all tests are run, not some.
    fn is_everything(&self) -> bool {
        self.filter.is_none() && self.beds.is_empty() && !self.is_list
    }

    /// Returns whether the checks come first.
    fn runs_check(&self) -> bool {
        self.is_everything() && !self.skips_check
    }
}

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u32,
    /// Failed.
    pub failed: u32,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Returns whether something was run, and all of it went well.
    fn is_good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

/// Runs the checks and the tests; the last line on standard output is `N passed, N failed`.
///
/// A failed check counts as a failed test; one that found nothing is not counted.
///
/// # Errors
/// Something is missing or does not build. Failed tests are no error but a status of 1.
pub fn run(options: &Options) -> Result<ExitCode> {
    crate::setup::tools()?;
    if options.is_list {
        let status = chosen(&machine_tests()?, options).arg("--list").status()?;
        return Ok(ExitCode::from(u8::from(!status.success())));
    }
    let mut total = Tally::default();
    if options.runs_check() {
        total.add(checks());
    }
    if options.is_everything() {
        let units = unit_tests()?;
        println!(
            "unit tests: {} passed, {} failed",
            units.passed, units.failed
        );
        total.add(units);
    }
    total.add(machine_side(options)?);
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the checks. Whatever becomes of them, the tests come next.
fn checks() -> Tally {
    match crate::check::before_tests() {
        Ok(summary) => {
            println!("checks: {summary}");
            failures_of(summary)
        }
        Err(error) => {
            println!("checks: {error:#}");
            Tally {
                passed: 0,
                failed: 1,
            }
        }
    }
}

/// Returns what the checks add to the sum: tests that pass are counted, checks that pass are not.
fn failures_of(summary: crate::check::Summary) -> Tally {
    Tally {
        passed: 0,
        failed: summary.failed,
    }
}

/// What runs on nothing but the bare machine.
pub(crate) const BARE: [&str; 3] = ["caisson", "loader", "test-guests"];

/// Runs the unit tests of everything that builds on a PC: all crates but the programs for the bare machine.
///
/// # Errors
/// They do not build. Failed tests count; what they said is printed.
pub fn unit_tests() -> Result<Tally> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    for package in BARE {
        command.args(["--exclude", package]);
    }
    let step = Step::start("unit tests");
    let out = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting cargo")?
        .wait_with_output()?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    let mut tally = tally_of(&stdout);
    if out.status.success() {
        step.done(&format!("{} passed", tally.passed));
    } else {
        drop(step);
        std::io::stderr().write_all(&out.stderr)?;
        println!("{stdout}");
        // A crate whose tests do not even build is a failure too.
        tally.failed = tally.failed.max(1);
    }
    Ok(tally)
}

/// Sums up what libtest says: `test result: ok. 3 passed; 0 failed; …`.
fn tally_of(text: &str) -> Tally {
    let mut tally = Tally::default();
    for line in text.lines().filter(|line| line.starts_with("test result:")) {
        tally.passed += number_before(line, " passed");
        tally.failed += number_before(line, " failed");
    }
    tally
}

fn number_before(line: &str, word: &str) -> u32 {
    line.find(word)
        .and_then(|at| line[..at].rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Builds the program that holds the machine tests; returns its path.
///
/// # Errors
/// It does not build.
pub fn machine_tests() -> Result<PathBuf> {
    let mut command = cargo();
    command.args([
        "build",
        "--package",
        "machine-tests",
        "--bin",
        "machine-tests",
    ]);
    command.arg("--message-format=json-render-diagnostics");
    let messages = crate::command::watched("building the machine tests", &mut command)?;
    crate::build::programs_in(&messages)
        .into_iter()
        .find(|program| program.name == "machine-tests")
        .map(|program| program.path)
        .context("package `machine-tests` has no binary of its name")
}

/// Builds the image's parts, then runs the machine tests and shows what they say as it comes.
fn machine_side(options: &Options) -> Result<Tally> {
    let hypervisor = crate::build::caisson(crate::build::Profile::Release)?;
    let loader = crate::build::loader(crate::build::Profile::Release)?;
    let guests = crate::build::test_guests(crate::build::Profile::Release)?;
    crate::guest::fetch(crate::guest::DEFAULT)?;
    let program = machine_tests()?;
    let mut command = chosen(&program, options);
    // Paths of what was built, so that it need not be built or searched again.
    command
        .env("CAISSON_ELF", &hypervisor)
        .env("CAISSON_LOADER", &loader);
    if let Some(folder) = guests.first().and_then(|guest| guest.path.parent()) {
        command.env("CAISSON_TEST_GUESTS", folder);
    }
    say(format!(
        "machine tests: {}",
        crate::command::shown(&command)
    ));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting the machine tests")?;
    let mut tally = None;
    let stdout = child.stdout.take().context("the machine tests' output")?;
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        match sum_of(&line) {
            // Ours is the last line, and holds theirs.
            Some(sum) => tally = Some(sum),
            None => println!("{line}"),
        }
    }
    let status = child.wait()?;
    let mut tally = tally.unwrap_or_default();
    if !status.success() && tally.failed == 0 {
        say(format!(
            "the machine tests ended with {status} and named no failed test"
        ));
        tally.failed = 1;
    }
    println!(
        "machine tests: {} passed, {} failed",
        tally.passed, tally.failed
    );
    Ok(tally)
}

/// The machine tests' program with what was chosen.
fn chosen(program: &Path, options: &Options) -> Command {
    let mut command = Command::new(program);
    command
        .arg("test")
        .args(options.filter.iter())
        .current_dir(crate::paths::root());
    if options.all {
        command.arg("--all");
    }
    if options.writes_table {
        command.arg("--write-table");
    }
    for bed in &options.beds {
        command.args(["--bed", bed]);
    }
    command
}

/// Reads a line that is nothing but `N passed, N failed`.
fn sum_of(line: &str) -> Option<Tally> {
    let (passed, failed) = line.trim().split_once(", ")?;
    Some(Tally {
        passed: passed.strip_suffix(" passed")?.parse().ok()?,
        failed: failed.strip_suffix(" failed")?.parse().ok()?,
    })
}

/// Cargo for this PC, on the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(crate::paths::root())
        .env("RUSTUP_AUTO_INSTALL", "0");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_results_are_summed() {
        let text = "test result: ok. 12 passed; 0 failed; 0 ignored\nnoise\ntest result: FAILED. 3 passed; 2 failed;\n";
        assert_eq!(
            tally_of(text),
            Tally {
                passed: 15,
                failed: 2
            }
        );
    }

    #[test]
    fn checks_come_before_all_tests_and_not_before_some() {
        assert!(Options::default().runs_check());
        let all = Options {
            all: true,
            ..Options::default()
        };
        assert!(all.runs_check());
        let hurried = Options {
            skips_check: true,
            ..Options::default()
        };
        assert!(!hurried.runs_check() && hurried.is_everything());
        for some in [
            Options {
                filter: Some("smp".to_owned()),
                ..Options::default()
            },
            Options {
                beds: vec!["qemu".to_owned()],
                ..Options::default()
            },
            Options {
                is_list: true,
                ..Options::default()
            },
        ] {
            assert!(!some.runs_check(), "{some:?}");
        }
    }

    #[test]
    fn a_failed_check_fails_the_whole() {
        let mut total = Tally {
            passed: 900,
            failed: 0,
        };
        assert!(total.is_good());
        total.add(failures_of(crate::check::Summary {
            passed: 9,
            failed: 0,
            left_out: 1,
        }));
        assert!(total.is_good() && total.passed == 900);
        total.add(failures_of(crate::check::Summary {
            passed: 8,
            failed: 2,
            left_out: 0,
        }));
        assert!(!total.is_good() && total.failed == 2);
        assert!(!Tally::default().is_good());
    }

    #[test]
    fn only_a_bare_sum_is_a_sum() {
        assert_eq!(
            sum_of("7 passed, 1 failed"),
            Some(Tally {
                passed: 7,
                failed: 1
            })
        );
        assert_eq!(sum_of("qemu: 7 passed, 1 failed"), None);
    }
}
