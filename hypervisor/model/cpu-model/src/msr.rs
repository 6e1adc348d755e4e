//! The MSRs a guest finds. What the table does not list is #GP.

mod check;
mod table;

use crate::cpuid::Leaves;
use crate::{CpuModel, CpuPlan, Vendor};
use alloc::vec::Vec;
use check::Check;
use serde::{Deserialize, Serialize};
use table::{Rule, TABLE};
use vcpu::{GuestMsr, Paging};
use x86::{Efer, msr};

/// Bits 1 to 5 of MSR_KVM_STEAL_TIME: the record is aligned to 64 bytes. (Linux, Documentation/virt/kvm/x86/msr.rst)
const STEAL_TIME_RESERVED: u64 = 0x3e;

/// KVM's paravirtual MSRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvmMsr {
    /// MSR_KVM_WALL_CLOCK_NEW: where to write the time of day at boot.
    WallClock,
    /// MSR_KVM_SYSTEM_TIME_NEW: where to keep the clock's parameters.
    SystemTime,
    /// MSR_KVM_STEAL_TIME: where to keep how long the vCPU waited for its CPU, and whether it waits now.
    StealTime,
}

/// Source of the answer to RDMSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrRead {
    /// This value.
    Value(u64),
    /// None: #GP.
    Denied,
    /// The backend.
    Guest(GuestMsr),
    /// The local APIC: IA32_APIC_BASE.
    ApicBase,
    /// The local APIC: x2APIC register 0 to 0xff; #GP unless it is in x2APIC mode.
    X2Apic(u8),
    /// The local APIC: IA32_TSC_DEADLINE.
    TscDeadline,
    /// The clock: the guest's TSC now.
    Tsc,
    /// The paravirtual clock.
    Kvm(KvmMsr),
}

/// Effect that WRMSR asks for. Values have been checked as far as the CPU model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsrWrite {
    /// Nothing more: it is stored, or without effect.
    Done,
    /// #GP.
    Denied,
    /// The backend is to hold this value.
    Guest(GuestMsr, u64),
    /// The local APIC: IA32_APIC_BASE, which it checks itself.
    ApicBase(u64),
    /// The local APIC: x2APIC register 0 to 0xff.
    X2Apic(u8, u64),
    /// The local APIC: IA32_TSC_DEADLINE.
    TscDeadline(u64),
    /// The clock: the guest's TSC is to read this now; tell [`MsrFile::note_tsc_moved`] by how much it jumped.
    Tsc(u64),
    /// The clock: the guest's TSC is to be ahead by this much more, modulo 2^64.
    MoveTsc(u64),
    /// The paravirtual clock.
    Kvm(KvmMsr, u64),
}

/// The MSRs of one vCPU that only remember what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MsrFile {
    values: Vec<u64>,
    tsc_adjust: u64,
}

impl MsrFile {
    /// A write to the TSC moved it by `by`, modulo 2^64; IA32_TSC_ADJUST moves with it. (Intel SDM vol. 3B 19.17.3)
    pub fn note_tsc_moved(&mut self, by: u64) {
        self.tsc_adjust = self.tsc_adjust.wrapping_add(by);
    }

    /// Puts `value` everywhere, as a bad saved state might.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self, value: u64) {
        self.values.fill(value);
    }
}

/// The table, as this model has it.
#[derive(Clone, Debug)]
pub(crate) struct MsrTable {
    entries: Vec<Entry>,
    slots: Vec<Slot>,
    physical_bits: u8,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    first: u32,
    last: u32,
    /// Of the first, for those that are stored.
    slot: usize,
    rule: Rule,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    index: u32,
    reset: u64,
}

impl MsrTable {
    pub(crate) fn new(vendor: Vendor, plan: &CpuPlan, leaves: &Leaves, physical_bits: u8) -> Self {
        let mut entries = Vec::new();
        let mut slots = Vec::new();
        for row in TABLE {
            if row.only.is_some_and(|only| only != vendor) || !row.needs.is_met(leaves) {
                continue;
            }
            let rule = row.rule.for_plan(plan);
            entries.push(Entry {
                first: row.first,
                last: row.last,
                slot: slots.len(),
                rule,
            });
            if let Rule::Stored { reset, .. } = rule {
                slots.extend((row.first..=row.last).map(|index| Slot { index, reset }));
            }
        }
        Self {
            entries,
            slots,
            physical_bits,
        }
    }

    fn find(&self, index: u32) -> Option<&Entry> {
        let behind = self.entries.partition_point(|entry| entry.first <= index);
        let entry = self.entries.get(behind.checked_sub(1)?)?;
        (index <= entry.last).then_some(entry)
    }
}

impl CpuModel {
    /// The MSRs of a vCPU after reset. INIT leaves them alone.
    #[must_use]
    pub fn new_msr_file(&self) -> MsrFile {
        MsrFile {
            values: self.msrs.slots.iter().map(|slot| slot.reset).collect(),
            tsc_adjust: 0,
        }
    }

    /// Sets the MTRRs as firmware leaves them, for guests that are started without any: RAM is write-back, the VGA window
    /// uncached, the ROM area write-protected; devices above are the guest's PAT's business.
    pub fn set_mtrrs_as_firmware(&self, file: &mut MsrFile) {
        for (slot, value) in self.msrs.slots.iter().zip(file.values.iter_mut()) {
            if let Some(as_left) = table::mtrr_as_firmware(slot.index) {
                *value = as_left;
            }
        }
    }

    /// Returns whether `file` has, for each MSR of this model that stores a value, one that it can
    /// hold.
    pub(crate) fn has_good_values(&self, file: &MsrFile) -> bool {
        let is_good = |entry: &Entry, index: u32, check: Check| {
            let slot = entry.slot + (index - entry.first) as usize;
            let reset = self.msrs.slots.get(slot).map(|slot| slot.reset);
            let value = file.values.get(slot).copied();
            value.is_some_and(|value| {
                reset == Some(value) || check.accepts(index, value, self.msrs.physical_bits)
            })
        };
        file.values.len() == self.msrs.slots.len()
            && self.msrs.entries.iter().all(|entry| match entry.rule {
                Rule::Stored { check, .. } => {
                    (entry.first..=entry.last).all(|index| is_good(entry, index, check))
                }
                Rule::Guest
                | Rule::Constant(_)
                | Rule::ReadOnly(_)
                | Rule::CoreCount
                | Rule::ApicBase
                | Rule::TscDeadline
                | Rule::Tsc
                | Rule::TscAdjust
                | Rule::Kvm(_) => true,
            })
    }

    /// Returns the source of the answer to RDMSR of `index`.
    #[must_use]
    #[inline]
    pub fn read_msr(&self, file: &MsrFile, index: u32) -> MsrRead {
        if let Some(register) = x2apic_register(index) {
            return MsrRead::X2Apic(register);
        }
        let Some(entry) = self.msrs.find(index) else {
            return MsrRead::Denied;
        };
        match entry.rule {
            Rule::Guest => guest(index).map_or(MsrRead::Denied, MsrRead::Guest),
            Rule::Stored { .. } => {
                let slot = entry.slot + (index - entry.first) as usize;
                file.values
                    .get(slot)
                    .map_or(MsrRead::Denied, |value| MsrRead::Value(*value))
            }
            Rule::Constant(value) | Rule::ReadOnly(value) => MsrRead::Value(value),
            Rule::CoreCount => MsrRead::Denied,
            Rule::ApicBase => MsrRead::ApicBase,
            Rule::TscDeadline => MsrRead::TscDeadline,
            Rule::Tsc => MsrRead::Tsc,
            Rule::TscAdjust => MsrRead::Value(file.tsc_adjust),
            Rule::Kvm(which) => MsrRead::Kvm(which),
        }
    }

    /// Returns what WRMSR of `value` to `index` asks for. `paging` is called only where CR0 and the
    /// old EFER matter.
    #[must_use]
    #[inline]
    pub fn write_msr(
        &self,
        file: &mut MsrFile,
        index: u32,
        value: u64,
        paging: impl FnOnce() -> Paging,
    ) -> MsrWrite {
        if let Some(register) = x2apic_register(index) {
            return MsrWrite::X2Apic(register, value);
        }
        if index == msr::IA32_TSC_DEADLINE {
            return MsrWrite::TscDeadline(value);
        }
        let Some(entry) = self.msrs.find(index) else {
            return MsrWrite::Denied;
        };
        match entry.rule {
            Rule::Guest => match guest(index) {
                Some(GuestMsr::Efer) => self.write_efer(value, &paging()),
                Some(guest) if check::guest(guest, value) => MsrWrite::Guest(guest, value),
                _ => MsrWrite::Denied,
            },
            Rule::Stored { check, .. } => {
                let slot = entry.slot + (index - entry.first) as usize;
                let is_good = check.accepts(index, value, self.msrs.physical_bits);
                match file.values.get_mut(slot) {
                    Some(stored) if is_good => {
                        *stored = value;
                        MsrWrite::Done
                    }
                    _ => MsrWrite::Denied,
                }
            }
            Rule::Constant(_) => MsrWrite::Done,
            Rule::ReadOnly(_) | Rule::CoreCount => MsrWrite::Denied,
            Rule::ApicBase => MsrWrite::ApicBase(value),
            Rule::TscDeadline => MsrWrite::TscDeadline(value),
            Rule::Tsc => MsrWrite::Tsc(value),
            Rule::TscAdjust => {
                let by = value.wrapping_sub(file.tsc_adjust);
                file.tsc_adjust = value;
                MsrWrite::MoveTsc(by)
            }
            Rule::Kvm(KvmMsr::StealTime) if value & STEAL_TIME_RESERVED != 0 => MsrWrite::Denied,
            Rule::Kvm(which) => MsrWrite::Kvm(which, value),
        }
    }

    /// EFER: only bits that are offered; LME stays as it is while paging is on; LMA is the CPU's. (Intel SDM vol. 3A 2.2.1)
    fn write_efer(&self, value: u64, paging: &Paging) -> MsrWrite {
        let long_mode = Efer::LONG_MODE_ENABLE.bits();
        let active = Efer::LONG_MODE_ACTIVE.bits();
        let is_paging = paging.cr0 & x86::Cr0::PAGING.bits() != 0;
        let changes_mode = (value ^ paging.efer) & long_mode != 0;
        if value & !self.efer_allowed() != 0 || (is_paging && changes_mode) {
            return MsrWrite::Denied;
        }
        MsrWrite::Guest(GuestMsr::Efer, (value & !active) | (paging.efer & active))
    }
}

/// Returns whether an MSR that the backend holds takes this value; not for EFER.
pub(crate) fn takes(guest: GuestMsr, value: u64) -> bool {
    check::guest(guest, value)
}

/// Bits 63 to 47 are all equal.
pub(crate) fn is_canonical(value: u64) -> bool {
    check::is_canonical(value)
}

fn x2apic_register(index: u32) -> Option<u8> {
    u8::try_from(index.wrapping_sub(msr::X2APIC_BASE)).ok()
}

fn guest(index: u32) -> Option<GuestMsr> {
    GuestMsr::from_index(index)
}

#[cfg(test)]
impl CpuModel {
    /// Returns whether the table is in order, without overlaps: the search relies on it.
    pub(crate) fn msrs_are_sorted(&self) -> bool {
        let entries = &self.msrs.entries;
        entries.iter().all(|e| e.first <= e.last) && entries.is_sorted_by(|a, b| a.last < b.first)
    }
}
