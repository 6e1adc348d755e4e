//! CPUID as a table: built once, answered by one look-up.

use crate::features::{self as f, Feature, filter};
use crate::xsave::Components;
use crate::{CpuModel, CpuPlan, Vendor, topology};
use alloc::vec::Vec;
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
    /// Whether IA32_APIC_BASE has the APIC enabled.
    pub is_apic_enabled: bool,
}

/// What of [`Dynamic`] goes into an answer.
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

    /// What does not follow the vCPU's state; zeros where there is nothing.
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
    /// What CPUID answers. `state` is asked only where the answer follows it.
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

struct Builder<'a, H> {
    host: &'a H,
    plan: &'a CpuPlan,
    vendor: Vendor,
    rows: Vec<Row>,
}

impl<H: Fn(u32, u32) -> CpuidResult> Builder<'_, H> {
    fn put(&mut self, leaf: u32, subleaf: Subleaf, result: CpuidResult, patch: Patch) {
        self.rows.push(Row {
            leaf,
            subleaf,
            result,
            patch,
        });
    }

    fn filter(&self, host: u32, list: &[Feature]) -> u32 {
        filter(host, list, self.plan.offers_pcid)
    }

    /// HTT or CmpLegacy: more than one logical CPU in the package.
    fn several(&self, bit: u32) -> u32 {
        u32::from(self.plan.vcpus > 1) << bit
    }

    fn basic(&mut self, components: &Components, max_basic: u32) {
        let host = self.host;
        let zero = host(0, 0);
        self.put(
            0,
            Subleaf::Any,
            CpuidResult {
                eax: max_basic,
                ..zero
            },
            Patch::None,
        );
        let one = host(1, 0);
        let one = CpuidResult {
            eax: one.eax,
            ebx: topology::leaf_1_ebx(one.ebx, self.plan),
            ecx: self.filter(one.ecx, f::LEAF_1_ECX),
            edx: self.filter(one.edx, f::LEAF_1_EDX) | self.several(28),
        };
        self.put(1, Subleaf::Any, one, Patch::Basic);
        if self.vendor == Vendor::Intel {
            self.put(2, Subleaf::Any, host(2, 0), Patch::None);
            self.caches(4);
        }
        let six = CpuidResult {
            eax: self.filter(0, f::LEAF_6_EAX),
            ..CpuidResult::default()
        };
        self.put(6, Subleaf::Any, six, Patch::None);
        self.seven();
        for subleaf in 0..2 {
            let level = topology::extended(self.plan, subleaf);
            self.put(0xb, Subleaf::Only(subleaf), level, Patch::Topology);
        }
        let beyond = topology::extended(self.plan, 2);
        self.put(0xb, Subleaf::Any, beyond, Patch::Topology);
        self.xsave(components);
        if self.vendor == Vendor::Intel {
            self.frequencies();
        }
    }

    /// Leaf 4 or 0x8000001D: caches until the first that is none.
    fn caches(&mut self, leaf: u32) {
        for subleaf in 0..8 {
            let host = (self.host)(leaf, subleaf);
            if host.eax & 0x1f == 0 {
                break;
            }
            let cache = topology::cache(host, self.plan, self.vendor);
            self.put(leaf, Subleaf::Only(subleaf), cache, Patch::None);
        }
    }

    fn seven(&mut self) {
        let host = (self.host)(7, 0);
        let zero = CpuidResult {
            eax: host.eax.min(1),
            ebx: self.filter(host.ebx, f::LEAF_7_EBX),
            ecx: self.filter(host.ecx, f::LEAF_7_ECX),
            edx: self.filter(host.edx, f::LEAF_7_EDX),
        };
        self.put(7, Subleaf::Only(0), zero, Patch::None);
        if host.eax >= 1 {
            let one = CpuidResult {
                eax: self.filter((self.host)(7, 1).eax, f::LEAF_7_1_EAX),
                ..CpuidResult::default()
            };
            self.put(7, Subleaf::Only(1), one, Patch::None);
        }
    }

    fn xsave(&mut self, components: &Components) {
        let allowed = components.allowed();
        if allowed == 0 {
            return;
        }
        let zero = CpuidResult {
            eax: allowed as u32,
            ebx: 0,
            ecx: components.standard_bytes(allowed),
            edx: (allowed >> 32) as u32,
        };
        self.put(0xd, Subleaf::Only(0), zero, Patch::StandardArea);
        let eax = self.filter((self.host)(0xd, 1).eax, f::LEAF_D_1_EAX);
        let one = CpuidResult {
            eax,
            ..CpuidResult::default()
        };
        let patch = if eax & 2 != 0 {
            Patch::CompactedArea
        } else {
            Patch::None
        };
        self.put(0xd, Subleaf::Only(1), one, patch);
        for (number, leaf) in components.leaves() {
            self.put(0xd, Subleaf::Only(number), leaf, Patch::None);
        }
    }

    /// Leaves 0x15 and 0x16: the local APIC timer is the crystal, and how much faster the TSC is.
    fn frequencies(&mut self) {
        let crystal_khz = self.plan.apic_timer_khz;
        if let Some((numerator, denominator)) = ratio(self.plan.tsc_khz, crystal_khz) {
            let tsc = CpuidResult {
                eax: denominator,
                ebx: numerator,
                ecx: crystal_khz.saturating_mul(1000),
                edx: 0,
            };
            self.put(0x15, Subleaf::Any, tsc, Patch::None);
        }
        let mhz = (self.plan.tsc_khz / 1000).min(0xffff) as u32;
        let speed = CpuidResult {
            eax: mhz,
            ebx: mhz,
            ecx: 100,
            edx: 0,
        };
        self.put(0x16, Subleaf::Any, speed, Patch::None);
    }

    fn hypervisor(&mut self) {
        let signature = |eax: u32, name: &[u8; 12]| {
            let word = |at: usize| {
                let bytes = name.get(at..at + 4).and_then(|b| b.try_into().ok());
                u32::from_le_bytes(bytes.unwrap_or_default())
            };
            CpuidResult {
                eax,
                ebx: word(0),
                ecx: word(4),
                edx: word(8),
            }
        };
        let last = KVM_BASE + 0x10;
        let kvm = signature(last, b"KVMKVMKVM\0\0\0");
        self.put(KVM_BASE, Subleaf::Any, kvm, Patch::None);
        let features = CpuidResult {
            eax: self.filter(0, f::KVM_EAX),
            ..CpuidResult::default()
        };
        self.put(KVM_BASE + 1, Subleaf::Any, features, Patch::None);
        // The timing leaf that several hypervisors share and the BSDs ask for.
        let timing = CpuidResult {
            eax: u32::try_from(self.plan.tsc_khz).unwrap_or(u32::MAX),
            ebx: self.plan.apic_timer_khz,
            ..CpuidResult::default()
        };
        self.put(last, Subleaf::Any, timing, Patch::None);
        let own = signature(CAISSON_BASE, b"CaissonVM\0\0\0");
        self.put(CAISSON_BASE, Subleaf::Any, own, Patch::None);
    }

    fn extended(&mut self, max_extended: u32) {
        let host = self.host;
        let zero = host(EXTENDED_BASE, 0);
        let zero = CpuidResult {
            eax: max_extended,
            ..zero
        };
        self.put(EXTENDED_BASE, Subleaf::Any, zero, Patch::None);
        let one = host(0x8000_0001, 0);
        let mut ecx = self.filter(one.ecx, f::LEAF_8000_0001_ECX);
        let mut edx = self.filter(one.edx, f::LEAF_8000_0001_EDX);
        let mut patch = Patch::None;
        if self.vendor == Vendor::Amd {
            let basic = self.filter(host(1, 0).edx, f::LEAF_1_EDX);
            ecx |= self.several(1);
            edx |= basic & f::AMD_REPEATED;
            patch = Patch::ApicFlag;
        }
        let one = CpuidResult { ecx, edx, ..one };
        self.put(0x8000_0001, Subleaf::Any, one, patch);
        for leaf in 0x8000_0002..=0x8000_0006 {
            self.put(leaf, Subleaf::Any, host(leaf, 0), Patch::None);
        }
        let power = CpuidResult {
            edx: self.filter(0, f::LEAF_8000_0007_EDX),
            ..CpuidResult::default()
        };
        self.put(0x8000_0007, Subleaf::Any, power, Patch::None);
        let is_amd = self.vendor == Vendor::Amd;
        let sizes = CpuidResult {
            eax: u32::from(physical_bits(host, self.plan)) | 48 << 8,
            ebx: if is_amd {
                self.filter(host(0x8000_0008, 0).ebx, f::LEAF_8000_0008_EBX)
            } else {
                0
            },
            ecx: if is_amd {
                topology::amd_size(self.plan)
            } else {
                0
            },
            edx: 0,
        };
        self.put(0x8000_0008, Subleaf::Any, sizes, Patch::None);
        if !is_amd {
            return;
        }
        for leaf in [0x8000_0019, 0x8000_001a] {
            self.put(leaf, Subleaf::Any, host(leaf, 0), Patch::None);
        }
        self.caches(0x8000_001d);
        let ids = CpuidResult::default();
        self.put(0x8000_001e, Subleaf::Any, ids, Patch::AmdTopology);
        let more = CpuidResult {
            eax: self.filter(host(0x8000_0021, 0).eax, f::LEAF_8000_0021_EAX),
            ..CpuidResult::default()
        };
        self.put(0x8000_0021, Subleaf::Any, more, Patch::None);
    }
}

/// The closest fraction to `tsc_khz` / `crystal_khz` that guests can multiply with the crystal's kHz in 32 bits, as Linux does.
fn ratio(tsc_khz: u64, crystal_khz: u32) -> Option<(u32, u32)> {
    let crystal = u64::from(crystal_khz);
    let largest = u64::from(u32::MAX).checked_div(crystal)?;
    let mut best = None;
    let mut best_error = u64::MAX;
    for denominator in 1..=4096 {
        let numerator = (tsc_khz
            .saturating_mul(denominator)
            .saturating_add(crystal / 2))
            / crystal;
        if numerator == 0 || numerator > largest {
            continue;
        }
        let error = (crystal.saturating_mul(numerator) / denominator).abs_diff(tsc_khz);
        if error < best_error {
            best_error = error;
            best = Some((numerator as u32, denominator as u32));
        }
    }
    best
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
