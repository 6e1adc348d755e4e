//! CPUID as a table: built once, answered by one look-up.

mod build;

use crate::xsave::Components;
use crate::{CpuModel, CpuPlan, Vendor};
use alloc::vec::Vec;
use build::Builder;
use x86::{CpuidResult, Cr4};

/// State of the vCPU that some answers follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// Initial APIC id.
    pub apic_id: u32,
    /// CR4.
    pub cr4: u64,
    /// XCR0.
    pub xcr0: u64,
    /// True if IA32_APIC_BASE has the APIC enabled.
    pub is_apic_enabled: bool,
}

/// Part of [`Dynamic`] that goes into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patch {
    None,
    /// Leaf 1: APIC id, APIC, OSXSAVE.
    Basic,
    /// Leaf 0xB: the id.
    Topology,
    /// Leaf 0xD.0: size of the standard XSAVE area.
    StandardArea,
    /// Leaf 0xD.1: size of the compacted XSAVE area.
    CompactedArea,
    /// AMD's leaf 0x80000001: APIC.
    ApicFlag,
    /// Leaf 0x8000001E: the ids.
    AmdTopology,
}

/// Which subleaves a row answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subleaf {
    Any,
    Only(u32),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    leaf: u32,
    subleaf: Subleaf,
    result: CpuidResult,
    patch: Patch,
}

/// First leaf of the hypervisor's range: KVM's, since stock guests know it.
pub(crate) const KVM_BASE: u32 = 0x4000_0000;
/// Our own leaf.
pub(crate) const CAISSON_BASE: u32 = 0x4000_0100;
const EXTENDED_BASE: u32 = 0x8000_0000;

/// Leaves of a range that are found by index.
const RANGE: usize = 0x22;

/// All answers, by leaf and subleaf.
#[derive(Clone, Debug)]
pub(crate) struct Leaves {
    rows: Vec<Row>,
    /// Where the rows of a basic leaf begin, and of an extended one; `rows.len()` and beyond: there are none.
    basic: [u8; RANGE],
    extended: [u8; RANGE],
    max_basic: u32,
    max_extended: u32,
    vendor: Vendor,
}

/// Highest basic leaf we have anything to say in.
const LAST_BASIC: u32 = 0x16;

impl Leaves {
    pub(crate) fn new(
        host: impl Fn(u32, u32) -> CpuidResult,
        plan: &CpuPlan,
        vendor: Vendor,
        components: &Components,
    ) -> Self {
        let host_max = host(0, 0).eax;
        let host_extended = host(EXTENDED_BASE, 0).eax;
        let max_basic = match vendor {
            // Raised where need be, so that the TSC's frequency can be told.
            Vendor::Intel => LAST_BASIC,
            Vendor::Amd => host_max.clamp(1, LAST_BASIC),
        };
        let max_extended = match vendor {
            Vendor::Intel => 0x8000_0008,
            Vendor::Amd => host_extended.clamp(0x8000_0008, 0x8000_0021),
        };
        let host = |leaf: u32, subleaf: u32| {
            let max = if leaf >= EXTENDED_BASE {
                host_extended
            } else {
                host_max
            };
            if leaf <= max {
                host(leaf, subleaf)
            } else {
                CpuidResult::default()
            }
        };
        let mut builder = Builder {
            host: &host,
            plan,
            vendor,
            rows: Vec::new(),
        };
        builder.basic(components, max_basic);
        builder.hypervisor();
        builder.extended(max_extended);
        let mut rows = builder.rows;
        rows.retain(|row| match row.leaf {
            KVM_BASE..EXTENDED_BASE => true,
            leaf if leaf < KVM_BASE => leaf <= max_basic,
            leaf => leaf <= max_extended,
        });
        let first_of = |leaf: u32| {
            let place = rows.iter().position(|row| row.leaf == leaf);
            place.unwrap_or(usize::MAX).min(usize::from(u8::MAX)) as u8
        };
        Self {
            basic: core::array::from_fn(|n| first_of(n as u32)),
            extended: core::array::from_fn(|n| first_of(EXTENDED_BASE + n as u32)),
            rows,
            max_basic,
            max_extended,
            vendor,
        }
    }

    /// Returns the part of the answer that does not depend on the vCPU's state; zeros where there
    /// is nothing.
    pub(crate) fn fixed(&self, leaf: u32, subleaf: u32) -> CpuidResult {
        self.find(leaf, subleaf)
            .map_or(CpuidResult::default(), |row| row.result)
    }

    #[inline]
    fn find(&self, leaf: u32, subleaf: u32) -> Option<&Row> {
        let first = if leaf < EXTENDED_BASE {
            match self.basic.get(leaf as usize) {
                Some(first) => usize::from(*first),
                None => self.rows.iter().position(|row| row.leaf == leaf)?,
            }
        } else {
            usize::from(*self.extended.get((leaf - EXTENDED_BASE) as usize)?)
        };
        self.rows
            .get(first..)?
            .iter()
            .take_while(|row| row.leaf == leaf)
            .find(|row| match row.subleaf {
                Subleaf::Any => true,
                Subleaf::Only(only) => only == subleaf,
            })
    }

    /// The leaf that is answered in place of one beyond the end. (Intel SDM vol. 2A "CPUID": the highest basic leaf; AMD: zeros)
    #[inline]
    fn in_range(&self, leaf: u32) -> u32 {
        let is_beyond = match leaf {
            0..KVM_BASE => leaf > self.max_basic,
            KVM_BASE..0x5000_0000 => false,
            0x5000_0000..EXTENDED_BASE => true,
            _ => leaf > self.max_extended,
        };
        if is_beyond && self.vendor == Vendor::Intel {
            self.max_basic
        } else {
            leaf
        }
    }
}

impl CpuModel {
    /// Returns the answer to CPUID. `state` is called only where the answer depends on it.
    #[must_use]
    #[inline]
    pub fn cpuid(&self, leaf: u32, subleaf: u32, state: impl FnOnce() -> Dynamic) -> CpuidResult {
        let leaf = self.leaves.in_range(leaf);
        match self.leaves.find(leaf, subleaf) {
            Some(row) if row.patch == Patch::None => row.result,
            Some(row) => self.patched(row, subleaf, &state()),
            None => CpuidResult::default(),
        }
    }

    fn patched(&self, row: &Row, subleaf: u32, state: &Dynamic) -> CpuidResult {
        let mut result = row.result;
        let apic = u32::from(state.is_apic_enabled) << 9;
        match row.patch {
            Patch::None => {}
            Patch::Basic => {
                result.ebx |= state.apic_id << 24;
                result.edx |= apic;
                if state.cr4 & Cr4::OSXSAVE.bits() != 0 {
                    result.ecx |= 1 << 27;
                }
            }
            Patch::Topology => {
                // Subleaves beyond the last level give their number and the id.
                if subleaf > 1 {
                    result.ecx = subleaf & 0xff;
                }
                result.edx = state.apic_id;
            }
            Patch::StandardArea => result.ebx = self.components.standard_bytes(state.xcr0),
            Patch::CompactedArea => result.ebx = self.components.compacted_bytes(state.xcr0),
            Patch::ApicFlag => result.edx |= apic,
            Patch::AmdTopology => {
                result.eax = state.apic_id;
                result.ebx = state.apic_id & 0xff;
            }
        }
        result
    }
}

/// MAXPHYADDR: the host's, or the plan's if that is less.
pub(crate) fn physical_bits(host: impl Fn(u32, u32) -> CpuidResult, plan: &CpuPlan) -> u8 {
    let there = if host(EXTENDED_BASE, 0).eax >= 0x8000_0008 {
        host(0x8000_0008, 0).eax as u8
    } else {
        36
    };
    there.min(plan.physical_bits).clamp(32, 52)
}

#[cfg(test)]
impl CpuModel {
    /// Leaves and subleaves in table order; `u32::MAX` for "any".
    pub(crate) fn rows(&self) -> Vec<(u32, u32)> {
        let subleaf = |row: &Row| match row.subleaf {
            Subleaf::Any => u32::MAX,
            Subleaf::Only(only) => only,
        };
        self.leaves
            .rows
            .iter()
            .map(|row| (row.leaf, subleaf(row)))
            .collect()
    }
}
