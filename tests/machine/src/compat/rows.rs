//! The plan: which guest is tried where, with how many vCPUs.

use crate::beds::{self, Bed};

/// How far a guest can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It has the project's initramfs: its shell is asked about its CPUs.
    Shell,
    /// It says what its recipe's `up` says, and that is all.
    Line,
    /// Another story plays it; this test of it counts.
    Story(&'static str),
}

/// A machine that a guest is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The machine.
    pub bed: Bed,
    /// vCPUs tried in the default run.
    pub(super) short: &'static [u32],
    /// vCPUs tried when all tests are asked for.
    pub(super) long: &'static [u32],
}

/// One guest, by its recipe.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its recipe.
    pub guest: &'static str,
    /// How it is started.
    pub way: &'static str,
    /// What is asked of it.
    pub depth: Depth,
    /// Seconds in QEMU on a quiet machine.
    pub(super) seconds: u32,
    /// Where it is tried.
    pub places: &'static [Place],
}

/// The numbers of vCPUs that have a column.
pub const COLUMNS: [u32; 4] = [1, 2, 4, 8];

const fn place(bed: Bed, short: &'static [u32], long: &'static [u32]) -> Place {
    Place { bed, short, long }
}

const fn row(
    guest: &'static str,
    way: &'static str,
    depth: Depth,
    seconds: u32,
    places: &'static [Place],
) -> Row {
    Row {
        guest,
        way,
        depth,
        seconds,
        places,
    }
}

/// Every guest there is a recipe for that others wrote.
pub const ROWS: &[Row] = &[
    row(
        "debian-cloud",
        "bzImage",
        Depth::Shell,
        20,
        &[
            place(beds::QEMU, &[], &[1, 2, 4, 8]),
            place(beds::QEMU_SMP, &[], &[1, 2, 4, 8]),
            place(beds::HASWELL, &[], &[1, 2, 4, 8]),
        ],
    ),
    row(
        "debian-cloud-16",
        "bzImage, 16-bit",
        Depth::Shell,
        20,
        &[
            place(beds::QEMU, &[1], &[2]),
            place(beds::HASWELL, &[], &[1]),
        ],
    ),
    row(
        "ipxe",
        "bzImage, 16-bit",
        Depth::Line,
        15,
        &[
            place(beds::QEMU, &[1], &[]),
            place(beds::HASWELL, &[], &[1]),
        ],
    ),
    row(
        "debian-cloud-pvh",
        "PVH",
        Depth::Shell,
        20,
        &[
            place(beds::QEMU, &[], &[1, 2, 4, 8]),
            place(beds::QEMU_SMP, &[4], &[1, 2, 8]),
            place(beds::HASWELL, &[], &[1, 2, 4, 8]),
            place(beds::HASWELL_SMP, &[], &[2]),
        ],
    ),
    row(
        "debian-cloud-612",
        "bzImage",
        Depth::Shell,
        25,
        &[
            place(beds::QEMU, &[], &[1, 2, 4, 8]),
            place(beds::QEMU_SMP, &[4], &[1, 2, 8]),
            place(beds::HASWELL, &[], &[1, 2, 4, 8]),
        ],
    ),
    row(
        "debian-cloud-612-pvh",
        "PVH",
        Depth::Shell,
        25,
        &[
            place(beds::QEMU, &[2], &[1, 4, 8]),
            place(beds::QEMU_SMP, &[], &[1, 2, 4, 8]),
            place(beds::HASWELL, &[], &[1, 2, 4, 8]),
        ],
    ),
    row(
        "debian",
        "bzImage",
        Depth::Shell,
        40,
        &[
            place(beds::QEMU, &[], &[1, 2, 4, 8]),
            place(beds::QEMU_SMP, &[], &[1, 2, 4, 8]),
            place(beds::HASWELL, &[], &[1, 2, 4, 8]),
        ],
    ),
    row(
        "debian-pvh",
        "PVH",
        Depth::Shell,
        25,
        &[
            place(beds::QEMU, &[], &[1, 2, 4, 8]),
            place(beds::QEMU_SMP, &[], &[1, 2, 4, 8]),
            place(beds::HASWELL, &[], &[1, 2, 4, 8]),
        ],
    ),
    row(
        "debian-i386",
        "bzImage, 32-bit",
        Depth::Shell,
        25,
        &[
            place(beds::QEMU, &[2], &[1]),
            place(beds::QEMU_SMP, &[], &[1, 2]),
            place(beds::HASWELL, &[], &[1, 2]),
        ],
    ),
    row(
        "installer-amd64",
        "bzImage",
        Depth::Line,
        60,
        &[
            place(beds::QEMU, &[], &[1]),
            place(beds::HASWELL, &[], &[1]),
        ],
    ),
    row(
        "installer-i386",
        "bzImage, 32-bit",
        Depth::Line,
        50,
        &[
            place(beds::QEMU, &[], &[1]),
            place(beds::HASWELL, &[], &[1]),
        ],
    ),
    row(
        "gnumach",
        "Multiboot 1, ELF64",
        Depth::Line,
        6,
        &[
            place(beds::QEMU, &[1], &[]),
            place(beds::HASWELL, &[1], &[]),
        ],
    ),
    row(
        "xen-dom0",
        "Multiboot 2, ELF32",
        Depth::Line,
        60,
        &[
            place(beds::QEMU_NO_SMAP, &[], &[1, 2]),
            place(beds::HASWELL, &[], &[1, 2]),
        ],
    ),
    row(
        "memtest86",
        "bzImage, 64-bit",
        Depth::Story("memtest86/tests-memory"),
        30,
        MEMTEST,
    ),
    row(
        "memtest86-32",
        "bzImage, 32-bit",
        Depth::Story("memtest86-32/tests-memory"),
        30,
        MEMTEST,
    ),
    row(
        "invaders",
        "Multiboot 1, by addresses",
        Depth::Story("invaders/ship-moves-by-keys"),
        20,
        ON_BOTH,
    ),
];

/// Where memtest86+ is played: in Bochs it needs a CPU for itself, see its story.
const MEMTEST: &[Place] = &[
    place(beds::QEMU, &[1], &[]),
    place(beds::HASWELL_SMP, &[], &[1]),
];

/// Where guests on the text screen are played.
const ON_BOTH: &[Place] = &[
    place(beds::QEMU, &[1], &[]),
    place(beds::HASWELL, &[1], &[]),
];

impl Place {
    /// True if this many vCPUs are tried here.
    pub fn has(&self, cpus: u32) -> bool {
        self.short.contains(&cpus) || self.long.contains(&cpus)
    }

    /// As the table names it.
    pub fn host(&self) -> String {
        let vendor = match self.bed.emulator {
            beds::Emulator::Qemu => "AMD-V",
            beds::Emulator::Bochs => "VT-x",
        };
        match self.bed.cpus {
            1 => format!("{vendor}, 1 CPU"),
            cpus => format!("{vendor}, {cpus} CPUs"),
        }
    }
}

impl Row {
    /// The name of a cell's test, without the bed.
    pub fn test(&self, cpus: u32) -> String {
        match self.depth {
            Depth::Shell | Depth::Line => format!("compat/{}/{cpus}", self.guest),
            Depth::Story(test) => test.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_a_column_and_stands_once() {
        for place in ROWS.iter().flat_map(|row| row.places) {
            let cells = [place.short, place.long].concat();
            for cpus in &cells {
                assert!(COLUMNS.contains(cpus));
                assert_eq!(cells.iter().filter(|other| *other == cpus).count(), 1);
            }
        }
    }

    #[test]
    fn every_row_has_a_recipe() {
        for row in ROWS {
            let recipe = format!("guest-images/{}.toml", row.guest);
            assert!(xtask::paths::root().join(&recipe).is_file(), "{recipe}");
        }
    }
}
