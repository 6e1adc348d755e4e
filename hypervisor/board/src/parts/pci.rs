//! The root of PCI, by ports and by memory-mapped configuration space, and the functions behind it.

use crate::bus::{Overlap, Region};
use crate::fabric::Fabric;
use crate::line::IntxLine;
use crate::maker::Maker;
use crate::slot::Harness;
use addr::{Gpa, GpaRange};
use alloc::sync::Arc;
use alloc::vec::Vec;
use pc_map::{memory, ports};
use pci::{BarKind, BarWindow, Bdf, Function, Root};

/// A function that a part brings along.
pub(crate) struct FunctionPlan {
    pub(crate) at: Bdf,
    pub(crate) function: Function,
    /// Region that each of its BARs decodes.
    pub(crate) bars: Vec<(usize, Region)>,
    /// Its interrupt pin.
    pub(crate) intx: Option<Arc<IntxLine>>,
}

/// Moves regions to where BARs are, switches INTx, and routes PIRQs.
struct RootHarness {
    fabric: Arc<Fabric>,
    functions: Vec<Wired>,
}

/// A function's wires.
struct Wired {
    at: Bdf,
    bars: Vec<(usize, Region)>,
    intx: Option<Arc<IntxLine>>,
}

impl Harness<Root> for RootHarness {
    fn after(&self, root: &mut Root) {
        if !root.take_changed() {
            return;
        }
        for number in 0..pci::PIRQS {
            self.fabric
                .route_pirq(number, pci::pirq_route(root, number));
        }
        for Wired { at, bars, intx } in &self.functions {
            let Some(function) = root.function(*at) else {
                continue;
            };
            for (index, region) in bars {
                place(region, function.bar(*index));
            }
            if let Some(intx) = intx {
                intx.set_enabled(function.is_intx_enabled());
            }
        }
    }
}

/// Maps a region where its BAR decodes. One that would wrap, as a BAR that is being sized, is not.
fn place(region: &Region, window: Option<BarWindow>) {
    let Some(BarWindow { kind, start, len }) = window else {
        return region.unmap();
    };
    match kind {
        BarKind::Io => match (u16::try_from(start), u16::try_from(start + (len - 1))) {
            (Ok(first), Ok(last)) => region.map_ports(first..=last),
            _ => region.unmap(),
        },
        BarKind::Memory32 | BarKind::Memory64 => match GpaRange::new(Gpa::new(start), len) {
            Some(range) => region.map(range),
            None => region.unmap(),
        },
    }
}

/// Puts the host bridge, the LPC bridge and these functions on the board.
pub(crate) fn install(pc: &mut Maker, plans: Vec<FunctionPlan>) -> Result<(), Overlap> {
    let mut root = pci::q35(*ports::PM.start());
    let mut functions = Vec::new();
    for plan in plans {
        // Two parts at one place are our bug; the second one is not seen by the guest.
        let added = root.add(plan.at, plan.function);
        debug_assert!(added.is_ok(), "two functions at {}", plan.at);
        functions.push(Wired {
            at: plan.at,
            bars: plan.bars,
            intx: plan.intx,
        });
    }
    let harness = RootHarness {
        fabric: pc.fabric.clone(),
        functions,
    };
    let root = pc.slot("pci", root, harness);
    pc.ports(ports::PCI_ADDRESS, 0, root.clone())?;
    pc.ports(ports::PCI_DATA, 0, root.clone())?;
    pc.memory(memory::ECAM, root)
}
