//! Guests written by others, unmodified: guest × way of boot × vendor × vCPUs.
//!
//! [`ROWS`] is the plan, [`story`](story()) what is done in each cell, [`table`] the table of results in `hypervisor/SUPPORT.md`.

mod story;
pub mod table;

use crate::beds::{self, Bed};
use crate::boot::Boot;

/// How far a guest can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// It has the project's initramfs: its shell is asked about its CPUs.
    Shell,
    /// It says what its recipe's `up` says, and that is all.
    Line,
}

/// A machine that a guest is tried on.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The machine.
    pub bed: Bed,
    /// vCPUs tried in the default run.
    short: &'static [u32],
    /// vCPUs tried when all tests are asked for.
    long: &'static [u32],
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
    seconds: u32,
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
            place(beds::HASWELL, &[], &[1, 2, 4]),
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
            place(beds::HASWELL, &[], &[1, 2, 4]),
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
            place(beds::HASWELL, &[], &[1, 2]),
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
            place(beds::HASWELL, &[], &[1, 2]),
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
        &[place(beds::QEMU, &[], &[1])],
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
        "Multiboot, ELF64",
        Depth::Line,
        6,
        &[
            place(beds::QEMU, &[1], &[]),
            place(beds::HASWELL, &[1], &[]),
        ],
    ),
    row(
        "xen-dom0",
        "Multiboot, ELF32",
        Depth::Line,
        60,
        &[place(beds::QEMU_NO_SMAP, &[], &[1, 2])],
    ),
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

/// The name of a cell's test, without the bed.
pub fn test_of(guest: &str, cpus: u32) -> String {
    format!("compat/{guest}/{cpus}")
}

/// A boot for each cell.
pub fn boots() -> Vec<Boot> {
    let mut boots = Vec::new();
    for row in ROWS {
        for place in row.places {
            let cells = place.short.iter().chain(place.long);
            boots.extend(cells.map(|cpus| {
                let boot = boot(*row, place.bed, *cpus);
                if place.short.contains(cpus) {
                    boot
                } else {
                    boot.long()
                }
            }));
        }
    }
    boots
}

fn boot(row: Row, bed: Bed, cpus: u32) -> Boot {
    let slower = match bed.emulator {
        beds::Emulator::Qemu => 1,
        beds::Emulator::Bochs => 6,
    };
    let name = format!("compat-{}-{cpus}", row.guest);
    let seconds = (row.seconds + 2 * cpus) * slower;
    Boot::new(
        bed,
        &name,
        seconds,
        [test_of(row.guest, cpus)],
        move |stage| story::play(stage, row, cpus),
    )
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
