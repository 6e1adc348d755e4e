//! Guests written by others, unmodified: guest × way of boot × vendor × vCPUs.
//!
//! [`rows`] is the plan, `story` what is done in each cell, [`table`] the table of results in `hypervisor/SUPPORT.md`.

pub mod rows;
mod story;
pub mod table;

use crate::beds::{self, Bed};
use crate::boot::Boot;
use rows::{Depth, ROWS, Row};

/// A boot for each cell.
pub fn boots() -> Vec<Boot> {
    let mut boots = Vec::new();
    let is_ours = |row: &&Row| !matches!(row.depth, Depth::Story(_));
    for row in ROWS.iter().filter(is_ours) {
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
    Boot::new(bed, &name, seconds, [row.test(cpus)], move |story_run| {
        story::play(story_run, row, cpus)
    })
}
