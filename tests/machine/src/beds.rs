//! The machines there are: an emulator, a CPU model, and how patient one must be with them.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use xtask::bed::{Config, Machine, bochs, qemu};

/// Whose emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emulator {
    /// QEMU, plain emulation; AMD-V.
    Qemu,
    /// Bochs; either vendor.
    Bochs,
}

/// An emulated machine to boot on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bed {
    /// First part of its tests' names.
    pub name: &'static str,
    /// What emulates it.
    pub emulator: Emulator,
    /// CPU model as the emulator names it.
    pub cpu: &'static str,
    /// How many, where a test does not ask for another number.
    pub cpus: u32,
}

/// AMD-V with nested paging and little else.
pub const QEMU: Bed = qemu_with("qemu", qemu::CPU);
/// VT-x with unrestricted guest, of 2013.
pub const HASWELL: Bed = bochs_with("bochs-haswell", "corei7_haswell_4770");
/// VT-x with all that servers of 2017 have, and AVX-512.
pub const SKYLAKE: Bed = bochs_with("bochs-skylake", "corei7_skylake_x");
/// AMD-V with next-RIP save and flush-by-ASID.
pub const TRINITY: Bed = bochs_with("bochs-trinity", "trinity_apu");
/// VT-x of 2009: EPT, no unrestricted guest.
pub const LYNNFIELD: Bed = bochs_with("bochs-lynnfield", "corei5_lynnfield_750");

/// Four CPUs that really run at once.
pub const QEMU_SMP: Bed = Bed {
    name: "qemu-smp",
    cpus: 4,
    ..QEMU
};
/// As [`QEMU`], without SMAP: what QEMU 7.2 makes of it in ring 0 ends Xen's dom0 with a page fault on a page that is there, with and
/// without a hypervisor.
pub const QEMU_NO_SMAP: Bed = qemu_with("qemu-no-smap", "max,-cx16,-smap");
/// Two CPUs with VT-x.
pub const HASWELL_SMP: Bed = Bed {
    name: "bochs-haswell-smp",
    cpus: 2,
    ..HASWELL
};

/// A QEMU machine with this CPU.
pub const fn qemu_with(name: &'static str, cpu: &'static str) -> Bed {
    Bed {
        name,
        emulator: Emulator::Qemu,
        cpu,
        cpus: 1,
    }
}

/// A Bochs machine with this CPU.
pub const fn bochs_with(name: &'static str, cpu: &'static str) -> Bed {
    Bed {
        name,
        emulator: Emulator::Bochs,
        cpu,
        cpus: 1,
    }
}

impl Bed {
    /// True if the emulator ends when the machine is switched off.
    pub fn ends_by_itself(&self) -> bool {
        self.emulator == Emulator::Qemu
    }

    /// How long something may take here that takes at most `qemu_s` seconds in QEMU.
    pub fn patience(&self, qemu_s: u64) -> Duration {
        Duration::from_secs(match self.emulator {
            Emulator::Qemu => qemu_s,
            // Bochs runs a tenth to a fifth as fast.
            Emulator::Bochs => qemu_s * 6,
        })
    }

    /// Starts a machine; `log_name` names its logs.
    ///
    /// # Errors
    /// The emulator is missing or does not start.
    pub fn start(&self, log_name: &str, image: &Path, shape: Shape) -> Result<Machine> {
        let config = Config::new(log_name, image)
            .cpus(shape.cpus)
            .memory_mib(shape.memory_mib);
        match self.emulator {
            Emulator::Qemu => qemu::start(
                &config,
                &qemu::Options {
                    cpu: self.cpu.to_owned(),
                    ..qemu::Options::default()
                },
            ),
            Emulator::Bochs => bochs::start(
                &config,
                &bochs::Options {
                    model: self.cpu.to_owned(),
                    ..bochs::Options::default()
                },
            ),
        }
    }
}

/// How large the machine is.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
}

impl Shape {
    /// As this bed has it.
    pub fn of(bed: Bed) -> Self {
        Self {
            cpus: bed.cpus,
            ..Self::default()
        }
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            cpus: 1,
            memory_mib: 1024,
        }
    }
}
