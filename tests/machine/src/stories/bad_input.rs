//! Broken configurations, missing files, machines that cannot: each gets words, not a hang.

use anyhow::{Result, ensure};

use crate::beds::{self, Bed, Shape};
use crate::boot::{Boot, StoryRun};
use crate::config::{self, Vm};
use crate::test_machine::{LOADER_WAITS, PROMPT, TestMachine};

/// A guest that runs although its neighbours cannot.
const GOOD: &str = "cpuid";

/// All of them.
pub fn boots() -> Vec<Boot> {
    let mut boots = vec![
        Boot::new(
            beds::QEMU,
            "no-config",
            10,
            ["bad/no-configuration"],
            no_configuration,
        ),
        Boot::new(
            beds::QEMU,
            "built-in",
            10,
            ["bad/built-in-default-boots"],
            built_in_default,
        ),
        Boot::new(
            beds::QEMU,
            "no-hypervisor",
            8,
            ["bad/no-hypervisor"],
            no_hypervisor,
        ),
        Boot::new(
            beds::QEMU,
            "skipped",
            12,
            [
                "bad/missing-kernel",
                "bad/not-a-kernel",
                "bad/more-memory-than-there-is",
                "bad/other-vms-start",
            ],
            skipped,
        ),
    ];
    boots.extend(TOML_CASES.iter().map(|case| {
        Boot::new(beds::QEMU, case.name, 8, [case.test], move |story_run| {
            broken_toml(story_run, case)
        })
    }));
    boots.extend(CPU_CASES.iter().map(|case| {
        let seconds = if case.bed.ends_by_itself() { 8 } else { 20 };
        let boot = Boot::new(
            case.bed,
            "refused",
            seconds,
            [case.test],
            move |story_run| refused_cpu(story_run, case),
        );
        if case.is_long { boot.long() } else { boot }
    }));
    boots
}

fn no_configuration(story_run: &mut StoryRun<'_>) -> Result<()> {
    let mut image = story_run.parts.image("");
    image
        .files
        .retain(|entry| entry.path != xtask::image::CONFIG);
    let mut test_machine = story_run.start(&image, Shape::default())?;
    test_machine.expect("caisson.toml: not there, the built-in default is used", 60)?;
    test_machine.expect("so there is no VM", 10)?;
    test_machine.expect(PROMPT, 30)?;
    test_machine.order_says("vms", "name")?;
    story_run.pass("bad/no-configuration");
    Ok(())
}

fn built_in_default(story_run: &mut StoryRun<'_>) -> Result<()> {
    let guest = xtask::guest::fetch(xtask::guest::DEFAULT)?;
    let mut image = story_run.parts.image("");
    image
        .files
        .retain(|entry| entry.path != xtask::image::CONFIG);
    let image = image
        .file("guests/default/vmlinuz", &guest.kernel)
        .file("guests/default/initrd.img", guest.initramfs()?);
    let mut test_machine = story_run.start(&image, Shape::default())?;
    test_machine.expect("the built-in default is used: one VM from", 60)?;
    test_machine.expect("vm default: starts", 30)?;
    test_machine.expect("Linux version ", 60)?;
    story_run.pass("bad/built-in-default-boots");
    Ok(())
}

fn no_hypervisor(story_run: &mut StoryRun<'_>) -> Result<()> {
    let mut image = story_run.parts.image(&config::host(true));
    image
        .files
        .retain(|entry| entry.path != xtask::image::HYPERVISOR);
    let mut test_machine = story_run.start(&image, Shape::default())?;
    let said = test_machine.expect(LOADER_WAITS, 60)?;
    holds(
        &said,
        &["caisson/caisson.elf", "is missing", "cargo xtask image"],
    )?;
    story_run.pass("bad/no-hypervisor");
    Ok(())
}

/// Three VMs that cannot run, each for its own reason, and one that can.
fn skipped(story_run: &mut StoryRun<'_>) -> Result<()> {
    let text = config::host(true)
        + &Vm::new("ghost", "guests/test/ghost", config::SMALL).text()
        + &Vm::new("letter", "guests/test/letter.txt", config::SMALL).text()
        + &Vm::new("giant", config::on_volume(GOOD), "64G").text()
        + &Vm::test_guest(GOOD).text();
    let image = story_run
        .parts
        .image(&text)
        .bytes(
            "guests/test/letter.txt",
            "Dear hypervisor, I am no kernel.\n",
        )
        .file(&config::on_volume(GOOD), &story_run.parts.test_guest(GOOD));
    let mut test_machine = story_run.start(&image, Shape::default())?;
    let loader = test_machine.expect("the hypervisor starts", 60)?;
    story_run.verdict(
        "bad/missing-kernel",
        holds(
            &loader,
            &["VM ghost is skipped: its kernel guests/test/ghost is missing"],
        ),
    );
    story_run.verdict(
        "bad/more-memory-than-there-is",
        holds(
            &loader,
            &[
                "VM giant is skipped: it wants 65536 MiB of memory",
                "caisson.toml:",
            ],
        ),
    );
    let good = format!("vm {GOOD}: stopped: ended by the guest's exit port, code 0");
    let began = test_machine.expect(&good, 60);
    let transcript = test_machine.machine.transcript();
    story_run.verdict(
        "bad/not-a-kernel",
        holds(
            &transcript,
            &["vm letter: not started: kernel", "letter.txt"],
        ),
    );
    story_run.verdict("bad/other-vms-start", began.map(|_| ()));
    Ok(())
}

/// A configuration and what the loader must say of it.
struct TomlCase {
    name: &'static str,
    test: &'static str,
    text: &'static str,
    says: &'static [&'static str],
}

const TOML_CASES: [TomlCase; 3] = [
    TomlCase {
        name: "toml-syntax",
        test: "bad/broken-toml",
        text: "[host]\nlog = \"info\"\n\n[[vm]\nname = \"debian\"\n",
        says: &["caisson.toml:4:", "[[vm]"],
    },
    TomlCase {
        name: "toml-key",
        test: "bad/unknown-key",
        text: "[[vm]]\nname = \"debian\"\nmemroy = \"512M\"\nkernel = \"guests/debian/vmlinuz\"\n",
        says: &["caisson.toml:3:1: ", "memroy = \"512M\"", "memory"],
    },
    TomlCase {
        name: "toml-type",
        test: "bad/wrong-type",
        text: "[[vm]]\nname = \"debian\"\nkernel = \"guests/debian/vmlinuz\"\ncpus = \"two\"\n",
        says: &["caisson.toml:4:8: ", "cpus = \"two\"", "cpus = 2"],
    },
];

fn broken_toml(story_run: &mut StoryRun<'_>, case: &TomlCase) -> Result<()> {
    let mut test_machine = story_run.start(&story_run.parts.image(case.text), Shape::default())?;
    let said = test_machine.expect(LOADER_WAITS, 60)?;
    story_run.verdict(case.test, holds(&said, case.says));
    Ok(())
}

/// A CPU that cannot, and what the loader must say of it.
struct CpuCase {
    bed: Bed,
    test: &'static str,
    says: &'static [&'static str],
    is_long: bool,
}

const CPU_CASES: [CpuCase; 5] = [
    CpuCase {
        bed: beds::qemu_with("qemu-no-svm", "qemu64,-svm"),
        test: "refusal/no-virtualization",
        says: &["has no hardware virtualization", "QEMU Virtual CPU"],
        is_long: false,
    },
    CpuCase {
        bed: beds::qemu_with("qemu-no-npt", "qemu64,+svm"),
        test: "refusal/svm-without-npt",
        says: &["has AMD-V without nested paging", "8000_000Ah"],
        is_long: false,
    },
    CpuCase {
        bed: beds::bochs_with("bochs-penryn", "core2_penryn_t9600"),
        test: "refusal/vmx-without-ept",
        says: &["has VT-x without EPT", "Core(TM)2"],
        is_long: false,
    },
    CpuCase {
        bed: beds::bochs_with("bochs-venice", "athlon64_venice"),
        test: "refusal/no-virtualization",
        says: &["has no hardware virtualization", "Athlon"],
        is_long: true,
    },
    CpuCase {
        bed: beds::bochs_with("bochs-tyler", "turion64_tyler"),
        test: "refusal/svm-without-npt",
        says: &["has AMD-V without nested paging"],
        is_long: true,
    },
];

fn refused_cpu(story_run: &mut StoryRun<'_>, case: &CpuCase) -> Result<()> {
    let mut test_machine: TestMachine = story_run.start(
        &story_run.parts.image(&config::host(true)),
        Shape::default(),
    )?;
    let said = test_machine.expect(LOADER_WAITS, 60)?;
    story_run.verdict(case.test, holds(&said, case.says));
    Ok(())
}

fn holds(said: &str, wanted: &[&str]) -> Result<()> {
    for text in wanted {
        ensure!(
            said.contains(text),
            "it does not say `{text}` but:\n{}",
            tail(said)
        );
    }
    Ok(())
}

/// The loader's part, without the firmware's screens before it.
fn tail(said: &str) -> &str {
    said.rfind("Caisson ")
        .and_then(|at| said.get(at..))
        .unwrap_or(said)
}
