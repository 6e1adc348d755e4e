//! The command line. Its help is the first manual a newcomer reads.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use xtask::bed::accel::{Accel, Vendor};
use xtask::build::Profile;
use xtask::toolchain::Choice;
use xtask::{bench, check, flash, fuzz, guest, image, need, run, setup, test, toolchain};

/// Build, run, test and check Caisson, a hypervisor that boots by UEFI on the bare machine.
///
/// Start with `cargo xtask run`: it installs what is missing, builds everything, and boots firmware,
/// Caisson and a Debian kernel on this terminal. Then `cargo xtask test`: it checks the source and
/// proves the same on AMD-V and Intel VT-x.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    version,
    arg_required_else_help = true
)]
struct Cli {
    /// Install nothing: say what is missing, print the command that would install it, and stop.
    #[arg(long, global = true)]
    no_install: bool,
    /// Which Rust builds for bare metal.
    #[arg(long, global = true, value_enum, default_value_t)]
    toolchain: Choice,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install everything the other commands need: emulators, firmware, Rust for bare metal, a guest's files.
    ///
    /// Each command makes sure of what it needs by itself; this does it all at once, and says what is in use.
    Setup,
    /// Boot Caisson in an emulator: firmware, Caisson, the guest's kernel and its shell on this terminal.
    ///
    /// Ctrl-A X ends it. AMD-V runs in QEMU, Intel VT-x in Bochs. With standard input from a pipe, what it holds is typed once the
    /// guest is up.
    Run(RunArgs),
    /// Build the hypervisor, the boot loader and the test guests for bare metal.
    Build(BuildArgs),
    /// Make the disk image: GPT, a boot volume with Caisson and a guest, a data partition.
    Image(ImageArgs),
    /// Write the disk image to a USB stick. Without a device, list the candidates.
    ///
    /// Refuses mounted, system and non-removable disks; shows progress; reads everything back.
    Flash(FlashArgs),
    /// Run all checks and tests: `cargo xtask check`, the unit tests here, the real image in QEMU and
    /// Bochs.
    ///
    /// Ends with `N passed, N failed`; a failed check counts as a failure and stops nothing. With a
    /// filter or a bed only machine tests are run.
    Test(TestArgs),
    /// Check the source: format, layering, lints, unsafe, licences, duplicates, clippy, rustdoc, unit
    /// tests, no SSE in the image.
    ///
    /// A check whose tool the Rust toolchain lacks is left out with a line; in CI (`CI` is set) it
    /// fails.
    Check(CheckArgs),
    /// Give every parser damaged inputs, many of them. What fails is shown as small as it gets.
    Fuzz(FuzzArgs),
    /// Measure: instructions per exit, the boot of Linux with and without Caisson, sizes. Writes target/bench.json.
    Bench(BenchArgs),
    /// The guests there are recipes for, and fetching their files.
    Guest {
        #[command(subcommand)]
        task: GuestTask,
    },
}

#[derive(Args)]
struct BuildArgs {
    /// Development build: faster to make, slower to run, with debug assertions.
    #[arg(long)]
    debug: bool,
}

#[derive(Args)]
struct ImageArgs {
    /// Guest to put on it; `cargo xtask guest list` shows them.
    #[arg(long, value_name = "NAME", default_value = guest::DEFAULT)]
    guest: String,
    /// Use this caisson.toml instead of one made for the guest; the guests it names are put on the image.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Put one more file on the boot volume, e.g. guests/mine/vmlinuz=./bzImage; may be repeated.
    #[arg(long = "file", value_name = "PATH=FILE", value_parser = placed_file)]
    files: Vec<(String, PathBuf)>,
    /// Where to write the image [default: target/caisson.img].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Development build of what is on it.
    #[arg(long)]
    debug: bool,
}

#[derive(Args)]
struct RunArgs {
    /// Whose virtualization: amd (AMD-V, in QEMU) or intel (VT-x, in Bochs) [default: KVM's where it can be used, else amd].
    #[arg(long, value_enum)]
    vendor: Option<Vendor>,
    /// CPU model as the emulator names it [default: max,-cx16 in QEMU, corei7_haswell_4770 in Bochs].
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// Guest to boot; `cargo xtask guest list` shows them.
    #[arg(long, value_name = "NAME", default_value = guest::DEFAULT)]
    guest: String,
    /// Use this caisson.toml instead of one made for the guest; the guests it names are put on the image.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Put one more file on the boot volume, e.g. guests/mine/vmlinuz=./bzImage; may be repeated.
    #[arg(long = "file", value_name = "PATH=FILE", value_parser = placed_file)]
    files: Vec<(String, PathBuf)>,
    /// Boot this disk image as it is, and build nothing.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "files"])]
    image: Option<PathBuf>,
    /// Memory of the emulated machine, e.g. 2G or 768M [default: 2G in QEMU, 1G in Bochs].
    #[arg(long, value_name = "SIZE", value_parser = memory_mib)]
    memory: Option<u32>,
    /// CPUs of the emulated machine.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
    smp: u32,
    /// KVM or plain emulation. `auto` takes KVM only where nested virtualization is really there.
    #[arg(long, value_enum, default_value_t)]
    accel: Accel,
    /// Development build, a gdb server on port 1234 and a log of exceptions (the last two in QEMU).
    #[arg(long)]
    debug: bool,
    /// End after so many seconds, with status 124.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// End when this text has appeared on the serial port.
    #[arg(long, value_name = "TEXT")]
    exit_when: Option<String>,
    /// End when a VM ends by its exit port (`exit-port = true` in its caisson.toml), with what it wrote there as status; 255 for
    /// anything above that. A machine that ends otherwise is a failure.
    #[arg(long)]
    exit_code: bool,
}

#[derive(Args)]
struct FlashArgs {
    /// The disk to overwrite, e.g. /dev/sdb.
    device: Option<PathBuf>,
    /// Write this image instead of making one.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Guest to put on the image.
    #[arg(long, value_name = "NAME", default_value = guest::DEFAULT)]
    guest: String,
    /// Use this caisson.toml instead of one made for the guest; the guests it names are put on the image.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Put one more file on the boot volume, e.g. guests/mine/vmlinuz=./bzImage; may be repeated.
    #[arg(long = "file", value_name = "PATH=FILE", value_parser = placed_file)]
    files: Vec<(String, PathBuf)>,
    /// Write even to a mounted, system or non-removable disk.
    #[arg(long)]
    yes_really: bool,
    /// Write to a regular file as if it were a disk.
    #[arg(long, hide = true)]
    to_file: bool,
}

#[derive(Args)]
struct TestArgs {
    /// Run only machine tests whose name contains this; no checks, no unit tests.
    filter: Option<String>,
    /// Also the long tests.
    #[arg(long)]
    all: bool,
    /// Run only machine tests of beds whose name begins so, e.g. qemu, bochs, bochs-haswell; may be
    /// repeated. No checks, no unit tests.
    #[arg(long, value_name = "BED")]
    bed: Vec<String>,
    /// Only list the machine tests.
    #[arg(long)]
    list: bool,
    /// Leave the checks out, if you are in a hurry: tests only. CI makes them.
    #[arg(long)]
    no_check: bool,
    /// Bring the table of guests in hypervisor/SUPPORT.md up to date with what is run; `--all` alone does so anyway.
    #[arg(long)]
    write_table: bool,
}

#[derive(Args)]
struct CheckArgs {
    /// Only the checks whose name contains this.
    only: Option<String>,
}

#[derive(Args)]
struct FuzzArgs {
    /// Only targets whose name contains this, e.g. guest_boot or multiboot1.
    target: Option<String>,
    /// Inputs for each target.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    cases: u32,
}

#[derive(Args)]
struct BenchArgs {
    /// Passed on to the measuring program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

#[derive(Subcommand)]
enum GuestTask {
    /// Show the recipes, and which are fetched.
    List,
    /// Fetch a guest's files now.
    Fetch {
        /// Its recipe.
        #[arg(default_value = guest::DEFAULT)]
        name: String,
    },
}

/// `path/on/volume=file/here`.
fn placed_file(text: &str) -> Result<(String, PathBuf), String> {
    let (path, file) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not PATH=FILE"))?;
    Ok((path.to_owned(), file.into()))
}

/// `2G`, `768M` or plain MiB.
fn memory_mib(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a size like 2G or 768M");
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'G' | b'g') => (&text[..text.len() - 1], 1024),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 1),
        _ => (text, 1),
    };
    let number: u32 = digits.parse().map_err(|_| wrong())?;
    number
        .checked_mul(unit)
        .filter(|mib| *mib >= 64)
        .ok_or_else(|| format!("{} (at least 64M)", wrong()))
}

fn profile(is_debug: bool) -> Profile {
    if is_debug {
        Profile::Dev
    } else {
        Profile::Release
    }
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    toolchain::set_choice(cli.toolchain);
    need::set_install_forbidden(cli.no_install);
    toolchain::refuse_rustflags()?;
    match cli.task {
        Task::Setup => setup::setup()?,
        Task::Run(args) => {
            return run::run(&run::Options {
                vendor: args.vendor,
                cpu: args.cpu,
                guest: args.guest,
                config: args.config,
                files: args.files,
                image: args.image,
                memory_mib: args.memory,
                cpus: args.smp,
                accel: args.accel,
                is_debug: args.debug,
                timeout: args.timeout.map(Duration::from_secs),
                exit_when: args.exit_when,
                is_exit_code: args.exit_code,
            });
        }
        Task::Build(args) => build(profile(args.debug))?,
        Task::Image(args) => {
            image::assemble(&image::ImageSpec {
                guest: args.guest,
                config: args.config,
                files: args.files,
                out: args.out,
                profile: profile(args.debug),
            })?;
        }
        Task::Flash(args) => flash(args)?,
        Task::Test(args) => {
            return test::run(&test::Options {
                filter: args.filter,
                all: args.all,
                beds: args.bed,
                is_list: args.list,
                writes_table: args.write_table,
                skips_check: args.no_check,
            });
        }
        Task::Check(args) => return check::run(args.only.as_deref()),
        Task::Fuzz(args) => return fuzz::run(args.target.as_deref(), args.cases),
        Task::Bench(args) => return bench::run(&args.rest),
        Task::Guest {
            task: GuestTask::List,
        } => guest::list()?,
        Task::Guest {
            task: GuestTask::Fetch { name },
        } => guest::fetch_and_say(&name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn build(profile: Profile) -> Result<()> {
    println!("{}", xtask::build::loader(profile)?.display());
    println!("{}", xtask::build::caisson(profile)?.display());
    for guest in xtask::build::test_guests(profile)? {
        println!("{}", guest.path.display());
    }
    Ok(())
}

fn flash(args: FlashArgs) -> Result<()> {
    let Some(device) = args.device else {
        return flash::list();
    };
    let target = if args.to_file {
        flash::Target::File(device)
    } else {
        flash::Target::Disk {
            device,
            is_forced: args.yes_really,
        }
    };
    // First the refusal, then the minutes of building.
    flash::consider(&target)?;
    let image = match args.image {
        Some(image) => image,
        None => image::assemble(&image::ImageSpec {
            guest: args.guest,
            config: args.config,
            files: args.files,
            ..Default::default()
        })?,
    };
    flash::write(&target, &image)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_bench_are_passed_on() {
        let bench_args = |line: &[&str]| match Cli::try_parse_from(line).map(|cli| cli.task) {
            Ok(Task::Bench(args)) => Some(args.rest),
            _ => None,
        };
        let profile = Some(vec!["--profile".to_owned()]);
        assert_eq!(bench_args(&["xtask", "bench", "--profile"]), profile);
        assert_eq!(bench_args(&["xtask", "bench", "--", "--profile"]), profile);
        assert_eq!(bench_args(&["xtask", "bench"]), Some(vec![]));
        let help = Cli::try_parse_from(["xtask", "bench", "--help"]);
        assert_eq!(
            help.err().map(|error| error.kind()),
            Some(ErrorKind::DisplayHelp)
        );
    }

    #[test]
    fn sizes_are_read_in_mebibytes() {
        assert_eq!(memory_mib("2G"), Ok(2048));
        assert_eq!(memory_mib("768M"), Ok(768));
        assert!(memory_mib("lots").is_err());
        assert!(memory_mib("1M").is_err());
    }
}
