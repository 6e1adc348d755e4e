//! The rows of the CPUID table, leaf by leaf.

use super::{CAISSON_BASE, EXTENDED_BASE, KVM_BASE, Patch, Row, Subleaf, physical_bits};
use crate::features::{self as f, Feature, filter};
use crate::xsave::Components;
use crate::{CpuPlan, Vendor, topology};
use alloc::vec::Vec;
use x86::CpuidResult;

pub(super) struct Builder<'a, H> {
    pub(super) host: &'a H,
    pub(super) plan: &'a CpuPlan,
    pub(super) vendor: Vendor,
    pub(super) rows: Vec<Row>,
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

    pub(super) fn basic(&mut self, components: &Components, max_basic: u32) {
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

    pub(super) fn hypervisor(&mut self) {
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

    pub(super) fn extended(&mut self, max_extended: u32) {
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
